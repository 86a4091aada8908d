package exact

import (
	"recount/schemas/catalog"
	"recount/schemas/floatsum"
	"recount/schemas/record"
)

// Block is some rows of a view's batch view, ordered by bucket, then cell. A row is a group
// with at least one event.
type Block struct {
	View     *catalog.View
	Buckets  []int64 // start of each row's bucket, microseconds since 1970
	Times    []int64 // start of each row's cell
	Tenants  Strings
	Dims     []Dimension // in the order of the view's dimensions
	Events   []uint64
	Measures []Measure // in the order of the view's measures

	// Unconverted counts events that the block's rows hold, or the view's filter excludes. Blocks of the same bucket
	// add up.
	Unconverted []record.BucketEvents
	// Overflowed counts events of the block's rows that have a value beyond the limit (B7). It adds up likewise.
	Overflowed []record.BucketEvents
}

// Strings is a column of strings, which blocks of one task share. The string of a row is Words[Codes[row]]. Code 0 is
// null, and Words[0] is empty.
type Strings struct {
	Words []string
	Codes []uint32
}

// Value returns the string of the row, which is empty for null.
func (s *Strings) Value(row int) string { return s.Words[s.Codes[row]] }

// Dimension is one dimension of every row of a block. Ints and Null are those of a type other than String. Null is nil
// if no value is null.
type Dimension struct {
	Type catalog.FieldType
	Strings
	Ints []int64
	Null []bool
}

// IsNull reports whether the row's value is missing.
func (d *Dimension) IsNull(row int) bool {
	if d.Type == catalog.String {
		return d.Codes[row] == 0
	}
	return d.Null != nil && d.Null[row]
}

// Rows is the number of rows.
func (b *Block) Rows() int { return len(b.Times) }

// BlockRows is the rows [From, To) of a block.
type BlockRows struct {
	Block    *Block
	From, To int
}

// Measure is one measure of every row of a block:
//
//	count     no field is used: the count is the row's Events
//	sum, avg  N non-null values; their sum is in Hi:Lo (two's complement) or, for floats, in Near and Far
//	min, max  N non-null values; the extreme is in Ints or Floats where N > 0
//	distinct  the hashes are Hashes[Starts[row]:Starts[row+1]], ascending and unique
//	quantile  N non-null values; Counts[i] of them are in the bin Keys[i] (package quantile), for every i from
//	          Starts[row] to before Starts[row+1], with ascending keys
type Measure struct {
	catalog.Measure
	Type   catalog.FieldType // type of the measured field
	N      []uint64
	Hi     []int64
	Lo     []uint64
	Near   []floatsum.Near
	Far    map[int]floatsum.Far // by row; rows without far values are absent
	Ints   []int64
	Floats []float64
	Starts []int
	Hashes []uint64
	Keys   []int16
	Counts []uint64
}

// block returns the groups of the view in their order.
func (v *viewTask) block(width int64) *Block {
	order := v.groups.sorted()
	n := v.groups.width
	b := &Block{
		View: v.view, Buckets: make([]int64, len(order)), Times: make([]int64, len(order)),
		Events: gather(v.groups.events, order),
	}
	column := func(j int) []uint32 {
		codes := make([]uint32, len(order))
		for r, g := range order {
			codes[r] = v.groups.codes[int(g)*n+j]
		}
		return codes
	}
	for r, c := range column(0) {
		b.Times[r] = v.origin + int64(c)*v.cell
		b.Buckets[r] = b.Times[r] - (b.Times[r]-v.origin)%width
	}
	b.Tenants = v.coders[0].words(column(1))
	for j, k := range v.coders[1:] {
		b.Dims = append(b.Dims, k.gather(column(j+2), v.types[j]))
	}
	for i := range v.measures {
		b.Measures = append(b.Measures, v.measures[i].gather(order))
	}
	b.Unconverted = v.events(v.unconverted)
	b.Overflowed = v.events(v.overflowed)
	return b
}

// words returns the strings of the codes.
func (k *coder) words(codes []uint32) Strings {
	if k.values.Strings == nil {
		return Strings{[]string{""}, codes} // Every value is null.
	}
	return Strings{k.values.Strings, codes}
}

// gather returns the value of each code.
func (k *coder) gather(codes []uint32, t catalog.FieldType) Dimension {
	if t == catalog.String {
		return Dimension{Type: t, Strings: k.words(codes)}
	}
	d := Dimension{Type: t, Ints: make([]int64, len(codes))}
	for r, code := range codes {
		if code == 0 {
			if d.Null == nil {
				d.Null = make([]bool, len(codes))
			}
			d.Null[r] = true
			continue
		}
		d.Ints[r] = k.values.Ints[code]
	}
	return d
}

func (a *accumulator) gather(order []int32) Measure {
	m := Measure{
		Measure: a.measure, Type: a.fieldType, N: gather(a.n, order), Hi: gather(a.hi, order), Lo: gather(a.lo, order),
		Near: gather(a.near, order), Ints: gather(a.ints, order), Floats: gather(a.floats, order),
	}
	if len(a.far) > 0 {
		m.Far = make(map[int]floatsum.Far, len(a.far))
		for r, g := range order {
			if far := a.far[g]; len(far) > 0 {
				m.Far[r] = far
			}
		}
	}
	switch a.measure.Kind {
	case catalog.Distinct:
		m.Hashes, m.Starts = a.pairs.hashesByGroup(order)
	case catalog.Quantile:
		m.Keys, m.Counts, m.Starts = a.bins.binsByGroup(order)
	}
	return m
}

// gather returns the values in the order of the groups, or nil where the measure keeps none.
func gather[T any](values []T, order []int32) []T {
	if len(values) == 0 {
		return nil
	}
	out := make([]T, len(order))
	for r, g := range order {
		out[r] = values[g]
	}
	return out
}
