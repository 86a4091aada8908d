package expression

import (
	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// Evaluate returns the value of the expression for each of n rows. column returns a column, or nil if it is null in
// every row; one of another type than Parse was told counts as null. t is the Arrow type of the result, which that of
// the expression gives.
func (e *Expression) Evaluate(n int, column func(name string) arrow.Array, t arrow.DataType) arrow.Array {
	return build(t, e.root.values(n, column))
}

// values returns the value of a node for each row.
func (n *node) values(rows int, column func(string) arrow.Array) []value {
	out := make([]value, rows)
	switch {
	case n.isLiteral:
		for i := range out {
			out[i] = n.value
		}
		return out
	case n.function == nil:
		load(out, column(n.column), n.resultOf)
		return out
	}
	columns := make([][]value, len(n.args))
	for i, a := range n.args {
		columns[i] = a.values(rows, column)
	}
	args := make([]value, len(n.args))
	for row := range out {
		anyNull := false
		for i := range columns {
			args[i] = columns[i][row]
			anyNull = anyNull || args[i].isNull
		}
		if anyNull && !n.function.lazy {
			out[row] = none
			continue
		}
		out[row] = n.function.evaluate(n, args)
	}
	return out
}

// load reads a column.
func load(out []value, column arrow.Array, t Type) {
	var at func(row int) value
	switch c := column.(type) {
	case *array.String:
		at = whenever(t == String, func(row int) value { return text(c.Value(row)) })
	case *array.Dictionary:
		if texts, ok := c.Dictionary().(*array.String); ok && t == String {
			at = func(row int) value { return text(texts.Value(c.GetValueIndex(row))) }
		}
	case *array.Int64:
		at = whenever(t == Int64, func(row int) value { return value{whole: c.Value(row)} })
	case *array.Float64:
		at = whenever(t == Float64, func(row int) value { return number(c.Value(row)) })
	case *array.Boolean:
		at = whenever(t == Bool, func(row int) value { return truth(c.Value(row)) })
	case *array.Timestamp:
		at = whenever(t == Timestamp, func(row int) value { return value{whole: int64(c.Value(row))} })
	}
	for row := range out {
		if at == nil || column.IsNull(row) {
			out[row] = none
			continue
		}
		out[row] = at(row)
	}
}

func whenever(ok bool, at func(int) value) func(int) value {
	if !ok {
		return nil
	}
	return at
}

// build returns the values as an array.
func build(t arrow.DataType, values []value) arrow.Array {
	b := array.NewBuilder(memory.DefaultAllocator, t)
	b.Reserve(len(values))
	for _, v := range values {
		if v.isNull {
			b.AppendNull()
			continue
		}
		switch b := b.(type) {
		case *array.Int64Builder:
			b.Append(v.whole)
		case *array.Float64Builder:
			b.Append(v.float)
		case *array.BooleanBuilder:
			b.Append(v.whole == 1)
		case *array.TimestampBuilder:
			b.Append(arrow.Timestamp(v.whole))
		case *array.StringBuilder:
			b.Append(v.text)
		}
	}
	return b.NewArray()
}
