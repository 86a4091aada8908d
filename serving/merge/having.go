package merge

import (
	"cmp"

	"recount/schemas/query"
)

// keep removes the rows for which not all of the conditions on measures hold.
func (g *groups) keep(having []query.Condition, columns []column) {
	if len(having) == 0 {
		return
	}
	used := make([]bool, len(columns))
	markColumns(having, used)
	values := make([]value, len(columns))
	kept := 0
	for i := range g.window {
		for j := range columns {
			if used[j] {
				values[j], _ = columns[j].mergedValue(g, i)
			}
		}
		if !allHold(having, values) {
			continue
		}
		g.move(i, kept)
		kept++
	}
	g.cut(kept)
}

// markColumns marks the columns that conditions compare.
func markColumns(conditions []query.Condition, used []bool) {
	for i := range conditions {
		c := &conditions[i]
		switch {
		case c.Not != nil:
			markColumns([]query.Condition{*c.Not}, used)
		case c.And != nil:
			markColumns(c.And, used)
		case c.Or != nil:
			markColumns(c.Or, used)
		default:
			used[c.Column] = true
		}
	}
}

// allHold reports whether all conditions hold for a row, given its values by column.
func allHold(conditions []query.Condition, values []value) bool {
	for i := range conditions {
		if !holds(&conditions[i], values) {
			return false
		}
	}
	return true
}

func holds(c *query.Condition, values []value) bool {
	switch {
	case c.Not != nil:
		return !holds(c.Not, values)
	case c.And != nil:
		return allHold(c.And, values)
	case c.Or != nil:
		for i := range c.Or {
			if holds(&c.Or[i], values) {
				return true
			}
		}
		return false
	}
	return compares(c, &values[c.Column])
}

// compares reports whether a comparison holds for a value. A null equals null alone, and has no order.
func compares(c *query.Condition, v *value) bool {
	if v.null || c.Values[0] == nil {
		same := v.null && c.Values[0] == nil
		return c.Op == query.Eq && same || c.Op == query.Ne && !same
	}
	order := v.compare(c.Values[0])
	switch c.Op {
	case query.Eq:
		return order == 0
	case query.Ne:
		return order != 0
	case query.Lt:
		return order < 0
	case query.Le:
		return order <= 0
	case query.Gt:
		return order > 0
	case query.Ge:
		return order >= 0
	}
	return order >= 0 && v.compare(c.Values[1]) <= 0 // Between includes both ends.
}

// compare orders a value that is not null and one of a condition, which has its type.
func (v *value) compare(with any) int {
	switch w := with.(type) {
	case int64:
		return cmp.Compare(v.i, w)
	case float64:
		return cmp.Compare(v.f, w)
	}
	return v.wide().Compare(with.(query.Wide))
}
