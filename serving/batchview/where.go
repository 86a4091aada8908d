package batchview

import (
	"fmt"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"

	"recount/schemas/catalog"
	"recount/schemas/query"
	"recount/schemas/sqlschema"
)

// param adds a server-side parameter and returns the text that refers to it in the statement.
func (st *statement) param(value any, sqlType string) string {
	name := fmt.Sprint("p", len(st.args))
	st.args = append(st.args, clickhouse.Named(name, value))
	return "{" + name + ":" + sqlType + "}"
}

// clause is a predicate in SQL, as the three bits of query.Verdict. None of them is ever null, so NOT gives the
// complement.
type clause struct{ holds, possible, certain string }

// clause returns the SQL of a predicate.
func (st *statement) clause(p *query.Predicate) clause {
	if p.Test != nil {
		return st.test(p.Test)
	}
	if len(p.Parts) == 0 {
		return clause{always, always, always}
	}
	parts := make([]clause, len(p.Parts))
	for i := range p.Parts {
		parts[i] = st.clause(&p.Parts[i])
	}
	operator := " AND "
	if p.Any {
		operator = " OR "
	}
	join := func(of func(clause) string) string {
		texts := make([]string, len(parts))
		for i, part := range parts {
			texts[i] = of(part)
		}
		return "(" + strings.Join(texts, operator) + ")"
	}
	return clause{join(func(c clause) string { return c.holds }), join(func(c clause) string { return c.possible }),
		join(func(c clause) string { return c.certain })}
}

// test returns the SQL of a test. A value that overflowed has the row's value, and stands for an unknown one.
func (st *statement) test(t *query.Test) clause {
	holds := st.comparison(t)
	if t.Negated {
		holds = "NOT " + holds
	}
	if !t.Unsure() {
		return clause{holds, holds, holds}
	}
	is := overflowed(t.Dimension, t.Type)
	return clause{holds, "(" + holds + " OR " + is + ")", "(" + holds + " AND NOT " + is + ")"}
}

// comparison returns the SQL of a test before it is negated.
func (st *statement) comparison(t *query.Test) string {
	column := sqlschema.Quote(t.Dimension)
	if t.Kind == query.Present {
		return "isNotNull(" + column + ")"
	}
	text := func(function, condition string) string {
		return fmt.Sprintf("ifNull(%s(%s, %s)%s, 0)", function, column, st.param(t.Part, "String"), condition)
	}
	switch t.Kind {
	case query.AtStart:
		return text("startsWith", "")
	case query.AtEnd:
		return text("endsWith", "")
	case query.Inside:
		return text("position", " > 0")
	case query.Within:
		return "ifNull(" + st.rangeOf(column, t) + ", 0)"
	}
	return st.oneOf(column, t)
}

// rangeOf returns the predicate of values between the ends of a test. It may be null.
func (st *statement) rangeOf(column string, t *query.Test) string {
	var ends []string
	add := func(e *query.End, operator string) {
		if e == nil {
			return
		}
		if !e.Open {
			operator += "="
		}
		sqlType := "Int64"
		if t.Type == catalog.String {
			sqlType = "String"
		}
		ends = append(ends, column+" "+operator+" "+st.param(e.Value, sqlType))
	}
	add(t.Low, ">")
	add(t.High, "<")
	return strings.Join(ends, " AND ")
}

// oneOf returns the predicate of the values of a test.
func (st *statement) oneOf(column string, t *query.Test) string {
	null := "0"
	if t.OfNull {
		null = "isNull(" + column + ")"
	}
	if t.Type == catalog.Bool {
		column = "toInt64(" + column + ")"
	}
	switch {
	case len(t.Texts) > 0:
		return "(ifNull(" + st.inTexts(column, t.Texts) + ", 0) OR " + null + ")"
	case len(t.Ints) > 0:
		return "(ifNull(" + column + " IN " + st.param(t.Ints, "Array(Int64)") + ", 0) OR " + null + ")"
	}
	return "(" + null + ")"
}

// foldedBytes is the most that the texts of one IN take. From 1 MiB on ClickHouse does not fold the list into a
// constant, and builds the set again for each block of rows, which took 6 to 16 times as long over 20,000 rows.
const foldedBytes = 512 << 10

// inTexts returns the predicate that the column is one of the texts.
func (st *statement) inTexts(column string, texts []string) string {
	const offset = 16 // Each text has one in the column that holds the list.
	var parts []string
	first := 0
	size := 0
	add := func(end int) {
		parts = append(parts, column+" IN "+st.param(texts[first:end], "Array(String)"))
		first = end
		size = 0
	}
	for i, text := range texts {
		if size += len(text) + offset; size > foldedBytes && i > first {
			add(i)
			size = len(text) + offset
		}
	}
	add(len(texts))
	return "(" + strings.Join(parts, " OR ") + ")"
}
