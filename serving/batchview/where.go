package batchview

import (
	"fmt"

	"github.com/ClickHouse/clickhouse-go/v2"

	"recount/schemas/query"
	"recount/schemas/sqlschema"
)

// param adds a server-side parameter and returns the text that refers to it in the statement.
func (st *statement) param(value any, sqlType string) string {
	name := fmt.Sprint("p", len(st.args))
	st.args = append(st.args, clickhouse.Named(name, value))
	return "{" + name + ":" + sqlType + "}"
}

// conditions returns the predicates of the scan's conditions.
func (st *statement) conditions(scan *query.Scan) []string {
	var out []string
	for _, c := range scan.Where {
		out = append(out, st.condition(c))
	}
	return out
}

// condition returns the predicate of one condition. It is never null, so NOT gives its complement.
func (st *statement) condition(c query.Condition) string {
	column := sqlschema.Quote(c.Dimension)
	switch c.Op {
	case query.Exists:
		if c.Values[0] == true {
			return "isNotNull(" + column + ")"
		}
		return "isNull(" + column + ")"
	case query.Prefix:
		return "ifNull(startsWith(" + column + ", " + st.param(c.Values[0], "String") + "), 0)"
	case query.Ne, query.NotIn:
		return "NOT " + st.oneOf(column, c.Values)
	}
	return st.oneOf(column, c.Values)
}

func (st *statement) oneOf(column string, values []any) string {
	null := "0"
	var strings []string
	var ints []int64
	bools := false
	for _, v := range values {
		switch v := v.(type) {
		case nil:
			null = "isNull(" + column + ")"
		case string:
			strings = append(strings, v)
		case int64:
			ints = append(ints, v)
		case bool:
			ints = append(ints, boolInt(v))
			bools = true
		}
	}
	if bools {
		column = "toInt64(" + column + ")"
	}
	switch {
	case len(strings) > 0:
		return "(ifNull(" + column + " IN " + st.param(strings, "Array(String)") + ", 0) OR " + null + ")"
	case len(ints) > 0:
		return "(ifNull(" + column + " IN " + st.param(ints, "Array(Int64)") + ", 0) OR " + null + ")"
	}
	return "(" + null + ")"
}

// boolInt returns 1 for true, as ClickHouse does.
func boolInt(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
