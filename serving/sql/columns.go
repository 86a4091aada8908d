package sql

import (
	"fmt"
	"strings"

	"recount/schemas/catalog"
	"recount/schemas/quantile"
	"recount/schemas/sqlschema"
)

// The endings of the names of a view's tables. The table without one has the rows of the newest publication.
const (
	liveSuffix   = "_live"
	mergedSuffix = "_merged"
	statesSuffix = "_states"
)

// timeType is the type of a time. It is the only one in UTC, so that a client needs no rules of time zones.
const timeType = "DateTime64(6, 'UTC')"

// column is a column of a table with the expression that makes it of the columns of a table of cells.
type column struct {
	sqlschema.Column
	from string
}

// plainColumns are those of V, V_live and V_merged: plain numbers.
func plainColumns(c *catalog.Catalog, v *catalog.View, rounded bool) []column {
	columns := keyColumns(c, v)
	for _, m := range v.Measures {
		if m.Kind == catalog.Quantile {
			columns = append(columns, quantileColumns(c, v, m)...)
			continue
		}
		columns = append(columns, plainColumn(c, v, m, rounded))
	}
	return columns
}

// stateColumns are those of V_states: the same rows, with what a measure over several cells needs.
func stateColumns(c *catalog.Catalog, v *catalog.View) []column {
	columns := keyColumns(c, v)
	for _, m := range v.Measures {
		columns = append(columns, measureStates(c, v, m)...)
	}
	return columns
}

// keyColumns are time and dimensions.
func keyColumns(c *catalog.Catalog, v *catalog.View) []column {
	columns := []column{{sqlschema.Column{Name: sqlschema.ColTime, Type: timeType}, stored(sqlschema.ColTime)}}
	for _, d := range v.Dimensions {
		columns = append(columns, column{sqlschema.Column{Name: d,
			Type: sqlschema.DimensionType(c.DimensionType(v, d))}, stored(d)})
	}
	return columns
}

// stored is a column of a table of cells. The name of the table keeps it apart from a column that is made of it.
func stored(name string) string { return "cells." + sqlschema.Quote(name) }

// plainColumn is a measure as a plain number, null where the cell has no value. A sum of integers that is no Int64 is
// null too, because the files of Parquet and Arrow have no wider integers.
func plainColumn(c *catalog.Catalog, v *catalog.View, m catalog.Measure, rounded bool) column {
	t := c.MeasureType(v, m)
	n := stored(m.Name + "__n")
	sum := stored(m.Name + "__sum")
	if t == catalog.Float64 && !rounded {
		sum = sqlschema.ReadableSum(stored(m.Name+"__near"), stored(m.Name+"__far"))
	}
	out := column{sqlschema.Column{Name: m.Name}, stored(m.Name)}
	switch m.Kind {
	case catalog.Count:
		out.Type = "UInt64"
	case catalog.Distinct:
		out.Type = "UInt64"
		// A state is a number of hashes, in length % 8 bytes, and the hashes.
		out.from = "toUInt64(intDiv(length(" + stored(m.Name+sqlschema.StateSuffix) + "), 8))"
	case catalog.Min, catalog.Max:
		out.Type = "Nullable(" + sqlschema.Type(t) + ")"
	case catalog.Avg:
		out.Type = "Nullable(Float64)"
		out.from = "if(" + n + " = 0, NULL, toFloat64(" + sum + ") / " + n + ")"
	case catalog.Sum:
		out.Type = "Nullable(" + sumType(t) + ")"
		if t == catalog.Int64 {
			sum = "accurateCastOrNull(" + sum + ", 'Int64')"
		}
		out.from = "if(" + n + " = 0, NULL, " + sum + ")"
	}
	return out
}

// quantileColumns are the quantiles of a measure that a query without ranks asks for, in the same order.
func quantileColumns(c *catalog.Catalog, v *catalog.View, m catalog.Measure) (columns []column) {
	t := c.MeasureType(v, m)
	for _, r := range quantile.Defaults {
		columns = append(columns, column{
			sqlschema.Column{Name: m.Name + "__" + r.String(), Type: "Nullable(" + sqlschema.Type(t) + ")"},
			sqlschema.Quantile(stored(m.Name+sqlschema.BinsSuffix), r, t)})
	}
	return columns
}

func sumType(t catalog.FieldType) string {
	if d, ok := t.Decimal(); ok {
		return sqlschema.SumType(d)
	}
	return sqlschema.Type(t)
}

// wideInteger is the type of sums of integers in V_states. It holds every sum of a cell, and files of Parquet and Arrow
// have it, which is not so of Int128.
const wideInteger = "Decimal(38, 0)"

// hashesSuffix ends the column of V_states with the hashes of a distinct measure.
const hashesSuffix = "__hashes"

// measureStates are the columns of a measure from which it follows for any set of cells.
func measureStates(c *catalog.Catalog, v *catalog.View, m catalog.Measure) []column {
	t := c.MeasureType(v, m)
	name := func(suffix, sqlType, from string) column {
		return column{sqlschema.Column{Name: m.Name + suffix, Type: sqlType}, from}
	}
	sum := stored(m.Name + "__sum")
	n := name("__n", "UInt64", stored(m.Name+"__n"))
	switch {
	case m.Kind == catalog.Distinct:
		state := stored(m.Name + sqlschema.StateSuffix)
		return []column{name(hashesSuffix, "Array(UInt64)",
			"reinterpret(substring("+state+", length("+state+") % 8 + 1), 'Array(UInt64)')")}
	case m.Kind == catalog.Quantile:
		return []column{name(sqlschema.BinsSuffix, sqlschema.BinsType, stored(m.Name+sqlschema.BinsSuffix))}
	case m.Kind == catalog.Count || m.Kind == catalog.Min || m.Kind == catalog.Max:
		return []column{plainColumn(c, v, m, false)}
	case t == catalog.Float64:
		// As hexadecimal digits, because a text of Parquet and Arrow is UTF-8.
		return []column{
			name("__near", "String", "hex(reinterpretAsString("+stored(m.Name+"__near")+"))"),
			name("__far", "String", "hex("+stored(m.Name+"__far")+")"), n}
	case t.IsDecimal():
		return []column{name("__sum", sumType(t), sum), n}
	}
	return []column{name("__sum", wideInteger, "reinterpret("+sum+", '"+wideInteger+"')"), n}
}

// selection is the SELECT of columns from the rows of a tenant in a table of cells. Without a table it has no rows.
// key are its time and dimensions where the table may have rows of other tenants, and nil where it has none.
//
// ClickHouse moves the conditions of a statement into the views that it reads. There they would also be computed for
// the rows of other tenants, and whether one fails, as a division by zero does, would say something about these rows.
// No condition may be moved below a LIMIT. It costs that rows are not found by the index of the table.
//
// ClickHouse also reads a table in blocks, and what is left of a block tells how many rows of others it had. The format
// Native shows blocks, a sum of floats depends on them in its last digits, and the order of rows follows from the parts
// of the table. So the rows are sorted by all that tells them apart, by one thread, and a sort makes blocks of its own.
// Rejected: to sort by time alone, because the order of equal rows then depends on the parts; to read in the order of
// the table, because the merge of parts passes whole blocks on; and to join the blocks of a result, because a sum of
// floats would have seen them before.
func selection(columns []column, table, tenant, pinned string, key []column) string {
	var b strings.Builder
	b.WriteString("SELECT ")
	for i, c := range columns {
		if i > 0 {
			b.WriteString(", ")
		}
		from := c.from
		if table == "" {
			from = "defaultValueOfTypeName(" + text(c.Type) + ")"
		} else if inner, found := strings.CutPrefix(c.Type, "LowCardinality("); found && key != nil {
			// The dictionary of a part has the values of all tenants, and some functions compute with all of it. An
			// error would tell that a value of another tenant is too long, or is no number.
			from = "CAST(" + from + ", " + text(strings.TrimSuffix(inner, ")")) + ")"
		}
		fmt.Fprintf(&b, "CAST(%s, %s) AS %s", from, text(c.Type), sqlschema.Quote(c.Name))
	}
	if table == "" {
		return b.String() + " WHERE 0"
	}
	barrier := ""
	if key != nil {
		var sorted []string
		for _, c := range key {
			sorted = append(sorted, c.from)
		}
		barrier = " ORDER BY " + strings.Join(sorted, ", ") +
			" LIMIT 18446744073709551615 SETTINGS max_threads = 1, optimize_read_in_order = 0"
	}
	return fmt.Sprintf("%s FROM %s AS cells WHERE cells.%s = %s AND %s%s", b.String(), table, sqlschema.ColTenant,
		text(tenant), pinned, barrier)
}

// text quotes a text of ours: a type, or the name of a tenant, which access.CheckTenant has checked.
func text(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}
