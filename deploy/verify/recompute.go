package verify

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"recount/batch/cells"
	"recount/batch/exact"
	"recount/batch/object"
	"recount/schemas/catalog"
	"recount/schemas/record"
)

// recomputation checks the rows of kept publications (V6, V9), the newest first. A bucket of an older
// publication is recomputed only if its version differs, or if fewer of its events had landed.
type recomputation struct {
	e *Evidence
	r *recorder
	s *snapshot

	seen     map[string]map[record.BucketVersion]bool // versions already compared with ClickHouse, by view
	newer    *record.State                            // the publication that was recomputed before this one
	verified int64
}

func checkRows(ctx context.Context, e *Evidence, r *recorder, s *snapshot) error {
	v := &recomputation{e: e, r: r, s: s, seen: map[string]map[record.BucketVersion]bool{}}
	for i, st := range slices.Backward(s.kept) {
		r.progress("V6 publications", int64(len(s.kept)-1-i), int64(len(s.kept)))
		if !s.onBoundaries(st) {
			r.fail(V6, "publication %d was not recomputed: no commit record ends at its H (V5)", st.N)
			continue
		}
		if err := v.checkPublication(ctx, st); err != nil {
			return fmt.Errorf("publication %d: %w", st.N, err)
		}
		v.newer = st
	}
	r.examine(V6, v.verified, "buckets of views")
	return nil
}

func (v *recomputation) checkPublication(ctx context.Context, st *record.State) error {
	for _, name := range slices.Sorted(maps.Keys(st.Views)) {
		view := v.e.Catalog.Views[name]
		if view == nil || !st.Views[name].IsCurrent(v.e.Catalog.Digest(view)) {
			v.r.addNote("view %s of publication %d is no longer declared as it was, so its rows were not recomputed",
				name, st.N)
			continue
		}
		if err := v.checkStored(ctx, st, view); err != nil {
			return err
		}
	}
	if st.Publication.Copies != record.CopiesByPosition {
		v.r.addNote("publication %d was made by an earlier version of the rule I3, so its rows were compared with it, "+
			"but not recomputed", st.N)
		return nil
	}
	if v.s.incomplete() {
		v.r.fail(V6, "rows were compared with the publication, but not recomputed: %s", becauseOfChains)
		return nil
	}
	for _, event := range slices.Sorted(maps.Keys(v.e.Catalog.Events)) {
		in, left := v.input(st, event)
		if len(in.Targets) == 0 {
			continue // No view of the publication counts the type.
		}
		if left.damaged > 0 {
			v.r.fail(V6, "%d buckets of type %s were not recomputed: they have rows in objects that are missing or "+
				"damaged (V2)", left.damaged, event)
		}
		if left.retired > 0 {
			v.r.addNote("publication %d: %d buckets of type %s were not recomputed: they have rows in objects that "+
				"retention has removed", st.N, left.retired, event)
		}
		for _, t := range in.Targets {
			v.compareRetired(st, t.View)
		}
		if len(in.Buckets) == 0 {
			continue
		}
		if err := v.recompute(ctx, st, in, left == leftOut{} && v.newer == nil); err != nil {
			return err
		}
	}
	return nil
}

// checkStored compares the rows in ClickHouse with the publication.
func (v *recomputation) checkStored(ctx context.Context, st *record.State, view *catalog.View) error {
	seen := v.seen[view.Name]
	if seen == nil {
		seen = map[record.BucketVersion]bool{}
		v.seen[view.Name] = seen
	}
	var versions []record.BucketVersion
	for _, b := range st.Views[view.Name].Buckets {
		if b.Rows > 0 && !seen[b] {
			versions = append(versions, b)
			seen[b] = true
		}
	}
	got, err := v.e.Cells.ReadVersions(ctx, view, versions)
	if err != nil {
		return err
	}
	expired := false
	if slices.ContainsFunc(versions, func(b record.BucketVersion) bool { return got[b.Bucket] != b }) {
		if expired, err = v.e.expired(ctx, v.r, st.N); err != nil {
			return err
		}
	}
	v.verified += int64(len(versions))
	v.r.examine(V9, int64(len(versions)), "versions of buckets")
	for _, want := range versions {
		b, there := got[want.Bucket]
		where := Place{Publication: st.N, View: view.Name, Version: want.Ver}.InBucket(want.Bucket)
		switch {
		case there && b == want:
		case expired:
			return nil
		case !there:
			v.r.find(V9, where, "restore ClickHouse, or declare the view again under another name or cell, which "+
				"computes all its buckets again; until then queries that need the bucket fail",
				"ClickHouse has none of the %d rows that the publication counts", want.Rows)
		default:
			v.r.find(V6, where, "restore the rows from a backup of ClickHouse, or make the bucket dirty: the next "+
				"event in it recomputes it in full",
				"ClickHouse has %d rows with checksum %016x, the publication says %d with %016x: rows were changed, "+
					"added or lost", b.Rows, b.Checksum, want.Rows, want.Checksum)
		}
	}
	return nil
}

// leftOut is how many buckets cannot be recomputed, because they have rows in objects that are missing or damaged, or
// else in retired objects.
type leftOut struct{ damaged, retired int }

// input returns the input of a recomputation of a publication's views of an event type, without the buckets with rows
// in objects that cannot be read.
func (v *recomputation) input(st *record.State, event string) (in exact.Input, left leftOut) {
	in = exact.Input{Catalog: v.e.Catalog, Type: event, Limit: st.Limit()}
	width := v.e.Catalog.Bucket.Microseconds()
	buckets := map[int64]bool{}
	damaged := map[int64]bool{}
	retired := map[int64]bool{}
	ledger := st.Ledgers[event]
	for p, h := range st.H {
		for _, seg := range v.s.segmentsBelow(p, h) {
			for _, o := range seg.Objects {
				if o.Type != event {
					continue
				}
				readable := v.s.readable(seg, &o)
				cannot := damaged
				if v.s.horizons.Retired(seg, &o) {
					cannot = retired
				}
				if readable {
					in.Objects = append(in.Objects,
						exact.Object{Object: o, Partition: p, Start: seg.Start, Fresh: seg.Start >= ledger.Since(p)})
				}
				for _, b := range o.Buckets {
					buckets[b.Bucket] = true
					if !readable {
						cannot[b.Bucket] = true
						cannot[b.Bucket-width] = cannot[b.Bucket-width] || b.Assigned > 0
						cannot[b.Bucket+width] = cannot[b.Bucket+width] || b.Assigned > 0
					}
				}
			}
		}
	}
	changed := v.changed(st, event)
	for _, b := range slices.Sorted(maps.Keys(buckets)) {
		switch {
		case damaged[b]:
			left.damaged++
		case retired[b]:
			left.retired++
		case !v.isCounted(st, event, b):
			// No view of the type is filled down to the bucket, and the publication says so (B8).
		case changed == nil || changed[b]:
			in.Buckets = append(in.Buckets, b)
		}
	}
	for _, view := range v.e.Catalog.ViewsOf(event) {
		if s, published := st.Views[view.Name]; published && s.IsCurrent(v.e.Catalog.Digest(view)) {
			filled := slices.DeleteFunc(slices.Clone(in.Buckets), func(b int64) bool { return !s.IsFilled(b) })
			in.Targets = append(in.Targets, exact.Target{View: view, Buckets: filled})
		}
	}
	return in, left
}

// isCounted reports whether the publication must have counted the rows of a type's bucket: a view of the type is filled
// down to it, or the publication has counts of it. A view that is declared otherwise now may have counted another type.
func (v *recomputation) isCounted(st *record.State, event string, bucket int64) bool {
	for _, view := range v.e.Catalog.ViewsOf(event) {
		s, published := st.Views[view.Name]
		if published && s.IsCurrent(v.e.Catalog.Digest(view)) && s.IsFilled(bucket) {
			return true
		}
	}
	return slices.ContainsFunc(st.Types[event], func(c record.BucketCount) bool { return c.Bucket == bucket })
}

// changed returns the buckets of an older publication that the recomputation of the newer publication
// does not cover. These have another version, or more events have landed in them. Nil means all buckets.
func (v *recomputation) changed(st *record.State, event string) map[int64]bool {
	if v.newer == nil {
		return nil
	}
	out := map[int64]bool{}
	for _, view := range v.e.Catalog.ViewsOf(event) {
		newer := map[int64]record.BucketVersion{}
		for _, b := range v.newer.Views[view.Name].Buckets {
			newer[b.Bucket] = b
		}
		for _, b := range st.Views[view.Name].Buckets {
			if newer[b.Bucket] != b {
				out[b.Bucket] = true
			}
		}
	}
	for p, h := range st.H {
		older := len(v.s.segmentsBelow(p, h))
		for _, seg := range v.s.segmentsBelow(p, v.newer.H[p])[older:] {
			for _, o := range seg.Objects {
				for _, b := range o.Buckets {
					if o.Type == event {
						out[b.Bucket] = true
					}
				}
			}
		}
	}
	return out
}

// recompute compares a recomputation of the input's buckets with the publication. If these are all
// buckets, it compares the ledger too.
func (v *recomputation) recompute(ctx context.Context, st *record.State, in exact.Input, all bool) error {
	computed := map[string]map[int64]record.BucketVersion{}
	unconverted := map[viewBucket]int64{}
	overflowed := map[viewBucket]int64{}
	for _, t := range in.Targets {
		computed[t.View.Name] = map[int64]record.BucketVersion{}
	}
	open := func(ctx context.Context, o record.Object) (exact.File, error) {
		body, err := v.e.Objects.Open(ctx, o.Key)
		if err != nil {
			return nil, fmt.Errorf("object %s: %w", o.Key, err)
		}
		return object.Open(ctx, o, body)
	}
	found, err := exact.Run(ctx, v.e.Exact, open, in, func(b *exact.Block) error {
		buckets := computed[b.View.Name]
		for _, u := range b.Unconverted {
			unconverted[viewBucket{b.View.Name, u.Bucket}] += u.Events
		}
		for _, o := range b.Overflowed {
			overflowed[viewBucket{b.View.Name, o.Bucket}] += o.Events
		}
		for bucket, part := range cells.Checksums(v.e.Catalog, b.View, 0, []exact.BlockRows{{Block: b, To: b.Rows()}}) {
			part.Rows += buckets[bucket].Rows
			part.Checksum += buckets[bucket].Checksum // A sum over rows, which may wrap around (B5).
			buckets[bucket] = part
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, t := range in.Targets {
		v.compare(st, t.View.Name, t.Buckets, computed[t.View.Name])
		published := st.Views[t.View.Name]
		v.compareEvents(st, t.View.Name, "unconverted", published.Unconverted, t.Buckets, unconverted)
		v.compareEvents(st, t.View.Name, "overflowed", published.Overflowed, t.Buckets, overflowed)
	}
	v.compareCounts(st, in.Type, found.Buckets)
	if all {
		v.compareLedger(st, in.Type, found.Accounts)
	}
	return nil
}

const republish = "keep a copy of the publication record and report a bug of recount; the next event in the bucket " +
	"recomputes it"

func (v *recomputation) compare(st *record.State, view string, buckets []int64,
	computed map[int64]record.BucketVersion) {
	for _, b := range buckets {
		var got record.BucketVersion
		if l := st.Views[view].VersionsBetween(b, b+1); len(l) > 0 {
			got = l[0]
		}
		want := computed[b]
		if got.Rows != want.Rows || got.Checksum != want.Checksum {
			v.r.find(V6, Place{Publication: st.N, View: view, Version: got.Ver}.InBucket(b), republish,
				"the publication has %d rows with checksum %016x, the events below its H give %d with %016x",
				got.Rows, got.Checksum, want.Rows, want.Checksum)
		}
	}
}

// viewBucket is a bucket of a view.
type viewBucket struct {
	view   string
	bucket int64
}

// compareEvents compares how many events of the buckets are listed for a view: those that lack a value because it could
// not be converted, or those with a value beyond the limit.
func (v *recomputation) compareEvents(st *record.State, view, what string, listed []record.BucketEvents,
	buckets []int64, want map[viewBucket]int64) {
	published := map[int64]int64{}
	for _, u := range listed {
		published[u.Bucket] += u.Events
	}
	for _, b := range buckets {
		if got := published[b]; got != want[viewBucket{view, b}] {
			v.r.find(V6, Place{Publication: st.N, View: view}.InBucket(b), republish,
				"the publication counts %d events as %s, the events below its H give %d", got, what,
				want[viewBucket{view, b}])
		}
	}
}

// compareRetired compares how many events the rows of a view lack because of retired objects with how many there are
// at most by the commit records (record.Commit.EventsByTenant), in buckets with retired rows. It cannot be recomputed,
// because a record of retirement replaces the one before it.
func (v *recomputation) compareRetired(st *record.State, view *catalog.View) {
	stated := st.Views[view.Name].Retired
	if len(stated) == 0 {
		return
	}
	most := map[record.BucketEvents]int64{}
	retired := map[int64]bool{}
	for p, h := range st.H {
		for _, seg := range v.s.segmentsBelow(p, h) {
			for i := range seg.Objects {
				o := &seg.Objects[i]
				if o.Type != view.Event {
					continue
				}
				for e := range seg.EventsByTenant(o) {
					most[record.BucketEvents{Bucket: e.Bucket, Tenant: e.Tenant}] += e.Events
					retired[e.Bucket] = retired[e.Bucket] || v.s.horizons.Retired(seg, o)
				}
			}
		}
	}
	for _, e := range stated {
		there := most[record.BucketEvents{Bucket: e.Bucket, Tenant: e.Tenant}]
		if !retired[e.Bucket] {
			there = 0
		}
		if e.Events > there {
			v.r.find(V6, Place{Publication: st.N, View: view.Name, Tenant: e.Tenant}.InBucket(e.Bucket), republish,
				"the publication says that retention removed %d events, the commit records have %d at most", e.Events,
				there)
		}
	}
}

// compareCounts compares the results of deduplication (V8).
func (v *recomputation) compareCounts(st *record.State, event string, counts []record.BucketCount) {
	published := map[int64]record.BucketCount{}
	for _, c := range st.Types[event] {
		published[c.Bucket] = c
	}
	for _, want := range counts {
		if got := published[want.Bucket]; got != want {
			v.r.find(V8, Place{Publication: st.N, Type: event}.InBucket(want.Bucket), republish,
				"the publication has %d rows, %d duplicates, %d conflicts; the events below its H give %d, %d, %d",
				got.Rows, got.Duplicates, got.Conflicts, want.Rows, want.Duplicates, want.Conflicts)
		}
	}
}

// compareLedger compares the accounts of tenants (V8).
func (v *recomputation) compareLedger(st *record.State, event string, found map[exact.Owner]record.Account) {
	for tenant, accounts := range st.Ledgers[event].Tenants {
		for p, got := range accounts {
			owner := exact.Owner{Tenant: tenant, Partition: p}
			want := found[owner]
			if v.s.adopted {
				want.Conflicts = got.Conflicts // Older programs did not count them.
			}
			if got != want {
				v.r.find(V8, Place{Partition: &p, Publication: st.N, Type: event, Tenant: tenant}, republish,
					"the publication's ledger has %d rows, %d duplicates and %d conflicts; the events below its H "+
						"give %d, %d and %d", got.Rows, got.Duplicates, got.Conflicts, want.Rows, want.Duplicates,
					want.Conflicts)
			}
			delete(found, owner)
		}
	}
	if _, kept := st.Ledgers[event]; !kept {
		return // The publication is older than ledgers.
	}
	for owner, want := range found {
		v.r.find(V8, Place{Partition: &owner.Partition, Publication: st.N, Type: event, Tenant: owner.Tenant},
			republish,
			"the publication's ledger does not have the tenant; the events below its H give %d rows and %d duplicates",
			want.Rows, want.Duplicates)
	}
}
