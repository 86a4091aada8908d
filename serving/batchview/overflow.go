package batchview

import (
	"slices"
	"strings"

	"recount/schemas/catalog"
	"recount/schemas/query"
	"recount/schemas/sqlschema"
)

// overflowHidesEvents reports whether overflow can hide events from the scan's conditions. If it
// cannot, the groups show all of it, and the table need not be read a second time.
func overflowHidesEvents(scan *query.Scan, f facts) bool {
	return slices.ContainsFunc(scan.Where, func(c query.Condition) bool {
		return c.Unsure() && !f.regular[c.Dimension]
	})
}

// overflowColumns returns the two counts of query.Overflow over all pinned rows. inScan is the
// predicate of the rows in the scan's tenant and range, and conditions are those of its Where.
func overflowColumns(scan *query.Scan, inScan string, conditions []string) []string {
	possible := []string{inScan}
	unknown := []string{}
	for i, c := range scan.Where {
		if !c.Unsure() {
			possible = append(possible, conditions[i])
			continue
		}
		isOverflow := overflowed(c.Dimension, c.Type)
		possible = append(possible, "("+conditions[i]+" OR "+isOverflow+")")
		unknown = append(unknown, isOverflow)
	}
	for _, d := range scan.GroupBy {
		if d.Type != catalog.Bool {
			unknown = append(unknown, overflowed(d.Name, d.Type))
		}
	}
	undecided := strings.Join(possible, " AND ") + " AND (" + strings.Join(unknown, " OR ") + ")"
	return []string{"sumIf(_events, " + undecided + ")",
		"sumIf(_events, " + undecided + " AND NOT (" + strings.Join(conditions, " AND ") + "))"}
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
