package realtime

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"recount/schemas/catalog"
	"recount/schemas/eventbatch"
	"recount/schemas/position"
	"recount/schemas/query"
)

// TestDeclareWhileMessagesArrive: a view that is declared while messages arrive is counted from the oldest kept
// publication on, and a view that was there before never gives less than it did. A view that is removed goes.
func TestDeclareWhileMessagesArrive(t *testing.T) {
	t.Parallel()
	log := newMemLog(1)
	for n := range 40 {
		log.append(0, numbered(t, n, 1))
	}
	v := openTest(t, DefaultConfig(t.TempDir()), log, everyFour, 1)
	runViews(t, v)
	wider := countCatalog()
	wider.Views = maps.Clone(wider.Views)
	wider.Views["all"] = totalView("all")
	q := query.Query{View: "all", From: time.UnixMicro(testStart).UTC(),
		To: time.UnixMicro(testStart).UTC().Add(24 * time.Hour)}
	all, err := q.Resolve(wider, "default")
	if err != nil {
		t.Fatal(err)
	}
	ask := func() (uint64, bool) { // whether the view is there
		live, err := v.Scan(t.Context(), all, []position.Offset{{Epoch: 1, Seq: 1}})
		if errors.Is(err, query.ErrViewNotReady) {
			return 0, false
		}
		if err != nil {
			t.Fatal(err)
		}
		if live.Part.Rows() == 0 {
			return 0, true
		}
		return live.Part.Events[0], true
	}
	before := uint64(0)
	n := 40
	wait := func(step string, until func() bool) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); !until(); n++ {
			if time.Now().After(deadline) {
				t.Fatalf("%s: still waiting after message %d", step, n)
			}
			log.append(0, numbered(t, n, 1))
			got, _, err := count(t, v, position.Offset{Epoch: 1, Seq: 1})
			if err != nil || got < before {
				t.Fatalf("%s: the view that stays counts %d after %d: %v", step, got, before, err)
			}
			before = got
			time.Sleep(time.Millisecond)
		}
	}
	for range 3 {
		v.Declare(wider)
		wait("add", func() bool {
			got, there := ask()
			return there && got > 40
		})
		v.Declare(countCatalog(), &catalog.Catalog{Bucket: wider.Bucket, Events: wider.Events,
			Views: map[string]*catalog.View{"all": wider.Views["all"]}})
		for range 20 { // As a definition from before it stays.
			if _, there := ask(); !there {
				t.Fatal("a definition from before is gone")
			}
			time.Sleep(time.Millisecond)
		}
		v.Declare(countCatalog())
		wait("remove", func() bool {
			_, there := ask()
			return !there
		})
	}
	if err := v.Snapshot(); err != nil {
		t.Fatal(err)
	}
	wait("level", func() bool { return before == uint64(n) })
}

// failingLog is a log that opens no reader while it fails.
type failingLog struct {
	*memLog
	fails atomic.Bool
	reads atomic.Int32 // while it fails
}

func (l *failingLog) Read(ctx context.Context, p int, from uint64) (eventbatch.Reader, error) {
	if !l.fails.Load() {
		return l.memLog.Read(ctx, p, from)
	}
	l.reads.Add(1)
	return nil, errors.New("the log does not answer")
}

// TestRedeclareBacksOff: attempts to count changed views become rare while the log does not answer.
func TestRedeclareBacksOff(t *testing.T) {
	t.Parallel()
	log := &failingLog{memLog: newMemLog(1)}
	log.append(0, numbered(t, 0, 1))
	v, err := Open(DefaultConfig(t.TempDir()), countCatalog(), []PartitionStart{{Epochs: everyFour, OldestKept: 1,
		LogNext: log.next(0)}}, log)
	if err != nil {
		t.Fatal(err)
	}
	runViews(t, v)
	for deadline := time.Now().Add(20 * time.Second); v.Status()[0].Through.Seq < 2; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the first message is not read")
		}
	}
	log.fails.Store(true)
	wider := countCatalog()
	wider.Views = maps.Clone(wider.Views)
	wider.Views["all"] = totalView("all")
	v.Declare(wider)
	time.Sleep(700 * time.Millisecond)
	if n := log.reads.Load(); n < 1 || n > 6 {
		t.Errorf("%d attempts within 0.7 s, want them to become rare", n)
	}
}

// TestDeclareWhileAnHeirWaits: views that wait for memory do not keep the ones back that are declared after them.
func TestDeclareWhileAnHeirWaits(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig(t.TempDir())
	synctest.Test(t, func(t *testing.T) {
		log := newNumberedLog(t, 200, 50)
		small := countCatalog()
		small.Views = map[string]*catalog.View{"all": totalView("all")}
		epochs := []position.EpochStart{{Epoch: 1, Start: 1,
			Rule: position.CutRule{Interval: time.Hour, Rows: 1 << 20, Bytes: 1 << 30}}}
		v, err := Open(cfg, small, []PartitionStart{{Epochs: epochs, OldestKept: 1, LogNext: log.next(0)}}, log)
		if err != nil {
			t.Fatal(err)
		}
		v.partitions[0].budget = 64 << 10
		runViews(t, v)
		if s := statusWhenIdle(v); s.Stalled != "" || s.Through.Seq != 201 {
			t.Fatalf("status: %+v", s)
		}
		v.Declare(countCatalog())
		if s := statusWhenIdle(v); !strings.Contains(s.Stalled, "changed views wait: memory") || s.Bytes < 64<<10 {
			t.Fatalf("the changed views do not wait: %+v", s)
		}
		small.Views["other"] = totalView("other")
		v.Declare(small)
		if s := statusWhenIdle(v); s.Stalled != "" || !v.partitions[0].hasPlan(newPlan(small)) {
			t.Errorf("the newer views are not counted: %+v", s)
		}
	})
}

// totalView returns a view that counts all events in one cell.
func totalView(name string) *catalog.View {
	return &catalog.View{Name: name, Event: "slim", Cell: testCell, Dimensions: []string{},
		Measures: []catalog.Measure{{Name: "n", Kind: catalog.Count}}}
}

// TestDetach detaches a ring while another one appends to the chunk that both have. Neither changes what the other has.
// Under the race detector it also shows that detaching reads no more than the entries.
func TestDetach(t *testing.T) {
	t.Parallel()
	var r ring
	for n := range uint64(chunkSize + 10) {
		r.append(identity{low: n})
	}
	other := r
	other.chunks = slices.Clone(r.chunks)
	var g sync.WaitGroup
	g.Go(func() {
		for n := range uint64(100) {
			r.append(identity{low: n, high: 1})
		}
	})
	other.detach()
	g.Wait()
	for n := range uint64(100) {
		other.append(identity{low: n, high: 2})
	}
	for n := range uint64(chunkSize + 110) {
		want := identity{low: n}
		high := uint64(0)
		if n >= chunkSize+10 {
			want.low = n - chunkSize - 10
			high = 1
		}
		want.high = high
		if got := *r.entry(n); got != want {
			t.Fatalf("entry %d of the ring that goes on: got %v, want %v", n, got, want)
		}
		want.high = 2 * high
		if got := *other.entry(n); got != want {
			t.Fatalf("entry %d of the detached ring: got %v, want %v", n, got, want)
		}
	}
}
