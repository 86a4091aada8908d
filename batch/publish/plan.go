package publish

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"recount/batch/exact"
	"recount/schemas/catalog"
	"recount/schemas/failpoint"
	"recount/schemas/position"
	"recount/schemas/record"
)

// plan is the work of one attempt at publication n: everything from the newest
// publication's H up to the chain heads (B1, B3).
type plan struct {
	prev      *record.State
	n         uint64
	h         []position.Offset
	tips      []string
	events    int64 // landed below h
	newEvents int64 // of those, not below the previous H
	fresh     []record.Object
	inputs    []exact.Input             // one an event type with dirty buckets
	full      map[string]bool           // views that are new or changed: all their buckets are dirty
	lost      map[string][]int64        // buckets of a view whose rows ClickHouse no longer has, ascending
	base      bool                      // the record lists every bucket
	digests   map[string]string         // of the views that will be published
	ledgers   map[string]*record.Ledger // by event type; what the computation finds goes in
	nothing   bool                      // J1
}

// landed is what the chains hold of one event type.
type landed struct {
	objects  []exact.Object
	all      map[int64]bool // every bucket with rows; true where the rows are new
	assigned map[int64]bool // buckets with assigned times (I3); true where such rows are new
	retired  map[int64]bool // buckets that have lost rows on purpose: what was published of them stays
}

// plan reads the chains. The newest state must have been refreshed before, so that
// heads below its H are a fault of the chains and not a race with another publisher.
func (p *Publisher) plan(ctx context.Context) (*plan, error) {
	prev := p.State()
	chains, err := p.chains(ctx)
	if err != nil {
		return nil, fmt.Errorf("read commit chains: %w", err)
	}
	if len(chains) != p.cfg.Partitions {
		return nil, fmt.Errorf("read commit chains: %d chains, partitions is %d", len(chains), p.cfg.Partitions)
	}
	horizons, err := p.horizons(ctx)
	if err != nil {
		return nil, err
	}
	pl := &plan{prev: prev, n: prev.N + 1, full: map[string]bool{}, lost: map[string][]int64{},
		digests: map[string]string{}, ledgers: map[string]*record.Ledger{}}
	types := map[string]*landed{}
	for i, c := range chains {
		if err := p.checkChain(c, i, prev.H[i]); err != nil {
			return nil, err
		}
		pl.h = append(pl.h, c.Head)
		pl.tips = append(pl.tips, c.Tip)
		if n := len(c.Segments); n > 0 && failpoint.Off(failpoint.B1) {
			pl.h[i].Seq = max(c.Segments[n-1].Start, prev.H[i].Seq)
		}
		pl.events += c.Events
		if err := pl.survey(c, prev.H[i], horizons, types); err != nil {
			return nil, err
		}
	}
	failpoint.Point("publish.dirty.before")
	pl.compareViews(p.cfg.Catalog)
	if p.suspect.Swap(false) {
		err := p.findLost(ctx, pl, types)
		if err != nil || len(pl.lost) > 0 {
			p.suspect.Store(true) // Until a count finds everything there.
		}
		if err != nil {
			return nil, err
		}
	}
	pl.nothing = pl.nothing && slices.Equal(pl.h, prev.H) && len(pl.lost) == 0 && !p.holdsBack()
	for _, name := range slices.Sorted(maps.Keys(types)) {
		pl.add(p.cfg.Catalog, name, types[name])
	}
	return pl, nil
}

func (p *Publisher) checkChain(c *record.Chain, i int, h position.Offset) error {
	switch {
	case c.Partition != i:
		return fmt.Errorf("read commit chains: partition %d at index %d", c.Partition, i)
	case c.Head.Seq < h.Seq || c.Head.Epoch < h.Epoch:
		return fmt.Errorf("partition %d: the commit chain ends at %v and publication %d covers it up to %v; "+
			"read the chain again, or restore the commit records that are missing", i, c.Head, p.State().N, h)
	case c.Begun() && c.Bucket != p.cfg.Catalog.Bucket:
		return fmt.Errorf("partition %d: batch.bucket is %s and the lake's is %s; set it back", i, p.cfg.Catalog.Bucket,
			c.Bucket)
	case c.Begun() && c.Partitions != p.cfg.Partitions:
		return fmt.Errorf("partition %d: log.partitions is %d and the lake's is %d; set it back", i, p.cfg.Partitions,
			c.Partitions)
	}
	return nil
}

// horizons says which objects are gone on purpose. It is read anew for every run: an object
// is deleted only behind a record that says so.
func (p *Publisher) horizons(ctx context.Context) (record.Horizons, error) {
	keys, err := p.log.List(ctx, record.RetiredPrefix)
	if err != nil {
		return nil, fmt.Errorf("read retirements: %w", err)
	}
	return record.HorizonsOf(keys)
}

// survey sorts a chain's objects by type and notes which buckets are dirty; no file is
// opened (B3). Retired objects are not there any more.
func (pl *plan) survey(c *record.Chain, h position.Offset, horizons record.Horizons, types map[string]*landed) error {
	for _, s := range c.Segments {
		if s.End > c.Head.Seq {
			break // The chain went on since its head was read.
		}
		fresh := s.Start >= h.Seq
		if !fresh && failpoint.Off(failpoint.B3) {
			continue
		}
		if !fresh && s.End > h.Seq {
			return fmt.Errorf("partition %d: H %v lies inside the segment [%d, %d); the chain is another than the "+
				"one published from", c.Partition, h, s.Start, s.End)
		}
		if fresh {
			pl.newEvents += s.Events
		}
		for _, o := range s.Objects {
			t := types[o.Type]
			if t == nil {
				t = &landed{all: map[int64]bool{}, assigned: map[int64]bool{}, retired: map[int64]bool{}}
				types[o.Type] = t
			}
			if horizons.Retired(s, &o) {
				for _, b := range o.Buckets {
					t.retired[b.Bucket] = true
				}
				continue
			}
			if fresh {
				pl.fresh = append(pl.fresh, o)
			}
			t.objects = append(t.objects, exact.Object{Object: o, Partition: c.Partition, Start: s.Start, Fresh: fresh})
			for _, b := range o.Buckets {
				t.all[b.Bucket] = t.all[b.Bucket] || fresh
				if b.Assigned > 0 {
					t.assigned[b.Bucket] = t.assigned[b.Bucket] || fresh
				}
			}
		}
	}
	return nil
}

// compareViews finds the views that are new, changed or gone.
func (pl *plan) compareViews(c *catalog.Catalog) {
	for name, v := range c.Views {
		pl.digests[name] = c.Digest(v)
		old, published := pl.prev.Views[name]
		pl.full[name] = !published || old.Digest != pl.digests[name]
	}
	same := func(name string, old record.ViewState) bool { return pl.digests[name] == old.Digest }
	pl.nothing = len(pl.digests) == len(pl.prev.Views)
	for name, old := range pl.prev.Views {
		pl.nothing = pl.nothing && same(name, old)
	}
	pl.base = pl.n%record.BaseEvery == 1
	for name := range pl.prev.Types {
		// A delta cannot take a type's counts away, and nobody counts a type without views.
		pl.base = pl.base || len(c.ViewsOf(name)) == 0
	}
}

// add plans the dirty buckets of one event type.
func (pl *plan) add(c *catalog.Catalog, name string, t *landed) {
	dirty := pl.dirty(t, c.Bucket.Microseconds())
	in := exact.Input{Catalog: c, Type: name, Objects: t.objects, Buckets: dirty}
	for _, v := range c.ViewsOf(name) {
		target := exact.Target{View: v, Buckets: union(dirty, pl.lost[v.Name])}
		if pl.full[v.Name] {
			target.Buckets = slices.Sorted(maps.Keys(t.all))
		}
		in.Buckets = union(in.Buckets, target.Buckets)
		if len(target.Buckets) > 0 {
			in.Targets = append(in.Targets, target)
		}
	}
	if len(in.Targets) > 0 {
		pl.ledgers[name] = &record.Ledger{From: pl.begin(in, t), Tenants: map[string][]record.Account{}}
		pl.inputs = append(pl.inputs, in)
	}
}

// begin says where the ledger of a type begins that has none: with the first event if every
// bucket is computed, which is so for the first views of a type; else with what is fresh.
func (pl *plan) begin(in exact.Input, t *landed) (from []uint64) {
	if _, begun := pl.prev.Ledgers[in.Type]; begun {
		return nil
	}
	whole := len(in.Buckets) >= len(t.all) && len(t.retired) == 0
	for i := range in.Objects {
		in.Objects[i].Fresh = in.Objects[i].Fresh || whole
	}
	for _, h := range pl.prev.H {
		if whole {
			h.Seq = position.First
		}
		from = append(from, h.Seq)
	}
	return from
}

// dirty is every bucket with new rows, and the one behind a bucket with new
// assigned times where it holds assigned times too (I3). A bucket with retired rows is never
// dirty: recomputed from what is left of it, its number would fall.
func (pl *plan) dirty(t *landed, width int64) []int64 {
	dirty := map[int64]bool{}
	for b, fresh := range t.all {
		if fresh && !t.retired[b] {
			dirty[b] = true
		}
	}
	for b, fresh := range t.assigned {
		if _, behind := t.assigned[b+width]; fresh && behind && !t.retired[b+width] {
			dirty[b+width] = true
		}
	}
	return slices.Sorted(maps.Keys(dirty))
}
