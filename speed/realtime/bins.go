package realtime

import (
	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"recount/schemas/quantile"
	"recount/schemas/query"
)

// bins are the distributions of the values of a field. In sparse views nearly every row has one value, so a row with
// one bin has it itself. Only larger ones are sketches.
type bins struct {
	rows     []binRow
	sketches []quantile.Sketch
	held     int64 // bytes of the sketches
}

// binRow is the distribution of one row.
type binRow struct {
	n      uint64 // how many values there are
	sketch uint32 // 0: all values are in the bin of key; otherwise they are in sketches[sketch-1]
	key    int16
}

const (
	binRowSize = 16
	// binSketchSize is the size of a quantile.Sketch without what it holds.
	binSketchSize = 48
)

func (s *bins) grow(rows int) { s.rows = resize(s.rows, rows) }

// bytes includes the room for further sketches, which held does not.
func (s *bins) bytes() int64 {
	return int64(binRowSize*cap(s.rows)) + s.held + int64(binSketchSize*(cap(s.sketches)-len(s.sketches)))
}

func (s *bins) add(col arrow.Array, selected []int32, rows []uint32) {
	var keyOf func(i int) int16
	switch c := col.(type) {
	case *array.Int64:
		keyOf = func(i int) int16 { return quantile.KeyOfInt(c.Value(i)) }
	case *array.Float64:
		keyOf = func(i int) int16 { return quantile.KeyOfFloat(c.Value(i)) }
	default:
		return
	}
	nulls := col.NullN() > 0
	for k, i := range selected {
		if nulls && col.IsNull(int(i)) {
			continue
		}
		s.addValues(rows[k], keyOf(int(i)), 1)
	}
}

// addValues adds n values of a bin to a row.
func (s *bins) addValues(row uint32, key int16, n uint64) {
	r := &s.rows[row]
	if r.n == 0 {
		r.key = key
	}
	if r.sketch == 0 && r.key != key {
		s.sketches = append(s.sketches, quantile.Sketch{})
		r.sketch = uint32(len(s.sketches))
		first := &s.sketches[r.sketch-1]
		first.Add(r.key, r.n)
		s.held += first.Bytes()
	}
	if r.sketch > 0 {
		sketch := &s.sketches[r.sketch-1]
		before := sketch.Bytes()
		sketch.Add(key, n)
		s.held += sketch.Bytes() - before
	}
	r.n += n
}

func (s *bins) merge(into []query.Acc, target []int32) {
	for r, t := range target {
		if t < 0 || s.rows[r].n == 0 {
			continue
		}
		a := &into[t]
		if a.Bins == nil {
			a.Bins = &quantile.Sketch{}
		}
		row := &s.rows[r]
		if a.N += row.n; row.sketch == 0 {
			a.Bins.Add(row.key, row.n)
		} else {
			a.Bins.Merge(&s.sketches[row.sketch-1])
		}
	}
}

// targeted returns the bytes of the bins that merge adds to others: at most by so much do those grow.
func (s *bins) targeted(target []int32) (bytes int64) {
	const growth = 2 // A list has up to as much free as it holds.
	for r, t := range target {
		if t < 0 || s.rows[r].n == 0 {
			continue
		}
		held := 1
		if sketch := s.rows[r].sketch; sketch > 0 {
			held = s.sketches[sketch-1].Len()
		}
		bytes += binSketchSize + int64(growth*quantile.BinBytes*held)
	}
	return bytes
}

// minBin is the least size of an encoded bin: a key and a number.
const minBin = 2 + 8

func (s *bins) encode(b []byte) []byte {
	for _, r := range s.rows {
		switch {
		case r.n == 0:
			b = littleEndian.AppendUint16(b, 0)
		case r.sketch == 0:
			b = appendBin(littleEndian.AppendUint16(b, 1), r.key, r.n)
		default:
			sketch := &s.sketches[r.sketch-1]
			b = littleEndian.AppendUint16(b, uint16(sketch.Len()))
			for key, n := range sketch.Bins() {
				b = appendBin(b, key, n)
			}
		}
	}
	return b
}

func appendBin(b []byte, key int16, n uint64) []byte {
	return littleEndian.AppendUint64(littleEndian.AppendUint16(b, uint16(key)), n)
}

func (s *bins) decode(d *decoder, rows int) {
	if !d.fits(rows, 2) {
		return
	}
	s.grow(rows)
	for row := range s.rows {
		n := int(d.uint16())
		if !d.fits(n, minBin) {
			return
		}
		last := -quantile.MaxKey - 1
		for range n {
			key := int16(d.uint16())
			values := d.uint64()
			if int(key) <= last || int(key) > quantile.MaxKey || values == 0 {
				d.reject("the bin %d of row %d is not one after %d, or is empty", key, row, last)
				return
			}
			last = int(key)
			s.addValues(uint32(row), key, values)
		}
	}
}
