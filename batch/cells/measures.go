package cells

import (
	"encoding/binary"

	"recount/batch/exact"
	"recount/schemas/catalog"
	"recount/schemas/distinct"
	"recount/schemas/floatsum"
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
