package expression

import (
	"fmt"
	"strconv"
	"strings"
)

// SQL returns the expression as ClickHouse's SQL. Its columns are nullable and have the types of the expression's
// columns. column returns the SQL of a column. The result is nullable, and of the expression's type.
func (e *Expression) SQL(column func(name string) string) string {
	return "CAST(" + e.root.sql(column) + ", 'Nullable(" + sqlType(e.Type) + ")')"
}

func (n *node) sql(column func(string) string) string {
	switch {
	case n.isLiteral:
		return n.literalSQL()
	case n.function == nil:
		return column(n.column)
	}
	args := make([]string, len(n.args))
	for i, a := range n.args {
		args[i] = a.sql(column)
	}
	return "(" + n.function.sql(n, args) + ")"
}

func (n *node) literalSQL() string {
	switch n.resultOf {
	case String:
		return quote(n.value.text)
	case Int64:
		return "toInt64('" + strconv.FormatInt(n.value.whole, 10) + "')"
	case Float64:
		return "toFloat64('" + strconv.FormatFloat(n.value.float, 'g', -1, 64) + "')"
	case Bool:
		return strconv.FormatBool(n.value.whole == 1)
	}
	return "NULL"
}

// bind is the SQL of something in which an argument comes several times. A lambda gives the argument a name, so that
// the text of nested functions does not grow with each level by a factor.
func bind(sql, name string, body func(name string) string) string {
	return "arrayMap(" + name + " -> " + body(name) + ", [" + sql + "])[1]"
}

// sqlType is the type of ClickHouse's columns.
func sqlType(t Type) string {
	switch t {
	case Int64:
		return "Int64"
	case Float64:
		return "Float64"
	case Bool:
		return "Bool"
	case Timestamp:
		return `DateTime64(6, \'UTC\')`
	}
	return "String"
}

func timeSQL(micros int64) string { return fmt.Sprintf("fromUnixTimestamp64Micro(%d, 'UTC')", micros) }

func quote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}
