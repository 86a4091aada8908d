package cells

import (
	"encoding/binary"
	"strconv"

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
		l.sketch(m.Name+"__sketch", read)
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

// sketch adds the column of a distinct count's registers. The checksum uses the text of the array
// as ClickHouse writes it, because SQL has no function that returns an array's bytes.
func (l *layout) sketch(name string, read func(*exact.Block) *exact.Measure) {
	l.columns = append(l.columns, column{name: name,
		native: func(dst []byte, rows []exact.BlockRows) []byte { return appendSketches(dst, rows, read) },
		bytes: func(b *exact.Block) func([]byte, int) []byte {
			m := read(b)
			registers := []uint32(nil)
			text := []byte(nil)
			return func(dst []byte, row int) []byte {
				registers = distinct.AppendRegisters(registers[:0], hashes(m, row))
				text = append(text[:0], '[')
				for i, r := range registers {
					if i > 0 {
						text = append(text, ',')
					}
					text = strconv.AppendUint(text, uint64(r), 10)
				}
				return appendText(dst, append(text, ']'))
			}
		}})
}

// appendSketches appends the rows' arrays of registers: first the end of each array, then all registers.
func appendSketches(dst []byte, rows []exact.BlockRows, read func(*exact.Block) *exact.Measure) []byte {
	var registers []uint32
	for _, x := range rows {
		m := read(x.Block)
		for row := x.From; row < x.To; row++ {
			registers = distinct.AppendRegisters(registers, hashes(m, row))
			dst = append64(dst, uint64(len(registers)))
		}
	}
	for _, r := range registers {
		dst = binary.LittleEndian.AppendUint32(dst, r)
	}
	return dst
}

func hashes(m *exact.Measure, row int) []uint64 { return m.Hashes[m.Starts[row]:m.Starts[row+1]] }
