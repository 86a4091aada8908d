package publish

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"recount/batch/exact"
	"recount/schemas/failpoint"
	"recount/schemas/record"
)

// attempts bounds how often one run plans again because another publisher was faster (P2).
const attempts = 4

// Result is the outcome of a run.
type Result struct {
	Publication uint64 // the newest publication
	Nothing     bool   // there was nothing to publish, or another publisher did it meanwhile
	Events      int64  // landed events that this publication is the first to cover
	Rows        int64  // rows written
	Buckets     int    // recomputed buckets
	Duplicates  int64  // duplicates in the recomputed buckets
	Conflicts   int64  // duplicates with another payload in the recomputed buckets
	Left        int64  // landed events that views lack; the next runs compute a step of them each (B8)
}

// AddRun adds what an earlier run published, so that the result is that of both.
func (r *Result) AddRun(before Result) {
	r.Nothing = r.Nothing && before.Nothing
	r.Events += before.Events
	r.Rows += before.Rows
	r.Buckets += before.Buckets
	r.Duplicates += before.Duplicates
	r.Conflicts += before.Conflicts
}

// Recompute publishes what has landed since the newest publication (J1). It may fail anywhere and be
// called again: rows of a failed run never count. If it returns an error and a Result with a
// publication, that publication exists and only its projection for SQL is not complete.
func (p *Publisher) Recompute(ctx context.Context) (Result, error) {
	p.running.Lock()
	defer p.running.Unlock()
	start := p.cfg.Now()
	r, err := p.recompute(ctx)
	p.setRefused(err)
	if err != nil {
		p.metrics.failures.WithLabelValues("recompute").Inc()
		return r, fmt.Errorf("recompute: %w", err)
	}
	if !r.Nothing {
		took := p.cfg.Now().Sub(start)
		p.metrics.published(r, took)
		p.cfg.Logger.Info("published", "publication", r.Publication, "events", r.Events, "buckets", r.Buckets,
			"rows", r.Rows, "duplicates", r.Duplicates, "conflicts", r.Conflicts, "left", r.Left, "took", took)
	}
	return r, nil
}

// setRefused keeps an error that every run will repeat until an operator restores what is missing. Another error says
// nothing about what is stored.
func (p *Publisher) setRefused(err error) {
	refused := errors.Is(err, record.ErrMissing) || errors.Is(err, record.ErrObjectLost)
	if err != nil && !refused {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refused = err
}

// Refused returns why nothing is published until an operator restores what is missing, or nil.
func (p *Publisher) Refused() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refused
}

func (p *Publisher) recompute(ctx context.Context) (Result, error) {
	for range attempts {
		if err := p.Refresh(ctx); err != nil {
			return Result{}, err
		}
		if err := p.useNewest(ctx); err != nil {
			return Result{}, err
		}
		if err := p.createDefinitions(ctx); err != nil {
			return Result{}, err
		}
		failpoint.Point("publish.plan.before")
		plan, err := p.plan(ctx)
		failpoint.Point("publish.plan.after")
		if err != nil {
			return Result{}, err
		}
		if err := p.project(ctx); err != nil {
			return Result{}, err
		}
		if plan.nothing {
			return Result{Publication: p.State().N, Nothing: true}, nil
		}
		r, won, err := p.attempt(ctx, plan)
		if err != nil {
			return Result{}, err
		}
		if won {
			return r, p.views.Project(ctx, p.State())
		}
		if err := p.Refresh(ctx); err != nil {
			return Result{}, err
		}
		if s := p.State(); plan.coveredBy(s) {
			return Result{Publication: s.N, Nothing: true}, p.views.Project(ctx, p.State())
		}
	}
	return Result{}, fmt.Errorf("another publisher was faster %d times in a row; the next run tries again", attempts)
}

// attempt computes and writes the plan's buckets and tries to create publication n, after it has looked for
// objects and read rows back (U2). It reports whether publication n is its own.
func (p *Publisher) attempt(ctx context.Context, plan *plan) (Result, bool, error) {
	if err := p.checkPresent(ctx, plan.fresh); err != nil {
		return Result{}, false, err
	}
	if err := p.views.CreateTables(ctx); err != nil {
		return Result{}, false, err
	}
	r := Result{Publication: plan.n, Events: plan.newEvents}
	for _, fill := range plan.fills {
		r.Left += fill.Rows
	}
	w := p.newWriter(plan)
	counts := map[string][]record.BucketCount{}
	for _, in := range plan.inputs {
		found, err := w.compute(ctx, in)
		if err != nil {
			return Result{}, false, err
		}
		counts[in.Type] = found.Buckets
		plan.setAccounts(in.Type, found.Accounts)
		r.addCounts(found.Buckets)
	}
	for _, t := range w.tables {
		for _, v := range t.buckets {
			r.Rows += v.Rows
		}
	}
	failpoint.Point("publish.verify.before")
	if err := w.verify(ctx); err != nil {
		return Result{}, false, err
	}
	won, err := p.createPublication(ctx, plan, w, counts)
	return r, won, err
}

// setAccounts writes the accounts that the computation of an event type found into the type's ledger.
func (pl *plan) setAccounts(event string, accounts map[exact.Owner]record.Account) {
	tenants := pl.ledgers[event].Tenants
	for o, a := range accounts {
		if tenants[o.Tenant] == nil {
			tenants[o.Tenant] = make([]record.Account, len(pl.h))
		}
		tenants[o.Tenant][o.Partition] = a
	}
}

func (r *Result) addCounts(counts []record.BucketCount) {
	r.Buckets += len(counts)
	for _, c := range counts {
		r.Duplicates += c.Duplicates
		r.Conflicts += c.Conflicts
	}
}

// createPublication encodes the record and creates it (P1, P2). After an error the record may exist or not; the
// Refresh of the next run finds out.
func (p *Publisher) createPublication(ctx context.Context, plan *plan, w *writer,
	counts map[string][]record.BucketCount) (won bool, err error) {
	raw, err := p.encode(plan, w, counts)
	if err != nil {
		return false, fmt.Errorf("publication %d: %w", plan.n, err)
	}
	failpoint.Point("publish.create.before")
	outcome, _, err := p.records.Create(ctx, record.PublicationKey(plan.n), raw)
	failpoint.Point("publish.create.after")
	if err != nil {
		return false, fmt.Errorf("create publication %d: %w", plan.n, err)
	}
	if outcome != record.Created && !failpoint.Off(failpoint.P2) {
		return false, nil
	}
	p.reading.Lock()
	defer p.reading.Unlock()
	if err := p.checkPassed(ctx); err != nil { // The key may be free because its publication was forgotten.
		return false, fmt.Errorf("create publication %d: %w", plan.n, err)
	}
	if p.State().N >= plan.n {
		return true, nil // A concurrent Refresh has read it already.
	}
	return true, p.advance(raw)
}

// encode returns the publication's bytes. It makes a base by applying the delta to the previous
// state, so that base and delta cannot differ.
func (p *Publisher) encode(plan *plan, w *writer, counts map[string][]record.BucketCount) ([]byte, error) {
	b := &record.Publication{
		N: plan.n, Previous: plan.previous.Digest, H: plan.h, Tips: plan.tips, Events: plan.events, Code: p.cfg.Code,
		Attempt: fmt.Sprintf("%08x-%016x", uint32(w.version), rand.Uint64()), Created: p.cfg.Now().UTC(),
		Views: map[string]*record.PublishedView{}, Types: counts, Ledgers: plan.ledgers,
		Holes:        plan.holes,
		Limit:        plan.limit,
		Copies:       record.CopiesByPosition,
		Installation: p.cfg.Installation,
		Generation:   p.generation,
	}
	if failpoint.Off(failpoint.P1) {
		b.H = slices.Concat(b.H[:1], plan.previous.H[1:])
	}
	for name, digest := range plan.digests {
		b.Views[name] = &record.PublishedView{Digest: digest, Full: plan.full[name],
			Reading: record.CurrentReading, Buckets: plan.versions(name, w), Fill: plan.fills[name],
			Retired: plan.missing[name]}
		if t := w.tables[name]; t != nil {
			old := plan.previous.Views[name]
			if plan.full[name] {
				old = record.ViewState{}
			}
			b.Views[name].Unconverted = t.replaceEvents(old.Unconverted, t.unconverted)
			b.Views[name].Overflowed = t.replaceEvents(old.Overflowed, t.overflowed)
		}
	}
	raw, err := b.Encode()
	if err != nil {
		return nil, err
	}
	next, err := plan.previous.Apply(raw)
	if err != nil || !plan.base {
		return raw, err
	}
	p.makeBase(b, next)
	return b.Encode()
}

// makeBase makes b a base that lists everything in state next. It leaves out buckets without rows, and
// the types that have no view any more.
func (p *Publisher) makeBase(b *record.Publication, next *record.State) {
	b.Base = true
	b.Types = map[string][]record.BucketCount{}
	b.Ledgers = map[string]*record.Ledger{}
	for name, v := range next.Views {
		rows := slices.DeleteFunc(slices.Clone(v.Buckets), func(x record.BucketVersion) bool { return x.Rows == 0 })
		b.Views[name] = &record.PublishedView{Digest: v.Digest, Full: true, Reading: v.Reading, Buckets: rows,
			Fill: v.Fill, Unconverted: v.Unconverted, Retired: v.Retired, Overflowed: v.Overflowed}
	}
	for name, c := range next.Types {
		if len(p.cfg.Catalog.ViewsOf(name)) > 0 {
			b.Types[name] = c
		}
	}
	for name, l := range next.Ledgers {
		if len(p.cfg.Catalog.ViewsOf(name)) > 0 {
			b.Ledgers[name] = &l
		}
	}
}

// versions returns the versions of a view's recomputed buckets, ascending. A bucket that has lost
// its last row is listed with zero rows, so that it replaces the older version.
func (pl *plan) versions(name string, w *writer) []record.BucketVersion {
	t := w.tables[name]
	if t == nil {
		return nil
	}
	found := maps.Clone(t.buckets)
	for _, b := range t.wanted {
		old := pl.previous.Views[name].VersionsBetween(b, b+1)
		if !pl.full[name] && found[b].Rows == 0 && len(old) > 0 && old[0].Rows > 0 {
			found[b] = record.BucketVersion{Bucket: b, Ver: w.version}
		}
	}
	out := make([]record.BucketVersion, 0, len(found))
	for _, b := range slices.Sorted(maps.Keys(found)) {
		out = append(out, found[b])
	}
	return out
}

// replaceEvents returns the numbers of events that were found in the computed buckets. A number that fell to zero is
// listed too, so that it replaces the old one.
func (t *table) replaceEvents(old []record.BucketEvents, found map[bucketTenant]int64) []record.BucketEvents {
	counts := maps.Clone(found)
	for _, e := range old {
		_, computed := slices.BinarySearch(t.wanted, e.Bucket)
		if key := (bucketTenant{e.Bucket, e.Tenant}); computed && counts[key] == 0 {
			counts[key] = 0
		}
	}
	return sortedEvents(counts)
}

// sortedEvents returns the numbers of events as a record lists them.
func sortedEvents(counts map[bucketTenant]int64) (out []record.BucketEvents) {
	for key, events := range counts {
		out = append(out, record.BucketEvents{Bucket: key.bucket, Tenant: key.tenant, Events: events})
	}
	slices.SortFunc(out, record.CompareBucketEvents)
	return out
}

// coveredBy reports whether a publication covers everything that the plan wanted to publish (P2).
func (pl *plan) coveredBy(s *record.State) bool {
	for i, h := range pl.h {
		if s.H[i].Seq < h.Seq || s.H[i].Epoch < h.Epoch {
			return false
		}
	}
	for name, digest := range pl.digests {
		if !s.Views[name].IsCurrent(digest) {
			return false
		}
	}
	return len(s.Views) == len(pl.digests) && s.Limit() == pl.limit
}
