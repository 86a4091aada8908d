package query

import (
	"cmp"
	"slices"
	"strings"

	"recount/schemas/catalog"
)

// Predicate is the where of a scan in the form that both layers evaluate. It is a test, or it joins parts by and or
// by or. It has no not: a test says itself whether it is negated, so SQL need not negate what may be null.
type Predicate struct {
	Test  *Test
	Any   bool // One of Parts has to hold. Otherwise all have to.
	Parts []Predicate
}

// Test is a comparison of one dimension. The methods Text, Int and Null say for which values it holds.
type Test struct {
	Dimension string
	Type      catalog.FieldType
	Kind      TestKind
	// Negated says that the test holds where it otherwise would not.
	Negated bool
	// OfNull says whether the test holds for null, before Negated.
	OfNull bool
	// Texts and Ints are the values of OneOf, ascending. Those of bools are 0 and 1.
	Texts []string
	Ints  []int64
	// Low and High are the ends of Within.
	Low, High *End
	// Part is the text of AtStart, AtEnd and Inside.
	Part string
}

// End is an end of a range: a string or an int64.
type End struct {
	Value any
	Open  bool // The value itself is outside of the range.
}

// TestKind is what a test compares a value with.
type TestKind int

// The kinds of tests.
const (
	OneOf   TestKind = iota // the value is one of Texts or Ints
	Within                  // it is between Low and High, either of which may be nil
	AtStart                 // it begins with Part
	AtEnd                   // it ends with Part
	Inside                  // it contains Part
	Present                 // it is not null
)

// Predicate returns what the scan's conditions say together. Without conditions it has no parts, and holds.
func (s *Scan) Predicate() Predicate { return joined(false, s.Where, false) }

// joined returns conditions joined by or, if some is true, or by and. Each one is negated before.
func joined(some bool, conditions []Condition, negated bool) Predicate {
	p := Predicate{Any: some}
	for i := range conditions {
		part := conditions[i].predicate(negated)
		if part.Test == nil && part.Any == some {
			p.Parts = append(p.Parts, part.Parts...)
		} else {
			p.Parts = append(p.Parts, part)
		}
	}
	if len(p.Parts) == 1 {
		return p.Parts[0]
	}
	return p
}

func (c *Condition) predicate(negated bool) Predicate {
	switch {
	case c.Not != nil:
		return c.Not.predicate(!negated)
	case c.And != nil:
		return joined(negated, c.And, negated)
	case c.Or != nil:
		return joined(!negated, c.Or, negated)
	}
	return Predicate{Test: c.test(negated)}
}

func (c *Condition) test(negated bool) *Test {
	t := &Test{Dimension: c.Dimension, Type: c.Type, Negated: negated}
	switch c.Op {
	case Eq, In, Ne, NotIn:
		t.Negated = negated != (c.Op == Ne || c.Op == NotIn)
		t.setValues(c.Values)
	case Lt, Le:
		t.Kind = Within
		t.High = &End{c.Values[0], c.Op == Lt}
	case Gt, Ge:
		t.Kind = Within
		t.Low = &End{c.Values[0], c.Op == Gt}
	case Between:
		t.Kind = Within
		t.Low = &End{Value: c.Values[0]}
		t.High = &End{Value: c.Values[1]}
	case Exists:
		t.Kind = Present
		t.Negated = negated != (c.Values[0] == false)
	default:
		t.Kind = map[Op]TestKind{Prefix: AtStart, Suffix: AtEnd, Contains: Inside}[c.Op]
		t.Part = c.Values[0].(string)
	}
	return t
}

// setValues sets the values of OneOf.
func (t *Test) setValues(values []any) {
	for _, v := range values {
		switch v := v.(type) {
		case nil:
			t.OfNull = true
		case string:
			t.Texts = append(t.Texts, v)
		case int64:
			t.Ints = append(t.Ints, v)
		case bool:
			t.Ints = append(t.Ints, boolInt(v))
		}
	}
	slices.Sort(t.Texts)
	slices.Sort(t.Ints)
	t.Texts = slices.Compact(t.Texts)
	t.Ints = slices.Compact(t.Ints)
}

// boolInt returns 1 for true, as columns of bools hold it.
func boolInt(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// Null reports whether the test holds for null.
func (t *Test) Null() bool { return t.OfNull != t.Negated }

// Text reports whether the test holds for a value of a string dimension.
func (t *Test) Text(s string) bool {
	var is bool
	switch t.Kind {
	case OneOf:
		_, is = slices.BinarySearch(t.Texts, s)
	case Within:
		is = isWithin(t, s)
	case AtStart:
		is = strings.HasPrefix(s, t.Part)
	case AtEnd:
		is = strings.HasSuffix(s, t.Part)
	case Inside:
		is = strings.Contains(s, t.Part)
	case Present:
		is = true
	}
	return is != t.Negated
}

// Int reports whether the test holds for a value of an int64 or bool dimension. A bool is 0 or 1.
func (t *Test) Int(n int64) bool {
	var is bool
	switch t.Kind {
	case OneOf:
		_, is = slices.BinarySearch(t.Ints, n)
	case Within:
		is = isWithin(t, n)
	case Present:
		is = true
	}
	return is != t.Negated
}

// isWithin reports whether a value is between the ends of the test.
func isWithin[T string | int64](t *Test, v T) bool {
	if t.Low != nil {
		if c := cmp.Compare(v, t.Low.Value.(T)); c < 0 || c == 0 && t.Low.Open {
			return false
		}
	}
	if t.High != nil {
		if c := cmp.Compare(v, t.High.Value.(T)); c > 0 || c == 0 && t.High.Open {
			return false
		}
	}
	return true
}

// compare orders two resolved values of one dimension.
func compare(a, b any) int {
	if text, ok := a.(string); ok {
		return strings.Compare(text, b.(string))
	}
	return cmp.Compare(a.(int64), b.(int64))
}

// Tests calls visit for each test.
func (p *Predicate) Tests(visit func(*Test)) {
	if p.Test != nil {
		visit(p.Test)
	}
	for i := range p.Parts {
		p.Parts[i].Tests(visit)
	}
}

// Verdict is what a predicate says of a row. The bits of and are those that all parts have, and the bits of or are
// those that any part has.
type Verdict uint8

// The bits of a verdict. A value that overflowed was replaced (catalog.Overflow), and Possible and Certain are about
// the value that was sent.
const (
	Holds    Verdict = 1 << iota // The predicate holds for the row as it is.
	Possible                     // There are values in place of the overflowed ones for which it holds.
	Certain                      // It holds whatever the values were.

	No  Verdict = 0
	Yes         = Holds | Possible | Certain
)

// VerdictOf returns the verdict of a test that holds or does not, for a value that overflowed or did not.
func (t *Test) VerdictOf(holds, overflowed bool) Verdict {
	switch {
	case overflowed && t.Unsure() && holds:
		return Holds | Possible
	case overflowed && t.Unsure():
		return Possible
	case holds:
		return Yes
	}
	return No
}

// Verdict returns the predicate's verdict, given those of its tests.
func (p *Predicate) Verdict(of func(*Test) Verdict) Verdict {
	if p.Test != nil {
		return of(p.Test)
	}
	if p.Any {
		v := No
		for i := range p.Parts {
			v |= p.Parts[i].Verdict(of)
		}
		return v
	}
	v := Yes
	for i := range p.Parts {
		v &= p.Parts[i].Verdict(of)
	}
	return v
}
