package query

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"recount/schemas/catalog"
)

// Op is a comparison of a query's where.
type Op string

// The operators of where. Ne and NotIn are the complements of Eq and In, so a null dimension satisfies them. No other
// comparison but Exists holds for null.
const (
	Eq       Op = "eq"
	Ne       Op = "ne"
	In       Op = "in"
	NotIn    Op = "not_in"
	Lt       Op = "lt"
	Le       Op = "le"
	Gt       Op = "gt"
	Ge       Op = "ge"
	Between  Op = "between" // Both ends are included.
	Prefix   Op = "prefix"
	Suffix   Op = "suffix"
	Contains Op = "contains"
	Exists   Op = "exists"
)

// Ops lists the operators of where.
var Ops = []Op{Eq, Ne, In, NotIn, Lt, Le, Gt, Ge, Between, Prefix, Suffix, Contains, Exists}

// Limits of one where.
const (
	MaxConditions = 256     // comparisons in the whole tree
	MaxDepth      = 16      // and, or and not inside each other
	MaxValues     = 10_000  // of one comparison
	MaxAllValues  = 320_000 // of all comparisons
	MaxText       = 64 << 10
)

// Condition keeps the groups that a query counts, or in having the rows of the answer. It is a comparison of a
// dimension or a measure, or it joins or negates other conditions. Logic has two values: not holds exactly where its
// condition does not. After Resolve, Values have the Go type of what is compared: string, int64 or bool for a
// dimension, and int64, float64 or Wide for a measure. Null is the value nil in Eq, Ne, In and NotIn.
type Condition struct {
	Dimension string            `json:"dimension,omitempty"` // in where
	Measure   string            `json:"measure,omitempty"`   // in having
	Op        Op                `json:"op,omitempty"`
	Value     any               `json:"value,omitempty"`
	Values    []any             `json:"values,omitempty"`
	And       []Condition       `json:"and,omitempty"`
	Or        []Condition       `json:"or,omitempty"`
	Not       *Condition        `json:"not,omitempty"`
	Type      catalog.FieldType `json:"-"` // of the values; set by Resolve
	// Column is the place of what having compares among Scan.Derived and then Scan.Measures. Resolve sets it.
	Column int `json:"-"`
}

// MarshalJSON writes null as a value. A comparison without any is refused, because it is rather a mistake.
func (c *Condition) MarshalJSON() ([]byte, error) {
	type members Condition
	m := members(*c)
	if (m.Op == Eq || m.Op == Ne) && m.Value == nil && len(m.Values) == 0 {
		m.Values = []any{nil}
	}
	return json.Marshal(m)
}

// word is a value of a text, whose type is that of what is compared.
type word string

func (q *Query) where(c *catalog.Catalog, v *catalog.View) ([]Condition, error) {
	r := resolver{clause: &whereClause, catalog: c, view: v}
	r.compare = r.dimension
	return r.list(q.Where, r.clause.field, 0)
}

// resolver checks the conditions of one query, in where or in having.
type resolver struct {
	clause      *clause
	catalog     *catalog.Catalog
	view        *catalog.View
	compare     func(c *Condition, place string) error // resolves a comparison
	comparisons int
	values      int
}

// list returns the resolved conditions of a list, which has a place in the query and a depth in the tree.
func (r *resolver) list(conditions []Condition, place string, depth int) ([]Condition, error) {
	out := slices.Clone(conditions)
	for i := range out {
		at := place // The only condition of a query needs no number.
		if depth > 0 || len(out) > 1 {
			at = fmt.Sprintf("%s[%d]", place, i)
		}
		if err := r.resolve(&out[i], at, depth); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// resolve resolves a condition in its place. It does not change what the condition points to.
func (r *resolver) resolve(c *Condition, place string, depth int) error {
	isComparison := c.Dimension != "" || c.Measure != "" || c.Op != "" || c.Value != nil || c.Values != nil
	if isComparison && len(c.And) == 0 && len(c.Or) == 0 { // Generated clients of Java send empty lists.
		c.And = nil
		c.Or = nil
	}
	kinds := 0
	for _, is := range []bool{isComparison, c.And != nil, c.Or != nil, c.Not != nil} {
		if is {
			kinds++
		}
	}
	switch {
	case kinds != 1:
		return invalid(place, "a condition has %s and op, or it has one of and, or, not; write several "+
			"conditions into a list", r.clause.subject)
	case isComparison:
		return r.comparison(c, place)
	case depth == MaxDepth:
		return tooDeep(place)
	case c.Not != nil:
		inner := *c.Not
		c.Not = &inner
		return r.resolve(c.Not, place+".not", depth+1)
	}
	name := "and"
	list := &c.And
	if c.Or != nil {
		name = "or"
		list = &c.Or
	}
	if len(*list) == 0 {
		return invalid(place, "%s is empty; give it conditions, or leave it out", name)
	}
	var err error
	*list, err = r.list(*list, place+"."+name, depth+1)
	return err
}

func tooDeep(place string) error {
	return invalid(place, "and, or and not are more than %d deep; write and inside of and, and or inside of or, as "+
		"one list", MaxDepth)
}

func (r *resolver) comparison(c *Condition, place string) error {
	if r.comparisons++; r.comparisons > MaxConditions {
		return invalid(place, "more than %d conditions; %s", MaxConditions, r.clause.fewer)
	}
	return r.compare(c, place)
}

// dimension resolves a comparison of a dimension.
func (r *resolver) dimension(c *Condition, place string) error {
	_, isMeasure := r.view.Measure(c.Dimension)
	switch {
	case c.Measure != "":
		return invalid(place, "a condition of where has dimension; write that of measure %s into having", c.Measure)
	case isMeasure && !slices.Contains(r.view.Dimensions, c.Dimension):
		return invalid(place, "%s is a measure; write its condition into having", c.Dimension)
	}
	if !slices.Contains(r.view.Dimensions, c.Dimension) {
		return invalid(place, "view %s has no dimension %q; it has %s", r.view.Name, c.Dimension,
			dimensionNames(r.view))
	}
	c.Type = r.catalog.DimensionType(r.view, c.Dimension)
	if err := c.resolve(place); err != nil {
		return err
	}
	if r.values += len(c.Values); r.values > MaxAllValues {
		return invalid(place, "more than %d values in all conditions; ask several queries", MaxAllValues)
	}
	return nil
}

// resolve moves Value into Values and gives every value the dimension's Go type.
func (c *Condition) resolve(place string) error {
	if !slices.Contains(Ops, c.Op) {
		return invalid(place, "unknown op %q; use one of %v", c.Op, Ops)
	}
	if err := c.takeValues(place); err != nil {
		return err
	}
	t := c.Type
	switch c.Op {
	case Exists:
		t = catalog.Bool
	case Prefix, Suffix, Contains:
		if t != catalog.String {
			return invalid(place, "%s needs a string dimension; %s is %s", c.Op, c.Dimension, t)
		}
	case Lt, Le, Gt, Ge, Between:
		if t == catalog.Bool {
			return invalid(place, "%s needs a dimension with an order; %s is %s, so use eq", c.Op, c.Dimension, t)
		}
	}
	c.Values = slices.Clone(c.Values)
	for i, v := range c.Values {
		if v == nil && slices.Contains([]Op{Eq, Ne, In, NotIn}, c.Op) {
			continue
		}
		typed, err := typedValue(v, t)
		if err != nil {
			return invalid(place, "%s: %v", c.Dimension, err)
		}
		if text, ok := typed.(string); ok && len(text) > MaxText {
			return invalid(place, "%s: a text of %d bytes; at most %d", c.Dimension, len(text), MaxText)
		}
		c.Values[i] = typed
	}
	if c.Op == Between && compare(c.Values[0], c.Values[1]) > 0 {
		return invalid(place, "%s between: the first value is above the second; exchange them", c.Dimension)
	}
	return nil
}

// takeValues moves Value into Values, and checks how many there are.
func (c *Condition) takeValues(place string) error {
	least := 1
	most := 1
	need := "one value"
	switch c.Op {
	case In, NotIn:
		most = MaxValues
		need = fmt.Sprintf("values: 1 to %d of them", MaxValues)
	case Between:
		least = 2
		most = 2
		need = "values: the lowest and the highest"
	default:
		if len(c.Values) == 0 {
			c.Values = []any{c.Value}
			c.Value = nil
		}
	}
	if len(c.Values) < least || len(c.Values) > most || c.Value != nil {
		return invalid(place, "%s %s takes %s", cmp.Or(c.Dimension, c.Measure), c.Op, need)
	}
	return nil
}

var errType = errors.New("wrong type")

func typedValue(v any, t catalog.FieldType) (any, error) {
	switch x := v.(type) {
	case json.Number:
		if t != catalog.Int64 {
			break
		}
		i, err := x.Int64()
		if err != nil {
			return nil, fmt.Errorf("%w: %s is not %s", errType, x, t)
		}
		return i, nil
	case word:
		v = x.typed(t)
	}
	out, err := catalog.Normalize(v, t)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errType, err)
	}
	return out, nil
}

// typed returns a word as a value of a type. A word of another form stays a text, which is then refused.
func (w word) typed(t catalog.FieldType) any {
	switch t {
	case catalog.Bool:
		for _, is := range []bool{true, false} {
			if strings.EqualFold(string(w), strconv.FormatBool(is)) {
				return is
			}
		}
	case catalog.Int64:
		if i, err := strconv.ParseInt(string(w), 10, 64); err == nil {
			return i
		}
	case catalog.Float64:
		if f, err := strconv.ParseFloat(string(w), 64); err == nil {
			return f
		}
	}
	return string(w)
}
