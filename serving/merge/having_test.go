package merge

import (
	"testing"

	"recount/schemas/query"
)

// TestComparisonsAtTheirEnds goes through all operators and types with values below, at and above those of the
// conditions.
func TestComparisonsAtTheirEnds(t *testing.T) {
	t.Parallel()
	holds := map[query.Op][4]bool{ // for null, and for values below, at and above 7
		query.Eq: {false, false, true, false}, query.Ne: {true, true, false, true},
		query.Lt: {false, true, false, false}, query.Le: {false, true, true, false},
		query.Gt: {false, false, false, true}, query.Ge: {false, false, true, true},
		query.Between: {false, false, true, false},
	}
	values := []value{{null: true}, {i: 6, f: 6.5}, {i: 7, f: 7}, {i: 8, f: 7.5}}
	for op, want := range holds {
		for _, with := range []any{int64(7), 7.0, query.Wide{Low: 7}} {
			c := query.Condition{Op: op, Values: []any{with, with}}
			for i := range values {
				if got := compares(&c, &values[i]); got != want[i] {
					t.Errorf("%+v %s %v: got %t", values[i], op, with, got)
				}
			}
		}
	}
	for i := range values {
		null := query.Condition{Op: query.Eq, Values: []any{nil}}
		notNull := query.Condition{Op: query.Ne, Values: []any{nil}}
		if isNull := values[i].null; compares(&null, &values[i]) != isNull || compares(&notNull, &values[i]) == isNull {
			t.Errorf("%+v: the null is wrong", values[i])
		}
	}
}
