package realtime

import (
	"context"
	"fmt"
	"slices"

	"recount/schemas/catalog"
	"recount/schemas/query"
)

// scanner gathers the groups of one scan from any number of segments.
type scanner struct {
	scan       *query.Scan
	view       *viewPlan
	measures   []int // for each measure of the scan, its index in the view
	groupBy    []groupColumn
	where      *whereNode // nil without conditions
	columns    []*whereColumn
	groups     groupTable
	result     query.Part
	target     []int32 // for each row of the current table, its group or -1
	sketched   int64   // bytes of the sketches and bins in result
	held       int64   // bytes of the scan's share of memory
	overflowed bool    // whether a value that the scan groups by overflowed in the current segment
}

// groupColumn is a grouping dimension.
type groupColumn struct {
	word, dictionary int         // which word of a table's keys, and which dictionary of the type
	values           *dictionary // the values in the answer
	ids              []uint32    // for each id in the current segment, the id in values or noID
	overflowID       uint32      // the id of overflowed values in the current segment, or noID
}

func newScanner(s *query.Scan, v *viewPlan) (*scanner, error) {
	sc := &scanner{scan: s, view: v}
	for _, g := range s.GroupBy {
		if !slices.Contains(v.view.Dimensions, g.Name) {
			return nil, fmt.Errorf("scan real-time view %s: no dimension %q", v.view.Name, g.Name)
		}
		sc.groupBy = append(sc.groupBy, groupColumn{values: newDictionary(g.Type)})
	}
	if err := sc.setWhere(v); err != nil {
		return nil, err
	}
	for _, m := range s.Measures {
		i := slices.IndexFunc(v.view.Measures, func(o catalog.Measure) bool { return o.Name == m.Stored() })
		if i < 0 {
			return nil, fmt.Errorf("scan real-time view %s: no measure %q", v.view.Name, m.Name)
		}
		sc.measures = append(sc.measures, i)
	}
	sc.enterPlan(v)
	sc.groups.stride = 1 + len(sc.groupBy)
	sc.result.Measures = make([][]query.Acc, len(sc.measures))
	return sc, nil
}

// enterPlan makes the scanner read the segments of a plan. Partitions may have different plans of one definition.
func (sc *scanner) enterPlan(v *viewPlan) {
	sc.view = v
	for i, g := range sc.scan.GroupBy {
		sc.groupBy[i].word, sc.groupBy[i].dictionary = v.locate(g.Name)
	}
	for _, c := range sc.columns {
		c.word, c.dictionary = v.locate(c.dimension)
	}
}

// locate returns which word of the keys in the view's tables a dimension is, and the number of its
// dictionary.
func (v *viewPlan) locate(dimension string) (word, dictionary int) {
	i := slices.Index(v.view.Dimensions, dimension)
	return keyHead + i, v.dictionaries[i]
}

// addSegment adds the rows of a segment. For an open segment, its partition's lock must be held.
func (sc *scanner) addSegment(s *segment) {
	typed := s.types[sc.view.eventType.number]
	if typed == nil {
		return
	}
	t := typed.tables[sc.view.number]
	sc.countUnconverted(t, typed)
	if t.rows() == 0 || t.high < sc.scan.Windows.From || t.low >= sc.scan.Windows.To {
		return
	}
	tenant := typed.dictionaries[0].find(sc.scan.Tenant)
	if tenant == 0 {
		return
	}
	sc.enterSegment(typed)
	if sc.assignGroups(t, typed, tenant) {
		sc.mergeTable(t)
	}
}

// countUnconverted adds the events of which the view lacks a value, in the buckets of the scan. Rows do not show them,
// because the view's filter may exclude an event for the missing value.
func (sc *scanner) countUnconverted(t *table, typed *typeSegment) {
	for key, events := range t.unconverted {
		inside := key.bucket < sc.scan.Windows.To &&
			key.bucket+sc.view.eventType.bucket.Microseconds() > sc.scan.Windows.From
		if inside && typed.dictionaries[0].value(key.tenant) == sc.scan.Tenant {
			sc.result.Unconverted += events
		}
	}
}

// enterSegment forgets what is known about the values of the last segment.
func (sc *scanner) enterSegment(typed *typeSegment) {
	sc.overflowed = false
	for i := range sc.groupBy {
		g := &sc.groupBy[i]
		g.overflowID = typed.dictionaries[g.dictionary].overflowID()
		sc.overflowed = sc.overflowed || g.overflowID != noID
		g.ids = resize(g.ids[:0], typed.dictionaries[g.dictionary].size())
		for id := range g.ids {
			g.ids[id] = noID
		}
		g.ids[0] = 0
	}
	for _, c := range sc.columns {
		c.verdicts = resize(c.verdicts[:0], typed.dictionaries[c.dictionary].size())
		clear(c.verdicts)
	}
}

// assignGroups finds the group of every row that counts, and reports whether there is such a row. It
// need not look at single events: From, To and the start of every window are starts of cells.
func (sc *scanner) assignGroups(t *table, typed *typeSegment, tenant uint32) (found bool) {
	sc.target = resize(sc.target[:0], t.rows())
	stride := len(t.keys) / t.rows()
	cell := int64(-1) << 63
	window := -1
	var space [1 + catalog.MaxDimensions]uint32
	key := space[:1+len(sc.groupBy)]
	for r := range sc.target {
		row := t.keys[r*stride : (r+1)*stride]
		if c := cellOf(row); c != cell {
			cell = c
			window = sc.scan.Windows.Index(c)
		}
		if window < 0 || row[2] != tenant {
			sc.target[r] = -1
			continue
		}
		verdict := sc.where.verdict(row, typed)
		if verdict&query.Possible != 0 {
			sc.countOverflow(row, t.events[r], verdict)
		}
		if verdict&query.Holds == 0 {
			sc.target[r] = -1
			continue
		}
		key[0] = uint32(window)
		for i := range sc.groupBy {
			key[1+i] = sc.groupBy[i].translate(row, typed)
		}
		sc.target[r] = int32(sc.groups.id(key))
		found = true
	}
	return found
}

// countOverflow counts the events of a row that may be in the answer, if their group or a condition on it is not known
// because a value overflowed (query.Overflow).
func (sc *scanner) countOverflow(row []uint32, events uint64, verdict query.Verdict) {
	over := verdict&query.Certain == 0
	for i := range sc.groupBy {
		over = over || sc.overflowed && row[sc.groupBy[i].word] == sc.groupBy[i].overflowID
	}
	if !over {
		return
	}
	sc.result.Overflow.Events += events
	if verdict&query.Holds == 0 {
		sc.result.Overflow.LeftOut += events
	}
}

// translate returns the id of the row's value in the answer's dictionary.
func (g *groupColumn) translate(row []uint32, typed *typeSegment) uint32 {
	id := row[g.word]
	if g.ids[id] == noID {
		if d := typed.dictionaries[g.dictionary]; d.isText {
			g.ids[id] = g.values.textID(d.value(id))
		} else {
			g.ids[id] = g.values.intID(d.ints[id])
		}
	}
	return g.ids[id]
}

// mergeTable adds the events and measures of the table's rows to their groups.
func (sc *scanner) mergeTable(t *table) {
	n := sc.groups.len()
	sc.result.Events = resize(sc.result.Events, n)
	for r, g := range sc.target {
		if g >= 0 {
			sc.result.Events[g] += t.events[r]
		}
	}
	for i, column := range sc.measures {
		if first := sc.scan.Shared(i); first < i {
			sc.result.Measures[i] = sc.result.Measures[first]
			continue
		}
		values := resize(sc.result.Measures[i], n)
		sc.result.Measures[i] = values
		if m := t.measures[column]; m != nil {
			m.merge(values, sc.target)
			if s, ok := m.(interface{ targeted(target []int32) int64 }); ok {
				sc.sketched += s.targeted(sc.target)
			}
			continue
		}
		for r, g := range sc.target {
			if g >= 0 {
				values[g].N += t.events[r]
			}
		}
	}
}

// hold makes the scan's share of memory as large as what was gathered. It may wait, so no lock may be held.
func (sc *scanner) hold(ctx context.Context) error {
	const group = 8 + 4 + 12 // events, window and index
	n := int64(sc.groups.len())
	bytes := sc.sketched + n*(group+4*int64(sc.groups.stride))
	for i := range sc.scan.Measures {
		bytes += n * sc.scan.Measures[i].AccBytes()
	}
	for i := range sc.groupBy {
		bytes += sc.groupBy[i].values.bytes() + 16*n
	}
	more := bytes - sc.held
	if more <= 0 {
		return nil
	}
	if err := sc.scan.Memory.Grow(ctx, more); err != nil {
		return err
	}
	sc.held = bytes
	return nil
}
