package cells

import (
	"math"
	"math/big"
	"strconv"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"recount/batch/exact"
	"recount/schemas/catalog"
	"recount/schemas/distinct"
	"recount/schemas/sqlschema"
)

// measure adds the columns sqlschema.MeasureColumns names.
func (l *layout) measure(m catalog.Measure, t catalog.FieldType, of func(*exact.Block) *exact.Measure) {
	switch m.Kind {
	case catalog.Count:
		l.numbers(m.Name, func(b *exact.Block) []uint64 { return b.Events })
	case catalog.Sum, catalog.Avg:
		if t == catalog.Float64 {
			l.floatSum(m.Name+"__sum", of)
		} else {
			l.wideSum(m.Name+"__sum", of)
		}
		l.numbers(m.Name+"__n", func(b *exact.Block) []uint64 { return of(b).N })
	case catalog.Min, catalog.Max:
		l.extreme(m.Name, t, of)
	case catalog.Distinct:
		l.state(m.Name+"__state", of)
		l.sketch(m.Name+"__sketch", of)
	}
}

func (l *layout) floatSum(name string, of func(*exact.Block) *exact.Measure) {
	l.columns = append(l.columns, column{name: name, sql: fixed(sqlschema.Quote(name)),
		write: func(c driver.BatchColumn, b *exact.Block, lo, hi int) error { return c.Append(of(b).Floats[lo:hi]) },
		bytes: func(dst []byte, b *exact.Block, row int) []byte {
			return append64(dst, math.Float64bits(of(b).Floats[row]))
		}})
}

func (l *layout) wideSum(name string, of func(*exact.Block) *exact.Measure) {
	l.columns = append(l.columns, column{name: name, sql: fixed(sqlschema.Quote(name)),
		write: func(c driver.BatchColumn, b *exact.Block, lo, hi int) error {
			m, sums := of(b), make([]big.Int, hi-lo)
			var low big.Int
			for i := range sums {
				sums[i].Lsh(sums[i].SetInt64(m.Hi[lo+i]), 64)
				sums[i].Add(&sums[i], low.SetUint64(m.Lo[lo+i]))
			}
			return c.Append(sums)
		},
		bytes: func(dst []byte, b *exact.Block, row int) []byte {
			return append64(append64(dst, of(b).Lo[row]), uint64(of(b).Hi[row]))
		}})
}

// extreme is null where no value was seen.
func (l *layout) extreme(name string, t catalog.FieldType, of func(*exact.Block) *exact.Measure) {
	q := sqlschema.Quote(name)
	col := column{name: name}
	value := func(m *exact.Measure, row int) uint64 { return uint64(m.Ints[row]) }
	switch t {
	case catalog.Float64:
		col.sql = nullable(q, fixed("ifNull("+q+", toFloat64(0))"))
		value = func(m *exact.Measure, row int) uint64 { return math.Float64bits(m.Floats[row]) }
		col.write = func(c driver.BatchColumn, b *exact.Block, lo, hi int) error {
			return c.Append(optional(of(b).Floats[lo:hi], none(of(b).N[lo:hi])))
		}
	case catalog.Timestamp:
		col.sql = nullable(q, fixed("ifNull(toUnixTimestamp64Micro("+q+"), toInt64(0))"))
		col.write = func(c driver.BatchColumn, b *exact.Block, lo, hi int) error {
			times := make([]time.Time, hi-lo)
			for i, t := range of(b).Ints[lo:hi] {
				times[i] = time.UnixMicro(t).UTC()
			}
			return c.Append(optional(times, none(of(b).N[lo:hi])))
		}
	default:
		col.sql = nullable(q, fixed("ifNull("+q+", toInt64(0))"))
		col.write = func(c driver.BatchColumn, b *exact.Block, lo, hi int) error {
			return c.Append(optional(of(b).Ints[lo:hi], none(of(b).N[lo:hi])))
		}
	}
	col.bytes = func(dst []byte, b *exact.Block, row int) []byte {
		if of(b).N[row] == 0 {
			return append64(append(dst, 1), 0)
		}
		return append64(append(dst, 0), value(of(b), row))
	}
	l.columns = append(l.columns, col)
}

func (l *layout) state(name string, of func(*exact.Block) *exact.Measure) {
	var state []byte
	at := func(b *exact.Block, row int) []byte {
		state = distinct.AppendState(state[:0], hashes(of(b), row))
		return state
	}
	l.columns = append(l.columns, column{name: name, sql: counted(sqlschema.Quote(name)),
		write: func(c driver.BatchColumn, b *exact.Block, lo, hi int) error {
			for row := lo; row < hi; row++ {
				if err := c.AppendRow(at(b, row)); err != nil {
					return err
				}
			}
			return nil
		},
		bytes: func(dst []byte, b *exact.Block, row int) []byte { return appendText(dst, at(b, row)) }})
}

// sketch is hashed as ClickHouse writes an array as text, because SQL has no plainer bytes of one.
func (l *layout) sketch(name string, of func(*exact.Block) *exact.Measure) {
	var registers []uint32
	var text []byte
	at := func(b *exact.Block, row int) []uint32 {
		registers = distinct.AppendRegisters(registers[:0], hashes(of(b), row))
		return registers
	}
	l.columns = append(l.columns, column{name: name, sql: counted("toString(" + sqlschema.Quote(name) + ")"),
		write: func(c driver.BatchColumn, b *exact.Block, lo, hi int) error {
			for row := lo; row < hi; row++ {
				if err := c.AppendRow(at(b, row)); err != nil {
					return err
				}
			}
			return nil
		},
		bytes: func(dst []byte, b *exact.Block, row int) []byte {
			text = append(text[:0], '[')
			for i, r := range at(b, row) {
				if i > 0 {
					text = append(text, ',')
				}
				text = strconv.AppendUint(text, uint64(r), 10)
			}
			return appendText(dst, append(text, ']'))
		}})
}

func hashes(m *exact.Measure, row int) []uint64 { return m.Hashes[m.Starts[row]:m.Starts[row+1]] }

// none marks the rows without values.
func none(n []uint64) []bool {
	null := make([]bool, len(n))
	for i, v := range n {
		null[i] = v == 0
	}
	return null
}
