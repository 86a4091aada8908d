package batchview

import (
	"strings"

	"recount/schemas/catalog"
	"recount/schemas/query"
	"recount/schemas/sqlschema"
)

// overflowHidesEvents reports whether overflow can hide events from the scan's conditions. If it
// cannot, the groups show all of it, and the table need not be read a second time.
func overflowHidesEvents(where *query.Predicate, f facts) (hides bool) {
	where.Tests(func(t *query.Test) { hides = hides || t.Unsure() && !f.regular[t.Dimension] })
	return hides
}

// overflowColumns returns the two counts of query.Overflow over all pinned rows. inScan is the
// predicate of the rows in the scan's tenant and range, and where has those of its conditions.
func overflowColumns(scan *query.Scan, inScan string, where clause) []string {
	unknown := []string{"NOT " + where.certain}
	for _, d := range scan.GroupBy {
		if d.Type != catalog.Bool {
			unknown = append(unknown, overflowed(d.Name, d.Type))
		}
	}
	undecided := inScan + " AND " + where.possible + " AND (" + strings.Join(unknown, " OR ") + ")"
	return []string{"sumIf(_events, " + undecided + ")",
		"sumIf(_events, " + undecided + " AND NOT " + where.holds + ")"}
}

// overflowed returns the predicate of rows in which the dimension has the overflow value.
func overflowed(dimension string, t catalog.FieldType) string {
	value := "'" + catalog.Overflow + "'"
	if t == catalog.Int64 {
		// catalog.OverflowInt is quoted, because ClickHouse would read the number as a float.
		value = "toInt64('-9223372036854775808')"
	}
	return "ifNull(" + sqlschema.Quote(dimension) + " = " + value + ", 0)"
}

// addOverflow counts the events of a group in which a dimension has the overflow value.
func (c *collector) addOverflow() {
	for d, dim := range c.scan.GroupBy {
		cell := &c.dims[d]
		switch {
		case cell.null == 1:
		case dim.Type == catalog.String && cell.text == catalog.Overflow, dim.Type == catalog.Int64 &&
			cell.num == catalog.OverflowInt:
			c.part.Overflow.Events += c.events
			return
		}
	}
}
