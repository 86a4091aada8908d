package query

import "slices"

// OtherGroups returns a query for the groups of each window that an answer does not show, and its scan. Having is not
// applied: a group that it leaves out is not shown. So the rows and the others together are all groups.
func (q *Query) OtherGroups(s *Scan) (*Query, *Scan) {
	others := &Query{View: q.View, Measures: q.Measures, Derived: q.Derived, From: q.From, To: q.To,
		Granularity: q.Granularity, TimeZone: q.TimeZone, Fill: q.Fill, Where: q.Where, Limit: MaxLimit, Mode: q.Mode,
		AsOf: q.AsOf}
	return others, s.withoutGroups(q)
}

// withoutGroups returns the scan by window alone, of the measures that are in rows or in derived numbers.
func (s *Scan) withoutGroups(q *Query) *Scan {
	scan := *s
	scan.GroupBy = nil
	scan.Having = nil
	returned := s.returned(q)
	scan.Measures = s.Measures[:returned:returned]
	return &scan
}

// checkOthers refuses what has no others.
func (q *Query) checkOthers(s *Scan) error {
	switch {
	case !q.Others:
		return nil
	case len(q.GroupBy) == 0:
		return invalid("others", "without group_by there is one group; add group_by, or ask without others")
	case q.page.skip > 0:
		return invalid("others", "the others are in no row of the first page; ask for them without cursor")
	case (q.Rolling != "" || q.Cumulative) && s.withoutGroups(q).HasDistinct():
		return invalid("others", "distinct counts of windows that overlap have none; leave them out of measures and "+
			"derived, or ask without rolling and cumulative")
	}
	return nil
}

// Earlier returns the same groups of the earlier windows that are compared with theirs. A window without an earlier one
// becomes -1.
func (p *Part) Earlier(c *Comparison) *Part {
	out := *p
	out.Windows = slices.Clone(p.Windows)
	for row, w := range p.Windows {
		out.Windows[row] = c.Places[w]
	}
	return &out
}
