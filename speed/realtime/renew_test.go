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

// A process sleeps while another one trims the log, so it does not know of the newest publications. It
// answers with what it has until it hears of them, and then continues at the oldest kept one.
func TestTrimmedWhileAsleep(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig(t.TempDir())
	synctest.Test(t, func(t *testing.T) {
		log := newNumberedLog(t, 4, 2)
		v := openTest(t, cfg, log, everyFour, 1)
		stop := runViews(t, v)
		statusWhenIdle(v)
		log.mu.Lock()
		log.first[0] = 7
		log.mu.Unlock()
		log.append(0, numbered(t, 8, 2), numbered(t, 10, 2), numbered(t, 12, 2), numbered(t, 14, 2))
		time.Sleep(time.Minute)
		if s := statusWhenIdle(v); s.Failed != nil || s.Stalled == "" || s.Through.Seq != 5 {
			t.Fatalf("status when it wakes: %+v", s)
		}
		wantCount(t, v, 1, 8)
		if _, live, err := count(t, v, position.Offset{Epoch: 1, Seq: 7}); err != nil || len(live.Stale) != 1 ||
			live.Through[0].Seq != 7 {
			t.Errorf("cut of a newer publication: got %+v, %v, want a stale partition (Q2)", live, err)
		}
		if err := v.Retain([]position.Offset{{Epoch: 1, Seq: 7}}); err != nil {
			t.Fatal(err)
		}
		if s := statusWhenIdle(v); s.Failed != nil || s.Stalled != "" || s.Through.Seq != 9 {
			t.Errorf("status after it heard of the publication: %+v", s)
		}
		wantCount(t, v, 7, 4)
		if err := stop(); err != nil {
			t.Errorf("run: %v", err)
		}
	})
}

// A missing message stops its partition, which then gives nothing. The partition continues when a
// publication covers the missing message, because then an operator has acted (C7).
func TestGapStopsThePartition(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig(t.TempDir())
	synctest.Test(t, func(t *testing.T) {
		log := &skippingLog{newNumberedLog(t, 10, 2), 4}
		v, err := Open(cfg, countCatalog(), []PartitionStart{{Epochs: everyFour, OldestKept: 1, LogNext: 11}}, log)
		if err != nil {
			t.Fatal(err)
		}
		stop := runViews(t, v)
		if s := statusWhenIdle(v); !errors.Is(s.Failed, position.ErrGap) || s.Through.Seq != 4 {
			t.Fatalf("status: %+v", s)
		}
		if _, live, err := count(t, v, position.Offset{Epoch: 1, Seq: 1}); err != nil || len(live.Stale) != 1 {
			t.Errorf("scan: got %+v, %v, want a stale partition (Q2)", live, err)
		}
		if err := v.Retain([]position.Offset{{Epoch: 1, Seq: 3}}); err != nil {
			t.Fatal(err)
		}
		if s := statusWhenIdle(v); !errors.Is(s.Failed, position.ErrGap) {
			t.Errorf("status after a publication that ends below the gap: %+v", s)
		}
		if err := v.Retain([]position.Offset{{Epoch: 1, Seq: 7}}); err != nil {
			t.Fatal(err)
		}
		if s := statusWhenIdle(v); s.Failed != nil || s.Through.Seq != 11 {
			t.Errorf("status after a publication that ends above the gap: %+v", s)
		}
		wantCount(t, v, 7, 8)
		log.append(0, numbered(t, 20, 1))
		if s := statusWhenIdle(v); s.Through.Seq != 12 {
			t.Errorf("status after one more message: %+v", s)
		}
		if err := stop(); err != nil {
			t.Errorf("run: %v", err)
		}
	})
}

// skippingLog is a log that does not have the message gone.
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

// Another owner finds that the log lost its end, and begins an epoch. This process has counted some
// of the lost messages. It does not answer with them, and after Renew it counts in the new epoch.
func TestRenew(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig(t.TempDir())
	synctest.Test(t, func(t *testing.T) {
		log := newNumberedLog(t, 6, 2)
		v := openTest(t, cfg, log, everyFour, 1)
		runViews(t, v)
		statusWhenIdle(v)
		wantCount(t, v, 1, 12)
		log.mu.Lock()
		log.partitions[0] = log.partitions[0][:4] // Messages 5 and 6 are lost, and clients send half of them again.
		log.mu.Unlock()
		log.append(0, numbered(t, 8, 1), numbered(t, 10, 1), numbered(t, 20, 3))
		second := position.Offset{Epoch: 2, Seq: 5}
		if _, live, err := count(t, v, second); err != nil || len(live.Stale) != 1 {
			t.Errorf("before Renew: got %+v, %v, want a stale partition (Q2)", live, err)
		}
		epochs := []position.EpochStart{everyFour[0],
			{Epoch: 2, Start: 5, Rule: position.CutRule{Interval: time.Hour, Rows: 3, Bytes: 1 << 30}}}
		if err := v.Renew(0, PartitionStart{Epochs: epochs, OldestKept: 5, LogNext: 8}); err != nil {
			t.Fatal(err)
		}
		if s := statusWhenIdle(v); s.Epoch != 2 || s.Through != (position.Offset{Epoch: 2, Seq: 8}) {
			t.Errorf("status: %+v", s)
		}
		if n, live, err := count(t, v, second); err != nil || n != 5 || len(live.Stale) != 0 {
			t.Errorf("after Renew: got %d events, %+v, %v, want 5", n, live, err)
		}
		if err := v.Renew(0, PartitionStart{OldestKept: 5}); err == nil {
			t.Error("renew without epochs: got no error")
		}
	})
}
