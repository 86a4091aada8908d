package oracle

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"recount/schemas/catalog"
	"recount/schemas/query"
)

// judgement says whether conditions hold for an event as it is counted, and whether they may hold and certainly hold
// for the values in place of the overflowed ones.
type judgement struct{ holds, may, must bool }

// judge evaluates conditions as they are written. All of them have to hold.
func judge(where []query.Condition, e Event) judgement {
	all := judgement{true, true, true}
	for _, c := range where {
		j := judgeOne(c, e)
		all = judgement{all.holds && j.holds, all.may && j.may, all.must && j.must}
	}
	return all
}

func judgeOne(c query.Condition, e Event) judgement {
	switch {
	case c.Not != nil:
		j := judgeOne(*c.Not, e)
		return judgement{!j.holds, !j.must, !j.may}
	case c.And != nil:
		return judge(c.And, e)
	case c.Or != nil:
		some := judgement{}
		for _, part := range c.Or {
			j := judgeOne(part, e)
			some = judgement{some.holds || j.holds, some.may || j.may, some.must || j.must}
		}
		return some
	}
	v := e.Fields[c.Dimension]
	is := compares(c, v)
	if c.Op != query.Exists && isOverflow(v) {
		return judgement{is, true, false}
	}
	return judgement{is, is, is}
}

func isOverflow(v any) bool { return v == catalog.Overflow || v == int64(catalog.OverflowInt) }

// compares reports whether a comparison holds for a value.
func compares(c query.Condition, v any) bool {
	in := slices.Contains(c.Values, v)
	text, _ := v.(string)
	other := fmt.Sprint(c.Values[0])
	switch c.Op {
	case query.Eq, query.In:
		return in
	case query.Ne, query.NotIn:
		return !in
	case query.Exists:
		return (v != nil) == (c.Values[0] == true)
	}
	if v == nil {
		return false
	}
	order := func(i int) int {
		if n, ok := v.(int64); ok {
			return cmp.Compare(n, c.Values[i].(int64))
		}
		return slices.Compare([]byte(text), []byte(c.Values[i].(string)))
	}
	switch c.Op {
	case query.Prefix:
		return strings.HasPrefix(text, other)
	case query.Suffix:
		return strings.HasSuffix(text, other)
	case query.Contains:
		return strings.Contains(text, other)
	case query.Lt:
		return order(0) < 0
	case query.Le:
		return order(0) <= 0
	case query.Gt:
		return order(0) > 0
	case query.Ge:
		return order(0) >= 0
	}
	return order(0) >= 0 && order(1) <= 0
}

// Keeps reports whether all conditions hold for the event.
func Keeps(where []query.Condition, e Event) bool { return judge(where, e).holds }

// DrawWhere draws up to most conditions, some of which are trees, on the dimensions of the catalog's view.
func DrawWhere(t *rapid.T, most int) []query.Condition {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) query.Condition { return drawCondition(t, 3) }), 0, most).
		Draw(t, "where")
}

// drawCondition draws a tree with at most depth and, or and not inside each other.
func drawCondition(t *rapid.T, depth int) query.Condition {
	kind := rapid.IntRange(0, 8).Draw(t, "kind")
	if depth == 0 || kind > 4 {
		return drawComparison(t)
	}
	inner := rapid.Custom(func(t *rapid.T) query.Condition { return drawCondition(t, depth-1) })
	switch kind {
	case 0:
		c := inner.Draw(t, "not")
		return query.Condition{Not: &c}
	case 1, 2:
		return query.Condition{And: rapid.SliceOfN(inner, 1, 3).Draw(t, "and")}
	}
	return query.Condition{Or: rapid.SliceOfN(inner, 1, 3).Draw(t, "or")}
}

// Ints are the values drawn for conditions on numbers.
var Ints = []int64{-4, -3, 0, 1, 5, 1 << 40, math.MinInt64, math.MinInt64 + 5, math.MaxInt64 - 5, math.MaxInt64}

func drawComparison(t *rapid.T) query.Condition {
	texts := rapid.SampledFrom(append([]string{"absent", "R", "'", `\`, "%", "_", "\u00c5", "~"}, Strings...))
	values := map[string]*rapid.Generator[any]{
		"origin":    rapid.Map(texts, func(s string) any { return s }),
		"delay":     rapid.Map(rapid.SampledFrom(Ints), func(n int64) any { return n }),
		"cancelled": rapid.Map(rapid.Bool(), func(b bool) any { return b }),
	}
	c := query.Condition{Op: rapid.SampledFrom(query.Ops).Draw(t, "op")}
	dimensions := []string{"origin", "delay", "cancelled"}
	switch c.Op {
	case query.Prefix, query.Suffix, query.Contains:
		dimensions = dimensions[:1]
	case query.Lt, query.Le, query.Gt, query.Ge, query.Between:
		dimensions = dimensions[:2]
	}
	c.Dimension = rapid.SampledFrom(dimensions).Draw(t, "dimension")
	value := values[c.Dimension]
	orNull := rapid.OneOf(value, value, value, rapid.Just[any](nil))
	switch c.Op {
	case query.Exists:
		c.Value = rapid.Bool().Draw(t, "exists")
	case query.In, query.NotIn:
		c.Values = rapid.SliceOfN(orNull, 1, 4).Draw(t, "values")
	case query.Eq, query.Ne:
		c.Value = orNull.Draw(t, "value")
	case query.Between:
		c.Values = rapid.SliceOfN(value, 2, 2).Draw(t, "ends")
		slices.SortFunc(c.Values, func(a, b any) int { return Compare(a, b, false) })
	default:
		c.Value = value.Draw(t, "value")
	}
	return c
}
