package eventlog_test

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"recount/deploy/embedded/natsserver"
	"recount/schemas/position"
)

func TestTrim(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	h := newHost(t, dir)
	l := openLog(t, small(h))
	ctx := testContext(t)
	appendN(t, l, 0, 10)
	for _, step := range []struct{ below, first uint64 }{{0, 1}, {1, 1}, {4, 4}, {2, 4}, {11, 11}} {
		if err := l.Trim(ctx, 0, step.below); err != nil {
			t.Fatal(err)
		}
		wantBounds(t, l, 0, step.first, 11)
	}
	if err := l.Trim(ctx, 0, 12); err == nil {
		t.Error("trim above the next sequence: got no error")
	}
	l.Close()
	h.stop()
	h.start(natsserver.DefaultConfig(dir))
	l = openLog(t, small(h))
	wantBounds(t, l, 0, 11, 11)
	appendN(t, l, 0, 1)
	wantBounds(t, l, 0, 11, 12)
}

// L5: after a seal the log continues exactly at the chain head, also after a restart.
func TestAdvance(t *testing.T) {
	t.Parallel()
	for name, stored := range map[string]int{"empty log": 0, "log with messages": 7} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			h := newHost(t, dir)
			l := openLog(t, small(h))
			ctx := testContext(t)
			appendN(t, l, 0, stored)
			for range 2 { // The second call changes nothing.
				if err := l.Advance(ctx, 0, 1000); err != nil {
					t.Fatal(err)
				}
				wantBounds(t, l, 0, 1000, 1000)
			}
			l.Close()
			h.stop()
			h.start(natsserver.DefaultConfig(dir))
			l = openLog(t, small(h))
			wantBounds(t, l, 0, 1000, 1000)
			r := readFrom(t, l, 0, 1000)
			appendN(t, l, 0, 2)
			if m := next(t, r); m.Seq != 1000 {
				t.Fatalf("first message after the jump is %d, want 1000", m.Seq)
			}
			if err := l.Advance(ctx, 0, 1001); err == nil {
				t.Error("advance below an assigned sequence: got no error")
			}
			_, err := l.Read(ctx, 0, 999)
			wantError(t, err, position.ErrTrimmed)
			wantBounds(t, l, 1, 1, 1)
		})
	}
}

func TestGet(t *testing.T) {
	t.Parallel()
	l := openLog(t, small(newHost(t, t.TempDir())))
	appendN(t, l, 1, 2)
	m, err := l.Get(testContext(t), 1, 2)
	if err != nil || m.Seq != 2 || string(m.Data) != "frame" || m.Stored.IsZero() {
		t.Fatalf("got %+v %v", m, err)
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewPedanticRegistry()
	c := small(newHost(t, t.TempDir()))
	c.Registerer = reg
	l := openLog(t, c)
	appendN(t, l, 1, 3)
	next(t, readFrom(t, l, 1, 1))
	got := gather(t, reg)
	for name, want := range map[string]float64{
		"recount_log_appended_messages_total": 3,
		"recount_log_appended_bytes_total":    15,
		"recount_log_append_seconds":          3,
		"recount_log_read_messages_total":     1,
		"recount_log_in_flight_messages":      0,
		"recount_log_max_bytes":               2 * 64 << 20,
		"recount_log_next_sequence":           1 + 4,
		"recount_log_first_sequence":          1 + 1,
	} {
		if got[name] != want {
			t.Errorf("%s: got %v, want %v", name, got[name], want)
		}
	}
	if got["recount_log_stored_bytes"] < 15 {
		t.Errorf("stored bytes: got %v", got["recount_log_stored_bytes"])
	}
	l.Close()
	openLog(t, c) // Close freed the metric names.
}

// gather sums each metric over its labels.
func gather(t *testing.T, g prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sums := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.Metric {
			sums[f.GetName()] += m.GetCounter().GetValue() + m.GetGauge().GetValue() +
				float64(m.GetHistogram().GetSampleCount())
		}
	}
	return sums
}
