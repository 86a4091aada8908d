package reader

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"recount/schemas/position"
	"recount/schemas/query"
	"recount/serving/oracle"
)

// minThrough lets some messages be acknowledged to the client, and returns what it asks for: these, and what it has
// seen before. Some queries ask for nothing.
func (w *world) minThrough() *query.MinThrough {
	if w.rng.IntN(3) == 0 {
		return nil
	}
	for p := range w.client {
		if n := uint64(len(w.log[p])) + 1; w.rng.IntN(4) == 0 && n > w.client[p] {
			w.client[p] += w.rng.Uint64N(n - w.client[p] + 1)
		}
	}
	return &query.MinThrough{Next: []uint64{w.client[0], w.client[1]}}
}

// see returns an error if an answer lacks what the client asked for. The client remembers how far the answer reaches.
func (w *world) see(asked *query.MinThrough, through []uint64) error {
	if asked == nil {
		return nil // Nothing was promised about this answer.
	}
	for p, next := range asked.Next {
		if through[p] < next {
			return fmt.Errorf("the answer ends at %d in partition %d, and min_through is %d", through[p], p, next)
		}
		w.client[p] = max(w.client[p], through[p])
	}
	return nil
}

// growing is layers that reach further as time goes by.
type growing struct {
	*fixed
	began     time.Time
	live, cut func(since time.Duration) uint64
}

func (g *growing) reach(_ *query.Scan, _ []position.Offset) (*query.LivePart, error) {
	since := time.Since(g.began)
	g.state.H[0].Seq = g.cut(since)
	return &query.LivePart{Through: []position.Offset{{Seq: g.live(since)}}, Pending: g.live(since) - g.cut(since),
		Appended: g.began.Add(-time.Minute).UnixMicro()}, nil
}

// TestAwait waits with a false clock, in which layers reach a message after some seconds.
func TestAwait(t *testing.T) {
	t.Parallel()
	short := func(err error) bool { return errors.As(err, new(*query.ShortError)) }
	stale := func(err error) bool { return errors.As(err, new(*query.StaleError)) }
	refused := func(err error) bool { return errors.As(err, new(*query.Error)) }
	fine := func(err error) bool { return err == nil }
	asOf := uint64(3)
	for name, c := range map[string]struct {
		q        query.Query
		next     uint64
		patience time.Duration
		want     func(error) bool
		took     time.Duration
	}{
		"there already":            {query.Query{}, 5, 0, fine, 0},
		"live after 2s":            {query.Query{}, 9, 30 * time.Second, fine, 2 * time.Second},
		"published after 10s":      {query.Query{Mode: query.Exact}, 9, 30 * time.Second, fine, 10 * time.Second},
		"no patience":              {query.Query{}, 9, 0, short, 0},
		"too little patience":      {query.Query{Mode: query.Exact}, 9, 3 * time.Second, short, 3 * time.Second},
		"a publication stays":      {query.Query{Mode: query.Exact, AsOf: &asOf}, 9, time.Hour, refused, 0},
		"no such view":             {query.Query{View: "none"}, 9, time.Hour, refused, 0},
		"not level, so stale":      {query.Query{MaxStaleness: "0s"}, 0, 0, stale, 0},
		"new enough":               {query.Query{MaxStaleness: "2m"}, 0, 0, fine, 0},
		"level after 2s":           {query.Query{MaxStaleness: "0s"}, 0, time.Minute, fine, 2 * time.Second},
		"old publication":          {query.Query{MaxStaleness: "1s", Mode: query.Exact}, 0, 0, stale, 0},
		"publication not that old": {query.Query{MaxStaleness: "9h", Mode: query.Exact}, 0, 0, fine, 0},
		"publication level": {query.Query{MaxStaleness: "1s", Mode: query.Exact}, 0, time.Minute, fine,
			10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				after := func(d time.Duration) func(time.Duration) uint64 {
					return func(since time.Duration) uint64 {
						if since < d {
							return 5
						}
						return 9
					}
				}
				g := &growing{&fixed{state: published()}, time.Now(), after(2 * time.Second), after(10 * time.Second)}
				g.state.Publication.Created = g.began.Add(-time.Hour)
				r, err := New(Config{Catalog: oracle.Catalog(), Publications: kept{g.state}, Batch: noRows{},
					Reach: g.reach, Known: func() []uint64 { return []uint64{9} }})
				if err != nil {
					t.Fatal(err)
				}
				if c.q.View == "" {
					c.q.View = "flights"
				}
				if c.next > 0 {
					c.q.MinThrough = &query.MinThrough{Next: []uint64{c.next}}
				}
				err = r.Await(t.Context(), &c.q, "default", c.patience)
				if took := time.Since(g.began); !c.want(err) || took < c.took || took > c.took+longestPause {
					t.Errorf("got %v after %s, want %s", err, took, c.took)
				}
			})
		})
	}
}

// TestAwaitEndsWithItsClient: a query that waits for what never comes ends when its client leaves.
func TestAwaitEndsWithItsClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r, err := New(Config{Catalog: oracle.Catalog(), Publications: kept{published()}, Batch: noRows{}})
		if err != nil {
			t.Fatal(err)
		}
		q := &query.Query{View: "flights", MinThrough: &query.MinThrough{Next: []uint64{99}}}
		if err := r.Await(ctx, q, "default", time.Hour); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

// TestAsOfSaysWhetherLiveIsIn: an answer as of a publication says whether what came after it is in.
func TestAsOfSaysWhetherLiveIsIn(t *testing.T) {
	t.Parallel()
	state := published()
	f := &fixed{state: state, live: &query.LivePart{Through: state.H}}
	n := uint64(3)
	for _, c := range []struct {
		mode query.Mode
		asOf *uint64
		live RealtimeViews
		want string
	}{{query.Merged, &n, f, "true"}, {query.Live, &n, f, "true"},
		{query.Exact, &n, f, "false"}, {query.Merged, &n, nil, "false"},
		{query.Merged, nil, f, "nothing"}} {
		r, err := New(Config{Catalog: oracle.Catalog(), Publications: kept{state}, Batch: noRows{}, Live: c.live})
		if err != nil {
			t.Fatal(err)
		}
		q := &query.Query{View: "flights", From: start, To: start.Add(time.Hour), Mode: c.mode, AsOf: c.asOf}
		a, err := r.Answer(t.Context(), q, "default")
		if err != nil {
			t.Fatal(err)
		}
		got := "nothing"
		if a.Accuracy.LiveIncluded != nil {
			got = fmt.Sprint(*a.Accuracy.LiveIncluded)
		}
		if got != c.want {
			t.Errorf("mode %s: live_included is %s, want %s", c.mode, got, c.want)
		}
	}
}
