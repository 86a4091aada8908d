package realtime

import (
	"recount/schemas/catalog"
	"recount/schemas/eventbatch"
	"recount/schemas/viewplan"
)

// segment holds the aggregates of the messages [start, end) of a partition (S1). The open segment has
// no end; only the partition's goroutine changes it, under the partition's lock. A closed segment is
// immutable and can be read without a lock.
type segment struct {
	start, end uint64
	events     uint64 // duplicates included
	duplicates uint64
	appended   int64          // newest append time by the writer's clock, in microseconds
	types      []*typeSegment // by typePlan.number; nil without events
	before     *segment       // while open: the segment before it, which is about as large; nil if there is none
}

// typeSegment holds the events of one type in a segment.
type typeSegment struct {
	dictionaries []*dictionary // the tenants', then one for each dimension of the type
	tables       []*table
}

const (
	segmentSize = 128 // approximate bytes of an empty segment
	tableSize   = 256 // approximate bytes of an empty table and its share of the type

	unconvertedSize = 48 // approximate bytes of an entry of table.unconverted
)

func newSegment(p *plan, start uint64) *segment {
	return &segment{start: start, types: make([]*typeSegment, len(p.types))}
}

func newTypeSegment(t *typePlan) *typeSegment {
	s := &typeSegment{dictionaries: []*dictionary{newDictionary(catalog.String)}}
	for _, d := range t.dimensions {
		s.dictionaries = append(s.dictionaries, newDictionary(d.Type))
	}
	for _, v := range t.views {
		s.tables = append(s.tables, newTable(v))
	}
	return s
}

// reserve makes room for as much as the segment before it holds. Without it the columns grow step by step, and
// each step copies them. It waits until a quarter is there, because a small segment would keep what it does not need.
func (s *typeSegment) reserve(before *typeSegment) {
	for i, d := range before.dictionaries {
		s.dictionaries[i].reserve(d)
	}
	for i, t := range before.tables {
		s.tables[i].reserve(t)
	}
}

// close ends the segment and drops the indexes, which only adding needs.
func (s *segment) close(end uint64) {
	s.end = end
	s.before = nil
	for _, t := range s.types {
		if t == nil {
			continue
		}
		for _, d := range t.dictionaries {
			d.index = index{}
		}
		for _, t := range t.tables {
			t.index = index{}
		}
	}
}

func (s *segment) bytes() int64 {
	n := int64(segmentSize)
	for _, t := range s.types {
		if t == nil {
			continue
		}
		for _, d := range t.dictionaries {
			n += d.bytes()
		}
		for _, t := range t.tables {
			n += tableSize + t.bytes()
		}
	}
	return n
}

func (s *segment) groups() (n int) {
	for _, t := range s.types {
		if t == nil {
			continue
		}
		for _, t := range t.tables {
			n += t.rows()
		}
	}
	return n
}

// scratch is memory that a partition reuses for every batch.
type scratch struct {
	first    [][]int32  // for each batch of the message, the rows that are not duplicates
	ids      [][]uint32 // for each dictionary, the id of each row of the batch
	keep     []bool     // for each row, whether the view's filters keep it
	selected []int32    // the rows that the filters keep
	rows     []uint32   // for each of these rows, its row in the table
}

// add counts the selected events of a batch in every view of their type.
func (s *segment) add(t *typePlan, c eventbatch.Columns, selected []int32, x *scratch) {
	if len(selected) == 0 {
		return
	}
	typed := s.typed(t)
	c, lost := t.fields.Read(c, false) // All events of a message came under one declaration.
	n := int(c.Rec.NumRows())
	x.reset(len(typed.dictionaries), n)
	typed.dictionaries[0].assignIDs(c.Tenant, selected, x.ids[0])
	for i, v := range t.views {
		kept := x.filter(v.view.Where, c, selected, n)
		for _, d := range v.dictionaries {
			name := t.dimensions[d-1].Name
			typed.dictionaries[d].setOverflow(c.Overflowed(name), x.ids[d])
			typed.dictionaries[d].assignIDs(c.Field(name), kept, x.ids[d])
		}
		table := typed.tables[i]
		x.rows = table.count(v, c.Time.TimestampValues(), x.ids, kept, x.rows[:0])
		for j, m := range table.measures {
			if m != nil {
				m.grow(table.rows())
				m.add(c.Field(v.view.Measures[j].Field), kept, x.rows)
			}
		}
		if lost != nil {
			table.countUnconverted(lost.Rows(v.columns), c.Time.TimestampValues(), x.ids[0], t.bucket)
		}
	}
}

// typed returns the events of a type, with room for more.
func (s *segment) typed(t *typePlan) *typeSegment {
	if s.types[t.number] == nil {
		s.types[t.number] = newTypeSegment(t)
	}
	if s.before != nil && s.before.types[t.number] != nil {
		s.types[t.number].reserve(s.before.types[t.number])
	}
	return s.types[t.number]
}

// reset forgets the ids of the last batch and makes room for n rows. An id is looked up only for rows
// that some view keeps, so that other values do not fill a dictionary.
func (x *scratch) reset(dictionaries, n int) {
	x.ids = resize(x.ids, max(dictionaries, len(x.ids)))
	for d := range dictionaries {
		x.ids[d] = resize(x.ids[d][:0], n)
		for i := range x.ids[d] {
			x.ids[d][i] = noID
		}
	}
}

// filter returns the selected rows that the filters keep.
func (x *scratch) filter(where []catalog.Filter, c eventbatch.Columns, selected []int32, n int) []int32 {
	if len(where) == 0 {
		return selected
	}
	x.keep = resize(x.keep[:0], n)
	clear(x.keep)
	for _, i := range selected {
		x.keep[i] = true
	}
	viewplan.Select(where, c, x.keep)
	x.selected = x.selected[:0]
	for _, i := range selected {
		if x.keep[i] {
			x.selected = append(x.selected, i)
		}
	}
	return x.selected
}
