package publish

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"recount/batch/exact"
	"recount/schemas/catalog"
	"recount/schemas/failpoint"
	"recount/schemas/position"
	"recount/schemas/record"
)

// plan is the work of one attempt at publication n. It covers the events from the newest
// publication's H up to the chain heads (B1, B3).
type plan struct {
	previous  *record.State
	n         uint64
	h         []position.Offset
	tips      []string
	holes     []position.Hole           // below h (C7)
	events    int64                     // events that landed below h
	newEvents int64                     // events that landed from the previous H on, below h
	fresh     []record.Object           // objects of those events
	inputs    []exact.Input             // one for each event type with dirty buckets
	full      map[string]bool           // views that are new or changed; what was published of them does not count
	steps     map[string]step           // by view, what is added to the views that are filled in steps (B8)
	fills     map[string]*record.Fill   // by view, down to where it is filled afterwards; none if it is complete
	lost      map[string][]int64        // by view, the buckets whose rows ClickHouse has lost or changed, ascending
	base      bool                      // the record lists every bucket
	limit     int                       // Config.Limit
	digests   map[string]string         // by view, the digest of each view that will be published
	ledgers   map[string]*record.Ledger // by event type; attempt fills them with what the computation finds
	nothing   bool                      // there is nothing to publish (J1)

	missing map[string][]record.BucketEvents // by view, what it lacks because of retired objects (countMissing)
}

// landed is what the chains hold of one event type.
type landed struct {
	objects  []exact.Object
	all      map[int64]bool // every bucket with rows; true where some rows are new
	rows     map[int64]int64
	assigned map[int64]bool // buckets with assigned times (I3)
	retired  map[int64]bool // buckets with retired rows; what was published of them stays
	gone     []committed    // the retired objects
	fresh    []committed    // the objects that no publication covers, retired or not
}

// committed is an object with its commit record.
type committed struct {
	*record.Object
	segment *record.Commit
}

// plan reads the chains and returns the work of the next publication. The caller must have called
// Refresh before. Then a chain head below H means that the chain is wrong, and not that another
// publisher was faster.
func (p *Publisher) plan(ctx context.Context) (*plan, error) {
	if err := p.checkNumbers(ctx); err != nil {
		return nil, err
	}
	previous := p.State()
	chains, err := p.checkedChains(ctx, previous)
	if err != nil {
		return nil, err
	}
	horizons, err := p.horizons(ctx)
	if err != nil {
		return nil, err
	}
	plan := &plan{previous: previous, n: previous.N + 1, full: map[string]bool{}, lost: map[string][]int64{},
		steps: map[string]step{}, fills: map[string]*record.Fill{},
		limit: p.cfg.Limit, digests: map[string]string{}, ledgers: map[string]*record.Ledger{},
		missing: map[string][]record.BucketEvents{}}
	types := map[string]*landed{}
	for i, c := range chains {
		plan.h = append(plan.h, c.Head)
		plan.tips = append(plan.tips, c.Tip)
		plan.holes = append(plan.holes, c.HolesBelow(c.Head.Seq)...)
		if n := len(c.Segments); n > 0 && failpoint.Off(failpoint.B1) {
			plan.h[i].Seq = max(c.Segments[n-1].Start, previous.H[i].Seq)
		}
		plan.events += c.Events
		if err := plan.survey(c, previous.H[i], horizons, types); err != nil {
			return nil, err
		}
	}
	failpoint.Point("publish.dirty.before")
	plan.compareViews(p.cfg.Catalog, uint64(p.cfg.BaseEvery))
	plan.addSteps(p.cfg.Catalog, types, p.cfg.stepRows())
	if err := p.checkRows(ctx, plan, types); err != nil {
		return nil, err
	}
	plan.nothing = plan.nothing && slices.Equal(plan.h, previous.H) && len(plan.lost) == 0 && !p.holdsBack()
	for _, name := range slices.Sorted(maps.Keys(types)) {
		plan.addInput(p.cfg.Catalog, name, types[name])
		for _, v := range p.cfg.Catalog.ViewsOf(name) {
			plan.missing[v.Name] = plan.countMissing(v.Name, types[name])
		}
	}
	return plan, nil
}

// horizons reads which objects are retired. Every run reads it again. An object is deleted only
// after a record retires it, so a run that reads the record never misses the object.
func (p *Publisher) horizons(ctx context.Context) (record.Horizons, error) {
	keys, err := p.records.List(ctx, record.RetiredPrefix)
	if err != nil {
		return nil, fmt.Errorf("read retirements: %w", err)
	}
	return record.HorizonsOf(keys)
}

// survey sorts a chain's objects by event type and finds out which buckets have new rows. It opens
// no file (B3). It leaves out retired objects, which may be gone.
func (pl *plan) survey(c *record.Chain, h position.Offset, horizons record.Horizons, types map[string]*landed) error {
	for _, s := range c.Segments {
		if s.End > c.Head.Seq {
			break // The chain has grown since its head was read.
		}
		fresh := s.Start >= h.Seq
		if !fresh && failpoint.Off(failpoint.B3) {
			continue
		}
		if !fresh && s.End > h.Seq {
			return fmt.Errorf("partition %d: H %v is inside the segment [%d, %d); this is not the commit chain that "+
				"was published; restore its commit records", c.Partition, h, s.Start, s.End)
		}
		if fresh {
			pl.newEvents += s.Events
		}
		for i := range s.Objects {
			o := committed{&s.Objects[i], s}
			if types[o.Type] == nil {
				types[o.Type] = &landed{all: map[int64]bool{}, rows: map[int64]int64{}, assigned: map[int64]bool{},
					retired: map[int64]bool{}}
			}
			t := types[o.Type]
			if fresh {
				t.fresh = append(t.fresh, o)
			}
			if horizons.Retired(s, o.Object) {
				t.addRetired(o)
				continue
			}
			if fresh {
				pl.fresh = append(pl.fresh, *o.Object)
			}
			t.addObject(exact.Object{Object: *o.Object, Partition: c.Partition, Start: s.Start, Fresh: fresh})
		}
	}
	return nil
}

func (l *landed) addRetired(o committed) {
	l.gone = append(l.gone, o)
	for _, b := range o.Buckets {
		l.retired[b.Bucket] = true
	}
}

func (l *landed) addObject(o exact.Object) {
	l.objects = append(l.objects, o)
	for _, b := range o.Buckets {
		l.all[b.Bucket] = l.all[b.Bucket] || o.Fresh
		l.rows[b.Bucket] += b.Rows
		if b.Assigned > 0 {
			l.assigned[b.Bucket] = true
		}
	}
}

// compareViews finds out which views are new, changed or gone.
func (pl *plan) compareViews(c *catalog.Catalog, baseEvery uint64) {
	for name, v := range c.Views {
		pl.digests[name] = c.Digest(v)
		old, published := pl.previous.Views[name]
		// Fields of the types that recount defines are never declared late, and old dead letters may be gone.
		reserved := strings.HasPrefix(v.Event, catalog.ReservedPrefix)
		pl.full[name] = !published || old.Digest != pl.digests[name] ||
			old.Reading != record.CurrentReading && !reserved
	}
	pl.nothing = len(pl.digests) == len(pl.previous.Views) && pl.previous.Limit() == pl.limit
	for name, old := range pl.previous.Views {
		pl.nothing = pl.nothing && old.IsCurrent(pl.digests[name]) && old.Fill == nil
	}
	pl.base = pl.n%baseEvery == 1
	for name := range pl.previous.Types {
		// The counts of a type without views are dropped, which a delta cannot do.
		pl.base = pl.base || len(c.ViewsOf(name)) == 0
	}
}

// addInput plans the computation of one event type's dirty buckets.
func (pl *plan) addInput(c *catalog.Catalog, name string, t *landed) {
	dirty := pl.dirtyBuckets(t, c.Bucket.Microseconds())
	anew := pl.changesCopies(t, c.Bucket.Microseconds())
	in := exact.Input{Catalog: c, Type: name, Objects: t.objects, Buckets: pl.counted(name, dirty, anew),
		Limit: pl.limit}
	for _, v := range c.ViewsOf(name) {
		target := exact.Target{View: v, Buckets: union(union(dirty, pl.lost[v.Name]), pl.overflowing(v.Name, t))}
		if s, stepped := pl.steps[v.Name]; stepped {
			target.Buckets = s.addTo(target.Buckets, t)
		} else if pl.full[v.Name] {
			target.Buckets = slices.Sorted(maps.Keys(t.all))
		}
		in.Buckets = union(in.Buckets, target.Buckets)
		if len(target.Buckets) > 0 {
			in.Targets = append(in.Targets, target)
		}
	}
	if len(in.Targets) > 0 {
		pl.ledgers[name] = &record.Ledger{From: pl.startLedger(&in, t, anew), Tenants: map[string][]record.Account{}}
		pl.inputs = append(pl.inputs, in)
	}
}

// counted returns the dirty buckets of a type whose rows the newest publication has counted. Their counts go on, also
// where the views that are left are not filled down to them yet. A ledger that does not go back to the first event has
// only rows that are fresh, so with it all dirty buckets are counted at once.
func (pl *plan) counted(event string, dirty []int64, anew bool) (out []int64) {
	ledger, begun := pl.previous.Ledgers[event]
	if begins := !begun || anew; begins && len(pl.previous.Types[event]) > 0 || !begins && !ledger.IsComplete() {
		return dirty
	}
	for _, b := range dirty {
		if pl.isCounted(event, b) {
			out = append(out, b)
		}
	}
	return out
}

// isCounted reports whether the newest publication has counted the rows of a type's bucket.
func (pl *plan) isCounted(event string, bucket int64) bool {
	_, counted := slices.BinarySearchFunc(pl.previous.Types[event], bucket,
		func(c record.BucketCount, b int64) int { return cmp.Compare(c.Bucket, b) })
	return counted
}

// startLedger returns where the ledger of a type begins that has none yet, or that begins anew. If every
// bucket is computed, now or in the steps of the type's first views, it begins with the first event. Else it begins
// with the fresh events. startLedger also says which buckets are whole in the input: those that a ledger from the
// first event on does not have yet.
func (pl *plan) startLedger(in *exact.Input, t *landed, anew bool) (from []uint64) {
	ledger, begun := pl.previous.Ledgers[in.Type]
	begins := !begun || anew
	whole := len(t.retired) == 0
	if begins {
		whole = whole && (len(in.Buckets) >= len(t.all) || len(pl.previous.Types[in.Type]) == 0)
	} else {
		whole = whole && ledger.IsComplete()
	}
	in.Whole = map[int64]bool{}
	for _, b := range in.Buckets {
		in.Whole[b] = whole && (begins || !pl.isCounted(in.Type, b))
	}
	if !begins {
		return nil
	}
	for _, h := range pl.previous.H {
		if whole {
			h.Seq = position.First
		}
		from = append(from, h.Seq)
	}
	return from
}

// dirtyBuckets returns every bucket with new rows. A bucket with retired rows is never dirty: its numbers would
// fall if they were computed from the rows that are left.
//
// New rows have higher positions than old ones, so they never decide whether an old row counts. Before
// record.CopiesByPosition they did, so all buckets of a type that this concerns are computed once more.
func (pl *plan) dirtyBuckets(t *landed, width int64) []int64 {
	dirty := map[int64]bool{}
	anew := pl.changesCopies(t, width)
	for b, fresh := range t.all {
		if (fresh || anew) && !t.retired[b] {
			dirty[b] = true
		}
	}
	return slices.Sorted(maps.Keys(dirty))
}

// overflowing returns the buckets of a view in which other values may overflow than in the newest publication, because
// it was made with another limit (B7). A lower limit concerns buckets with more rows than it allows values, and a
// higher one those with events that overflowed. Before record.Publication.Limit, ingest decided it, so all buckets are
// computed once more.
func (pl *plan) overflowing(view string, t *landed) (out []int64) {
	old, published := pl.previous.Views[view]
	limit := pl.previous.Limit()
	switch {
	case !published || pl.full[view]:
		return nil
	case old.Reading != record.CurrentReading:
		out = slices.Collect(maps.Keys(t.all))
	case pl.limit > 0 && (limit == 0 || limit > pl.limit):
		for _, b := range old.Buckets {
			if b.Rows > int64(pl.limit) {
				out = append(out, b.Bucket)
			}
		}
	case limit != pl.limit:
		for _, o := range old.Overflowed {
			out = append(out, o.Bucket)
		}
	}
	return slices.DeleteFunc(out, func(b int64) bool { return t.retired[b] })
}

// countMissing returns how many events a view does not count because of retired objects, at most. A view that is
// computed in full lacks the events of all retired objects. Any other view lacks what it lacked before, and the new
// events of buckets with retired rows, because these buckets are not computed again. It lists what has changed.
func (pl *plan) countMissing(view string, t *landed) (out []record.BucketEvents) {
	objects := t.fresh
	if pl.full[view] {
		objects = t.gone
	}
	counts := map[bucketTenant]int64{}
	for _, o := range objects {
		for e := range o.segment.EventsByTenant(o.Object) {
			if t.retired[e.Bucket] {
				counts[bucketTenant{e.Bucket, e.Tenant}] += e.Events
			}
		}
	}
	for _, e := range pl.previous.Views[view].Retired {
		if key := (bucketTenant{e.Bucket, e.Tenant}); counts[key] > 0 && !pl.full[view] {
			counts[key] += e.Events
		}
	}
	return sortedEvents(counts)
}

// changesCopies reports whether the newest publication may have found other copies of a type's events, because
// it was made by an earlier version of I3 and neighbouring buckets have assigned times.
func (pl *plan) changesCopies(t *landed, width int64) bool {
	p := pl.previous.Publication
	if p == nil || p.Copies == record.CopiesByPosition || len(t.retired) > 0 {
		return false
	}
	for b := range t.assigned {
		if t.assigned[b+width] {
			return true
		}
	}
	return false
}
