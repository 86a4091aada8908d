package conservation

import (
	"context"
	"errors"
	"slices"

	"recount/schemas/deadletter"
	"recount/schemas/position"
	"recount/schemas/record"
)

// lot are the events of one type and tenant.
type lot struct{ eventType, tenant string }

// sheet is one partition while it is added up: its ranges, and by tenant the numbers of each.
type sheet struct {
	b      *Books
	p      int
	facts  *Partition
	ranges []RangeAudit // without numbers
	landed []map[lot]int64
	lots   map[lot]bool
	rows   map[string][]Numbers
	totals map[string][]totalAt

	unreadable *UnreadableError // the message at which the count of the log had to end
}

// totalAt is a share with its publication.
type totalAt struct {
	publication uint64
	share
}

// share is what batch has done with a tenant's events below one publication's H.
type share struct {
	counted, duplicates, rejected, uncounted int64
	missing                                  int64 // landed, and not in the ledgers
}

func (b *Books) newSheet(p int) *sheet {
	s := &sheet{b: b, p: p, facts: &b.Partitions[p], ranges: []RangeAudit{}, lots: map[lot]bool{},
		rows: map[string][]Numbers{}, totals: map[string][]totalAt{}}
	s.cut()
	s.landed = make([]map[lot]int64, len(s.ranges))
	for i := range s.landed {
		s.landed[i] = map[lot]int64{}
	}
	return s
}

// cut makes the ranges: they end at the H of each kept publication, where ledgers begin, at
// the chain's head and at the end of the log.
func (s *sheet) cut() {
	ends := []uint64{s.facts.Head.Seq, s.facts.Next}
	for _, st := range s.b.States {
		ends = append(ends, st.H[s.p].Seq)
		for _, l := range st.Ledgers {
			ends = append(ends, l.From[s.p])
		}
	}
	slices.Sort(ends)
	from := position.First
	for _, end := range slices.Compact(ends) {
		if end <= from {
			continue
		}
		r := RangeAudit{From: from, To: end}
		for _, st := range slices.Backward(s.b.States) {
			if st.H[s.p].Seq >= end {
				r.Publication = st.N
			}
		}
		s.ranges = append(s.ranges, r)
		from = end
	}
}

// find returns the range that holds the sequence, or -1.
func (s *sheet) find(seq uint64) int {
	i, _ := slices.BinarySearchFunc(s.ranges, seq, func(r RangeAudit, seq uint64) int {
		if r.To <= seq {
			return -1
		}
		return 1
	})
	if i == len(s.ranges) {
		return -1
	}
	return i
}

func (s *sheet) of(tenant string) []Numbers {
	if s.rows[tenant] == nil {
		s.rows[tenant] = make([]Numbers, len(s.ranges))
	}
	return s.rows[tenant]
}

// land takes in the commit records.
func (s *sheet) land() {
	for _, c := range s.facts.Landed {
		i := s.find(c.Start)
		if i < 0 {
			continue
		}
		for k := range c.Objects {
			o := &c.Objects[k]
			for tenant, n := range tenantsOf(c, o) {
				s.of(tenant)[i].Landed += n
				s.lots[lot{o.Type, tenant}] = true
				s.landed[i][lot{o.Type, tenant}] += n
			}
		}
	}
}

// log takes in what the log has and what ingest has promised to be there. A range that the
// log has not all of, or that cannot be read to its end, cannot be testified to.
func (s *sheet) log(ctx context.Context) error {
	f := s.facts
	logged := make([]map[string]int64, len(s.ranges))
	for i := range logged {
		logged[i] = map[string]int64{}
	}
	readable := f.Next
	if f.First < f.Next {
		err := f.Messages(ctx, f.First, f.Next, func(seq uint64, tenants map[string]int64) {
			i := s.find(seq)
			if i < 0 {
				return
			}
			given := slices.ContainsFunc(f.Holes, func(c *record.Commit) bool { return c.Start <= seq && seq < c.End })
			for tenant, n := range tenants {
				logged[i][tenant] += n
				switch {
				case seq >= f.Head.Seq:
					s.of(tenant)[i].Waiting += n
				case given:
					s.of(tenant)[i].Voided += n
				}
			}
		})
		if errors.As(err, &s.unreadable) {
			readable = s.unreadable.Seq
		} else if err != nil {
			return err
		}
	}
	promised := s.promised()
	for i, r := range s.ranges {
		if f.First >= f.Next || r.From < f.First || r.To > readable {
			continue
		}
		for tenant := range promised[i] {
			s.of(tenant)
		}
		for tenant := range logged[i] {
			s.of(tenant)
		}
		for tenant, rows := range s.rows {
			n := logged[i][tenant]
			rows[i].Logged = &n
			if f.Acknowledged != nil {
				a := promised[i][tenant]
				rows[i].Acknowledged = &a
			}
		}
	}
	return nil
}

// promised are the promises of each range by tenant.
func (s *sheet) promised() []map[string]int64 {
	out := make([]map[string]int64, len(s.ranges))
	for i := range out {
		out[i] = map[string]int64{}
	}
	if s.facts.Acknowledged == nil {
		return out
	}
	for _, x := range s.facts.Acknowledged.Recent {
		if i := s.find(x.Seq); i >= 0 {
			out[i][x.Tenant] += x.Events
		}
	}
	return out
}

// below is how many events of a lot landed in [from, to), which are ends of ranges.
func (s *sheet) below(l lot, from, to uint64) (n int64) {
	for i, r := range s.ranges {
		if r.From >= from && r.To <= to {
			n += s.landed[i][l]
		}
	}
	return n
}

// share adds up by tenant what a publication says of everything below its H.
func (s *sheet) share(st *record.State) map[string]share {
	out := map[string]share{}
	h := st.H[s.p].Seq
	for l := range s.lots {
		x := out[l.tenant]
		all := s.below(l, position.First, h)
		switch ledger, counted := st.Ledgers[l.eventType]; {
		case l.eventType == deadletter.Type:
			x.rejected += all
		case !counted:
			x.uncounted += all
		default:
			entered := s.below(l, ledger.From[s.p], h)
			x.uncounted += all - entered
			x.missing += entered
		}
		out[l.tenant] = x
	}
	for name, ledger := range st.Ledgers {
		if name == deadletter.Type {
			continue // Its views count what is rejected here.
		}
		for tenant, accounts := range ledger.Tenants {
			x := out[tenant]
			a := accounts[s.p]
			x.counted += a.Rows - a.Duplicates
			x.duplicates += a.Duplicates
			x.missing -= a.Rows
			out[tenant] = x
		}
	}
	return out
}

// publish takes in the publications: a range has what the publication that ends with it says
// more than the one before.
func (s *sheet) publish() {
	if len(s.ranges) == 0 {
		return
	}
	before := map[string]share{}
	for _, st := range s.b.States {
		i := s.find(st.H[s.p].Seq - 1)
		shares := s.share(st)
		for tenant, x := range shares {
			old := before[tenant]
			n := &s.of(tenant)[i]
			n.Counted += x.counted - old.counted
			n.Duplicates += x.duplicates - old.duplicates
			n.Rejected += x.rejected - old.rejected
			n.Uncounted += x.uncounted - old.uncounted
			n.Published = n.Counted + n.Duplicates + n.Rejected + n.Uncounted
			n.missing += x.missing - old.missing
			s.totals[tenant] = append(s.totals[tenant], totalAt{st.N, x})
		}
		before = shares
	}
}
