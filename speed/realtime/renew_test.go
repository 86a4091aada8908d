package realtime

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"recount/schemas/eventbatch"
	"recount/schemas/position"
)

// A process that slept while another trimmed the log wakes with an old idea of what is
// kept. It says what it knows until it hears of the publications since, and goes on there.
func TestTrimmedWhileAsleep(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig(t.TempDir())
	synctest.Test(t, func(t *testing.T) {
		log := logOf(t, 4, 2)
		v := openTest(t, cfg, log, everyFour, 1)
		stop := run(t, v)
		settled(v)
		log.mu.Lock()
		log.first[0] = 7
		log.mu.Unlock()
		log.append(0, numbered(t, 8, 2), numbered(t, 10, 2), numbered(t, 12, 2), numbered(t, 14, 2))
		time.Sleep(time.Minute)
		if s := settled(v); s.Failed != nil || s.Stalled == "" || s.Through.Seq != 5 {
			t.Fatalf("awake: status %+v", s)
		}
		wantCount(t, v, 1, 8)
		if _, live, err := count(t, v, position.Offset{Epoch: 1, Seq: 7}); err != nil || len(live.Stale) != 1 ||
			live.Through[0].Seq != 7 {
			t.Errorf("cut of a newer publication: %+v, %v, want it stale (Q2)", live, err)
		}
		if err := v.Retain([]position.Offset{{Epoch: 1, Seq: 7}}); err != nil {
			t.Fatal(err)
		}
		if s := settled(v); s.Failed != nil || s.Stalled != "" || s.Through.Seq != 9 {
			t.Errorf("after hearing of the publication: status %+v", s)
		}
		wantCount(t, v, 7, 4)
		if err := stop(); err != nil {
			t.Errorf("run: %v", err)
		}
	})
}

// A log that lacks a message stops its partition, which gives nothing, until a publication is
// beyond it: then an operator has acted (C7).
func TestGapStopsThePartition(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig(t.TempDir())
	synctest.Test(t, func(t *testing.T) {
		log := &skippingLog{logOf(t, 10, 2), 4}
		v, err := Open(cfg, countCatalog(), []PartitionStart{{Epochs: everyFour, OldestKept: 1, LogNext: 11}}, log)
		if err != nil {
			t.Fatal(err)
		}
		stop := run(t, v)
		if s := settled(v); !errors.Is(s.Failed, position.ErrGap) || s.Through.Seq != 4 {
			t.Fatalf("status: %+v", s)
		}
		if _, live, err := count(t, v, position.Offset{Epoch: 1, Seq: 1}); err != nil || len(live.Stale) != 1 {
			t.Errorf("%+v, %v, want it stale (Q2)", live, err)
		}
		if err := v.Retain([]position.Offset{{Epoch: 1, Seq: 3}}); err != nil {
			t.Fatal(err)
		}
		if s := settled(v); !errors.Is(s.Failed, position.ErrGap) {
			t.Errorf("a publication that ends below the gap: status %+v", s)
		}
		if err := v.Retain([]position.Offset{{Epoch: 1, Seq: 7}}); err != nil {
			t.Fatal(err)
		}
		if s := settled(v); s.Failed != nil || s.Through.Seq != 11 {
			t.Errorf("a publication that ends above the gap: status %+v", s)
		}
		wantCount(t, v, 7, 8)
		log.append(0, numbered(t, 20, 1))
		if s := settled(v); s.Through.Seq != 12 {
			t.Errorf("status: %+v", s)
		}
		if err := stop(); err != nil {
			t.Errorf("run: %v", err)
		}
	})
}

// skippingLog lacks a message.
type skippingLog struct {
	*memLog
	gone uint64
}

type skippingReader struct {
	eventbatch.Reader
	gone uint64
}

func (l *skippingLog) Read(ctx context.Context, p int, from uint64) (eventbatch.Reader, error) {
	r, err := l.memLog.Read(ctx, p, from)
	return skippingReader{r, l.gone}, err
}

func (r skippingReader) Next(ctx context.Context) (eventbatch.Message, error) {
	m, err := r.Reader.Next(ctx)
	if err == nil && m.Seq == r.gone {
		return r.Reader.Next(ctx)
	}
	return m, err
}

// Another owner found the log's end lost and began an epoch. What this one counted of the lost
// messages is given to nobody, and it goes on in that epoch by itself.
func TestRenew(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig(t.TempDir())
	synctest.Test(t, func(t *testing.T) {
		log := logOf(t, 6, 2)
		v := openTest(t, cfg, log, everyFour, 1)
		run(t, v)
		settled(v)
		wantCount(t, v, 1, 12)
		log.mu.Lock()
		log.parts[0] = log.parts[0][:4] // Messages 5 and 6 are lost, and clients send half of them again.
		log.mu.Unlock()
		log.append(0, numbered(t, 8, 1), numbered(t, 10, 1), numbered(t, 20, 3))
		second := position.Offset{Epoch: 2, Seq: 5}
		if _, live, err := count(t, v, second); err != nil || len(live.Stale) != 1 {
			t.Errorf("before: %+v, %v, want it stale (Q2)", live, err)
		}
		epochs := []position.EpochStart{everyFour[0],
			{Epoch: 2, Start: 5, Rule: position.CutRule{Interval: time.Hour, Rows: 3, Bytes: 1 << 30}}}
		if err := v.Renew(0, PartitionStart{Epochs: epochs, OldestKept: 5, LogNext: 8}); err != nil {
			t.Fatal(err)
		}
		if s := settled(v); s.Epoch != 2 || s.Through != (position.Offset{Epoch: 2, Seq: 8}) {
			t.Errorf("status: %+v", s)
		}
		if n, live, err := count(t, v, second); err != nil || n != 5 || len(live.Stale) != 0 {
			t.Errorf("after: %d, %+v, %v, want 5", n, live, err)
		}
		if err := v.Renew(0, PartitionStart{OldestKept: 5}); err == nil {
			t.Error("no epochs: no error")
		}
	})
}
