package cells

import (
	"encoding/binary"
	"math"

	"recount/batch/exact"
	"recount/schemas/catalog"
	"recount/schemas/query"
	"recount/schemas/sqlschema"
)

// column is one column of a view's table. It says in three ways what a value is: as bytes of an
// INSERT, as bytes that go into the row's checksum, and as the SQL of the latter. The three are
// side by side so that they stay equal.
type column struct {
	name   string
	native func(dst []byte, rows []exact.BlockRows) []byte // the bytes of an INSERT; see native.go
	bytes  appender                                        // the bytes that go into the row's checksum
	sql    string                                          // the same bytes in SQL, of type String or FixedString
}

// appender binds a block and returns the function that appends the bytes of one of its rows.
type appender func(b *exact.Block) func(dst []byte, row int) []byte

// layout is the columns of a view's table, in the table's order.
type layout struct {
	columns []column
}

func newLayout(c *catalog.Catalog, v *catalog.View, ver uint64) *layout {
	l := &layout{}
	l.micros(sqlschema.ColBucket, func(b *exact.Block) []int64 { return b.Buckets })
	l.version(ver)
	l.text(sqlschema.ColTenant, func(b *exact.Block) []string { return b.Tenants })
	l.micros(sqlschema.ColTime, func(b *exact.Block) []int64 { return b.Times })
	for i, d := range v.Dimensions {
		l.dimension(d, c.DimensionType(v, d), func(b *exact.Block) *query.Column { return &b.Dims[i] })
	}
	l.numbers(sqlschema.ColEvents, func(b *exact.Block) []uint64 { return b.Events })
	for i, m := range v.Measures {
		l.measure(m, c.MeasureType(v, m), func(b *exact.Block) *exact.Measure { return &b.Measures[i] })
	}
	return l
}

// version adds the column _ver. It is not part of the checksum, so the same rows have the same
// checksum in every attempt, and a recomputation can be compared with a publication (V6).
func (l *layout) version(ver uint64) {
	l.columns = append(l.columns,
		column{name: sqlschema.ColVer, native: values(func(*exact.Block) func([]byte, int) []byte {
			return func(dst []byte, _ int) []byte { return append64(dst, ver) }
		})})
}

func (l *layout) micros(name string, of func(*exact.Block) []int64) {
	l.value(name, "toUnixTimestamp64Micro("+sqlschema.Quote(name)+")", integers(of))
}

func (l *layout) numbers(name string, of func(*exact.Block) []uint64) {
	l.value(name, sqlschema.Quote(name), integers(of))
}

// value adds a column of numbers. Their bytes in an INSERT are also those of the checksum.
func (l *layout) value(name, sql string, bytes appender) {
	l.columns = append(l.columns, column{name: name, sql: fixed(sql), native: values(bytes), bytes: bytes})
}

func (l *layout) text(name string, of func(*exact.Block) []string) {
	l.columns = append(l.columns, column{name: name, sql: counted(sqlschema.Quote(name)),
		native: dictionary(false, func(b *exact.Block) ([]string, []bool) { return of(b), nil }),
		bytes: func(b *exact.Block) func([]byte, int) []byte {
			strings := of(b)
			return func(dst []byte, row int) []byte { return appendText(dst, strings[row]) }
		}})
}

func (l *layout) dimension(name string, t catalog.FieldType, of func(*exact.Block) *query.Column) {
	q := sqlschema.Quote(name)
	null := func(b *exact.Block) func(int) bool { return of(b).IsNull }
	ints := func(b *exact.Block) []int64 { return of(b).Ints }
	switch t {
	case catalog.String:
		l.columns = append(l.columns, column{name: name, sql: nullable(q, counted("ifNull("+q+", '')")),
			native: dictionary(true, func(b *exact.Block) ([]string, []bool) { return of(b).Strings, of(b).Null }),
			bytes: func(b *exact.Block) func([]byte, int) []byte {
				c := of(b)
				return func(dst []byte, row int) []byte {
					if c.IsNull(row) {
						return appendText(append(dst, 1), "")
					}
					return appendText(append(dst, 0), c.Strings[row])
				}
			}})
	case catalog.Bool:
		l.optional(name, "ifNull("+q+", false)", null, func(b *exact.Block) func([]byte, int) []byte {
			values := ints(b)
			return func(dst []byte, row int) []byte { return append(dst, byte(values[row])) }
		}, 1)
	default:
		l.optional(name, "ifNull("+q+", toInt64(0))", null, integers(ints), 8)
	}
}

// optional adds a column of numbers that may be null, each of width bytes.
func (l *layout) optional(name, sql string, null func(*exact.Block) func(row int) bool, bytes appender, width int) {
	orZero := func(b *exact.Block) func([]byte, int) []byte {
		isNull := null(b)
		value := bytes(b)
		zero := make([]byte, width)
		return func(dst []byte, row int) []byte {
			if isNull(row) {
				return append(dst, zero...)
			}
			return value(dst, row)
		}
	}
	marks := func(b *exact.Block) func([]byte, int) []byte {
		isNull := null(b)
		return func(dst []byte, row int) []byte { return appendBool(dst, isNull(row)) }
	}
	l.columns = append(l.columns, column{name: name, sql: nullable(sqlschema.Quote(name), fixed(sql)),
		native: func(dst []byte, rows []exact.BlockRows) []byte { return values(orZero)(values(marks)(dst, rows), rows) },
		bytes: func(b *exact.Block) func([]byte, int) []byte {
			mark := marks(b)
			value := orZero(b)
			return func(dst []byte, row int) []byte { return value(mark(dst, row), row) }
		}})
}

// integers appends an integer of 8 bytes.
func integers[T int64 | uint64](of func(*exact.Block) []T) appender {
	return func(b *exact.Block) func([]byte, int) []byte {
		values := of(b)
		return func(dst []byte, row int) []byte { return append64(dst, uint64(values[row])) }
	}
}

// floats appends a float of 8 bytes.
func floats(of func(*exact.Block) *exact.Measure) appender {
	return func(b *exact.Block) func([]byte, int) []byte {
		values := of(b).Floats
		return func(dst []byte, row int) []byte { return append64(dst, math.Float64bits(values[row])) }
	}
}

func append64(dst []byte, v uint64) []byte { return binary.LittleEndian.AppendUint64(dst, v) }

func appendText[T string | []byte](dst []byte, s T) []byte {
	return append(append64(dst, uint64(len(s))), s...)
}

func appendBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, 1)
	}
	return append(dst, 0)
}
