package scores

import (
	"fmt"
	"math"
	"slices"

	"recount/schemas/decimal"
	"recount/schemas/openapi"
	"recount/schemas/query"
	"recount/serving/merge"
)

// sheet collects the errors of one view.
type sheet struct {
	name            string
	buckets, groups int
	leftOut         int
	measures        []openapi.ScoredMeasure
	// errors holds the errors of measure j at index j, one for each group.
	errors [][]float64
}

// newSheet returns an empty sheet for the measures of a scan.
func newSheet(view string, measures []query.Measure) *sheet {
	s := &sheet{name: view, measures: make([]openapi.ScoredMeasure, len(measures)),
		errors: make([][]float64, len(measures))}
	for j, m := range measures {
		s.measures[j] = openapi.ScoredMeasure{Measure: m.Name, Kind: m.Kind}
	}
	return s
}

// add compares two answers to one query. If the limit cut off rows of one of them, a group without
// a partner may be among those rows, so it is left out.
func (s *sheet) add(given, exact *merge.Answer) {
	truncated := given.Accuracy.Truncated || exact.Accuracy.Truncated
	rows := make(map[string]int, given.Rows())
	for row := range given.Rows() {
		rows[groupKey(given, row)] = row
	}
	for row := range exact.Rows() {
		k := groupKey(exact, row)
		partner, ok := rows[k]
		delete(rows, k)
		switch {
		case ok:
			s.groups++
			for j := range exact.Measures {
				s.grade(j, &given.Measures[j], partner, &exact.Measures[j], row)
			}
		case !truncated:
			s.addUnmatched()
		}
	}
	if !truncated {
		for range rows {
			s.addUnmatched()
		}
	}
}

// addUnmatched counts a group that one of the answers lacks.
func (s *sheet) addUnmatched() {
	s.groups++
	for j := range s.errors {
		s.errors[j] = append(s.errors[j], 1)
	}
}

// grade compares measure j of one group: row g of the given answer and row e of the exact answer.
func (s *sheet) grade(j int, given *merge.Measure, g int, exact *merge.Measure, e int) {
	s.errors[j] = append(s.errors[j], difference(given, g, exact, e))
	if given.Bounded(g) {
		s.measures[j].BoundsStated++
		if holds(&given.Low, &given.High, g, &exact.Value, e) {
			s.measures[j].BoundsHeld++
		}
	}
}

// holds reports whether the value in row e is within the bounds of row g.
func holds(low, high *merge.Values, g int, value *merge.Values, e int) bool {
	if v := value.Floats; v != nil {
		return low.Floats[g] <= v[e] && v[e] <= high.Floats[g]
	}
	return low.Ints[g] <= value.Ints[e] && value.Ints[e] <= high.Ints[g]
}

// difference returns the relative error of a value. It is 1 if only one of the values is null.
func difference(given *merge.Measure, g int, exact *merge.Measure, e int) float64 {
	got, gotNull := floatValue(given, g)
	want, wantNull := floatValue(exact, e)
	switch {
	case gotNull && wantNull:
		return 0
	case gotNull != wantNull:
		return 1
	}
	return math.Abs(got-want) / max(1, math.Abs(want))
}

// floatValue returns a value as the nearest float64. That of a decimal is its number, not its units.
func floatValue(m *merge.Measure, row int) (value float64, null bool) {
	v := &m.Value
	if v.Null != nil && v.Null[row] {
		return 0, true
	}
	if v.Floats != nil {
		return v.Floats[row], false
	}
	if d, is := decimal.ParseType(string(m.Type)); is {
		high := v.Ints[row] >> 63
		if v.Highs != nil {
			high = v.Highs[row]
		}
		return decimal.Mean(high, uint64(v.Ints[row]), d.Scale, 1), false
	}
	return float64(v.Ints[row]), false
}

// groupKey returns a key that two rows share only if they have the same dimensions.
func groupKey(a *merge.Answer, row int) string {
	var k []byte
	for d := range a.Dims {
		c := &a.Dims[d].Column
		switch {
		case c.IsNull(row):
			k = append(k, 'n', ';')
		case c.Strings != nil:
			k = fmt.Appendf(k, "%d:%s;", len(c.Strings[row]), c.Strings[row])
		default:
			k = fmt.Appendf(k, "%d;", c.Ints[row])
		}
	}
	return string(k)
}

// view returns the grade of all answers that were added.
func (s *sheet) view() openapi.ScoredView {
	for j, e := range s.errors {
		if slices.Sort(e); len(e) == 0 {
			continue
		}
		m := &s.measures[j]
		m.P50 = e[len(e)/2]
		m.P99 = e[len(e)*99/100]
		m.Max = e[len(e)-1]
	}
	return openapi.ScoredView{View: s.name, Buckets: s.buckets, Groups: s.groups, LeftOut: s.leftOut,
		Measures: s.measures}
}
