package verify

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"time"

	"recount/schemas/catalog"
	"recount/schemas/decimal"
	"recount/schemas/quantile"
	"recount/schemas/query"
)

// judge compares the rows of an answer with the groups of a tally.
func (c *claim) judge(r *recorder, t *tally) {
	where := Place{Line: c.line, View: c.scan.View.Name, Publication: c.stated.Accuracy.Publication}
	const do = "keep the line and the data: the answer does not follow from the events that it says it covers"
	matched := map[string]bool{}
	for number, row := range c.stated.Rows {
		key, err := c.key(row)
		if err != nil {
			r.find(V7, where, do, "row %v: %v", row, err)
			return
		}
		g := t.groups[key]
		isTotal := len(c.scan.GroupBy) == 0 && (c.query.Granularity == "" || c.query.Granularity == "all")
		if g == nil && (c.query.Fill || isTotal) && c.empty(row) {
			continue
		}
		if g == nil || matched[key] {
			r.find(V7, where, do, "the answer has the row %v; the events of [0, S) give no such group, or it is a "+
				"second row of the group", row)
			return
		}
		matched[key] = true
		for i := range c.query.Measures {
			if err := c.compare(row, number, g, i); err != nil {
				r.find(V7, where, do, "row %v: %s %v", row, c.scan.Measures[i].Name, err)
				return
			}
		}
	}
	stated := c.stated.Accuracy.Overflow
	if stated.Events != t.over.Events || stated.LeftOut != t.over.LeftOut {
		r.find(V7, where, do, "the answer says that %d events overflowed and %d of them are in no row; the events "+
			"of [0, S) give %d and %d",
			stated.Events, stated.LeftOut, t.over.Events, t.over.LeftOut)
	}
	if stated.Live != nil && *stated.Live != t.over.Live {
		r.find(V7, where, do, "the answer says that %d events of its live part overflowed; the events from its cut on "+
			"give %d", *stated.Live, t.over.Live)
	}
	if stated := c.stated.Accuracy.Unconverted; stated != t.unconverted {
		r.find(V7, where, do, "the answer says that %d events are unconverted; the events of [0, S) give %d", stated,
			t.unconverted)
	}
	if missing := len(t.groups) - len(matched); missing > 0 && !c.stated.Accuracy.Truncated {
		r.find(V7, where, do, "the answer has %d rows, and the events of [0, S) give %d", len(c.stated.Rows),
			len(t.groups))
	}
}

// empty reports whether a row counts nothing, like the rows that fill adds, and a total without events.
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

// compare returns an error that says how a measure of a stated row differs from the group's.
func (c *claim) compare(row map[string]any, number int, g *group, i int) error {
	m := c.scan.Measures[i]
	got := row[c.scan.Measures[i].Name]
	x := &g.measures[i]
	switch m.Kind {
	case catalog.Count:
		return same(got, fmt.Sprint(g.events))
	case catalog.Distinct:
		return c.compareDistinct(row, m.Name, int64(len(x.distinct)))
	case catalog.Quantile:
		return compareQuantile(row, m, x)
	}
	want := x.value(m)
	if want == nil && x.n > 0 && !c.isNamed(m.Name, number) {
		return fmt.Errorf("is %v, the events give a number that does not fit its type, and the accuracy does not "+
			"name it", got)
	}
	if want == nil || got == nil {
		return same(got, fmt.Sprint(want))
	}
	return sameValue(got, want, m.Type)
}

// isNamed reports whether the answer says that row i of a measure is out of range.
func (c *claim) isNamed(measure string, row int) bool {
	for _, o := range c.stated.Accuracy.OutOfRange {
		if o.Measure == measure && (slices.Contains(o.Rows, row) || o.Count > len(o.Rows)) {
			return true
		}
	}
	return false
}

// value returns what the events give for a measure that is neither a count nor distinct: an int64, a float64, the text
// of a decimal, or nil for no value and for one that does not fit its type.
func (m *measure) value(declared query.Measure) any {
	sum := m.float
	if sum == nil {
		sum = new(big.Float).SetPrec(exactBits).SetInt(&m.sum)
	}
	d, isDecimal := declared.Type.Decimal()
	switch {
	case m.n == 0:
		return nil
	case isDecimal:
		return m.decimalValue(declared.Kind, d.Scale)
	case declared.Kind == catalog.Avg:
		mean := new(big.Float).SetPrec(exactBits)
		return finite(mean.Quo(sum, new(big.Float).SetInt64(m.n)))
	case declared.Kind == catalog.Sum && declared.Type == catalog.Float64:
		return finite(sum)
	case declared.Kind == catalog.Sum && m.sum.IsInt64():
		return m.sum.Int64()
	case declared.Kind == catalog.Sum:
		return nil
	case declared.Kind == catalog.Min:
		return m.min
	}
	return m.max
}

// decimalValue returns what the events give for a measure of decimals, of which every value counts units.
func (m *measure) decimalValue(kind catalog.MeasureKind, scale int) any {
	exact := func(units *big.Int) *big.Rat {
		return new(big.Rat).SetFrac(units, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil))
	}
	switch kind {
	case catalog.Avg:
		f, _ := new(big.Rat).Quo(exact(&m.sum), new(big.Rat).SetInt64(m.n)).Float64()
		return f
	case catalog.Sum:
		if len(new(big.Int).Abs(&m.sum).String()) > decimal.MaxSum {
			return nil
		}
		return exact(&m.sum).FloatString(scale)
	case catalog.Min:
		return exact(big.NewInt(m.min.(int64))).FloatString(scale)
	}
	return exact(big.NewInt(m.max.(int64))).FloatString(scale)
}

// finite returns the nearest float64, or nil if it is beyond the range.
func finite(v *big.Float) any {
	f, _ := v.Float64()
	if math.IsInf(f, 0) {
		return nil
	}
	return f
}

func same(got any, want string) error {
	if fmt.Sprint(got) != want {
		return fmt.Errorf("is %v, the events give %s", got, want)
	}
	return nil
}

func sameValue(got, want any, t catalog.FieldType) error {
	if want, isFloat := want.(float64); isFloat {
		n, ok := got.(json.Number)
		if f, err := n.Float64(); !ok || err != nil || f != want {
			return fmt.Errorf("is %v, the events give %v", got, want)
		}
		return nil
	}
	switch t {
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

// compareQuantile checks a quantile, and that the stated bounds are those of its bin.
func compareQuantile(row map[string]any, m query.Measure, x *measure) error {
	got := row[m.Name]
	if x.n == 0 {
		return same(got, fmt.Sprint(nil))
	}
	key := x.bins.Key(m.Rank)
	float := quantile.FloatBinOf(key)
	low := any(float.Low)
	value := any(float.Value)
	high := any(float.High)
	if m.Type != catalog.Float64 {
		b := quantile.IntBinOf(key)
		low = b.Low
		value = b.Value
		high = b.High
	}
	if d, ok := m.Type.Decimal(); ok {
		low = decimal.Format(low.(int64), d.Scale)
		value = decimal.Format(value.(int64), d.Scale)
		high = decimal.Format(high.(int64), d.Scale)
	}
	if err := sameValue(got, value, m.Type); err != nil {
		return err
	}
	bounds, _ := row["bounds"].(map[string]any)
	pair, stated := bounds[m.Name].([]any)
	switch {
	case !stated && low == high:
		return nil
	case len(pair) != 2:
		return fmt.Errorf("has the bounds %v, the events give %v to %v", bounds[m.Name], low, high)
	}
	return errors.Join(sameValue(pair[0], low, m.Type), sameValue(pair[1], high, m.Type))
}

func integer(v any) (int64, error) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, fmt.Errorf("%v is not a number", v)
	}
	return n.Int64()
}
