package explain

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"recount/batch/exact"
	"recount/schemas/eventbatch"
	"recount/schemas/openapi"
	"recount/schemas/query"
	"recount/schemas/record"
)

// slowStore returns a store in which the time for the search of a page ends when an object is opened: the search opens
// as many as are given, and the next one is cut off. One object is opened to read what was found.
func slowStore(w *world, opens func() int) *Store {
	s := w.lister()
	open := s.cfg.Open
	var mu sync.Mutex
	left := 0
	var end context.CancelFunc
	s.pageTime = func(ctx context.Context) (context.Context, func() bool, context.CancelFunc) {
		search, cancel := context.WithCancel(ctx)
		mu.Lock()
		defer mu.Unlock()
		left = opens()
		end = cancel
		return search, func() bool { return true }, cancel
	}
	s.cfg.Open = func(ctx context.Context, o record.Object) (exact.File, error) {
		mu.Lock()
		defer mu.Unlock()
		if left == 0 {
			end()
		}
		left--
		f, err := open(context.WithoutCancel(ctx), o)
		if ctx.Err() == nil || err != nil {
			return f, err
		}
		return cutOff{f, fmt.Errorf("read %s: %w", o.Key, ctx.Err())}, nil
	}
	return s
}

// cutOff is a file that is read until the time is over, which is after its last row.
type cutOff struct {
	exact.File
	err error
}

func (f cutOff) Read(ctx context.Context, columns []string, from, to int64) iter.Seq2[eventbatch.Columns, error] {
	return func(yield func(eventbatch.Columns, error) bool) {
		for c, err := range f.File.Read(context.WithoutCancel(ctx), columns, from, to) {
			if !yield(c, err) {
				return
			}
		}
		yield(eventbatch.Columns{}, f.err)
	}
}

// TestPagesEndWithTheTime reads all pages of lists of which the time for the search is soon over. Together they have
// each event once.
func TestPagesEndWithTheTime(t *testing.T) {
	t.Parallel()
	empty := 0
	short := 0
	for seed := range uint64(60) {
		e, s := readHurriedPages(t, seed)
		empty += e
		short += s
	}
	if empty == 0 || short == 0 {
		t.Errorf("%d pages were empty and %d short", empty, short)
	}
}

// readHurriedPages reads the pages of one list, and returns how many of them were empty or short before the last one.
func readHurriedPages(t *testing.T, seed uint64) (empty, short int) {
	t.Helper()
	w := newWorld(t, seed)
	s := slowStore(w, func() int { return partitions + w.rng.IntN(4) })
	s.pages.whole = int64(seed % 2 * smallRows)
	where := "page = /a and status = 2"
	isRare := seed%3 > 0
	if !isRare {
		where = ""
	}
	q := hits(t, where)
	q.Limit = 1 + int(seed%7)
	if !isRare {
		q.Limit *= 10
	}
	want := map[string]bool{}
	for _, x := range w.events {
		holds := !isRare || x.page == "/a" && x.status != nil && *x.status == 2
		if x.tenant == "a" && x.eventType == "hit" && holds {
			want[positionOf(x.position)] = true
		}
	}
	var reached time.Time
	for n := 0; n == 0 || q.Cursor != ""; n++ {
		page, err := s.List(t.Context(), q)
		if err != nil || n > 1000 {
			t.Fatalf("seed %d, page %d: %v", seed, n, err)
		}
		for i := range page.Events {
			x := &page.Events[i]
			key := positionOf(x.StoredAt.Position)
			if !want[key] || len(x.Event) == 0 {
				t.Errorf("seed %d: listed, but not sent, listed before or not read: %s", seed, key)
			}
			delete(want, key)
			if came := cameAt(x); !reached.IsZero() && came.After(reached) {
				t.Errorf("seed %d: %s came %v, and the page before had searched to %v", seed, key, came, reached)
			}
		}
		q.Cursor = page.Cursor
		reached = page.SearchedTo
		switch {
		case q.Cursor == "" && !reached.IsZero():
			t.Errorf("seed %d: the last page has searched to %v", seed, reached)
		case q.Cursor != "" && len(page.Events) == 0:
			empty++
		case q.Cursor != "" && len(page.Events) < q.Limit:
			short++
		}
	}
	for key := range want {
		t.Errorf("seed %d: sent, but not listed: %s", seed, key)
	}
	return empty, short
}

// cameAt is when an event landed, or when the log stored it. The worlds of tests land before they store.
func cameAt(x *openapi.StoredEvent) time.Time {
	if !x.Landed.IsZero() {
		return x.Landed
	}
	return x.StoredAt.Time
}

// hits selects the events of tenant a and type hit for which the conditions hold.
func hits(t *testing.T, conditions string) query.EventSelection {
	t.Helper()
	q := query.EventSelection{Tenant: "a", Event: testCatalog().Events["hit"], To: math.MaxInt64, Limit: 10,
		Asked: "this"}
	where, err := query.ParseWhere(conditions)
	if err == nil {
		q.Where, err = query.EventPredicate(q.Event, where)
	}
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// TestPagesThatCannotGoOnFail: where the time is too short for one object, a page fails. A client that follows cursors
// would else read the same for ever.
func TestPagesThatCannotGoOnFail(t *testing.T) {
	t.Parallel()
	for seed := range uint64(5) {
		s := slowStore(newWorld(t, seed), func() int { return 0 })
		q := hits(t, "")
		var err error
		for n := 0; err == nil && n < 1000; n++ {
			var page *openapi.EventPage
			if page, err = s.List(t.Context(), q); err == nil {
				q.Cursor = page.Cursor
			}
			if err == nil && q.Cursor == "" {
				break
			}
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("seed %d: got %v", seed, err)
		}
	}
}

// TestListMetrics: pages are counted by why they ended, and so is what they read.
func TestListMetrics(t *testing.T) {
	t.Parallel()
	s := slowStore(newWorld(t, 3), func() int { return 0 })
	full := newWorld(t, 3).lister()
	m, err := newMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	s.metrics = m
	full.metrics = m
	q := hits(t, "")
	q.Limit = 1
	_, limited := full.List(t.Context(), q)
	q.Limit = 1000
	_, last := full.List(t.Context(), q)
	full.pages.tail = 1
	full.pages.rows = 1
	_, bounded := full.List(t.Context(), hits(t, "page = /none"))
	for err = error(nil); err == nil; { // The log is searched first.
		var page *openapi.EventPage
		if page, err = s.List(t.Context(), q); err == nil {
			q.Cursor = page.Cursor
		}
	}
	if limited != nil || last != nil || bounded != nil {
		t.Fatal(limited, last, bounded)
	}
	for end, least := range map[listEnd]float64{endLimit: 1, endLast: 1, endBounds: 1, endTime: 1, endFailed: 0} {
		if got := counted(t, m.lists.WithLabelValues(string(end))); got < least || end == endFailed && got > 0 {
			t.Errorf("%s: counted %v", end, got)
		}
	}
	if counted(t, m.objects) == 0 || counted(t, m.rows) <= counted(t, m.objects) {
		t.Errorf("counted %v objects and %v rows", counted(t, m.objects), counted(t, m.rows))
	}
}

// counted returns the value of a counter.
func counted(t *testing.T, c prometheus.Counter) float64 {
	t.Helper()
	r := prometheus.NewRegistry()
	r.MustRegister(c)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families[0].GetMetric()[0].GetCounter().GetValue()
}

// TestPageTime: without a deadline a page has all the time, and with one the search has half of it.
func TestPageTime(t *testing.T) {
	t.Parallel()
	search, isLate, done := untilDeadline(t.Context())
	if _, ok := search.Deadline(); ok || isLate() {
		t.Error("there is no deadline")
	}
	done()
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	search, isLate, done = untilDeadline(ctx)
	defer done()
	if at, ok := search.Deadline(); !ok || time.Until(at) > 30*time.Minute || isLate() {
		t.Errorf("the search ends %v", at)
	}
	ctx, cancel = context.WithTimeout(t.Context(), -time.Second)
	defer cancel()
	if _, isLate, done = untilDeadline(ctx); !isLate() {
		t.Error("the time is over")
	}
	done()
}
