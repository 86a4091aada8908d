package verify

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"time"

	"recount/schemas/catalog"
)

// judge compares the rows of an answer with the tally's groups.
func (c *claim) judge(r *recorder) {
	where := Place{Line: c.line, View: c.scan.View.Name, Publication: c.stated.Accuracy.Publication}
	const do = "keep the line and the data: the answer does not follow from the events that it says it covers"
	matched := map[string]bool{}
	for _, row := range c.stated.Rows {
		key, err := c.key(row)
		if err != nil {
			r.find(V7, where, do, "row %v: %v", row, err)
			return
		}
		g := c.tally.groups[key]
		if g == nil && c.query.Fill && c.empty(row) {
			continue
		}
		if g == nil || matched[key] {
			r.find(V7, where, do, "the answer has the row %v; the events of [0, S) give no such group, or it is a "+
				"second row of the group", row)
			return
		}
		matched[key] = true
		for i := range c.scan.Measures {
			if err := c.compare(row, g, i); err != nil {
				r.find(V7, where, do, "row %v: %s %v", row, c.scan.Measures[i].Name, err)
				return
			}
		}
	}
	if stated := c.stated.Accuracy.Overflow; stated != c.tally.over {
		r.find(V7, where, do, "the answer says that %d events overflowed and %d of them are in no row; the events "+
			"of [0, S) give %d and %d",
			stated.Events, stated.LeftOut, c.tally.over.Events, c.tally.over.LeftOut)
	}
	if stated := c.stated.Accuracy.Unconverted; stated != c.tally.unconverted {
		r.find(V7, where, do, "the answer says that %d events are unconverted; the events of [0, S) give %d", stated,
			c.tally.unconverted)
	}
	if missing := len(c.tally.groups) - len(matched); missing > 0 && !c.stated.Accuracy.Truncated {
		r.find(V7, where, do, "the answer has %d rows, and the events of [0, S) give %d", len(c.stated.Rows),
			len(c.tally.groups))
	}
}

// empty reports whether a row counts nothing, like the rows that fill adds.
func (c *claim) empty(row map[string]any) bool {
	for _, m := range c.scan.Measures {
		if v := row[m.Name]; v != nil && v != json.Number("0") {
			return false
		}
	}
	return true
}

// key returns the key of a row's group.
func (c *claim) key(row map[string]any) (string, error) {
	start := c.scan.Windows.Start(0)
	if stamp, ok := row["time"].(string); ok && c.query.Granularity != "" && c.query.Granularity != "all" {
		t, err := time.Parse(time.RFC3339Nano, stamp)
		if err != nil {
			return "", err
		}
		start = t.UnixMicro()
	}
	dims := make([]any, len(c.scan.GroupBy))
	for i, d := range c.scan.GroupBy {
		dims[i] = row[d.Name]
		if n, ok := dims[i].(json.Number); ok {
			v, err := n.Int64()
			if err != nil {
				return "", err
			}
			dims[i] = v
		}
	}
	return groupKey(start, dims), nil
}

// compare returns an error that says how a stated measure differs from the group's.
func (c *claim) compare(row map[string]any, g *group, i int) error {
	m := c.scan.Measures[i]
	got := row[c.scan.Measures[i].Name]
	x := &g.measures[i]
	switch m.Kind {
	case catalog.Count:
		return same(got, fmt.Sprint(g.events))
	case catalog.Distinct:
		return c.compareDistinct(row, m.Name, int64(len(x.distinct)))
	}
	if x.n == 0 {
		if got != nil {
			return fmt.Errorf("is %v, but no event has a value", got)
		}
		return nil
	}
	sum := x.float
	isFloat := m.Type == catalog.Float64
	if !isFloat {
		sum, _ = new(big.Float).SetInt(&x.sum).Float64()
	}
	switch {
	case m.Kind == catalog.Avg:
		return near(got, sum/float64(x.n))
	case m.Kind == catalog.Sum && isFloat:
		return near(got, sum)
	case m.Kind == catalog.Sum:
		return same(got, x.sum.String())
	case m.Kind == catalog.Min:
		return sameValue(got, x.min, m.Type)
	}
	return sameValue(got, x.max, m.Type)
}

func same(got any, want string) error {
	if fmt.Sprint(got) != want {
		return fmt.Errorf("is %v, the events give %s", got, want)
	}
	return nil
}

// near allows for the order in which floats are added, which the protocol leaves open in answers.
func near(got any, want float64) error {
	n, ok := got.(json.Number)
	f, err := n.Float64()
	if !ok || err != nil || math.Abs(f-want) > 1e-9*max(1, math.Abs(want)) {
		return fmt.Errorf("is %v, the events give %g", got, want)
	}
	return nil
}

func sameValue(got, want any, t catalog.FieldType) error {
	switch t {
	case catalog.Float64:
		return near(got, want.(float64))
	case catalog.Timestamp:
		at, err := time.Parse(time.RFC3339Nano, fmt.Sprint(got))
		if err != nil || at.UnixMicro() != want.(int64) {
			return fmt.Errorf("is %v, the events give %s", got,
				time.UnixMicro(want.(int64)).UTC().Format(time.RFC3339Nano))
		}
		return nil
	}
	return same(got, fmt.Sprint(want))
}

// compareDistinct checks that a distinct count is within the stated bounds, or exact if none are stated.
func (c *claim) compareDistinct(row map[string]any, name string, want int64) error {
	bounds, _ := row["bounds"].(map[string]any)
	pair, stated := bounds[name].([]any)
	if !stated || len(pair) != 2 {
		return same(row[name], fmt.Sprint(want))
	}
	low, err1 := integer(pair[0])
	high, err2 := integer(pair[1])
	value, err3 := integer(row[name])
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	if want < low || want > high || value < low || value > high {
		return fmt.Errorf("is %d within [%d, %d], the events give %d", value, low, high, want)
	}
	return nil
}

func integer(v any) (int64, error) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, fmt.Errorf("%v is not a number", v)
	}
	return n.Int64()
}
