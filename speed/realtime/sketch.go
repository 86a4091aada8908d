package realtime

import (
	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"recount/schemas/distinct"
	"recount/schemas/query"
)

// sketches are the sets of distinct values of a field. In sparse views nearly every set has one hash, so
// such a set is the hash itself. Only larger ones are sketches.
type sketches struct {
	rows []smallSet
	sets []distinct.Sketch
	held int64 // bytes of the sketches; to ask every sketch for its size would cost more than to add a value
}

// smallSet is the set of one row.
type smallSet struct {
	hash uint64 // the only hash, if n is one
	n    uint32 // none, one, or larger: then it is sets[n-larger]
}

const (
	none = iota
	one
	larger
)

const (
	smallSetSize = 16
	// sketchSize is the size of a distinct.Sketch without what it holds.
	sketchSize = 56
	// singleBytes is what a distinct.Sketch of one hash holds.
	singleBytes = 64
)

func (s *sketches) grow(rows int) { s.rows = resize(s.rows, rows) }

// bytes includes the room for further sketches, which held does not.
func (s *sketches) bytes() int64 {
	return int64(smallSetSize*cap(s.rows)) + s.held + int64(sketchSize*(cap(s.sets)-len(s.sets)))
}

func (s *sketches) add(col arrow.Array, selected []int32, rows []uint32) {
	hash := hasher(col)
	if hash == nil {
		return
	}
	nulls := col.NullN() > 0
	for k, i := range selected {
		if nulls && col.IsNull(int(i)) {
			continue
		}
		s.addHash(rows[k], hash(int(i)))
	}
}

// addHash adds a hash to the set of a row.
func (s *sketches) addHash(row uint32, hash uint64) {
	r := &s.rows[row]
	switch {
	case r.n == none:
		*r = smallSet{hash, one}
		return
	case r.n == one && r.hash == hash:
		return
	}
	set := s.sketch(r)
	before := set.Bytes()
	set.Add(hash)
	s.held += set.Bytes() - before
}

// sketch returns the sketch of a row. It makes one if the row has none.
func (s *sketches) sketch(r *smallSet) *distinct.Sketch {
	if r.n < larger {
		var set distinct.Sketch
		if r.n == one {
			set.Add(r.hash)
		}
		s.sets = append(s.sets, set)
		s.held += set.Bytes()
		r.n = uint32(len(s.sets)-1) + larger
	}
	return &s.sets[r.n-larger]
}

// hasher returns the hash of a row's value, or nil if there is no such column.
func hasher(col arrow.Array) func(int) uint64 {
	switch c := col.(type) {
	case *array.String:
		return func(i int) uint64 { return distinct.HashString(c.Value(i)) }
	case *array.Int64:
		return func(i int) uint64 { return distinct.HashInt64(c.Value(i)) }
	case *array.Timestamp:
		return func(i int) uint64 { return distinct.HashInt64(int64(c.Value(i))) }
	case *array.Float64:
		return func(i int) uint64 { return distinct.HashFloat64(c.Value(i)) }
	case *array.Boolean:
		return func(i int) uint64 {
			if c.Value(i) {
				return distinct.HashInt64(1)
			}
			return distinct.HashInt64(0)
		}
	}
	return nil
}

func (s *sketches) merge(into []query.Acc, target []int32) {
	for r, t := range target {
		if t < 0 {
			continue
		}
		if into[t].Sketch == nil {
			into[t].Sketch = &distinct.Sketch{}
		}
		switch row := s.rows[r]; row.n {
		case none:
		case one:
			into[t].Sketch.Add(row.hash)
		default:
			into[t].Sketch.Merge(&s.sets[row.n-larger])
		}
	}
}

// targeted returns the bytes of the sketches that merge adds to others: at most by so much do those grow.
func (s *sketches) targeted(target []int32) (bytes int64) {
	for r, t := range target {
		if t < 0 {
			continue
		}
		if n := s.rows[r].n; n >= larger {
			bytes += s.sets[n-larger].Bytes()
		} else {
			bytes += singleBytes
		}
	}
	return bytes
}
