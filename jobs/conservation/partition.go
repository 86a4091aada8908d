package conservation

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"recount/schemas/deadletter"
	"recount/schemas/position"
	"recount/schemas/record"
)

// lot identifies the events of one type and tenant.
type lot struct{ eventType, tenant string }

// sheet is the working state for one partition: its ranges, and the numbers of each range by tenant.
type sheet struct {
	b     *Books
	p     int
	facts *Partition
	// ranges are the partition's ranges, without numbers.
	ranges []RangeAudit
	// landed is how many events of each lot landed in each range.
	landed []map[lot]int64
	lots   map[lot]bool
	// rows holds the numbers of each range by tenant.
	rows   map[string][]Numbers
	totals map[string][]totalAt

	// unreadable is the message at which counting the log had to end, if any.
	unreadable *UnreadableError
}

// totalAt is a share with its publication.
type totalAt struct {
	publication uint64
	share
}

// share is what batch has done with a tenant's events below one publication's H.
type share struct {
	counted, duplicates, rejected, uncounted int64
	// conflicts is a part of duplicates.
	conflicts int64
	// missing is how many landed events the ledgers lack.
	missing int64
}

func (b *Books) newSheet(p int) *sheet {
	s := &sheet{b: b, p: p, facts: &b.Partitions[p], ranges: []RangeAudit{}, lots: map[lot]bool{},
		rows: map[string][]Numbers{}, totals: map[string][]totalAt{}}
	s.makeRanges()
	s.landed = make([]map[lot]int64, len(s.ranges))
	for i := range s.landed {
		s.landed[i] = map[lot]int64{}
	}
	return s
}

// makeRanges makes the ranges. A range ends at the H of each kept publication, where a ledger
// begins, at the chain's head and at the end of the log.
func (s *sheet) makeRanges() {
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

// findRange returns the index of the range that holds the sequence, or -1.
func (s *sheet) findRange(seq uint64) int {
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

// tenantRows returns the numbers of a tenant, one per range.
func (s *sheet) tenantRows(tenant string) []Numbers {
	if s.rows[tenant] == nil {
		s.rows[tenant] = make([]Numbers, len(s.ranges))
	}
	return s.rows[tenant]
}

// addLanded counts the commit records.
func (s *sheet) addLanded() {
	for _, c := range s.facts.Landed {
		i := s.findRange(c.Start)
		if i < 0 {
			continue
		}
		for k := range c.Objects {
			o := &c.Objects[k]
			for tenant, n := range tenantsOf(c, o) {
				s.tenantRows(tenant)[i].Landed += n
				s.lots[lot{o.Type, tenant}] = true
				s.landed[i][lot{o.Type, tenant}] += n
			}
		}
	}
}

// addLogged counts the messages of the log, and what ingest has promised to be in them. A range
// that is trimmed in part, or that has a corrupt message, gets neither number.
func (s *sheet) addLogged(ctx context.Context) error {
	f := s.facts
	logged, readable, err := s.readLog(ctx)
	if err != nil {
		return err
	}
	promised := s.promisedByRange()
	s.addGivenUp()
	for i, r := range s.ranges {
		if f.First >= f.Next || r.From < f.First || r.To > readable {
			continue
		}
		for tenant := range promised[i] {
			s.tenantRows(tenant)
		}
		for tenant := range logged[i] {
			s.tenantRows(tenant)
		}
		for tenant, rows := range s.rows {
			n := logged[i][tenant]
			rows[i].Logged = &n
			if f.Acknowledged != nil {
				a := promised[i][tenant] + rows[i].Voided
				rows[i].Acknowledged = &a
			}
		}
	}
	return nil
}

// addGivenUp counts what ingest had promised to be in messages that are in a hole (C7).
func (s *sheet) addGivenUp() {
	if s.facts.Acknowledged == nil {
		return
	}
	for _, x := range s.facts.Acknowledged.GivenUp {
		if i := s.findRange(x.Seq); i >= 0 {
			s.tenantRows(x.Tenant)[i].Voided += x.Events
		}
	}
}

// readLog counts the events of the log's messages by range and tenant, up to readable: the end
// of the log, or its first message that cannot be read. It also counts those that wait. It does not
// read the messages in a hole.
func (s *sheet) readLog(ctx context.Context) (logged []map[string]int64, readable uint64, err error) {
	f := s.facts
	logged = make([]map[string]int64, len(s.ranges))
	for i := range logged {
		logged[i] = map[string]int64{}
	}
	count := func(seq uint64, tenants map[string]int64) {
		i := s.findRange(seq)
		if i < 0 {
			return
		}
		for tenant, n := range tenants {
			logged[i][tenant] += n
			if seq >= f.Head.Seq {
				s.tenantRows(tenant)[i].Waiting += n
			}
		}
	}
	for _, r := range f.withoutHoles() {
		err := f.Messages(ctx, r[0], r[1], count)
		if errors.As(err, &s.unreadable) {
			return logged, s.unreadable.Seq, nil
		}
		if err != nil {
			return logged, f.Next, err
		}
	}
	return logged, f.Next, nil
}

// withoutHoles returns the ranges of the log that are in no hole.
func (p *Partition) withoutHoles() (ranges [][2]uint64) {
	from := p.First
	for _, hole := range append(slices.Clip(p.Holes), &record.Commit{Start: p.Next, End: p.Next}) {
		if end := min(hole.Start, p.Next); from < end {
			ranges = append(ranges, [2]uint64{from, end})
		}
		from = max(from, hole.End)
	}
	return ranges
}

// promisedByRange returns how many events ingest promised in each range, by tenant.
func (s *sheet) promisedByRange() []map[string]int64 {
	out := make([]map[string]int64, len(s.ranges))
	for i := range out {
		out[i] = map[string]int64{}
	}
	if s.facts.Acknowledged == nil {
		return out
	}
	for _, x := range s.facts.Acknowledged.Recent {
		if i := s.findRange(x.Seq); i >= 0 {
			out[i][x.Tenant] += x.Events
		}
	}
	return out
}

// landedBetween returns how many events of a lot landed in [from, to). Both must be ends of ranges.
func (s *sheet) landedBetween(l lot, from, to uint64) (n int64) {
	for i, r := range s.ranges {
		if r.From >= from && r.To <= to {
			n += s.landed[i][l]
		}
	}
	return n
}

// sharesBelow adds up by tenant what a publication says of everything below its H.
func (s *sheet) sharesBelow(st *record.State) map[string]share {
	out := map[string]share{}
	views := s.b.viewsIn(st)
	h := st.H[s.p].Seq
	for l := range s.lots {
		x := out[l.tenant]
		all := s.landedBetween(l, position.First, h)
		switch ledger, counted := st.Ledgers[l.eventType]; {
		case l.eventType == deadletter.Type:
			x.rejected += all
		case !counted:
			x.uncounted += all
		default:
			entered := s.landedBetween(l, ledger.From[s.p], h)
			x.uncounted += all - entered
			if views.areBeingFilled(l.eventType) {
				// The ledger has the tenant's events in the buckets that are counted. How many these are is only known
				// for all tenants together (auditPublication).
				n := min(entered, rowsOf(ledger, l.tenant, s.p))
				x.uncounted += entered - n
				entered = n
			}
			x.missing += entered
		}
		out[l.tenant] = x
	}
	for name, ledger := range st.Ledgers {
		if name == deadletter.Type {
			continue // Views of dead letters count events that are already counted as rejected.
		}
		for tenant, accounts := range ledger.Tenants {
			x := out[tenant]
			a := accounts[s.p]
			x.counted += a.Rows - a.Duplicates
			x.duplicates += a.Duplicates
			x.conflicts += a.Conflicts
			x.missing -= a.Rows
			out[tenant] = x
		}
	}
	return out
}

// addPublished counts the publications. The numbers of a range are what the publication that
// ends with it says, minus what the publication before that one says.
func (s *sheet) addPublished() {
	if len(s.ranges) == 0 {
		return
	}
	before := map[string]share{}
	for _, st := range s.b.States {
		i := s.findRange(st.H[s.p].Seq - 1)
		shares := s.sharesBelow(st)
		for tenant, x := range shares {
			old := before[tenant]
			n := &s.tenantRows(tenant)[i]
			n.Counted += x.counted - old.counted
			n.Duplicates += x.duplicates - old.duplicates
			n.Conflicts += x.conflicts - old.conflicts
			n.Rejected += x.rejected - old.rejected
			n.Uncounted += x.uncounted - old.uncounted
			n.Published = n.Counted + n.Duplicates + n.Rejected + n.Uncounted
			n.missing += x.missing - old.missing
			s.totals[tenant] = append(s.totals[tenant], totalAt{st.N, x})
		}
		before = shares
	}
}

// rowsOf returns how many rows of a tenant in a partition a ledger has.
func rowsOf(l record.Ledger, tenant string, p int) int64 {
	if accounts := l.Tenants[tenant]; accounts != nil {
		return accounts[p].Rows
	}
	return 0
}

// addUnfilled adds by type the events below H of a publication that it does not count yet: they are in buckets to which
// no view of the type is filled (B8), and which the publication has no counts of.
func (s *sheet) addUnfilled(st *record.State, views *publishedViews, unfilled map[string]int64) {
	for _, c := range s.facts.Landed {
		if c.End > st.H[s.p].Seq {
			return
		}
		for i := range c.Objects {
			o := &c.Objects[i]
			if !views.areBeingFilled(o.Type) {
				continue
			}
			for _, b := range o.Buckets {
				_, counted := slices.BinarySearchFunc(st.Types[o.Type], b.Bucket,
					func(c record.BucketCount, start int64) int { return cmp.Compare(c.Bucket, start) })
				if !counted && !views.areFilled(o.Type, b.Bucket) {
					unfilled[o.Type] += b.Rows
				}
			}
		}
	}
}
