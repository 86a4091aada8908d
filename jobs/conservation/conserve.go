package conservation

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"recount/schemas/catalog"
	"recount/schemas/deadletter"
	"recount/schemas/position"
	"recount/schemas/record"
)

// Conserve adds up the books.
func (b *Books) Conserve(ctx context.Context) (*Audit, error) {
	a := newAudit("")
	a.tenants = map[string]*Audit{}
	var sheets []*sheet
	for p := range b.Partitions {
		s := b.newSheet(p)
		s.land()
		if err := s.log(ctx); err != nil {
			return nil, fmt.Errorf("partition %d: %w", p, err)
		}
		s.publish()
		sheets = append(sheets, s)
		for tenant := range s.rows {
			if a.tenants[tenant] == nil {
				a.tenants[tenant] = newAudit(tenant)
			}
		}
	}
	for _, s := range sheets {
		s.partition(a)
	}
	for i, st := range b.States {
		b.publication(a, sheets, st)
		if i == len(b.States)-1 {
			b.rows(a, st)
		}
	}
	a.finish()
	return a, nil
}

// partition adds a partition to the audit of everybody and to those of its tenants. Of one that
// cannot be counted to its end nothing is said to be lost: that it cannot is an alarm itself.
func (s *sheet) partition(a *Audit) {
	f := s.facts
	promises := f.Acknowledged
	unreadable := ""
	if s.unreadable != nil {
		promises = nil
		unreadable = s.unreadable.Error()
	}
	all := PartitionAudit{Partition: s.p, Voided: f.Voided, Unreadable: unreadable, Ranges: slices.Clone(s.ranges)}
	unexplained := int64(0) // lost, and nobody knows whose they were
	for _, tenant := range slices.Sorted(maps.Keys(s.rows)) {
		one := PartitionAudit{Partition: s.p, Unreadable: unreadable, Ranges: slices.Clone(s.ranges)}
		known := int64(0)
		named := int64(0)
		for i, n := range s.rows[tenant] {
			r := &one.Ranges[i]
			r.Numbers = n
			named += s.judge(a, tenant, r)
			one.Logged += r.Landed + r.Waiting
			known += r.Landed + r.Waiting + r.Voided
			all.Ranges[i].plus(r.Numbers)
		}
		if promises != nil {
			promised := promises.Tenants[tenant]
			one.Acknowledged = &promised
			one.Lost = max(0, promised-known, named)
			a.find(Residue{Tenant: tenant, Partition: &s.p, Tier: Log, Events: one.Lost - named})
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
	a.find(Residue{Partition: &s.p, Tier: Log, Events: unexplained})
	a.Partitions = append(a.Partitions, all)
}

// judge compares the tiers of a tenant's range. It returns how many events of it are lost.
func (s *sheet) judge(a *Audit, tenant string, r *RangeAudit) (lost int64) {
	where := Residue{Tenant: tenant, Partition: &s.p, From: r.From, To: r.To, Publication: r.Publication}
	find := func(tier Tier, events int64) {
		where.Tier = tier
		where.Events = events
		r.Residue += abs(events)
		a.find(where)
	}
	if r.Logged != nil {
		if r.Acknowledged != nil {
			lost = max(0, *r.Acknowledged-*r.Logged)
			find(Log, lost)
		}
		find(Landed, *r.Logged-r.Landed-r.Waiting-r.Voided)
	}
	find(Published, r.missing)
	return lost
}

// publication adds up everything below a publication's H. What it says of events and of
// single buckets is nobody's in particular; the ledgers of tenants are compared by ranges.
func (b *Books) publication(a *Audit, sheets []*sheet, st *record.State) {
	p := PublicationAudit{Publication: st.N, Published: st.Publication.Events}
	landed := map[string]int64{}
	of := map[string]*PublicationAudit{}
	for _, s := range sheets {
		for l := range s.lots {
			n := s.below(l, position.First, st.H[s.p].Seq)
			landed[l.eventType] += n
			p.Landed += n
		}
		for tenant, totals := range s.totals {
			i := slices.IndexFunc(totals, func(t totalAt) bool { return t.publication == st.N })
			if i < 0 {
				continue
			}
			if of[tenant] == nil {
				of[tenant] = &PublicationAudit{Publication: st.N}
			}
			of[tenant].take(totals[i].share)
		}
	}
	for tenant, x := range of {
		a.tenants[tenant].Publications = append(a.tenants[tenant].Publications, *x)
	}
	where := Residue{Publication: st.N, Tier: Published}
	find := func(events int64) {
		where.Events = events
		p.Residue += abs(events)
		a.find(where)
	}
	find(p.Landed - p.Published)
	for _, name := range slices.Sorted(maps.Keys(landed)) {
		switch {
		case name == deadletter.Type:
			p.Rejected += landed[name]
		case !b.counted(st, name):
			p.Uncounted += landed[name]
		default:
			rows, duplicates := sums(st, name)
			p.Duplicates += duplicates
			p.Counted += rows - duplicates
			find(landed[name] - rows)
			if l := st.Ledgers[name]; whole(l) {
				find(total(counts(l)) - (rows - duplicates))
			}
		}
	}
	a.Publications = append(a.Publications, p)
}

func (p *PublicationAudit) take(x share) {
	p.Counted = p.Counted + x.counted
	p.Duplicates = p.Duplicates + x.duplicates
	p.Rejected = p.Rejected + x.rejected
	p.Uncounted = p.Uncounted + x.uncounted
	p.Published += x.counted + x.duplicates + x.rejected + x.uncounted
	p.Landed += x.counted + x.duplicates + x.rejected + x.uncounted + x.missing
	p.Residue += abs(x.missing)
}

// sums are what a publication says of all buckets of an event type.
func sums(st *record.State, name string) (rows, duplicates int64) {
	for _, c := range st.Types[name] {
		rows = rows + c.Rows
		duplicates = duplicates + c.Duplicates
	}
	return rows, duplicates
}

// counted reports whether the publication has a view over the event type.
func (b *Books) counted(st *record.State, name string) bool {
	return slices.ContainsFunc(b.Catalog.ViewsOf(name),
		func(v *catalog.View) bool {
			_, ok := st.Views[v.Name]
			return ok
		})
}

// rows compares what the views' rows count with the publication they belong to: by tenant
// where ledgers go back to the first event.
func (b *Books) rows(a *Audit, st *record.State) {
	for _, view := range slices.Sorted(maps.Keys(b.Counted)) {
		event := b.Catalog.Views[view].Event
		there := b.Counted[view]
		owed := counts(st.Ledgers[event])
		if event == deadletter.Type {
			continue // Its rows may be retired, and are nobody's promise.
		}
		if !whole(st.Ledgers[event]) {
			rows, duplicates := sums(st, event)
			there = map[string]int64{"": total(there)}
			owed = map[string]int64{"": rows - duplicates}
		}
		for _, tenant := range slices.Sorted(maps.Keys(union(there, owed))) {
			a.find(Residue{Tenant: tenant, Publication: st.N, View: view, Tier: Counted,
				Events: owed[tenant] - there[tenant]})
		}
	}
}

// whole reports whether a ledger goes back to the first event.
func whole(l record.Ledger) bool {
	return l.From != nil && !slices.ContainsFunc(l.From, func(seq uint64) bool { return seq != position.First })
}

// counts are how many events of each tenant a ledger counts.
func counts(l record.Ledger) map[string]int64 {
	out := map[string]int64{}
	for tenant, accounts := range l.Tenants {
		for _, a := range accounts {
			out[tenant] += a.Rows - a.Duplicates
		}
	}
	return out
}

func total(of map[string]int64) (n int64) {
	for _, x := range of {
		n += x
	}
	return n
}

func union(a, b map[string]int64) map[string]int64 {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}
