package expression

import (
	"math/rand/v2"
	"testing"
)

// numberColumns are columns of which a range may be known.
var numberColumns = []string{"i", "j", "f", "g"}

// drawRanges returns the ends of a range for each column, which are null or equal for some.
func drawRanges(r *rand.Rand) (low, high map[string]value) {
	low = rowsOfCorners(r, 1)[0]
	high = map[string]value{}
	for name, v := range low {
		high[name] = v
	}
	for _, name := range numberColumns {
		t := testColumns[name]
		end := corners(r, t)
		if r.IntN(2) == 0 { // Most ranges of corners overflow.
			low[name] = value{whole: r.Int64N(9) - 4, float: float64(r.IntN(9)) - 4}.clearedFor(t)
			end = value{whole: low[name].whole + r.Int64N(5), float: low[name].float + float64(r.IntN(5))}.clearedFor(t)
		}
		high[name] = low[name]
		switch {
		case low[name].isNull || end.isNull || r.IntN(3) == 0:
		case compareNumbers(end, low[name], t) < 0:
			low[name] = end
		default:
			high[name] = end
		}
	}
	return low, high
}

// clearedFor clears what a value of the type does not have.
func (v value) clearedFor(t Type) value {
	if t == Float64 {
		v.whole = 0
	} else {
		v.float = 0
	}
	return v
}

// drawWithin returns a row within the ranges.
func drawWithin(r *rand.Rand, low, high map[string]value) map[string]value {
	row := map[string]value{}
	for name, v := range low {
		row[name] = v
		other := high[name]
		switch r.IntN(3) {
		case 0:
			row[name] = other
		case 1:
			if testColumns[name] == Float64 {
				row[name] = number(min(max(v.float/2+other.float/2, v.float), other.float))
			} else if distance := uint64(other.whole) - uint64(v.whole); distance > 0 {
				row[name] = value{whole: int64(uint64(v.whole) + r.Uint64N(distance))}
			}
		}
		if v.isNull {
			row[name] = none
		}
	}
	return row
}

// TestNumbersAndTheirRanges evaluates random expressions of numbers for random rows within random ranges. The value is
// the naive one, and it lies in the range that is told for the ranges of the columns.
func TestNumbersAndTheirRanges(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(7, 7))
	wide := map[string]int{}
	for range 12_000 {
		source := randomSource(r, pick(r, Int64, Float64), 1+r.IntN(3))
		e, err := Parse(source, columnOf)
		if err != nil {
			t.Fatalf("%s: %v", source, err)
		}
		if e.Uses(String) {
			continue
		}
		low, high := drawRanges(r)
		n := e.Numbers()
		for i, name := range e.Columns {
			n.SetRange(i, low[name].number(), low[name].number(), high[name].number())
		}
		least, most, known := n.Range()
		if known && least != most {
			wide[e.root.name()]++
		}
		for range 5 {
			row := drawWithin(r, low, high)
			for i, name := range e.Columns {
				n.Set(i, row[name].number())
			}
			want := naive(e.root, row)
			if got := n.Value(); got != want.number() {
				t.Fatalf("%s of %v: got %v, want %v", source, row, got, want)
			}
			isWithin := want.isNull && least.IsNull || !want.isNull && !least.IsNull &&
				compareNumbers(want, least.value(), e.Type) >= 0 && compareNumbers(want, most.value(), e.Type) <= 0
			if known && !isWithin {
				t.Fatalf("%s of %v is %v: outside of [%v, %v]", source, row, want, least, most)
			}
		}
	}
	for _, name := range []string{"+", "-", "*", "/", "div", "negate", "if", "coalesce"} {
		if wide[name] < 20 {
			t.Errorf("%s has %d ranges that are no points", name, wide[name])
		}
	}
}

func (n *node) name() string {
	if n.function == nil {
		return n.column
	}
	return n.function.name
}

// TestRanges: ranges are as narrow as they can be told simply.
func TestRanges(t *testing.T) {
	t.Parallel()
	for source, want := range map[string][2]float64{
		"f / 2": {2, 4}, "8 / f": {1, 2}, "f - g": {2, 7}, "-f": {-8, -4}, "g / f": {0.125, 0.5},
		"if(f > 3.0, f / 2, 0.0)": {2, 4}, "if(f > 5.0, f, 1.0)": {1, 8}, "if(f < 3.0 and g > 1.5, f, 1.0)": {1, 1},
		"if(f > 3.0 or g > 1.5, f, 1.0)": {4, 8}, "coalesce(f, 1.0)": {4, 8}, "if(g = 0.5, f, 1.0)": {1, 1},
	} {
		e, err := Parse(source, columnOf)
		if err != nil {
			t.Fatal(err)
		}
		n := e.Numbers()
		for i, name := range e.Columns {
			ends := map[string][2]float64{"f": {4, 8}, "g": {1, 2}}[name]
			n.SetRange(i, Number{Float: ends[0]}, Number{Float: ends[0]}, Number{Float: ends[1]})
		}
		low, high, known := n.Range()
		if got := [2]float64{low.Float, high.Float}; got != want || !known {
			t.Errorf("%s: got %v, %t, want %v", source, got, known, want)
		}
	}
}

// TestNumbersAllocateNothing: a query evaluates an expression for each of its groups.
func TestNumbersAllocateNothing(t *testing.T) {
	e, err := Parse("if(i > 0, (f + 1) / i, coalesce(g, 0.0) * 2)", columnOf)
	if err != nil {
		t.Fatal(err)
	}
	n := e.Numbers()
	n.Value()
	if got := testing.AllocsPerRun(100, func() {
		n.Set(0, Number{Whole: 7})
		n.Value()
	}); got != 0 {
		t.Errorf("a row allocates %v times", got)
	}
	if e.Parts() != 14 || !e.Uses(Bool) || e.Uses(String) {
		t.Errorf("got %d parts, bool %t, string %t", e.Parts(), e.Uses(Bool), e.Uses(String))
	}
}
