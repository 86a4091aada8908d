package reader

import (
	"context"
	"fmt"
	"testing"
	"time"

	"recount/schemas/catalog"
	"recount/schemas/query"
	"recount/schemas/record"
	"recount/serving/batchview"
	"recount/serving/oracle"
)

// TestCacheChangesNoAnswer plays worlds in which publications appear and go while a cache keeps their parts.
func TestCacheChangesNoAnswer(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		if err := play(t, seed, func(w *world) { w.cacheBytes = 64 << 10 }); err != nil {
			t.Fatal(err)
		}
	}
}

// countedBatch answers with one event, and counts its scans.
type countedBatch struct{ scans int }

func (b *countedBatch) Scan(_ context.Context, _ *record.State, scan *query.Scan,
	_ batchview.Options) (*query.Part, error) {
	b.scans++
	return oracle.Part(scan, []oracle.Event{{Time: start.UnixMicro()}}, oracle.Batch), nil
}

// both has an earlier publication too.
type both struct {
	kept
	earlier *record.State
}

func (b both) StateAt(context.Context, uint64) (*record.State, error) { return b.earlier, nil }

// TestCacheAsksOnce asks questions twice. The second time, nothing is read, and memory is held for the answer. Each
// thing that makes it another question makes the batch layer answer it: publication, tenant, range, and what is asked.
func TestCacheAsksOnce(t *testing.T) {
	t.Parallel()
	first := published()
	second := *first
	second.N++
	batch := &countedBatch{}
	r, err := New(Config{Batch: batch, Catalog: oracle.Catalog(), Publications: both{kept{&second}, first},
		CacheBytes: 1 << 20, Memory: query.NewBudget(1<<30, time.Second, false)})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(tenant string, change func(*query.Query)) {
		t.Helper()
		before := batch.scans
		for i := range 2 {
			q := &query.Query{View: "flights", Measures: []string{"n"}, From: start, To: start.Add(3 * time.Hour),
				Mode: query.Exact}
			change(q)
			a, err := r.Answer(t.Context(), q, tenant)
			if err != nil {
				t.Fatal(err)
			}
			if i == 1 && held(r) == 0 {
				t.Error("an answer from the cache holds no memory")
			}
			a.Close()
		}
		if n := batch.scans - before; n != 1 {
			t.Errorf("a question that was asked twice was read %d times", n)
		}
	}
	ask("default", func(*query.Query) {})
	ask("other", func(*query.Query) {})
	ask("default", func(q *query.Query) { q.AsOf = new(uint64(1)) })
	ask("default", func(q *query.Query) { q.To = q.To.Add(time.Hour) })
	ask("default", func(q *query.Query) { q.Granularity = "1h" })
	ask("default", func(q *query.Query) { q.Granularity = "15m" })
	ask("default", func(q *query.Query) { q.GroupBy = []string{"origin"} })
	ask("default", func(q *query.Query) { q.GroupBy = []string{"delay"} })
	ask("default", func(q *query.Query) { q.Measures = []string{"n", "late"} })
	for _, value := range []any{nil, "5", "nil", `5", "6`} {
		ask("default", func(q *query.Query) {
			q.Where = []query.Condition{{Dimension: "origin", Op: query.In, Values: []any{value}}}
		})
	}
	for _, op := range []query.Op{query.Eq, query.Ne} {
		ask("default", func(q *query.Query) {
			q.Where = []query.Condition{{Dimension: "delay", Op: op, Value: int64(5)}}
		})
	}
}

// TestCacheIsBounded: parts that were asked for longest ago go first, and a large one is not kept.
func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	part := func(rows int) *query.Part { return &query.Part{Windows: make([]int32, rows)} }
	one := partBytes(part(0)) + 4
	c := newCache(largestShare*one, nil)
	scan := &query.Scan{View: oracle.Catalog().Views["flights"]}
	has := func(key string) bool {
		p, err := c.find(t.Context(), key, scan)
		return p != nil && err == nil
	}
	for i := range largestShare {
		c.keep(fmt.Sprintf("%02d", i), part(0))
	}
	if !has("00") || c.held != largestShare*one {
		t.Fatalf("%d bytes are held, want %d", c.held, largestShare*one)
	}
	c.keep("08", part(0))
	c.keep("09", part(1))
	if !has("00") || has("01") || !has("02") || !has("08") || has("09") || c.held != largestShare*one {
		t.Errorf("%d bytes are held; keys %v", c.held, c.places)
	}
}

// TestCacheKeyNamesThePublication gives two publications of one number, as after a return to an older copy of the
// records.
func TestCacheKeyNamesThePublication(t *testing.T) {
	t.Parallel()
	scan := &query.Scan{View: &catalog.View{Name: "v"}}
	one := partKey(&record.State{N: 7, Digest: "a"}, scan, nil)
	if other := partKey(&record.State{N: 7, Digest: "b"}, scan, nil); one == other {
		t.Errorf("both have the key %s", one)
	}
}
