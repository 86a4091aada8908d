package batchview

import (
	"slices"
	"strings"

	"recount/schemas/catalog"
	"recount/schemas/query"
	"recount/schemas/sqlschema"
)

// statement is the SQL of a scan with its parameters. Its columns are, in order: is it a
// group (or the guard), window, two for each dimension (value, is null), events, those
// of each measure, the number of table rows read with the sum of their buckets' hashes, and
// the two of query.Overflow.
type statement struct {
	sql  string
	args []any
}

// readsAll reports whether the scan reads every pinned row of its tenant, so that
// its groups can prove the pins themselves when there is no other tenant.
func readsAll(scan *query.Scan, p *pins) bool {
	return len(scan.Where) == 0 && scan.Windows.From%p.width == 0 && scan.Windows.To%p.width == 0
}

// build returns the statement of a scan. pins has at least one row. With guard it has a branch
// that counts the pinned rows; without, the groups count theirs.
func build(scan *query.Scan, p *pins, sketches []int32, guard bool) *statement {
	st := &statement{}
	table := sqlschema.Quote(sqlschema.Table(scan.View, scan.Digest))
	own := st.own(scan, p.width)
	conditions := st.conditions(scan)
	where := " FROM " + table + " WHERE " + strings.Join(append([]string{p.condition(), own}, conditions...), " AND ")
	var branches []string
	with := []span(nil)
	if hasDistinct(scan) {
		with = spansOf(scan.Windows, sketches)
	}
	whole := len(with) == 1 && with[0] == span{scan.Windows.From, scan.Windows.To}
	if !whole {
		branches = append(branches, groupColumns(scan, false, !guard)+where+within(with, "AND NOT")+groupBy(scan))
	}
	if len(with) > 0 {
		hull := span{with[0].from, with[len(with)-1].to}
		bucket := " AND " + between("_bucket", hull.from-hull.from%p.width, hull.to)
		branches = append(branches, groupColumns(scan, true, !guard)+where+bucket+within(with, "AND")+groupBy(scan))
	}
	if guard {
		columns := append(guardColumns(scan), overflowColumns(scan, own, conditions)...)
		branches = append(branches, "SELECT "+strings.Join(columns, ", ")+" FROM "+table+" WHERE "+p.condition())
	}
	st.sql = strings.Join(branches, "\nUNION ALL\n")
	return st
}

// own is the predicate of the tenant's rows in the scan's range among the pinned ones.
func (st *statement) own(scan *query.Scan, width int64) string {
	w := scan.Windows
	tenant := "tenant = " + st.param(scan.Tenant, "String")
	if w.From%width == 0 && w.To%width == 0 {
		return tenant // The pinned buckets are the range.
	}
	return tenant + " AND " + between("time", w.From, w.To)
}

// within adds the predicate of the spans, or with AND NOT of the time outside of them.
func within(spans []span, how string) string {
	if len(spans) == 0 {
		return ""
	}
	var parts []string
	for _, s := range spans {
		parts = append(parts, between("time", s.from, s.to))
	}
	return " " + how + " (" + strings.Join(parts, " OR ") + ")"
}

func hasDistinct(scan *query.Scan) bool {
	return slices.ContainsFunc(scan.Measures, func(m query.Measure) bool { return m.Kind == catalog.Distinct })
}

func groupColumns(scan *query.Scan, sketches, counted bool) string {
	cols := []string{"toUInt8(1)", windowIndex(scan.Windows) + " AS _w"}
	for _, d := range scan.GroupBy {
		name := sqlschema.Quote(d.Name)
		switch d.Type {
		case catalog.String:
			cols = append(cols, "ifNull("+name+", '')")
		default:
			cols = append(cols, "ifNull(toInt64("+name+"), 0)")
		}
		cols = append(cols, "isNull("+name+")")
	}
	cols = append(cols, "sum(_events)")
	for _, m := range scan.Measures {
		cols = append(cols, measureColumns(m, sketches)...)
	}
	if counted {
		cols = append(cols, rowsAndSum...)
	} else {
		cols = append(cols, noCounts...)
	}
	return "SELECT " + strings.Join(append(cols, noCounts...), ", ")
}

// measureColumns are the aggregates of one measure; collector.measure reads them.
func measureColumns(m query.Measure, sketches bool) []string {
	name := func(suffix string) string { return sqlschema.Quote(m.Name + suffix) }
	switch m.Kind {
	case catalog.Count:
		return []string{"sum(" + name("") + ")"}
	case catalog.Sum, catalog.Avg:
		if m.Type == catalog.Float64 {
			return []string{"sum(" + name("__n") + ")", "sum(" + name("__sum") + ")"}
		}
		sum := "sum(" + name("__sum") + ")"
		return []string{"sum(" + name("__n") + ")", "toInt64(bitShiftRight(" + sum + ", 64))", "toUInt64(" + sum + ")"}
	case catalog.Min, catalog.Max:
		value := string(m.Kind) + "(" + name("") + ")"
		if m.Type == catalog.Timestamp {
			value = "toUnixTimestamp64Micro(" + value + ")"
		}
		return []string{"count(" + name("") + ")", "ifNull(" + value + ", 0)"}
	}
	// A uniqExact state is its number of hashes, in as many bytes as the length is over a multiple of 8, then the
	// hashes. Taken as an array they are copied; uniqExactMerge of the CAST would make a set of every row first.
	state := name("__state")
	exact := "uniqExactArray(reinterpret(substring(" + state + ", length(" + state + ") % 8 + 1), 'Array(UInt64)'))"
	if sketches {
		return []string{exact, "toString(groupUniqArrayArrayState(" + name("__sketch") + "))"}
	}
	return []string{exact, "''"}
}

func groupBy(scan *query.Scan) string {
	out := " GROUP BY _w"
	for _, d := range scan.GroupBy {
		out += ", " + sqlschema.Quote(d.Name)
	}
	return out
}

// rowsAndSum are the aggregates that prove rows to be the pinned ones.
var (
	rowsAndSum = []string{"count()", "sum(intHash64(toUInt64(toUnixTimestamp64Micro(_bucket))))"}
	noCounts   = []string{"toUInt64(0)", "toUInt64(0)"}
)

// guardColumns are the columns of the guard: zeros of the groups' types, and what it counted.
func guardColumns(scan *query.Scan) []string {
	cols := []string{"toUInt8(0)", "toInt32(0)"}
	for _, d := range scan.GroupBy {
		cols = append(cols, map[bool]string{true: "''", false: "toInt64(0)"}[d.Type == catalog.String], "toUInt8(0)")
	}
	cols = append(cols, "toUInt64(0)")
	for _, m := range scan.Measures {
		cols = append(cols, measureZeros(m)...)
	}
	return append(cols, rowsAndSum...)
}

func measureZeros(m query.Measure) []string {
	switch {
	case m.Kind == catalog.Count:
		return []string{"toUInt64(0)"}
	case m.Kind == catalog.Distinct:
		return []string{"toUInt64(0)", "''"}
	case m.Type == catalog.Float64:
		return []string{"toUInt64(0)", "toFloat64(0)"}
	case m.Kind == catalog.Sum || m.Kind == catalog.Avg:
		return []string{"toUInt64(0)", "toInt64(0)", "toUInt64(0)"}
	}
	return []string{"toUInt64(0)", "toInt64(0)"}
}
