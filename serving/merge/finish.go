package merge

import (
	"fmt"
	"math"

	"recount/schemas/catalog"
	"recount/schemas/distinct"
	"recount/schemas/query"
)

// OverflowError says that a value does not fit its type. Values are never wrapped around or rounded.
type OverflowError struct{ Measure string }

func (e *OverflowError) Error() string {
	return fmt.Sprintf("measure %s: a value does not fit its type; use a shorter range, more dimensions "+
		"or a finer granularity", e.Measure)
}

// value is one finished value.
type value struct {
	i    int64
	f    float64
	null bool
}

// resultType returns the type of a measure's finished values.
func resultType(m query.Measure) catalog.FieldType {
	switch m.Kind {
	case catalog.Count, catalog.Distinct:
		return catalog.Int64
	case catalog.Avg:
		return catalog.Float64
	}
	return m.Type
}

// join adds two accumulators of a measure that is not distinct. If one is nil or empty, the
// other is returned without a copy.
func join(m *query.Measure, a, b *query.Acc) *query.Acc {
	switch {
	case b == nil || a != nil && b.N == 0:
		return a
	case a == nil || a.N == 0:
		return b
	}
	out := query.Acc{N: a.N + b.N}
	switch m.Kind {
	case catalog.Sum, catalog.Avg:
		out.Hi = a.Hi
		out.Lo = a.Lo
		out.Float = a.Float + b.Float
		out.AddWide(b.Hi, b.Lo)
	case catalog.Min:
		out.Lo = uint64(min(int64(a.Lo), int64(b.Lo)))
		out.Float = min(a.Float, b.Float)
	case catalog.Max:
		out.Lo = uint64(max(int64(a.Lo), int64(b.Lo)))
		out.Float = max(a.Float, b.Float)
	}
	return &out
}

// finish turns an accumulator of a measure that is not distinct into its value. A nil
// accumulator means a group without events.
func finish(m *query.Measure, a *query.Acc) (value, error) {
	float := m.Type == catalog.Float64
	switch {
	case a == nil:
		return value{null: m.Kind != catalog.Count}, nil
	case m.Kind == catalog.Count:
		return value{i: int64(a.N)}, checkFits(m, a.N <= math.MaxInt64)
	case a.N == 0:
		return value{null: true}, nil
	case m.Kind == catalog.Avg:
		v := value{f: average(a, float)}
		return v, checkFits(m, isFinite(v.f))
	case float:
		return value{f: a.Float}, checkFits(m, isFinite(a.Float))
	case m.Kind == catalog.Sum:
		v, ok := a.Int64()
		return value{i: v}, checkFits(m, ok)
	}
	return value{i: int64(a.Lo)}, nil
}

func average(a *query.Acc, float bool) float64 {
	if float {
		return a.Float / float64(a.N)
	}
	if v, ok := a.Int64(); ok {
		return float64(v) / float64(a.N)
	}
	return (float64(a.Hi)*(1<<64) + float64(a.Lo)) / float64(a.N)
}

func isFinite(f float64) bool { return !math.IsInf(f, 0) && !math.IsNaN(f) }

func checkFits(m *query.Measure, fits bool) error {
	if fits {
		return nil
	}
	return &OverflowError{m.Name}
}

// column is a measure with its accumulators in both parts.
type column struct {
	query.Measure
	batch, live []query.Acc
	// union is scratch space for a distinct measure, else nil.
	union *distinct.Union
}

// accumulators returns those of row i. One of them may be nil.
func (c *column) accumulators(g *groups, i int) (batch, live *query.Acc) {
	if b := g.batch[i]; b != none {
		batch = &c.batch[b]
	}
	if l := g.live[i]; l != none {
		live = &c.live[l]
	}
	return batch, live
}

// mergedValue returns the value of row i, and the bounds of a distinct measure.
func (c *column) mergedValue(g *groups, i int) (value, bounds, error) {
	b, l := c.accumulators(g, i)
	if c.Kind == catalog.Distinct {
		d := mergeDistinct(b, l, c.union)
		return value{i: d.value}, d, nil
	}
	v, err := finish(&c.Measure, join(&c.Measure, b, l))
	return v, bounds{}, err
}
