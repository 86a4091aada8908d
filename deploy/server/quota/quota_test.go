package quota

import (
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"
)

type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

func quotas(t testing.TB, cfg Config) (*Quotas, *clock) {
	t.Helper()
	c := &clock{time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)}
	cfg.Now = c.Now
	q, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return q, c
}

// TestRates follows the package comment: one second's worth passes at once, and then debts have to be refilled.
func TestRates(t *testing.T) {
	t.Parallel()
	q, clock := quotas(t, Config{Default: Rates{Events: 100},
		Tenants: map[string]Rates{"big": {Events: 1000, Queries: 0.5}, "several": {Queries: 2}}})
	for i, step := range []struct {
		after  time.Duration
		tenant string
		events int
		wait   time.Duration
	}{
		{0, "a", 60, 0},
		{0, "a", 250, 0}, // There were 40 left, so any request passes; now 210 are owed.
		{0, "a", 1, 2100 * time.Millisecond},
		{0, "b", 100, 0}, // The debt of one tenant does not delay another.
		{time.Second, "a", 1, 1100 * time.Millisecond},
		{1100 * time.Millisecond, "a", 0, time.Nanosecond}, // The debt is refilled, but the bucket is still empty.
		{time.Millisecond, "a", 0, 0},
		{time.Hour, "a", 100, 0}, // A long pause saves no more than one second's worth.
		{0, "a", 1, time.Nanosecond},
		{0, "big", 999, 0},
		{0, "big", 1, 0},
		{-time.Hour, "big", 1, time.Nanosecond}, // A clock that jumps back neither refills nor empties the bucket.
	} {
		clock.now = clock.now.Add(step.after)
		if got := q.Ingest(step.tenant, 0, step.events); (got - step.wait).Abs() > time.Microsecond {
			t.Errorf("step %d: wait %s, want %s", i, got, step.wait)
		}
	}
	for i, want := range []time.Duration{0, time.Nanosecond} {
		if got := q.Query("big", 1); got != want {
			t.Errorf("query %d: wait %s, want %s", i, got, want)
		}
	}
	if got := q.Query("several", 6) + q.Query("several", 1); got != 2*time.Second {
		t.Errorf("after six queries at once: wait %s, want that of the four beyond two a second", got)
	}
	if got := q.Ingest("free of bytes", 1<<40, 0) + q.Ingest("free of bytes", 1<<40, 0); got != 0 {
		t.Errorf("without a limit: wait %s", got)
	}
}

// TestNoTenantExceedsItsRate sends requests of random sizes at random times. The amount that passed before
// each request is at most the rate times the time, plus one second's worth.
func TestNoTenantExceedsItsRate(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		rate := rapid.Float64Range(0.1, 1000).Draw(r, "rate")
		q, clock := quotas(t, Config{Default: Rates{Bytes: rate}})
		start := clock.now
		through := 0.0
		for range rapid.IntRange(1, 100).Draw(r, "requests") {
			clock.now = clock.now.Add(time.Duration(rapid.Int64Range(0, 3e9).Draw(r, "pause")))
			n := rapid.IntRange(0, 5000).Draw(r, "bytes")
			if wait := q.Ingest("a", n, 0); wait > 0 {
				clock.now = clock.now.Add(wait + time.Microsecond)
				if again := q.Ingest("a", 0, 0); again > 0 {
					r.Fatalf("after the wait of %s there is another wait of %s", wait, again)
				}
				continue
			}
			if most := clock.now.Sub(start).Seconds()*rate + max(rate, 1) + 1e-6; through > most {
				r.Fatalf("%v bytes passed before a request that passed too; want at most %v", through, most)
			}
			through += float64(n)
		}
	})
}

// TestLabelsAreBounded sends queries of ten thousand tenants, which must not make ten thousand time series.
func TestLabelsAreBounded(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	q, _ := quotas(t, Config{Registerer: reg, Default: Rates{Queries: 1}})
	for i := range 10_000 {
		q.Query("tenant-"+strconv.Itoa(i), 1)
		q.Query("tenant-"+strconv.Itoa(i), 1)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	kindsOf := map[string]int{"recount_tenant_taken_total": int(kinds), "recount_tenant_refused_total": int(kinds) + 1}
	for _, f := range families {
		if kindsOf[f.GetName()] == 0 {
			continue // It has no label.
		}
		total := 0.0
		series := 0
		for _, m := range f.GetMetric() {
			total += m.GetCounter().GetValue()
			series++
		}
		if total != 10_000 || series != (maxLabels+1)*kindsOf[f.GetName()] {
			t.Errorf("%s: %d series with a total of %v", f.GetName(), series, total)
		}
	}
}

func BenchmarkIngest(b *testing.B) {
	q, _ := quotas(b, Config{Default: Rates{Events: 1e12, Bytes: 1e12}})
	for b.Loop() {
		q.Ingest("a", 1000, 10)
	}
}
