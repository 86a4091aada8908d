package realtime

import (
	"cmp"
	"maps"
	"slices"
)

func (t *table) encode(b []byte) []byte {
	b = littleEndian.AppendUint64(b, uint64(len(t.keys)))
	for _, w := range t.keys {
		b = littleEndian.AppendUint32(b, w)
	}
	for _, n := range t.events {
		b = littleEndian.AppendUint64(b, n)
	}
	for _, m := range t.measures {
		if m != nil {
			b = m.encode(b)
		}
	}
	return b
}

// decode reads a table. Every id in its keys must be in the dictionaries.
func (t *table) decode(d *decoder, v *viewPlan, dictionaries []*dictionary) {
	n := d.count(4)
	stride := keyHead + len(v.dictionaries)
	if n%stride != 0 {
		d.reject("keys of %d words each cannot have %d words in total", stride, n)
		return
	}
	t.keys = make([]uint32, n)
	for i := range t.keys {
		t.keys[i] = d.uint32()
	}
	if !d.fits(n/stride, 8) {
		return
	}
	t.events = make([]uint64, n/stride)
	for r := range t.events {
		t.events[r] = d.uint64()
		t.acceptKey(d, t.keys[r*stride:(r+1)*stride], v, dictionaries, r)
	}
	for _, m := range t.measures {
		if m != nil {
			m.decode(d, t.rows())
		}
	}
}

// acceptKey checks a decoded key and extends the table's range of cells to it.
func (t *table) acceptKey(d *decoder, key []uint32, v *viewPlan, dictionaries []*dictionary, row int) {
	bad := key[2] == 0 || int(key[2]) >= dictionaries[0].size()
	for i, dictionary := range v.dictionaries {
		bad = bad || int(key[keyHead+i]) >= dictionaries[dictionary].size()
	}
	if bad {
		d.reject("a key has an id that is not in the dictionary")
	}
	cell := cellOf(key)
	if row == 0 {
		t.low = cell
		t.high = cell
	}
	t.low = min(t.low, cell)
	t.high = max(t.high, cell)
}

func (s *segment) encode(b []byte) []byte {
	for _, v := range []uint64{s.start, s.end, s.events, s.duplicates, uint64(s.appended)} {
		b = littleEndian.AppendUint64(b, v)
	}
	for _, t := range s.types {
		if t == nil {
			b = append(b, 0)
			continue
		}
		b = append(b, 1)
		for _, d := range t.dictionaries {
			b = d.encode(b)
		}
		for _, t := range t.tables {
			b = t.encode(b)
		}
	}
	return b
}

func (s *segment) hasUnconverted() bool {
	for _, t := range s.types {
		if t != nil && slices.ContainsFunc(t.tables, func(t *table) bool { return len(t.unconverted) > 0 }) {
			return true
		}
	}
	return false
}

// unconvertedBytes is the size of an encoded count.
const unconvertedBytes = 4 + 4 + 8 + 4 + 8

func (s *segment) encodeUnconverted(b []byte) []byte {
	for i, typed := range s.types {
		if typed == nil {
			continue
		}
		for j, t := range typed.tables {
			for _, key := range slices.SortedFunc(maps.Keys(t.unconverted), compareUnconverted) {
				b = littleEndian.AppendUint32(littleEndian.AppendUint32(b, uint32(i)), uint32(j))
				b = littleEndian.AppendUint64(b, uint64(key.bucket))
				b = littleEndian.AppendUint32(b, key.tenant)
				b = littleEndian.AppendUint64(b, t.unconverted[key])
			}
		}
	}
	return b
}

func compareUnconverted(a, b unconvertedKey) int {
	return cmp.Or(cmp.Compare(a.bucket, b.bucket), cmp.Compare(a.tenant, b.tenant))
}

func (s *segment) decodeUnconverted(d *decoder) {
	for d.err == nil && d.fits(1, unconvertedBytes) {
		typeNumber := int(d.uint32())
		view := int(d.uint32())
		key := unconvertedKey{bucket: d.int64(), tenant: d.uint32()}
		events := d.uint64()
		if typeNumber >= len(s.types) || s.types[typeNumber] == nil || view >= len(s.types[typeNumber].tables) ||
			key.tenant == 0 || int(key.tenant) >= s.types[typeNumber].dictionaries[0].size() {
			d.reject("a count of unconverted events is of no view or tenant")
			return
		}
		t := s.types[typeNumber].tables[view]
		if t.unconverted == nil {
			t.unconverted = map[unconvertedKey]uint64{}
		}
		t.unconverted[key] = events
		if len(d.payload) == 0 {
			return
		}
	}
}

func decodeSegment(d *decoder, p *plan) *segment {
	s := newSegment(p, d.uint64())
	s.end = d.uint64()
	s.events = d.uint64()
	s.duplicates = d.uint64()
	s.appended = d.int64()
	for i, t := range p.types {
		if d.uint8() == 0 {
			continue
		}
		typed := newTypeSegment(t)
		for _, x := range typed.dictionaries {
			x.decode(d)
		}
		for j, table := range typed.tables {
			table.decode(d, t.views[j], typed.dictionaries)
		}
		s.types[i] = typed
	}
	if d.err == nil && len(d.payload) > 0 {
		d.reject("%d bytes follow a segment", len(d.payload))
	}
	return s
}

func (d *dictionary) encode(b []byte) []byte {
	if !d.isText {
		b = littleEndian.AppendUint64(append(b, 1), uint64(len(d.ints)-1))
		for _, v := range d.ints[1:] {
			b = littleEndian.AppendUint64(b, uint64(v))
		}
		return b
	}
	b = littleEndian.AppendUint64(append(b, 0), uint64(len(d.ends)-1))
	for _, e := range d.ends[1:] {
		b = littleEndian.AppendUint64(b, uint64(e))
	}
	return append(littleEndian.AppendUint64(b, uint64(len(d.text))), d.text...)
}

func (d *dictionary) decode(x *decoder) {
	ints := x.uint8() == 1
	if ints == d.isText {
		x.reject("a dictionary has another type than its column")
		return
	}
	n := x.count(8)
	for range n {
		if d.isText {
			d.ends = append(d.ends, int(x.uint64()))
		} else {
			d.ints = append(d.ints, x.int64())
		}
	}
	if !d.isText {
		return
	}
	d.text = append(d.text, x.bytes(x.count(1))...)
	for i, e := range d.ends {
		if e < 0 || e > len(d.text) || i > 0 && e < d.ends[i-1] {
			x.reject("a dictionary's values overlap")
			return
		}
	}
}
