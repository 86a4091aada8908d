package cells

import (
	"encoding/binary"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"recount/batch/exact"
	"recount/schemas/catalog"
	"recount/schemas/query"
	"recount/schemas/sqlschema"
)

// column is one column of a view's table: how rows [lo, hi) of a block go into an
// insert, and the bytes one value adds to its row's checksum, in Go and in SQL.
// Keeping the three side by side is what keeps them equal.
type column struct {
	name  string
	write func(c driver.BatchColumn, b *exact.Block, lo, hi int) error
	bytes func(dst []byte, b *exact.Block, row int) []byte
	sql   string // of type String or FixedString
}

// layout is the columns of a view's table, in the table's order.
type layout struct {
	columns []column
	strings map[string]*string // a low-cardinality column tells values apart by pointer
}

func newLayout(c *catalog.Catalog, v *catalog.View, ver uint64) *layout {
	l := &layout{strings: map[string]*string{}}
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

// version is not part of the checksum: the same rows have the same one in every
// attempt, so a recomputation can be compared with a publication (V6).
func (l *layout) version(ver uint64) {
	l.columns = append(l.columns, column{name: sqlschema.ColVer,
		write: func(c driver.BatchColumn, _ *exact.Block, lo, hi int) error {
			vers := make([]uint64, hi-lo)
			for i := range vers {
				vers[i] = ver
			}
			return c.Append(vers)
		}})
}

func (l *layout) micros(name string, of func(*exact.Block) []int64) {
	l.columns = append(l.columns, column{name: name, sql: fixed("toUnixTimestamp64Micro(" + sqlschema.Quote(name) + ")"),
		write: func(c driver.BatchColumn, b *exact.Block, lo, hi int) error {
			times := make([]time.Time, 0, hi-lo)
			for _, t := range of(b)[lo:hi] {
				times = append(times, time.UnixMicro(t).UTC())
			}
			return c.Append(times)
		},
		bytes: func(dst []byte, b *exact.Block, row int) []byte { return append64(dst, uint64(of(b)[row])) }})
}

func (l *layout) numbers(name string, of func(*exact.Block) []uint64) {
	l.columns = append(l.columns, column{name: name, sql: fixed(sqlschema.Quote(name)),
		write: func(c driver.BatchColumn, b *exact.Block, lo, hi int) error { return c.Append(of(b)[lo:hi]) },
		bytes: func(dst []byte, b *exact.Block, row int) []byte { return append64(dst, of(b)[row]) }})
}

func (l *layout) text(name string, of func(*exact.Block) []string) {
	l.columns = append(l.columns, column{name: name, sql: counted(sqlschema.Quote(name)),
		write: func(c driver.BatchColumn, b *exact.Block, lo, hi int) error {
			return c.Append(l.pointers(of(b)[lo:hi], nil))
		},
		bytes: func(dst []byte, b *exact.Block, row int) []byte { return appendText(dst, of(b)[row]) }})
}

// pointers returns one pointer a distinct string, nil where null says so.
func (l *layout) pointers(values []string, null []bool) []*string {
	out := make([]*string, len(values))
	for i, v := range values {
		if null != nil && null[i] {
			continue
		}
		p := l.strings[v]
		if p == nil {
			p = &v
			l.strings[v] = p
		}
		out[i] = p
	}
	return out
}

func (l *layout) dimension(name string, t catalog.FieldType, of func(*exact.Block) *query.Column) {
	q := sqlschema.Quote(name)
	col := column{name: name}
	isNull := func(b *exact.Block, row int) bool { return of(b).IsNull(row) }
	nulls := func(b *exact.Block, lo, hi int) []bool {
		if n := of(b).Null; n != nil {
			return n[lo:hi]
		}
		return nil
	}
	switch t {
	case catalog.String:
		col.sql = nullable(q, counted("ifNull("+q+", '')"))
		col.write = func(c driver.BatchColumn, b *exact.Block, lo, hi int) error {
			return c.Append(l.pointers(of(b).Strings[lo:hi], nulls(b, lo, hi)))
		}
		col.bytes = func(dst []byte, b *exact.Block, row int) []byte {
			if isNull(b, row) {
				return appendText(append(dst, 1), "")
			}
			return appendText(append(dst, 0), of(b).Strings[row])
		}
	case catalog.Bool:
		col.sql = nullable(q, fixed("ifNull("+q+", false)"))
		col.write = func(c driver.BatchColumn, b *exact.Block, lo, hi int) error {
			values := make([]bool, hi-lo)
			for i, v := range of(b).Ints[lo:hi] {
				values[i] = v != 0
			}
			return c.Append(optional(values, nulls(b, lo, hi)))
		}
		col.bytes = func(dst []byte, b *exact.Block, row int) []byte {
			return append(appendBool(dst, isNull(b, row)), byte(of(b).Ints[row]))
		}
	default:
		col.sql = nullable(q, fixed("ifNull("+q+", toInt64(0))"))
		col.write = func(c driver.BatchColumn, b *exact.Block, lo, hi int) error {
			return c.Append(optional(of(b).Ints[lo:hi], nulls(b, lo, hi)))
		}
		col.bytes = func(dst []byte, b *exact.Block, row int) []byte {
			return append64(appendBool(dst, isNull(b, row)), uint64(of(b).Ints[row]))
		}
	}
	l.columns = append(l.columns, col)
}

// optional returns pointers to the values, nil where null says so.
func optional[T any](values []T, null []bool) []*T {
	out := make([]*T, len(values))
	for i := range values {
		if null == nil || !null[i] {
			out[i] = &values[i]
		}
	}
	return out
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
