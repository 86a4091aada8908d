package scores

import (
	"fmt"
	"math"
	"slices"

	"recount/schemas/catalog"
	"recount/serving/merge"
)

// sheet collects the errors of one view: errors[j] are those of measure j.
type sheet struct {
	name            string
	buckets, groups int
	leftOut         int
	measures        []Measure
	errors          [][]float64
}

func newSheet(v *catalog.View) *sheet {
	s := &sheet{name: v.Name, measures: make([]Measure, len(v.Measures)), errors: make([][]float64, len(v.Measures))}
	for j, m := range v.Measures { // A query that names none is of all, in this order.
		s.measures[j] = Measure{Measure: m.Name, Kind: m.Kind}
	}
	return s
}

// add compares two answers to one query. Where the limit cut one of them off, a group that
// has no partner may be behind the cut of the other and is left out.
func (s *sheet) add(told, exact *merge.Answer) {
	cut := told.Accuracy.Truncated || exact.Accuracy.Truncated
	rows := make(map[string]int, told.Rows())
	for row := range told.Rows() {
		rows[key(told, row)] = row
	}
	for row := range exact.Rows() {
		k := key(exact, row)
		partner, ok := rows[k]
		delete(rows, k)
		switch {
		case ok:
			s.groups++
			for j := range exact.Measures {
				s.grade(j, &told.Measures[j], partner, &exact.Measures[j], row)
			}
		case !cut:
			s.alone()
		}
	}
	if !cut {
		for range rows {
			s.alone()
		}
	}
}

// alone counts a group that one of the answers lacks.
func (s *sheet) alone() {
	s.groups++
	for j := range s.errors {
		s.errors[j] = append(s.errors[j], 1)
	}
}

// grade compares measure j of one group.
func (s *sheet) grade(j int, told *merge.Measure, t int, exact *merge.Measure, e int) {
	s.errors[j] = append(s.errors[j], difference(told.Value, t, exact.Value, e))
	if told.Bounded(t) {
		s.measures[j].BoundsStated++
		if v := exact.Value.Ints[e]; told.Low[t] <= v && v <= told.High[t] {
			s.measures[j].BoundsHeld++
		}
	}
}

// difference is the relative error of a value, 1 where only one of them is null.
func difference(told merge.Values, t int, exact merge.Values, e int) float64 {
	got, gotNull := number(told, t)
	want, wantNull := number(exact, e)
	switch {
	case gotNull && wantNull:
		return 0
	case gotNull != wantNull:
		return 1
	}
	return math.Abs(got-want) / max(1, math.Abs(want))
}

func number(v merge.Values, row int) (value float64, null bool) {
	if v.Null != nil && v.Null[row] {
		return 0, true
	}
	if v.Floats != nil {
		return v.Floats[row], false
	}
	return float64(v.Ints[row]), false
}

// key is the same for two rows with the same dimensions and for no others.
func key(a *merge.Answer, row int) string {
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

// view is the grade of what was added.
func (s *sheet) view() View {
	for j, e := range s.errors {
		if slices.Sort(e); len(e) == 0 {
			continue
		}
		m := &s.measures[j]
		m.P50 = e[len(e)/2]
		m.P99 = e[len(e)*99/100]
		m.Max = e[len(e)-1]
	}
	return View{View: s.name, Buckets: s.buckets, Groups: s.groups, LeftOut: s.leftOut, Measures: s.measures}
}
