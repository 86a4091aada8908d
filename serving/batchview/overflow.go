package batchview

import (
	"slices"
	"strings"

	"recount/schemas/catalog"
	"recount/schemas/query"
	"recount/schemas/sqlschema"
)

// unsure reports whether overflow can hide events from the scan's conditions. Where it cannot, the
// groups show all of it, and reading the table a second time is spared.
func unsure(scan *query.Scan) bool {
	return slices.ContainsFunc(scan.Where, func(c query.Condition) bool { return c.Unsure() })
}

// overflowColumns are the two counts of query.Overflow over the guard's rows: own is the
// predicate of the rows that are the scan's, conditions are those of its Where.
func overflowColumns(scan *query.Scan, own string, conditions []string) []string {
	if !unsure(scan) {
		return noCounts
	}
	possible := []string{own}
	unknown := []string{}
	for i, c := range scan.Where {
		if !c.Unsure() {
			possible = append(possible, conditions[i])
			continue
		}
		over := overflowed(c.Dimension, c.Type)
		possible = append(possible, "("+conditions[i]+" OR "+over+")")
		unknown = append(unknown, over)
	}
	for _, d := range scan.GroupBy {
		if d.Type != catalog.Bool {
			unknown = append(unknown, overflowed(d.Name, d.Type))
		}
	}
	open := strings.Join(possible, " AND ") + " AND (" + strings.Join(unknown, " OR ") + ")"
	return []string{"sumIf(_events, " + open + ")",
		"sumIf(_events, " + open + " AND NOT (" + strings.Join(conditions, " AND ") + "))"}
}

// overflowed is the predicate of a dimension that holds what stands for a value too many.
func overflowed(dimension string, t catalog.FieldType) string {
	value := "'" + catalog.Overflow + "'"
	if t == catalog.Int64 {
		value = "toInt64('-9223372036854775808')" // catalog.OverflowInt; as a number it is read as a float.
	}
	return "ifNull(" + sqlschema.Quote(dimension) + " = " + value + ", 0)"
}

// overflow counts a group's events if a value too many is one of its dimensions'.
func (c *collector) overflow() {
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
