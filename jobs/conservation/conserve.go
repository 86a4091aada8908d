package conservation

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"

	"recount/schemas/catalog"
	"recount/schemas/deadletter"
	"recount/schemas/position"
	"recount/schemas/record"
)

// Conserve compares the tiers of all partitions and publications.
func (b *Books) Conserve(ctx context.Context) (*Audit, error) {
	a := newAudit("")
	a.tenants = map[string]*Audit{}
	var sheets []*sheet
	for p := range b.Partitions {
		s := b.newSheet(p)
		s.addLanded()
		if err := s.addLogged(ctx); err != nil {
			return nil, fmt.Errorf("count the log of partition %d: %w", p, err)
		}
		s.addPublished()
		sheets = append(sheets, s)
		for tenant := range s.rows {
			if a.tenants[tenant] == nil {
				a.tenants[tenant] = newAudit(tenant)
			}
		}
	}
	for _, s := range sheets {
		s.auditPartition(a)
	}
	for i, st := range b.States {
		b.auditPublication(a, sheets, st)
		if i == len(b.States)-1 {
			b.auditRows(a, st)
		}
	}
	a.listTenants()
	return a, nil
}

// auditPartition adds a partition to the audit of all tenants and to those of its own tenants. A
// partition that cannot be counted to its end reports no lost events: it is an alarm by itself.
func (s *sheet) auditPartition(a *Audit) {
	f := s.facts
	promises := f.Acknowledged
	unreadable := ""
	if s.unreadable != nil {
		promises = nil
		unreadable = s.unreadable.Error()
	}
	all := PartitionAudit{Partition: s.p, Voided: f.Voided, Unreadable: unreadable, Ranges: slices.Clone(s.ranges)}
	unexplained := int64(0) // lost events of unknown tenants
	for _, tenant := range slices.Sorted(maps.Keys(s.rows)) {
		one := PartitionAudit{Partition: s.p, Unreadable: unreadable, Ranges: slices.Clone(s.ranges)}
		known := int64(0)
		named := int64(0)
		for i, n := range s.rows[tenant] {
			r := &one.Ranges[i]
			r.Numbers = n
			named += s.compareTiers(a, tenant, r)
			one.Logged += r.Landed + r.Waiting
			known += r.Landed + r.Waiting + r.Voided
			all.Ranges[i].add(r.Numbers)
		}
		if promises != nil {
			promised := promises.Tenants[tenant]
			one.Acknowledged = &promised
			one.Lost = max(0, promised-known, named)
			a.addResidue(Residue{Tenant: tenant, Partition: &s.p, Tier: Log, Events: one.Lost - named})
		}
		all.Logged += one.Logged
		all.Lost += one.Lost
		a.tenants[tenant].Partitions = append(a.tenants[tenant].Partitions, one)
	}
	if promises != nil {
		all.Acknowledged = &promises.Total
		known := f.Voided + all.Logged
		for _, r := range all.Ranges {
			known += r.Voided
		}
		unexplained = max(0, promises.Total-known-all.Lost)
	}
	all.Lost += unexplained
	a.addResidue(Residue{Partition: &s.p, Tier: Log, Events: unexplained})
	a.Partitions = append(a.Partitions, all)
}

// compareTiers compares the tiers of a tenant's range. It returns how many of its events are lost.
func (s *sheet) compareTiers(a *Audit, tenant string, r *RangeAudit) (lost int64) {
	where := Residue{Tenant: tenant, Partition: &s.p, From: r.From, To: r.To, Publication: r.Publication}
	find := func(tier Tier, events int64) {
		where.Tier = tier
		where.Events = events
		r.Residue += abs(events)
		a.addResidue(where)
	}
	if r.Logged != nil {
		if r.Acknowledged != nil {
			lost = max(0, *r.Acknowledged-*r.Logged-r.Voided)
			find(Log, lost)
		}
		find(Landed, *r.Logged-r.Landed-r.Waiting)
	}
	find(Published, r.missing)
	return lost
}

// auditPublication adds up everything below a publication's H. A publication counts events and
// buckets without tenants, so a residue found here names none. Tenants' ledgers are compared by range.
func (b *Books) auditPublication(a *Audit, sheets []*sheet, st *record.State) {
	p := PublicationAudit{Publication: st.N, Published: st.Publication.Events}
	views := b.viewsIn(st)
	landed := map[string]int64{}
	unfilled := map[string]int64{}
	byTenant := map[string]*PublicationAudit{}
	for _, s := range sheets {
		for l := range s.lots {
			n := s.landedBetween(l, position.First, st.H[s.p].Seq)
			landed[l.eventType] += n
			p.Landed += n
		}
		s.addUnfilled(st, views, unfilled)
		for tenant, totals := range s.totals {
			i := slices.IndexFunc(totals, func(t totalAt) bool { return t.publication == st.N })
			if i < 0 {
				continue
			}
			if byTenant[tenant] == nil {
				byTenant[tenant] = &PublicationAudit{Publication: st.N}
			}
			byTenant[tenant].add(totals[i].share)
		}
	}
	for tenant, x := range byTenant {
		a.tenants[tenant].Publications = append(a.tenants[tenant].Publications, *x)
	}
	where := Residue{Publication: st.N, Tier: Published}
	find := func(events int64) {
		where.Events = events
		p.Residue += abs(events)
		a.addResidue(where)
	}
	find(p.Landed - p.Published)
	for _, name := range slices.Sorted(maps.Keys(landed)) {
		switch {
		case name == deadletter.Type:
			p.Rejected += landed[name]
		case len(views.viewsOf(name)) == 0:
			p.Uncounted += landed[name]
		default:
			sum := sumBuckets(st, name)
			p.Duplicates += sum.Duplicates
			p.Conflicts += sum.Conflicts
			p.Counted += sum.Rows - sum.Duplicates
			p.Uncounted += unfilled[name]
			find(landed[name] - unfilled[name] - sum.Rows)
			if l := st.Ledgers[name]; l.IsComplete() {
				find(total(countedByTenant(l)) - (sum.Rows - sum.Duplicates))
			}
		}
	}
	a.Publications = append(a.Publications, p)
}

// add adds what a publication says of a tenant's events in one partition.
func (p *PublicationAudit) add(x share) {
	p.Counted += x.counted
	p.Duplicates += x.duplicates
	p.Conflicts += x.conflicts
	p.Rejected += x.rejected
	p.Uncounted += x.uncounted
	p.Published += x.counted + x.duplicates + x.rejected + x.uncounted
	p.Landed += x.counted + x.duplicates + x.rejected + x.uncounted + x.missing
	p.Residue += abs(x.missing)
}

// sumBuckets adds up what a publication says of all buckets of an event type.
func sumBuckets(st *record.State, name string) (sum record.Account) {
	for _, c := range st.Types[name] {
		sum = sum.Plus(record.Account{Rows: c.Rows, Duplicates: c.Duplicates, Conflicts: c.Conflicts})
	}
	return sum
}

// publishedViews finds the views that a publication has over event types.
type publishedViews struct {
	catalog *catalog.Catalog
	state   *record.State
	found   map[string][]record.ViewState // by event type
}

func (b *Books) viewsIn(st *record.State) *publishedViews {
	return &publishedViews{b.Catalog, st, map[string][]record.ViewState{}}
}

// viewsOf returns the views over an event type. The catalog may have changed since: a view that has another definition
// now may have been over another type then, which had no counts of this one.
func (p *publishedViews) viewsOf(name string) []record.ViewState {
	views, known := p.found[name]
	if known {
		return views
	}
	var others []record.ViewState
	for _, v := range p.catalog.ViewsOf(name) {
		published, ok := p.state.Views[v.Name]
		switch {
		case ok && p.catalog.Names(v, published.Digest):
			views = append(views, published)
		case ok:
			others = append(others, published)
		}
	}
	if len(views) == 0 && len(p.state.Types[name]) > 0 {
		views = others
	}
	p.found[name] = views
	return views
}

// areBeingFilled reports whether there are views over the event type, and none has all of its history.
func (p *publishedViews) areBeingFilled(name string) bool {
	return len(p.viewsOf(name)) > 0 && !p.areFilled(name, math.MinInt64)
}

// areFilled reports whether there is a view over the event type that is filled down to the bucket.
func (p *publishedViews) areFilled(name string, bucket int64) bool {
	return slices.ContainsFunc(p.viewsOf(name), func(v record.ViewState) bool { return v.IsFilled(bucket) })
}

// auditRows compares what the views' rows count with the publication to which the rows belong.
// It compares by tenant where the ledger goes back to the first event, else by sums.
func (b *Books) auditRows(a *Audit, st *record.State) {
	for _, view := range slices.Sorted(maps.Keys(b.Counted)) {
		event := b.Catalog.Views[view].Event
		stored := b.Counted[view]
		ledger := st.Ledgers[event]
		expected := countedByTenant(ledger)
		if event == deadletter.Type {
			continue // Rows of dead letters may be retired, so their number proves nothing.
		}
		if !ledger.IsComplete() {
			sum := sumBuckets(st, event)
			stored = map[string]int64{"": total(stored)}
			expected = map[string]int64{"": sum.Rows - sum.Duplicates}
		}
		for _, tenant := range slices.Sorted(maps.Keys(union(stored, expected))) {
			a.addResidue(Residue{Tenant: tenant, Publication: st.N, View: view, Tier: Counted,
				Events: expected[tenant] - stored[tenant]})
		}
	}
}

// countedByTenant returns how many events of each tenant a ledger counts.
func countedByTenant(l record.Ledger) map[string]int64 {
	out := map[string]int64{}
	for tenant, accounts := range l.Tenants {
		for _, a := range accounts {
			out[tenant] += a.Rows - a.Duplicates
		}
	}
	return out
}

func total(byTenant map[string]int64) (n int64) {
	for _, events := range byTenant {
		n += events
	}
	return n
}

func union(a, b map[string]int64) map[string]int64 {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}
