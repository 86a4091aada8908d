package query

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"recount/schemas/catalog"
	"recount/schemas/expression"
)

// Derived is a number that a query makes of the measures of a row, such as a ratio.
type Derived struct {
	Name       string `json:"name"`
	Expression string `json:"expression"` // in the language of package expression, over measures of the view
}

// Limits of the derived numbers of one query. Each of their parts is evaluated for each group if it orders rows.
const (
	MaxDerived      = 32
	MaxDerivedParts = 256 // names, literals, operators and functions of all of them together
)

// WindowSeconds is the name in an expression for the length of a row's window in seconds, as far as the window lies in
// the range of the query. A measure of the view that has the name comes first.
const WindowSeconds = "window_seconds"

// DerivedNumber is a derived number whose expression was checked.
type DerivedNumber struct {
	Name       string
	Expression *expression.Expression
	// Measures are the places in Scan.Measures of the expression's columns. That of WindowSeconds is -1.
	Measures []int
}

// Type returns the type of the number: Int64 or Float64.
func (d *DerivedNumber) Type() catalog.FieldType { return catalog.FieldType(d.Expression.Type) }

// ParseDerived reads a derived number that is written as a text: name = expression.
func ParseDerived(text string) (Derived, error) {
	name, source, ok := strings.Cut(text, "=")
	if !ok {
		return Derived{}, invalid("derived", "%q: write a name, = and an expression, as in ratio = clicks / views",
			text)
	}
	return Derived{strings.TrimSpace(name), strings.TrimSpace(source)}, nil
}

// derived checks the derived numbers. It adds the measures that only they need to the scan, after those of the query.
func (q *Query) derived(c *catalog.Catalog, s *Scan) ([]DerivedNumber, error) {
	if len(q.Derived) > MaxDerived {
		return nil, invalid("derived", "%d numbers; at most %d: ask several queries", len(q.Derived), MaxDerived)
	}
	var out []DerivedNumber
	parts := 0
	for i, d := range q.Derived {
		_, isMeasure := s.View.Measure(d.Name)
		switch {
		case !catalog.MeasureName(d.Name):
			return nil, invalid("derived", "%q is no name: use a letter and then letters, digits and single "+
				"underscores, at most 63, but not time, tenant, live or bounds", d.Name)
		case isMeasure, slices.Contains(s.View.Dimensions, d.Name):
			return nil, invalid("derived", "view %s has a measure or a dimension %q; choose another name", s.View.Name,
				d.Name)
		case slices.ContainsFunc(q.Derived[:i], func(o Derived) bool { return o.Name == d.Name }):
			return nil, invalid("derived", "%q is listed twice", d.Name)
		}
		number, err := s.deriveFrom(c, d)
		if err != nil {
			return nil, err
		}
		if parts += number.Expression.Parts(); parts > MaxDerivedParts {
			return nil, invalid("derived", "the expressions have more than %d names, literals, operators and "+
				"functions together; ask several queries", MaxDerivedParts)
		}
		out = append(out, number)
	}
	return out, nil
}

// deriveFrom reads one expression.
func (s *Scan) deriveFrom(c *catalog.Catalog, d Derived) (DerivedNumber, error) {
	unknown := ""
	e, err := expression.Parse(d.Expression, func(name string) (expression.Type, bool) {
		m, ok := s.View.Measure(name)
		switch {
		case ok && m.Kind != catalog.Quantile:
			return numberType(&Measure{Measure: m, Type: c.MeasureType(s.View, m)}), true
		case name == WindowSeconds:
			return expression.Float64, true
		}
		unknown = name
		return "", false
	})
	var wrong *expression.Error
	switch {
	case unknown != "" && errors.As(err, &wrong):
		return DerivedNumber{}, invalid("derived", "%s: column %d: view %s has no measure %q; it has %s, and %s is "+
			"the length of a row's window", d.Name, wrong.Column, s.View.Name, unknown, measureNames(s.View),
			WindowSeconds)
	case err != nil:
		return DerivedNumber{}, invalid("derived", "%s: %v", d.Name, err)
	case e.Type != expression.Int64 && e.Type != expression.Float64:
		return DerivedNumber{}, invalid("derived", "%s is %s; make a number, as in if(views > 10, 1, 0)", d.Name,
			e.Type)
	case e.Uses(expression.String):
		return DerivedNumber{}, invalid("derived", "%s: it is made of numbers and has no place for texts", d.Name)
	}
	out := DerivedNumber{Name: d.Name, Expression: e}
	for _, name := range e.Columns {
		at := -1
		if m, ok := s.View.Measure(name); ok {
			at = s.column(Measure{Measure: m, Type: c.MeasureType(s.View, m)})
		}
		out.Measures = append(out.Measures, at)
	}
	if !slices.ContainsFunc(out.Measures, func(at int) bool { return at >= 0 }) {
		return out, invalid("derived", "%s: the expression has no measure; write one of %s into it", d.Name,
			measureNames(s.View))
	}
	return out, nil
}

// numberType returns the type that a measure has in an expression. A decimal becomes the nearest float64, because
// expressions have no exact arithmetic for it.
func numberType(m *Measure) expression.Type {
	switch t := m.ResultType(); t {
	case catalog.Int64, catalog.Float64, catalog.Timestamp:
		return expression.Type(t)
	}
	return expression.Float64
}

// derived returns the place of a derived number, or -1.
func (s *Scan) derived(name string) int {
	return slices.IndexFunc(s.Derived, func(d DerivedNumber) bool { return d.Name == name })
}

// returned is how many measures of the scan are in rows or in derived numbers. The measures after them only order rows
// or are only in Having.
func (s *Scan) returned(q *Query) int {
	n := len(q.Measures)
	for _, d := range s.Derived {
		n = max(n, 1+slices.Max(d.Measures))
	}
	return n
}

// String returns the derived number as a text, which ParseDerived reads.
func (d Derived) String() string { return fmt.Sprintf("%s = %s", d.Name, d.Expression) }
