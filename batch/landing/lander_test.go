package landing

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"recount/schemas/eventbatch"
	"recount/schemas/position"
	"recount/schemas/record"
)

// start runs a lander of both partitions until the test calls end. It is for synctest bubbles.
func start(t *testing.T, w *world) (l *Lander, end func() error) {
	n := newNode(w, 1, 1, 0)
	l = newLander(t, Config{}, n, begin(t, w, 0, testNext), begin(t, w, 1, testNext))
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- l.Run(ctx) }()
	return l, func() error {
		cancel()
		return <-result
	}
}

// TestIdlePartitionLands is C1: a heartbeat ends the open segment of an idle partition soon after the
// segment is due. A partition without events gets no heartbeats.
func TestIdlePartitionLands(t *testing.T) {
	t.Parallel()
	var w *world
	synctest.Test(t, func(t *testing.T) {
		w = newWorld()
		l, end := start(t, w)
		w.produce(t, 0, clicked, 3, time.Now())
		time.Sleep(testRule.Interval * 3 / 2)
		want := []position.Offset{{Epoch: 1, Seq: 2}, {Epoch: 1, Seq: 1}}
		if diff := cmp.Diff(want, l.Heads()); diff != "" {
			t.Error(diff)
		}
		if c := l.Chains()[0]; c.Events != 3 || c.Head != want[0] {
			t.Errorf("chain at %v with %d events", c.Head, c.Events)
		}
		time.Sleep(time.Hour)
		if err := end(); err != nil || w.beats != 1 {
			t.Errorf("%d heartbeats, want 1; %v", w.beats, err)
		}
	})
	if err := w.check(t, 0); err != nil {
		t.Error(err)
	}
}

// fullLog accepts no heartbeats.
type fullLog struct {
	*node
	asked int
}

func (l *fullLog) Heartbeat(context.Context, int) error {
	l.asked++
	return errLost
}

// refusingLog refuses each new schema for a reason that no further try mends, as a store does that has a limit.
type refusingLog struct {
	*node
	refuses atomic.Bool
}

func (l *refusingLog) Create(ctx context.Context, key string, body []byte) (record.Outcome, []byte, error) {
	if l.refuses.Load() && strings.HasPrefix(key, schemaPrefix) {
		return record.Unknown, nil, errLost
	}
	return l.node.Create(ctx, key, body)
}

// failingSeconds returns recount_landing_failing_seconds by partition.
func failingSeconds(t *testing.T, registry *prometheus.Registry) (seconds []float64) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "recount_landing_failing_seconds" {
			for _, m := range f.GetMetric() {
				seconds = append(seconds, m.GetGauge().GetValue())
			}
		}
	}
	return seconds
}

// TestFailingShows: a stage that fails at each try shows at once in the metric, and after minutes in Failing. The other
// partition does not show, and no longer does the first once a try succeeds.
func TestFailingShows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		n := newNode(w, 1, 1, 0)
		records := &refusingLog{node: n}
		records.refuses.Store(true)
		registry := prometheus.NewRegistry()
		l, err := New(Config{Encode: encodeOutside, Registerer: registry}, []*record.Chain{begin(t, w, 0, testNext),
			begin(t, w, 1, testNext)}, n, records, store{n})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- l.Run(ctx) }()
		w.produce(t, 0, clicked, 3, time.Now())
		began := time.Now()
		for after := range 10 {
			time.Sleep(time.Minute)
			got := failingSeconds(t, registry)
			waited := time.Since(began).Seconds()
			if got[0] > waited || got[0] < waited-10 || got[1] != 0 {
				t.Errorf("failing for %v seconds, want %f and 0", got, waited)
			}
			var failing *FailingError
			shows := errors.As(l.Failing(), &failing)
			if want := after >= 5; shows != want || shows && (failing.Stage != "schema" || failing.Partition != 0) {
				t.Errorf("after %f seconds: %v", waited, l.Failing())
			}
		}
		records.refuses.Store(false)
		time.Sleep(time.Minute)
		if err := l.Failing(); err != nil || failingSeconds(t, registry)[0] != 0 ||
			l.Heads()[0].Seq != 2 {
			t.Errorf("fails after a success: %v, head %v", err, l.Heads()[0])
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestClockGoesBack: a segment that was begun by a clock hours ahead still lands after one interval,
// in an idle partition and in a busy partition.
func TestClockGoesBack(t *testing.T) {
	t.Parallel()
	for name, pause := range map[string]time.Duration{"idle": 0, "busy": idleAfter * 4 / 5} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			w.skew = 3 * time.Hour
			n := newNode(w, 1, 1, 0)
			l := newLander(t, Config{Now: func() time.Time { return time.Now().Add(-w.skew) }}, n,
				begin(t, w, 0, testNext))
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- l.Run(ctx) }()
			w.produce(t, 0, clicked, 3, time.Now())
			for end := time.Now().Add(testRule.Interval * 3 / 2); pause > 0 &&
				time.Now().Before(end); time.Sleep(pause) {
				frame, err := eventbatch.Append(nil, clicked.Name, 0, time.Now().Add(-w.skew).UnixMicro(),
					events(clicked, time.Now(), fmt.Sprint("late-", w.nextSeq(0))))
				if err != nil {
					t.Fatal(err)
				}
				w.append(0, frame)
			}
			if pause == 0 {
				time.Sleep(testRule.Interval * 3 / 2)
			}
			if l.Heads()[0].Seq < 2 {
				t.Errorf("%s: the head is %v after an interval and a half", name, l.Heads()[0])
			}
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

// TestHeartbeatsArePaced: a log that accepts no heartbeats is not flooded with them. A backlog gets
// none, although the clock says that its segments are overdue.
func TestHeartbeatsArePaced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		full := &fullLog{node: newNode(w, 1, 1, 0)}
		l, err := New(Config{}, []*record.Chain{begin(t, w, 0, testNext)}, full, full.node, store{full.node})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- l.Run(ctx) }()
		w.produce(t, 0, clicked, 3, time.Now())
		time.Sleep(5 * time.Minute)
		cancel()
		if err := <-done; err != nil || full.asked < 10 || full.asked > 150 {
			t.Errorf("%d heartbeats in 5 minutes, want 10 to 150; %v", full.asked, err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		for range 50 {
			w.produce(t, 0, clicked, 3, time.Now())
			time.Sleep(testRule.Interval)
		}
		time.Sleep(time.Hour)
		l, end := start(t, w)
		time.Sleep(time.Minute)
		if err := end(); err != nil || w.beats != 1 || l.Heads()[0].Seq != 51 {
			t.Errorf("%d heartbeats, head %v; want 1, 51; %v", w.beats, l.Heads()[0], err)
		}
	})
}

// TestStops is C6 and C7: a message that the log has lost, or that is corrupt, stops its partition
// with an alarm. The other partition continues.
func TestStops(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		breaks func(*world)
		want   error
		at     uint64
	}{
		"gap":     {func(w *world) { w.logs[0].gap = 3 }, position.ErrGap, 1},
		"trimmed": {func(w *world) { w.trim(0, 2) }, position.ErrTrimmed, 1},
		"corrupt": {func(w *world) { w.logs[0].frames[2][40] ^= 1 }, eventbatch.ErrCorrupt, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				for range 5 {
					w.produce(t, 0, clicked, 3, time.Now())
				}
				c.breaks(w)
				l, end := start(t, w)
				time.Sleep(time.Minute)
				w.produce(t, 1, clicked, 3, time.Now())
				time.Sleep(time.Minute)
				err := end()
				var stopped *StoppedError
				if !errors.As(err, &stopped) || !errors.Is(err, c.want) || stopped.Partition != 0 ||
					stopped.At.Seq != c.at {
					t.Errorf("got %v, want partition 0 stopped: %v", err, c.want)
				}
				if got := l.Stopped(); got == nil || got.Error() != err.Error() {
					t.Errorf("Stopped returns %v, Run returned %v", got, err)
				}
				if head := l.Heads()[1].Seq; head != 2 {
					t.Errorf("the other partition's head is %d, want 2", head)
				}
			})
		})
	}
}

// TestContinues: a stopped partition continues by itself when a record leads past the message that
// stopped it: the hole of an operator (C7), or a seal because the log lost its end (L5).
func TestContinues(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		breaks func(*world)
		passes func(*testing.T, *world, *record.Chain)
		head   position.Offset
	}{
		"hole": {func(w *world) { w.logs[0].frames[2][40] ^= 1 }, func(t *testing.T, w *world, c *record.Chain) {
			if err := giveUp(t, w, c, Hole{From: 3, To: 4, Reason: "corrupt"}); err != nil {
				t.Fatal(err)
			}
		}, position.Offset{Epoch: 2, Seq: 6}},
		"seal": {func(w *world) { w.logs[0].gap = 3 }, func(t *testing.T, w *world, c *record.Chain) {
			w.logs[0].gap = 0
			if err := SealEpoch(t.Context(), w, c, testNext, "the log lost its end"); err != nil {
				t.Fatal(err)
			}
		}, position.Offset{Epoch: 2, Seq: 6}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				for range 5 {
					w.produce(t, 0, clicked, 3, time.Now())
				}
				c.breaks(w)
				l, end := start(t, w)
				time.Sleep(time.Minute)
				if l.Stopped() == nil {
					t.Error("the partition has not stopped")
				}
				chain, err := LoadChain(t.Context(), w, 0)
				if err != nil {
					t.Fatal(err)
				}
				c.passes(t, w, chain)
				time.Sleep(2 * time.Minute)
				if err := l.Stopped(); err != nil || l.Heads()[0] != c.head {
					t.Errorf("stopped: %v, head %v; want the head %v and no error", err, l.Heads()[0], c.head)
				}
				if err := end(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestReplacedLog is L8: a lander ends, and lands nothing more, when its chain follows another log.
func TestReplacedLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		mine := testNext
		mine.Log = "mine"
		l := newLander(t, Config{Log: "mine"}, newNode(w, 1, 1, 0), begin(t, w, 0, mine), begin(t, w, 1, mine))
		result := make(chan error, 1)
		go func() { result <- l.Run(t.Context()) }()
		time.Sleep(time.Second)
		chain, err := LoadChain(t.Context(), w, 0)
		if err != nil {
			t.Fatal(err)
		}
		other := testNext
		other.Log = "other"
		if err := SealEpoch(t.Context(), w, chain, other, "the log was replaced"); err != nil {
			t.Fatal(err)
		}
		w.produce(t, 0, clicked, 3, time.Now())
		if err := <-result; !errors.Is(err, ErrReplaced) {
			t.Errorf("got %v, want ErrReplaced", err)
		}
		if after, err := LoadChain(t.Context(), w, 0); err != nil || len(after.Segments) > 0 {
			t.Errorf("%d segments landed after the log was replaced, %v", len(after.Segments), err)
		}
	})
}

// TestEndsPromptly: a store that never works does not end the lander, and does not delay its end.
func TestEndsPromptly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		c := begin(t, w, 0, testNext)
		l := newLander(t, Config{}, newNode(w, 1, 1, 0), c)
		l.partitions[0].objects = store{newNode(w, 2, 2, 1)}
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error, 1)
		go func() { result <- l.Run(ctx) }()
		w.produce(t, 0, clicked, 3, time.Now())
		time.Sleep(time.Second * 3)
		cancel()
		before := time.Now()
		if err := <-result; err != nil || time.Since(before) > 100*time.Millisecond {
			t.Errorf("ended after %s with %v", time.Since(before), err)
		}
	})
}

// TestNewRefuses: New refuses a chain that has not begun.
func TestNewRefuses(t *testing.T) {
	t.Parallel()
	c, err := LoadChain(t.Context(), newWorld(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{}, []*record.Chain{c}, nil, nil, nil); err == nil {
		t.Error("New accepted a chain without its first record")
	}
}
