package query

import (
	"math/bits"

	"recount/schemas/catalog"
	"recount/schemas/distinct"
	"recount/schemas/floatsum"
	"recount/schemas/position"
	"recount/schemas/quantile"
)

// Part is what one layer knows of a scan: one row a group that has events, in no
// particular order, no group twice. Column i of Dims belongs to Scan.GroupBy[i],
// Measures[j][row] to Scan.Measures[j].
type Part struct {
	Windows  []int32 // index of the row's window in Scan.Windows
	Dims     []Column
	Events   []uint64 // events of the row, so that a row without measures' values is still a row
	Measures [][]Acc
	Overflow Overflow
	// Unconverted counts the tenant's events, in the buckets that the scan touches, that had a value which the type
	// of its field, as it is declared now, cannot hold. The value is null.
	Unconverted uint64
	// Retired counts the tenant's events, in the buckets that the scan touches, that the rows lack because their
	// objects are retired. It is an upper bound (record.Commit.EventsByTenant).
	Retired uint64
}

// Rows is the number of rows.
func (p *Part) Rows() int { return len(p.Windows) }

// Column is one dimension of a part. Strings is set for String, Ints for Int64 and
// for Bool as 0 or 1; Null marks rows whose value is missing (nil: none is).
type Column struct {
	Type    catalog.FieldType
	Strings []string
	Ints    []int64
	Null    []bool
}

// IsNull reports whether the row's value is missing.
func (c *Column) IsNull(row int) bool { return c.Null != nil && c.Null[row] }

// Acc is the value of one measure of one group before it is finished.
//
//	count     N
//	sum, avg  N non-null values; their sum in Hi:Lo (two's complement) or, for floats, in Sum, which may
//	          be nil where N is 0
//	min, max  N non-null values; the extreme in Lo (as int64) or Float
//	distinct  from the batch layer Exact, and Set where asked for; from the speed layer Sketch
//	quantile  N non-null values, which are in Bins; it is nil where N is 0
//
// The batch layer's set is a list of hashes or registers, because most groups have few and a dense
// sketch of every group would not fit in memory.
type Acc struct {
	N      uint64
	Hi     int64
	Lo     uint64
	Float  float64
	Sum    *floatsum.Sum
	Exact  uint64
	Sketch *distinct.Sketch
	Set    *distinct.Set
	Bins   *quantile.Sketch
}

// AccBytes is what an Acc of the measure needs, without its sketch, set, bins and far values.
func (m *Measure) AccBytes() int64 {
	const acc = 72
	const sum = 56
	if m.SumsFloats() {
		return acc + sum
	}
	return acc
}

// AddWide adds the 128-bit number hi:lo to the sum, which 2^64 values of any size cannot overflow.
func (a *Acc) AddWide(hi int64, lo uint64) {
	var carry uint64
	a.Lo, carry = bits.Add64(a.Lo, lo, 0)
	a.Hi += hi + int64(carry)
}

// AddFloats adds a sum of floats, which may be nil.
func (a *Acc) AddFloats(sum *floatsum.Sum) {
	if sum == nil {
		return
	}
	if a.Sum == nil {
		a.Sum = &floatsum.Sum{}
	}
	a.Sum.Merge(sum)
}

// Int64 returns the sum, and false when it does not fit.
func (a *Acc) Int64() (int64, bool) {
	v := int64(a.Lo)
	return v, a.Hi == v>>63
}

// Refusal says why a partition cannot answer from its cut on. Other partitions are not concerned.
type Refusal struct {
	Partition int
	Err       error // wraps ErrPinExpired (S4), or says that the cut is no boundary (S2)
}

// LivePart is the speed layer's answer for the messages [cut, Through) of every
// partition it can answer for.
type LivePart struct {
	Part     *Part
	Through  []position.Offset // next offset not in the answer; the cut itself where stale
	Stale    []int             // partitions that gave nothing: they lag the cut, are down, or refuse the cut (Q2)
	Refused  []Refusal         // those of Stale that refuse the cut
	Lagging  []int             // partitions that gave what they have, but lag the log too far (Q6)
	Pending  uint64            // events in [cut, Through), before deduplication and filters
	Appended int64             // newest writer's clock among the messages, microseconds; 0 when none
}

// LiveResult is the speed layer's answer to one of several scans, or why it has none.
type LiveResult struct {
	Live *LivePart
	Err  error
}
