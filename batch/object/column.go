package object

import (
	"fmt"
	"math"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"recount/schemas/eventbatch"
)

// column is one column of a table, in the memory of an Encoder. It has a value of fixed width as 64 bits,
// and strings and keys as bytes, one after another.
type column struct {
	spec

	rows    int
	words   []uint64
	bytes   []byte
	ends    []uint32 // end of each string in bytes
	present []bool   // empty while no value is null
}

// spec says what a column is.
type spec struct {
	name     string
	kind     kind
	optional bool
	unique   bool // the values hardly repeat, so the column never gets a dictionary
}

// load makes c the column of a table. A batch without the column has nulls.
func (c *column) load(s spec, t *Table) error {
	c.reset(s, t.rows)
	for _, b := range t.batches {
		if err := c.append(b.Field(s.name), int(b.Rec.NumRows())); err != nil {
			return err
		}
	}
	return nil
}

// reset empties the column, keeps its memory, and makes room for so many rows, so that it is not copied while it grows.
func (c *column) reset(s spec, rows int) {
	*c = column{spec: s, words: c.words[:0], bytes: c.bytes[:0], ends: c.ends[:0], present: c.present[:0]}
	switch s.kind {
	case kindString:
		c.ends = slices.Grow(c.ends, rows)
	case kindKey:
		c.bytes = slices.Grow(c.bytes, rows*eventbatch.KeySize)
	default:
		c.words = slices.Grow(c.words, rows)
	}
}

// append adds the n rows of an Arrow array of the column's kind. A nil array is n nulls.
func (c *column) append(a arrow.Array, n int) error {
	nulls := a == nil || a.NullN() > 0
	if nulls || len(c.present) > 0 {
		for len(c.present) < c.rows {
			c.present = append(c.present, true)
		}
		for i := range n {
			c.present = append(c.present, a != nil && a.IsValid(i))
		}
	}
	c.rows += n
	return c.appendValues(a, n)
}

// appendValues adds the values of the array, and zeros for a nil array.
func (c *column) appendValues(a arrow.Array, n int) error {
	switch a := a.(type) {
	case nil:
		c.appendZeros(n)
	case *array.Int64:
		c.words = appendWords(c.words, a.Int64Values(), func(v int64) uint64 { return uint64(v) })
	case *array.Timestamp:
		c.words = appendWords(c.words, a.TimestampValues(), func(v arrow.Timestamp) uint64 { return uint64(v) })
	case *array.Uint64:
		c.words = append(c.words, a.Uint64Values()...)
	case *array.Float64:
		c.words = appendWords(c.words, a.Float64Values(), math.Float64bits)
	case *array.Uint8:
		c.words = appendWords(c.words, a.Uint8Values(), func(v uint8) uint64 { return uint64(v) })
	case *array.Boolean:
		for i := range n {
			c.words = append(c.words, boolWord(a.Value(i)))
		}
	case *array.FixedSizeBinary:
		for i := range n {
			c.bytes = append(c.bytes, a.Value(i)...)
		}
	case *array.String:
		return c.appendStrings(a)
	default:
		return fmt.Errorf("%w: column %s has type %s", eventbatch.ErrCorrupt, c.name, a.DataType())
	}
	return nil
}

func appendWords[T any](words []uint64, values []T, word func(T) uint64) []uint64 {
	for _, v := range values {
		words = append(words, word(v))
	}
	return words
}

func boolWord(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

func (c *column) appendStrings(a *array.String) error {
	if len(c.bytes)+len(a.ValueBytes()) > math.MaxUint32 {
		return fmt.Errorf("%w: column %s of the segment has more than 4 GiB: lower landing.cut_bytes",
			eventbatch.ErrCorrupt, c.name)
	}
	base := uint32(len(c.bytes)) - uint32(a.ValueOffset(0))
	c.bytes = append(c.bytes, a.ValueBytes()...)
	for _, end := range a.ValueOffsets()[1:] {
		c.ends = append(c.ends, base+uint32(end))
	}
	return nil
}

func (c *column) appendZeros(n int) {
	if c.kind != kindString {
		c.appendWord(0, n)
		return
	}
	for range n {
		c.ends = append(c.ends, uint32(len(c.bytes)))
	}
}

// appendWord adds the same word n times.
func (c *column) appendWord(w uint64, n int) {
	for range n {
		c.words = append(c.words, w)
	}
}

// stringAt returns the string of the row.
func (c *column) stringAt(row uint32) []byte {
	if row == 0 {
		return c.bytes[:c.ends[0]]
	}
	return c.bytes[c.ends[row-1]:c.ends[row]]
}

// keyAt returns the identity key of the row.
func (c *column) keyAt(row uint32) []byte {
	return c.bytes[row*eventbatch.KeySize:][:eventbatch.KeySize]
}

// sampleRows is how many rows decide whether a string column gets a dictionary. With 65,536, a
// column of up to about 40,000 distinct values gets one.
const sampleRows = 1 << 16

// repeats reports whether the values of a string column repeat enough for a dictionary: at most
// every second sampled value is new. The choice of rows is fixed, so the same input gives the same
// bytes.
func (s spec) repeats(batches []eventbatch.Columns, rows int) bool {
	if s.kind != kindString || s.unique {
		return false
	}
	step := max(1, rows/sampleRows)
	seen := map[string]struct{}{}
	sampled := 0
	row := 0 // of the next sample, in the batch
	for _, b := range batches {
		a, _ := b.Field(s.name).(*array.String)
		n := int(b.Rec.NumRows())
		for ; row < n; row += step {
			if a != nil && a.IsValid(row) {
				sampled++
				seen[a.Value(row)] = struct{}{}
			}
		}
		row -= n
	}
	return 2*len(seen) <= sampled && sampled > 0
}
