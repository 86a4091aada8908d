package batchview

import (
	"fmt"
	"strings"

	"recount/schemas/query"
	"recount/schemas/sqlschema"
)

// overlaps reports whether a scan is one of sets by windows that overlap (query.Scan.Sets).
func overlaps(scan *query.Scan) bool { return scan.Overlap.Width > 0 && isWindowed(scan) }

// buildSets returns the statement of a scan of sets whose windows overlap. A row of the table is in one window that
// does not overlap, so sets are united by these first. Each of the results then goes into all windows that have it.
//
// Rejected: to put each row into its windows at once. It copies the stored set of each row once for each window.
// Also rejected: window functions of SQL. They have a row for a window only if it has events of its own.
func buildSets(scan *query.Scan, p *pins, sketches []int32, f facts) *statement {
	predicate := scan.Predicate()
	st := &statement{facts: f, hasSketches: len(sketches) > 0}
	table := p.table(scan)
	where := []string{p.condition(f), st.inScan(scan, p.width, f), st.clause(&predicate).holds}
	sets := &setsBranch{st: st, scan: scan, dims: st.keysOf(scan, p.width, nil).dims, table: table, where: all(where)}
	first := scan.Overlap.First
	last := scan.Windows.Len()
	// The speed layer has events near the end, so all windows from one on that needs a sketch get one.
	begin := last
	if st.hasSketches {
		begin = max(int(sketches[0]), first)
	}
	var branches []string
	if begin > first {
		branches = append(branches, sets.sql(first, begin, false))
	}
	if begin < last {
		branches = append(branches, sets.sql(begin, last, true))
	}
	part, parts := partColumns(table)
	branches = append(branches, st.noGroup(newCollector(scan, 0, st).zeros(), part, noOverflow)+parts)
	st.sql = strings.Join(branches, "\nUNION ALL\n")
	return st
}

// setsBranch makes branches of overlapping windows.
type setsBranch struct {
	st    *statement
	scan  *query.Scan
	dims  []string
	table string
	where string
}

// sql returns the branch of the windows [first, last), with sketches or without.
func (b *setsBranch) sql(first, last int, sketches bool) string {
	width := b.scan.Overlap.Width
	from, _ := b.scan.Windows.Span(max(first-width+1, 0))
	_, to := b.scan.Windows.Span(last - 1)
	inner := []string{windowIndex(b.scan.Windows, cellMicros) + " AS _f"}
	outer := []string{fmt.Sprintf("toInt32(arrayJoin(range(greatest(_f, %d), least(_f + %d, %d)))) AS _w", first, width,
		last)}
	innerKeys := []string{"_f"}
	outerKeys := []string{"_w"}
	for i, expr := range b.dims {
		name := fmt.Sprint("_d", i)
		inner = append(inner, expr+" AS "+name)
		outer = append(outer, name)
		innerKeys = append(innerKeys, name)
		outerKeys = append(outerKeys, name)
	}
	inner = append(inner, "sum("+sqlschema.ColEvents+") AS _e")
	outer = append(outer, "sum(_e)")
	for i := range b.scan.Measures {
		hashes := hashesOf(&b.scan.Measures[i])
		inner = append(inner, fmt.Sprintf("uniqExactArrayState(%s) AS _s%d", hashes, i))
		switch {
		case sketches:
			inner = append(inner, fmt.Sprintf("groupUniqArrayArrayState(%s) AS _r%d", registersOf(hashes), i))
			outer = append(outer, setColumns(fmt.Sprintf("uniqExactArrayMergeState(_s%d)", i),
				fmt.Sprintf("groupUniqArrayArrayMergeState(_r%d)", i))...)
		case b.st.hasSketches:
			outer = append(outer, fmt.Sprintf("uniqExactArrayMerge(_s%d)", i), "''")
		default:
			outer = append(outer, fmt.Sprintf("uniqExactArrayMerge(_s%d)", i))
		}
	}
	return b.st.selectColumns(outer, noPart, noOverflow) + " FROM (SELECT " + strings.Join(inner, ", ") + " FROM " +
		sqlschema.Quote(b.table) + " WHERE " + all([]string{b.where, rangeCondition("time", from, to)}) + " GROUP BY " +
		strings.Join(innerKeys, ", ") + ") GROUP BY " + strings.Join(outerKeys, ", ")
}
