package cells

import (
	"encoding/binary"
	"math"

	"recount/batch/exact"
	"recount/schemas/catalog"
	"recount/schemas/sqlschema"
)

// column is one column of a view's table. It says in two ways what a value is: as bytes of an INSERT,
// and as bytes that go into the row's checksum. sqlschema.Checksum has the SQL of the latter.
type column struct {
	name    string
	sqlType string
	native  func(dst []byte, rows []exact.BlockRows) []byte // the bytes of an INSERT; see native.go
	bytes   appender                                        // the bytes that go into the row's checksum
}

// appender binds a block and returns the function that appends the bytes of one of its rows.
type appender func(b *exact.Block) func(dst []byte, row int) []byte

// layout is the columns of a view's table, in the table's order.
type layout struct {
	columns []column
}

func newLayout(c *catalog.Catalog, v *catalog.View, version uint64) *layout {
	l := &layout{}
	l.time(sqlschema.ColBucket, func(b *exact.Block) []int64 { return b.Buckets })
	l.version(version)
	l.text(sqlschema.ColTenant, func(b *exact.Block) *exact.Strings { return &b.Tenants })
	l.time(sqlschema.ColTime, func(b *exact.Block) []int64 { return b.Times })
	for i, d := range v.Dimensions {
		l.dimension(d, c.DimensionType(v, d), func(b *exact.Block) *exact.Dimension { return &b.Dims[i] })
	}
	l.unsigned(sqlschema.ColEvents, func(b *exact.Block) []uint64 { return b.Events })
	for i, m := range v.Measures {
		l.measure(m, c.MeasureType(v, m), func(b *exact.Block) *exact.Measure { return &b.Measures[i] })
	}
	for i, declared := range sqlschema.Columns(c, v) {
		l.columns[i].sqlType = declared.Type
	}
	return l
}

// version adds the column _ver. It is not part of the checksum, so the same rows have the same
// checksum in every attempt, and a recomputation can be compared with a publication (V6).
func (l *layout) version(version uint64) {
	l.columns = append(l.columns,
		column{name: sqlschema.ColVer, native: values(func(*exact.Block) func([]byte, int) []byte {
			return func(dst []byte, _ int) []byte { return append64(dst, version) }
		})})
}

// time adds a column of times.
func (l *layout) time(name string, read func(*exact.Block) []int64) {
	l.number(name, integers(read))
}

// unsigned adds a column of UInt64.
func (l *layout) unsigned(name string, read func(*exact.Block) []uint64) {
	l.number(name, integers(read))
}

// number adds a column of numbers. The checksum covers the same bytes that an INSERT sends.
func (l *layout) number(name string, bytes appender) {
	l.columns = append(l.columns, column{name: name, native: values(bytes), bytes: bytes})
}

// text adds a column of strings.
func (l *layout) text(name string, read func(*exact.Block) *exact.Strings) {
	l.columns = append(l.columns, column{name: name, native: dictionary(false, read),
		bytes: func(b *exact.Block) func([]byte, int) []byte {
			values := read(b)
			return func(dst []byte, row int) []byte { return appendText(dst, values.Value(row)) }
		}})
}

// dimension adds the column of a dimension, which may be null.
func (l *layout) dimension(name string, t catalog.FieldType, read func(*exact.Block) *exact.Dimension) {
	null := func(b *exact.Block) func(int) bool { return read(b).IsNull }
	ints := func(b *exact.Block) []int64 { return read(b).Ints }
	switch t {
	case catalog.String:
		l.columns = append(l.columns, column{name: name,
			native: dictionary(true, func(b *exact.Block) *exact.Strings { return &read(b).Strings }),
			bytes: func(b *exact.Block) func([]byte, int) []byte {
				c := read(b)
				return func(dst []byte, row int) []byte {
					if c.IsNull(row) {
						return appendText(append(dst, 1), "")
					}
					return appendText(append(dst, 0), c.Value(row))
				}
			}})
	case catalog.Bool:
		l.nullableNumber(name, null, func(b *exact.Block) func([]byte, int) []byte {
			values := ints(b)
			return func(dst []byte, row int) []byte { return append(dst, byte(values[row])) }
		}, 1)
	default:
		l.nullableNumber(name, null, integers(ints), 8)
	}
}

// nullableNumber adds a column of numbers that may be null, each of width bytes.
func (l *layout) nullableNumber(name string, null func(*exact.Block) func(row int) bool, bytes appender, width int) {
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
	l.columns = append(l.columns, column{name: name,
		native: func(dst []byte, rows []exact.BlockRows) []byte {
			return values(orZero)(values(marks)(dst, rows), rows)
		},
		bytes: func(b *exact.Block) func([]byte, int) []byte {
			mark := marks(b)
			value := orZero(b)
			return func(dst []byte, row int) []byte { return value(mark(dst, row), row) }
		}})
}

// integers appends an integer of 8 bytes.
func integers[T int64 | uint64](read func(*exact.Block) []T) appender {
	return func(b *exact.Block) func([]byte, int) []byte {
		values := read(b)
		return func(dst []byte, row int) []byte { return append64(dst, uint64(values[row])) }
	}
}

// floats appends a float of 8 bytes.
func floats(read func(*exact.Block) *exact.Measure) appender {
	return func(b *exact.Block) func([]byte, int) []byte {
		values := read(b).Floats
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
