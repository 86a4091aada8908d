package cells

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"recount/schemas/position"
	"recount/schemas/record"
)

// publish returns the state after publication n+1, which changes buckets of the view wide. It does not project it.
func (w *world) publish(s *Store, state *record.State, base bool,
	changed map[int64]record.BucketVersion) *record.State {
	w.t.Helper()
	views := map[string]*record.PublishedView{}
	for name, v := range s.catalog().Views {
		views[name] = &record.PublishedView{Digest: s.catalog().Digest(v), Full: base}
	}
	if views["wide"] != nil {
		for _, bucket := range slices.Sorted(maps.Keys(changed)) {
			views["wide"].Buckets = append(views["wide"].Buckets, changed[bucket])
		}
	}
	p := &record.Publication{N: state.N + 1, Previous: state.Digest, H: []position.Offset{{Seq: position.First}},
		Tips: []string{""}, Base: base, Views: views, Code: "test", Attempt: "a"}
	raw, err := p.Encode()
	if err != nil {
		w.t.Fatal(err)
	}
	next, err := state.Apply(raw)
	if err != nil {
		w.t.Fatal(err)
	}
	return next
}

func (w *world) project(s *Store, state *record.State) {
	w.t.Helper()
	if err := s.Project(w.t.Context(), state); err != nil {
		w.t.Fatal(err)
	}
}

// failing is a connection that begins some INSERTs and no more.
type failing struct {
	driver.Conn
	left int
}

func (f *failing) PrepareBatch(ctx context.Context, query string,
	options ...driver.PrepareBatchOption) (driver.Batch, error) {
	if f.left == 0 {
		return nil, errors.New("the connection is lost")
	}
	f.left--
	return f.Conn.PrepareBatch(ctx, query, options...)
}

// TestLongProjection projects a publication with an INSERT for each bucket, and a marker in the last one. Until that
// one, readers must see the publication before. What a projection has written that ended early does no harm.
func TestLongProjection(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.prepared(testCatalog(wideView()))
	r := rand.New(rand.NewPCG(3, 4))
	groups := func() []*group {
		events := randomEvents(r, 60, 1)
		for i := range events {
			events[i].time += int64(i%2) * hour
		}
		return aggregate(events)
	}
	before := groups()
	one := w.publish(s, record.EmptyState(1), true, w.insert(s, 1<<32, before))
	w.project(s, one)
	after := groups()
	two := w.publish(s, one, false, w.insert(s, 2<<32, after))
	for inserts := range 3 {
		lost := NewStore(&failing{w.db, inserts}, s.catalog())
		lost.projectedRows = 1
		if err := lost.Project(t.Context(), two); err == nil {
			t.Fatalf("a projection of three INSERTs ended after %d without an error", inserts)
		}
		w.checkView(fmt.Sprintf("publication 2 after %d INSERTs of 3", inserts), before)
		if n := w.number("SELECT count() FROM recount_published WHERE n = 2 AND view = ''"); n != 0 {
			t.Errorf("%d markers after %d INSERTs of 3", n, inserts)
		}
	}
	if n, err := s.Projected(t.Context()); err != nil || n != 2 {
		t.Errorf("the projection has rows of publication %d, %v; want 2", n, err)
	}
	w.project(s, two)
	w.checkView("publication 2", after)
}

// TestProject publishes versions one after another. The SQL VIEW must show the newest publication whose
// projection is complete, and nothing of any other.
func TestProject(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.prepared(testCatalog(wideView()))
	r := rand.New(rand.NewPCG(1, 2))
	// later moves events to the second bucket.
	later := func(events []event) []event {
		for i := range events {
			events[i].time += hour
		}
		return events
	}
	first := aggregate(randomEvents(r, 40, 1))
	second := aggregate(later(randomEvents(r, 40, 1)))
	firstAgain := aggregate(randomEvents(r, 50, 1))
	secondAgain := aggregate(later(randomEvents(r, 30, 1)))

	one := w.publish(s, record.EmptyState(1), true, w.insert(s, 1<<32, first))
	if w.project(s, record.EmptyState(1)); len(w.readView()) != 0 {
		t.Error("before the first publication: the VIEW has rows, want none")
	}
	w.project(s, one)
	w.checkView("publication 1", first)
	two := w.publish(s, one, false, w.insert(s, 2<<32, second))
	w.checkView("publication 2 is not projected", first)
	w.project(s, two)
	w.checkView("publication 2", first, second)
	// The number of the publication decides which version counts, not the version's own value.
	three := w.publish(s, two, false, w.insert(s, 3, firstAgain))
	rows, err := s.projectRows(t.Context(), three, false)
	if err == nil {
		err = rows.insert(t.Context(), s.db)
	}
	if err != nil {
		t.Fatal(err)
	}
	w.checkView("publication 3 has no marker", first, second)
	w.project(s, three) // It writes the rows of publication 3 once more.
	w.checkView("publication 3", firstAgain, second)
	w.project(s, two)
	w.checkView("an older publication is projected again", firstAgain, second)

	four := w.publish(s, three, false, w.insert(s, 4<<32, secondAgain))
	five := w.publish(s, four, false, map[int64]record.BucketVersion{start: {Bucket: start, Ver: 5 << 32}})
	w.project(s, five) // Publication 4 was never projected, so this one lists every bucket.
	w.checkView("publication 5, in which the first bucket has no rows", secondAgain)
	if n := w.number("SELECT count() FROM recount_published WHERE n = 5 AND view = 'wide'"); n != 2 {
		t.Errorf("the projection of publication 5 lists %d buckets, want both", n)
	}
	for _, oldest := range []uint64{4, 5} {
		if _, err := s.DeleteProjection(t.Context(), oldest); err != nil {
			t.Fatal(err)
		}
		// Publication 5 is the only complete list after 1, so a reader of 4 needs 1 and what follows.
		want := map[uint64]uint64{4: 1, 5: 5}[oldest]
		if n := w.number("SELECT min(n) FROM recount_published"); n != want {
			t.Errorf("oldest reader %d: the projection begins with publication %d, want %d", oldest, n, want)
		}
	}
	w.checkView("the older projections were deleted", secondAgain)
}

// TestViewCombinesCells adds up averages and distinct counts over cells as the package's documentation says.
func TestViewCombinesCells(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.prepared(testCatalog(wideView()))
	events := randomEvents(rand.New(rand.NewPCG(5, 6)), 120, 2)
	w.project(s, w.publish(s, record.EmptyState(1), true, w.insert(s, 1<<32, aggregate(events))))
	origins := map[string]bool{}
	sum := new(big.Int)
	delays := 0
	for _, e := range events {
		if e.origin != nil {
			origins[*e.origin] = true
		}
		if e.delay != nil {
			sum.Add(sum, big.NewInt(*e.delay))
			delays++
		}
	}
	if n := w.number("SELECT uniqExactMerge(origins__state) FROM wide"); n != uint64(len(origins)) {
		t.Errorf("got %d origins over all cells, want %d", n, len(origins))
	}
	if n := w.number("SELECT sum(mean__n) FROM wide"); n != uint64(delays) {
		t.Errorf("got %d delays over all cells, want %d", n, delays)
	}
	if n := w.number("SELECT toUInt64(toString(sum(mean__sum)) = '%s') FROM wide", sum); n != 1 {
		t.Errorf("the sum of delays over all cells is not %s", sum)
	}
}

// TestViewsFollowPublications checks which SQL VIEWs exist when views are added, redefined and removed.
func TestViewsFollowPublications(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.prepared(testCatalog(wideView()))
	groups := aggregate(randomEvents(rand.New(rand.NewPCG(1, 2)), 30, 2))
	one := w.publish(s, record.EmptyState(1), true, w.insert(s, 1<<32, groups))
	w.project(s, one)

	changed := wideView()
	changed.Measures = changed.Measures[:1]
	redefined := w.prepared(testCatalog(changed))
	w.project(redefined, one)
	w.checkView("redefined but not published", groups)
	two := w.publish(redefined, one, true, nil)
	w.project(redefined, two)
	if n := w.number("SELECT count() FROM system.columns WHERE database = currentDatabase() AND table = " +
		"'wide'"); n != 6 {
		t.Errorf("the VIEW of the redefined view has %d columns, want 6", n)
	}

	removed := w.prepared(testCatalog())
	exists := func() bool {
		return w.number("SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = 'wide'") == 1
	}
	if w.project(removed, two); !exists() {
		t.Error("a removed view lost its VIEW while it is still published")
	}
	three := w.publish(removed, two, true, nil)
	if w.project(removed, three); exists() {
		t.Error("a removed view still has its VIEW after a publication without it")
	}
	four := w.publish(redefined, three, true, nil)
	w.project(redefined, four)
	if w.project(removed, three); !exists() {
		t.Error("a publisher that lags dropped the VIEW of a later publication")
	}
	w.exec("DROP VIEW wide")
	w.exec("CREATE TABLE wide (x UInt8) ENGINE = MergeTree ORDER BY x")
	err := s.Project(t.Context(), four)
	if err == nil || !strings.Contains(err.Error(), "view wide") || !strings.Contains(err.Error(), "rename") {
		t.Errorf("a table that is not recount's: got %v, want an error that names the view and says what to do", err)
	}
}
