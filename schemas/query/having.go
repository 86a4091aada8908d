package query

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"recount/schemas/catalog"
	"recount/schemas/decimal"
)

// havingOps are the operators of having. A list of values would be searched once a row, and texts are no measures.
var havingOps = []Op{Eq, Ne, Lt, Le, Gt, Ge, Between}

// Wide is a number of units of a sum of decimals: High:Low in two's complement.
type Wide struct {
	High int64
	Low  uint64
}

// Compare orders two numbers of units.
func (w Wide) Compare(o Wide) int {
	return cmp.Or(cmp.Compare(w.High, o.High), cmp.Compare(w.Low, o.Low))
}

// having resolves the conditions on measures. Measures that the query does not ask for are added to the scan, as those
// that order rows are.
func (q *Query) having(c *catalog.Catalog, s *Scan) ([]Condition, error) {
	r := resolver{clause: &havingClause, catalog: c, view: s.View}
	r.compare = func(c *Condition, place string) error { return r.measure(s, c, place) }
	return r.list(q.Having, r.clause.field, 0)
}

// measure resolves a comparison of a measure.
func (r *resolver) measure(s *Scan, c *Condition, place string) error {
	m, err := measureNamed(r.catalog, r.view, place, c.Measure)
	derived := s.derived(c.Measure)
	switch {
	case c.Dimension != "":
		return invalid(place, "a condition of having has measure; write that of dimension %s into where", c.Dimension)
	case err != nil && slices.Contains(r.view.Dimensions, c.Measure):
		return invalid(place, "%s is a dimension; write its condition into where", c.Measure)
	case err != nil && derived < 0:
		return err
	case !slices.Contains(havingOps, c.Op):
		return invalid(place, "%s: a measure has no op %q; use one of %v", c.Measure, c.Op, havingOps)
	}
	if err := c.takeValues(place); err != nil {
		return err
	}
	if derived >= 0 {
		c.Column = derived
		c.Type = s.Derived[derived].Type()
	} else {
		at := s.column(m)
		c.Column = len(s.Derived) + at
		c.Type = s.Measures[at].ResultType()
	}
	c.Values = slices.Clone(c.Values)
	for i, v := range c.Values {
		switch {
		case v == nil && (c.Op == Eq || c.Op == Ne):
			continue
		case v == nil:
			return invalid(place, "%s: a missing value has no order; compare it by eq or ne", c.Measure)
		}
		typed, err := measureValue(v, c.Type)
		if err != nil {
			return invalid(place, "%s: %v; write %s", c.Measure, err, form(c.Type, err))
		}
		c.Values[i] = typed
	}
	if c.Op == Between && compareMeasure(c.Values[0], c.Values[1]) > 0 {
		return invalid(place, "%s between: the first value is above the second; exchange them", c.Measure)
	}
	return nil
}

// measureValue returns a value as one of a measure of type t.
func measureValue(v any, t catalog.FieldType) (any, error) {
	d, ok := decimal.ParseType(string(t))
	if !ok || d.Precision <= decimal.MaxPrecision {
		return typedValue(v, t)
	}
	switch v.(type) {
	case string, word, json.Number, int, int64:
	default:
		return nil, fmt.Errorf("%w: %v is not %s", errType, v, t)
	}
	text := fmt.Sprint(v)
	high, low, err := decimal.ParseSum(text, d.Scale)
	if err != nil {
		return nil, fmt.Errorf("%w: %.80q is not %s: %w", errType, text, t, err)
	}
	return Wide{high, low}, nil
}

// form says how a value of a measure's type is written, after the error of another value.
func form(t catalog.FieldType, err error) string {
	d, isDecimal := decimal.ParseType(string(t)) // It may be that of a sum.
	switch {
	case isDecimal && errors.Is(err, decimal.ErrLarge): // ParseSum refuses exponents of large numbers.
		return fmt.Sprintf("a number without exponent and with at most %d digits before the point", d.Precision-d.Scale)
	case isDecimal:
		return fmt.Sprintf("a number with at most %d digits after the point", d.Scale)
	case t == catalog.Timestamp:
		return `a time such as "2024-05-01T00:00:00Z"`
	case t == catalog.Float64:
		return "a number such as 2.5"
	}
	return "a whole number such as 10"
}

// compareMeasure orders two resolved values of one measure.
func compareMeasure(a, b any) int {
	switch x := a.(type) {
	case int64:
		return cmp.Compare(x, b.(int64))
	case float64:
		return cmp.Compare(x, b.(float64))
	}
	return a.(Wide).Compare(b.(Wide))
}
