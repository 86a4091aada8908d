package query

import (
	"slices"
	"strings"

	"recount/schemas/catalog"
	"recount/schemas/quantile"
)

// rankMark is between the name of a quantile measure and its rank, as in latency.p99.
const rankMark = "."

// Stored returns the name that the view has for the measure. That of a quantile has no rank.
func (m *Measure) Stored() string {
	name, _, _ := strings.Cut(m.Name, rankMark)
	return name
}

// Shared returns the first measure of the scan that is made of the same stored columns as measure i: itself, unless
// both are ranks of one quantile. Layers gather these columns once, and the accumulators of both measures are the same.
func (s *Scan) Shared(i int) int {
	if s.Measures[i].Kind != catalog.Quantile {
		return i
	}
	stored := s.Measures[i].Stored()
	return slices.IndexFunc(s.Measures, func(m Measure) bool { return m.Stored() == stored })
}

// measureNamed returns the measure that a query means by a name: one of the view, or a rank of a quantile.
func measureNamed(c *catalog.Catalog, v *catalog.View, field, name string) (Measure, error) {
	stored, rank, hasRank := strings.Cut(name, rankMark)
	m, found := v.Measure(stored)
	switch {
	case !found || hasRank && m.Kind != catalog.Quantile:
		return Measure{}, invalid(field, "view %s has no measure %q; it has %s", v.Name, name, measureNames(v))
	case m.Kind == catalog.Quantile && !hasRank:
		return Measure{}, invalid(field, "%s is a quantile; write which one, such as %s%s%s", name, name, rankMark,
			quantile.P99)
	}
	out := Measure{Measure: m, Type: c.MeasureType(v, m)}
	if hasRank {
		r, err := quantile.ParseRank(rank)
		if err != nil {
			return Measure{}, invalid(field, "%s: %v", name, err)
		}
		out.Name = name
		out.Rank = r
	}
	return out, nil
}

// expandQuantiles replaces each quantile without a rank by those of quantile.Defaults.
func expandQuantiles(v *catalog.View, names []string) []string {
	var out []string
	for _, name := range names {
		if m, found := v.Measure(name); !found || m.Kind != catalog.Quantile {
			out = append(out, name)
			continue
		}
		for _, r := range quantile.Defaults {
			out = append(out, name+rankMark+r.String())
		}
	}
	return out
}

// isQuantile reports whether a name is that of a quantile of the view, with or without a rank.
func isQuantile(v *catalog.View, name string) bool {
	stored, _, _ := strings.Cut(name, rankMark)
	m, _ := v.Measure(stored)
	return m.Kind == catalog.Quantile
}
