package realtime

import (
	"fmt"
	"slices"

	"recount/schemas/catalog"
	"recount/schemas/query"
)

// whereNode is a part of a scan's conditions. It is a column, or it joins parts by and or by or. A nil node holds.
type whereNode struct {
	column *whereColumn
	any    bool
	parts  []*whereNode
}

// whereColumn is a part of a scan's conditions that tests one dimension. It is evaluated once for each value of a
// segment.
type whereColumn struct {
	predicate        query.Predicate
	dimension        string
	word, dictionary int             // which word of a table's keys, and which dictionary of the type
	verdicts         []query.Verdict // for each id in the current segment; decided says that there is one
}

// decided is a bit that no verdict has.
const decided query.Verdict = 1 << 7

// setWhere plans the scan's conditions.
func (sc *scanner) setWhere(v *viewPlan) error {
	p := sc.scan.Predicate()
	var err error
	p.Tests(func(t *query.Test) {
		if !slices.Contains(v.view.Dimensions, t.Dimension) {
			err = fmt.Errorf("scan real-time view %s: no dimension %q", v.view.Name, t.Dimension)
		}
	})
	if len(sc.scan.Where) > 0 {
		sc.where = sc.newWhere(&p)
	}
	return err
}

// newWhere returns the node of a predicate, and adds its columns.
func (sc *scanner) newWhere(p *query.Predicate) *whereNode {
	dimension := ""
	alone := true
	p.Tests(func(t *query.Test) {
		alone = alone && (dimension == "" || dimension == t.Dimension)
		dimension = t.Dimension
	})
	if alone {
		c := &whereColumn{predicate: *p, dimension: dimension}
		sc.columns = append(sc.columns, c)
		return &whereNode{column: c}
	}
	n := &whereNode{any: p.Any}
	for i := range p.Parts {
		n.parts = append(n.parts, sc.newWhere(&p.Parts[i]))
	}
	return n
}

// verdict returns the node's verdict on a row.
func (n *whereNode) verdict(row []uint32, typed *typeSegment) query.Verdict {
	switch {
	case n == nil:
		return query.Yes
	case n.column != nil:
		return n.column.verdict(row[n.column.word], typed)
	case n.any:
		v := query.No
		for i := 0; i < len(n.parts) && v != query.Yes; i++ {
			v |= n.parts[i].verdict(row, typed)
		}
		return v
	}
	v := query.Yes
	for i := 0; i < len(n.parts) && v != query.No; i++ {
		v &= n.parts[i].verdict(row, typed)
	}
	return v
}

// verdict returns the column's verdict on the value with an id. Id 0 is null.
func (c *whereColumn) verdict(id uint32, typed *typeSegment) query.Verdict {
	if c.verdicts[id] == 0 {
		c.verdicts[id] = decided | c.predicate.Verdict(testOf(typed.dictionaries[c.dictionary], id))
	}
	return c.verdicts[id] &^ decided
}

// testOf returns the verdict of a test on the value with an id.
func testOf(d *dictionary, id uint32) func(*query.Test) query.Verdict {
	switch {
	case id == 0:
		return func(t *query.Test) query.Verdict { return t.VerdictOf(t.Null(), false) }
	case d.isText:
		s := d.value(id)
		return func(t *query.Test) query.Verdict { return t.VerdictOf(t.Text(s), s == catalog.Overflow) }
	}
	n := d.ints[id]
	return func(t *query.Test) query.Verdict { return t.VerdictOf(t.Int(n), n == catalog.OverflowInt) }
}
