package cells

import (
	"encoding/binary"
	"strconv"

	"recount/batch/exact"
	"recount/schemas/catalog"
	"recount/schemas/distinct"
	"recount/schemas/floatsum"
	"recount/schemas/sqlschema"
)

// measure adds the columns of a measure, which sqlschema.MeasureColumns names.
func (l *layout) measure(m catalog.Measure, t catalog.FieldType, read func(*exact.Block) *exact.Measure) {
	switch m.Kind {
	case catalog.Count:
		l.unsigned(m.Name, func(b *exact.Block) []uint64 { return b.Events })
	case catalog.Sum, catalog.Avg:
		if t == catalog.Float64 {
			l.number(m.Name+"__near", nears(read))
			l.far(m.Name+"__far", read)
		} else {
			l.number(m.Name+"__sum", int128s(read))
		}
		l.unsigned(m.Name+"__n", func(b *exact.Block) []uint64 { return read(b).N })
	case catalog.Min, catalog.Max:
		l.extreme(m.Name, t, read)
	case catalog.Distinct:
		l.state(m.Name+"__state", read)
	case catalog.Quantile:
		l.bins(m.Name+sqlschema.BinsSuffix, read)
	}
}

// int128s appends an Int128.
func int128s(read func(*exact.Block) *exact.Measure) appender {
	return func(b *exact.Block) func([]byte, int) []byte {
		m := read(b)
		return func(dst []byte, row int) []byte { return append64(append64(dst, m.Lo[row]), uint64(m.Hi[row])) }
	}
}

// nears appends the near part of a sum of floats, an Int256.
func nears(read func(*exact.Block) *exact.Measure) appender {
	return func(b *exact.Block) func([]byte, int) []byte {
		near := read(b).Near
		return func(dst []byte, row int) []byte {
			for _, word := range near[row] {
				dst = append64(dst, word)
			}
			return dst
		}
	}
}

// far adds the column of the far part of a sum of floats, which is nearly always empty.
func (l *layout) far(name string, read func(*exact.Block) *exact.Measure) {
	l.columns = append(l.columns, column{name: name,
		native: values(func(b *exact.Block) func([]byte, int) []byte {
			far := read(b).Far
			return func(dst []byte, row int) []byte {
				x := far[row]
				return x.Append(binary.AppendUvarint(dst, uint64(len(x)*floatsum.BinBytes)))
			}
		}),
		bytes: func(b *exact.Block) func([]byte, int) []byte {
			far := read(b).Far
			return func(dst []byte, row int) []byte {
				x := far[row]
				return x.Append(append64(dst, uint64(len(x)*floatsum.BinBytes)))
			}
		}})
}

// extreme adds the column of a minimum or maximum. It is null where the group has no value.
func (l *layout) extreme(name string, t catalog.FieldType, read func(*exact.Block) *exact.Measure) {
	value := integers(func(b *exact.Block) []int64 { return read(b).Ints })
	if t == catalog.Float64 {
		value = floats(read)
	}
	null := func(b *exact.Block) func(int) bool {
		n := read(b).N
		return func(row int) bool { return n[row] == 0 }
	}
	l.nullableNumber(name, null, value, 8)
}

// state adds the column of a distinct count's exact state.
func (l *layout) state(name string, read func(*exact.Block) *exact.Measure) {
	l.columns = append(l.columns, column{name: name,
		native: values(func(b *exact.Block) func([]byte, int) []byte {
			m := read(b)
			state := []byte(nil)
			return func(dst []byte, row int) []byte {
				state = distinct.AppendState(state[:0], hashes(m, row))
				return append(binary.AppendUvarint(dst, uint64(len(state))), state...)
			}
		}),
		bytes: func(b *exact.Block) func([]byte, int) []byte {
			m := read(b)
			state := []byte(nil)
			return func(dst []byte, row int) []byte {
				state = distinct.AppendState(state[:0], hashes(m, row))
				return appendText(dst, state)
			}
		}})
}

func hashes(m *exact.Measure, row int) []uint64 { return m.Hashes[m.Starts[row]:m.Starts[row+1]] }

// bins adds the column of the bins of a quantile measure. The Native form of a map is where the entries of each row
// end, then all keys, then all values.
func (l *layout) bins(name string, read func(*exact.Block) *exact.Measure) {
	l.columns = append(l.columns, column{name: name,
		native: func(dst []byte, rows []exact.BlockRows) []byte {
			end := 0
			for _, x := range rows {
				starts := read(x.Block).Starts
				for row := x.From; row < x.To; row++ {
					end += starts[row+1] - starts[row]
					dst = append64(dst, uint64(end))
				}
			}
			for _, x := range rows {
				m := read(x.Block)
				for _, key := range m.Keys[m.Starts[x.From]:m.Starts[x.To]] {
					dst = binary.LittleEndian.AppendUint16(dst, uint16(key))
				}
			}
			for _, x := range rows {
				m := read(x.Block)
				for _, n := range m.Counts[m.Starts[x.From]:m.Starts[x.To]] {
					dst = append64(dst, n)
				}
			}
			return dst
		},
		bytes: func(b *exact.Block) func([]byte, int) []byte {
			m := read(b)
			text := []byte(nil)
			return func(dst []byte, row int) []byte {
				text = appendBins(text[:0], m, row)
				return appendText(dst, text)
			}
		}})
}

// appendBins appends ClickHouse's text of the map.
func appendBins(dst []byte, m *exact.Measure, row int) []byte {
	dst = append(dst, '{')
	for i := m.Starts[row]; i < m.Starts[row+1]; i++ {
		if i > m.Starts[row] {
			dst = append(dst, ',')
		}
		dst = append(strconv.AppendInt(dst, int64(m.Keys[i]), 10), ':')
		dst = strconv.AppendUint(dst, m.Counts[i], 10)
	}
	return append(dst, '}')
}
