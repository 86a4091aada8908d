package realtime

import (
	"maps"
	"math"
	"slices"

	"recount/schemas/distinct"
	"recount/schemas/floatsum"
)

func (s *intSums) encode(b []byte) []byte {
	for _, r := range s.rows {
		b = littleEndian.AppendUint64(b, r.n)
		b = littleEndian.AppendUint64(b, uint64(r.hi))
		b = littleEndian.AppendUint64(b, r.lo)
	}
	return b
}

func (s *intSums) decode(d *decoder, rows int) {
	if !d.fits(rows, 24) {
		return
	}
	s.grow(rows)
	for i := range s.rows {
		s.rows[i] = intSum{d.uint64(), d.int64(), d.uint64()}
	}
}

func (s *floatSums) encode(b []byte) []byte {
	for _, r := range s.rows {
		b = littleEndian.AppendUint64(b, r.n)
		for _, word := range r.near {
			b = littleEndian.AppendUint64(b, word)
		}
	}
	b = littleEndian.AppendUint64(b, uint64(len(s.far)))
	for _, row := range slices.Sorted(maps.Keys(s.far)) {
		b = littleEndian.AppendUint32(b, row)
		b = append(b, uint8(len(s.far[row])))
		b = s.far[row].Append(b)
	}
	return b
}

func (s *floatSums) decode(d *decoder, rows int) {
	if !d.fits(rows, floatSumSize) {
		return
	}
	s.grow(rows)
	for i := range s.rows {
		s.rows[i] = floatSum{d.uint64(), floatsum.Near{d.uint64(), d.uint64(), d.uint64(), d.uint64()}}
	}
	for range d.count(5) {
		row := d.uint32()
		far, err := floatsum.ParseFar(d.bytes(int(d.uint8()) * floatsum.BinBytes))
		if err != nil || int(row) >= rows {
			d.reject("a sum of row %d of %d: %v", row, rows, err)
			return
		}
		s.setFar(row, far)
	}
}

func (s *extremes[T]) encode(b []byte) []byte {
	for _, r := range s.rows {
		b = littleEndian.AppendUint64(b, r.n)
		switch v := any(r.value).(type) {
		case int64:
			b = littleEndian.AppendUint64(b, uint64(v))
		case float64:
			b = littleEndian.AppendUint64(b, math.Float64bits(v))
		}
	}
	return b
}

func (s *extremes[T]) decode(d *decoder, rows int) {
	if !d.fits(rows, 16) {
		return
	}
	s.grow(rows)
	for i := range s.rows {
		s.rows[i].n = d.uint64()
		switch v := any(&s.rows[i].value).(type) {
		case *int64:
			*v = d.int64()
		case *float64:
			*v = d.float64()
		}
	}
}

const (
	denseSketch = 1<<16 - 1 // in the place of the number of hashes: the registers follow
	registers   = 1 << distinct.Precision
)

func (s *sketches) encode(b []byte) []byte {
	for _, r := range s.rows {
		if r.n < larger {
			b = littleEndian.AppendUint16(b, uint16(r.n))
			if r.n == one {
				b = littleEndian.AppendUint64(b, r.hash)
			}
			continue
		}
		b = encodeSketch(b, &s.sets[r.n-larger])
	}
	return b
}

// encodeSketch writes all registers of a large set, one byte each. A list of the registers in use could be
// much smaller on disk than in memory, because a client can choose values that share few registers.
// Then a damaged file could make the decoder allocate memory without a bound.
func encodeSketch(b []byte, s *distinct.Sketch) []byte {
	if s.Exact() {
		b = littleEndian.AppendUint16(b, uint16(len(s.Hashes())))
		for _, h := range s.Hashes() {
			b = littleEndian.AppendUint64(b, h)
		}
		return b
	}
	b = littleEndian.AppendUint16(b, denseSketch)
	ranks := make([]byte, registers)
	for _, reg := range s.Registers() {
		ranks[reg>>8] = byte(reg)
	}
	return append(b, ranks...)
}

func (s *sketches) decode(d *decoder, rows int) {
	if !d.fits(rows, 2) {
		return
	}
	s.grow(rows)
	for row := range s.rows {
		switch n := int(d.uint16()); {
		case n == denseSketch:
			set := s.sketch(&s.rows[row])
			before := set.Bytes()
			for reg, rank := range d.bytes(registers) {
				if rank > 0 {
					set.AddRegister(uint32(reg)<<8 | uint32(rank))
				}
			}
			s.held += set.Bytes() - before
		case n > distinct.ExactLimit:
			d.reject("a set has %d hashes, more than %d", n, distinct.ExactLimit)
		case d.fits(n, 8):
			for range n {
				s.addHash(uint32(row), d.uint64())
			}
		}
	}
}
