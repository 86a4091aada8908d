package landing

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"recount/schemas/eventbatch"
	"recount/schemas/position"
	"recount/schemas/record"
)

// start runs a lander of both partitions in a bubble until the test ends it.
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

// TestIdlePartitionLands is C1: the open segment of an idle partition ends by a heartbeat,
// soon after it is due; without events there are none.
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

// fullLog takes no heartbeats.
type fullLog struct {
	*node
	asked int
}

func (l *fullLog) Heartbeat(context.Context, int) error {
	l.asked++
	return errLost
}

// TestClockGoesBack: a segment that a clock began which was hours ahead lands all the same
// once an interval has passed, in an idle partition and in a busy one.
func TestClockGoesBack(t *testing.T) {
	t.Parallel()
	for name, pause := range map[string]time.Duration{"idle": 0, "busy": idle * 4 / 5} {
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
				frame, err := eventbatch.Append(nil, clicked.Name, time.Now().Add(-w.skew).UnixMicro(),
					events(clicked, time.Now(), fmt.Sprint("late-", w.next(0))))
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

// TestHeartbeatsArePaced: a log that takes none must not be flooded, and a backlog,
// overdue as it is by the clock, needs no heartbeats.
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
			t.Errorf("%d heartbeats in 5 minutes; %v", full.asked, err)
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
			t.Errorf("%d heartbeats, head %v; %v", w.beats, l.Heads()[0], err)
		}
	})
}

// TestStops is C6, C7: what the log lost or holds corrupt stops its partition with an
// alarm, and the other one goes on.
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
					t.Errorf("stopped says %v, Run said %v", got, err)
				}
				if head := l.Heads()[1].Seq; head != 2 {
					t.Errorf("the other partition's head is %d, want 2", head)
				}
			})
		})
	}
}

// TestGoesOn: a partition that has stopped goes on by itself once a record leads past what
// stopped it: an operator's hole (C7), or the seal of an owner who found the log's end lost (L5).
func TestGoesOn(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		breaks func(*world)
		passes func(*testing.T, *world, *record.Chain)
		head   position.Offset
	}{
		"hole": {func(w *world) { w.logs[0].frames[2][40] ^= 1 }, func(t *testing.T, w *world, c *record.Chain) {
			hole := &record.Commit{Kind: record.Hole, Epoch: 1, Start: 1, End: 4, Reason: "corrupt", Previous: c.Tip}
			raw, err := hole.Encode()
			if err != nil {
				t.Fatal(err)
			}
			if outcome, _, err := w.Create(t.Context(), c.NextKey(), raw); err != nil || outcome != record.Created {
				t.Fatal(outcome, err)
			}
		}, position.Offset{Epoch: 1, Seq: 6}},
		"seal": {func(w *world) { w.logs[0].gap = 3 }, func(t *testing.T, w *world, c *record.Chain) {
			w.logs[0].gap = 0
			if err := SealEpoch(t.Context(), w, c, testNext.Rule, "the log lost its end"); err != nil {
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
					t.Error("it has not stopped")
				}
				chain, err := LoadChain(t.Context(), w, 0)
				if err != nil {
					t.Fatal(err)
				}
				c.passes(t, w, chain)
				time.Sleep(2 * time.Minute)
				if err := l.Stopped(); err != nil || l.Heads()[0] != c.head {
					t.Errorf("stopped: %v, head %v, want %v", err, l.Heads()[0], c.head)
				}
				if err := end(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestEndsPromptly: a store that never works neither ends the lander nor holds it up.
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

// TestNewRefuses a chain that has not begun.
func TestNewRefuses(t *testing.T) {
	t.Parallel()
	c, err := LoadChain(t.Context(), newWorld(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{}, []*record.Chain{c}, nil, nil, nil); err == nil {
		t.Error("a chain without its first record was taken")
	}
}
