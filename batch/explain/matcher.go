package explain

import (
	"errors"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"recount/batch/exact"
	"recount/schemas/catalog"
	"recount/schemas/conversion"
	"recount/schemas/eventbatch"
	"recount/schemas/query"
	"recount/schemas/record"
)

// matcher says which events a list has.
type matcher struct {
	where  query.Predicate
	used   []string // fields and attributes that where compares
	fields conversion.Fields
}

func newMatcher(e *catalog.EventType, where query.Predicate) *matcher {
	m := &matcher{where: where}
	where.Tests(func(t *query.Test) {
		if !slices.Contains(m.used, t.Dimension) {
			m.used = append(m.used, t.Dimension)
		}
	})
	m.fields = conversion.FieldsOf(e, m.used)
	return m
}

// columns returns the columns of an object that decide which of its events are listed.
func (m *matcher) columns(f exact.File, o *record.Object) []string {
	columns := append([]string{eventbatch.ColTenant, eventbatch.ColTime, exact.ColSeq, exact.ColIndex},
		m.fields.Stored(m.used)...)
	if m.fields.NeedsExtra(f.Has, !o.Uniform) {
		columns = append(columns, eventbatch.ColExtra)
	}
	return columns
}

// rows returns what says whether an event is listed. mixed is as in conversion.Fields.Read.
func (m *matcher) rows(c eventbatch.Columns, mixed bool, s *query.EventSelection) (func(row int) bool, error) {
	if c.Time == nil {
		return nil, errors.New("it has no times")
	}
	tenant := textTest(c.Field(eventbatch.ColTenant), func(text string) bool { return text == s.Tenant }, false)
	read, _ := m.fields.Read(c, mixed)
	where := holds(&m.where, read)
	return func(row int) bool {
		t := int64(c.Time.Value(row))
		return t >= s.From && t < s.To && tenant(row) && where(row)
	}, nil
}

// holds returns what says for which rows a predicate holds.
func holds(p *query.Predicate, c eventbatch.Columns) func(row int) bool {
	if p.Test != nil {
		return testHolds(p.Test, c.Field(p.Test.Dimension))
	}
	parts := make([]func(int) bool, len(p.Parts))
	for i := range p.Parts {
		parts[i] = holds(&p.Parts[i], c)
	}
	return func(row int) bool {
		for _, part := range parts {
			if part(row) == p.Any {
				return p.Any
			}
		}
		return !p.Any
	}
}

// testHolds returns what says for which rows a comparison holds. An absent column is null in each row.
func testHolds(t *query.Test, column arrow.Array) func(row int) bool {
	var at func(row int) int64
	switch c := column.(type) {
	case *array.Int64: // Decimals, too.
		at = c.Value
	case *array.Timestamp:
		at = func(row int) int64 { return int64(c.Value(row)) }
	case *array.Boolean:
		at = func(row int) int64 {
			if c.Value(row) {
				return 1
			}
			return 0
		}
	default:
		return textTest(column, t.Text, t.Null())
	}
	return func(row int) bool {
		if column.IsNull(row) {
			return t.Null()
		}
		return t.Int(at(row))
	}
}

// textTest returns what says for which rows a test of texts holds. Each value of a dictionary is tested once.
func textTest(column arrow.Array, test func(string) bool, ofNull bool) func(row int) bool {
	holds := func(int) bool { return ofNull }
	switch c := column.(type) {
	case *array.String:
		holds = func(row int) bool { return test(c.Value(row)) }
	case *array.Dictionary:
		values, ok := c.Dictionary().(*array.String)
		if !ok {
			return holds
		}
		of := make([]bool, values.Len())
		for i := range of {
			of[i] = test(values.Value(i))
		}
		holds = func(row int) bool { return of[c.GetValueIndex(row)] }
	default:
		return holds
	}
	return func(row int) bool {
		if column.IsNull(row) {
			return ofNull
		}
		return holds(row)
	}
}
