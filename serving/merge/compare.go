package merge

import (
	"fmt"
	"slices"
	"time"

	"recount/schemas/catalog"
	"recount/schemas/query"
)

// Comparison is the groups of one scan whose values differ between two exact parts of it, the old one and the new one.
// They are in the order of an answer without order_by.
type Comparison struct {
	// Groups are all of them.
	Groups []Compared
	// Location, Windowed, Times, Dims, Old and New are columns as in an Answer, of the first Listed groups. A group
	// that one of the parts lacks has null in all measures of that part.
	Listed   int
	Location *time.Location
	Windowed bool
	Times    []int64
	Dims     []Dimension
	Old, New []Measure
	// OutOfRange names the measures that are null in a listed group because a value does not fit its type.
	OutOfRange []string
}

// Compared is a group of a comparison.
type Compared struct {
	Window int32
	// InOld and InNew say which parts have the group, and Old and New how many events it has in them.
	InOld, InNew bool
	Old, New     uint64
}

// Compare compares two parts that the batch layer gave for one question. Both scans have the same windows and
// dimensions, and as many measures. Measure i of one is compared with measure i of the other, and both have one type,
// but the definitions of the view may differ. Parts may not have sketches. Only limit groups are listed.
func Compare(oldScan, newScan *query.Scan, oldPart, newPart *query.Part, windowed bool, loc *time.Location,
	limit int) (*Comparison, error) {
	oldPart = orEmpty(oldScan, oldPart)
	newPart = orEmpty(newScan, newPart)
	if err := checkPart(oldScan, oldPart, "old"); err != nil {
		return nil, err
	}
	if err := checkPart(newScan, newPart, "new"); err != nil {
		return nil, err
	}
	if !slices.Equal(oldScan.GroupBy, newScan.GroupBy) || len(oldScan.Measures) != len(newScan.Measures) {
		return nil, fmt.Errorf("merge: the scans of view %s ask for other columns", newScan.View.Name)
	}
	p := &pair{groups: unite(newScan.Windows.Len(), oldPart, newPart), old: oldScan.Measures, new: newScan.Measures}
	p.keepChanged()
	rows, _ := order(newScan, &query.Query{Limit: max(p.groups.len(), 1)}, p.groups, nil)
	c := &Comparison{Groups: make([]Compared, len(rows)), Location: loc, Windowed: windowed}
	for to, i := range rows {
		c.Groups[to] = p.group(int(i))
	}
	p.list(c, newScan, rows[:min(limit, len(rows))])
	return c, nil
}

// pair is two parts. Its groups have the old part in place of the batch part, and the new one in that of the live part.
type pair struct {
	groups   *groups
	old, new []query.Measure
}

func (p *pair) group(i int) Compared {
	g := p.groups
	out := Compared{Window: g.window[i]}
	if b := g.batch[i]; b != none {
		out.InOld = true
		out.Old = g.batchPart.Events[b]
	}
	if l := g.live[i]; l != none {
		out.InNew = true
		out.New = g.livePart.Events[l]
	}
	return out
}

// values returns both values of measure j in group i. A part that lacks the group gives null.
func (p *pair) values(j, i int) (oldValue, newValue value) {
	g := p.groups
	oldValue.null = true
	newValue.null = true
	if b := g.batch[i]; b != none {
		oldValue = exactValue(&p.old[j], &g.batchPart.Measures[j][b])
	}
	if l := g.live[i]; l != none {
		newValue = exactValue(&p.new[j], &g.livePart.Measures[j][l])
	}
	return oldValue, newValue
}

// exactValue finishes an accumulator of the batch layer.
func exactValue(m *query.Measure, a *query.Acc) value {
	if m.Kind == catalog.Distinct {
		return value{i: int64(a.Exact)}
	}
	return finish(m, a)
}

// keepChanged removes the groups that are the same in both parts.
func (p *pair) keepChanged() {
	kept := 0
	for i := range p.groups.window {
		if p.isChanged(i) {
			p.groups.move(i, kept)
			kept++
		}
	}
	p.groups.cut(kept)
}

// isChanged reports whether a part lacks the group, or a value differs. Two values that do not fit their type are
// unknown numbers: they are taken as different if there are more or fewer events.
func (p *pair) isChanged(i int) bool {
	g := p.group(i)
	if g.InOld != g.InNew {
		return true
	}
	for j := range p.old {
		oldValue, newValue := p.values(j, i)
		if oldValue != newValue || oldValue.beyond && g.Old != g.New {
			return true
		}
	}
	return false
}

// list fills the columns of the first groups.
func (p *pair) list(c *Comparison, scan *query.Scan, rows []int32) {
	c.Listed = len(rows)
	keys := &Answer{Windowed: c.Windowed}
	keys.gatherKeys(scan, p.groups, rows)
	c.Times = keys.Times
	c.Dims = keys.Dims
	for j := range p.new {
		oldColumn := newMeasure(&p.old[j], len(rows))
		newColumn := newMeasure(&p.new[j], len(rows))
		beyond := false
		for to, i := range rows {
			oldValue, newValue := p.values(j, int(i))
			oldColumn.Value.set(to, oldValue)
			newColumn.Value.set(to, newValue)
			beyond = beyond || oldValue.beyond || newValue.beyond
		}
		c.Old = append(c.Old, oldColumn)
		c.New = append(c.New, newColumn)
		if beyond {
			c.OutOfRange = append(c.OutOfRange, p.new[j].Name)
		}
	}
}

func newMeasure(m *query.Measure, n int) Measure {
	wide := m.Kind == catalog.Sum && m.Type.IsDecimal()
	return Measure{Name: m.Name, Kind: m.Kind, Type: m.ResultType(), Value: newValues(m.ResultType(), n, wide)}
}
