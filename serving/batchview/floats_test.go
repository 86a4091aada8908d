package batchview

import (
	"fmt"
	"math"
	"math/big"
	"testing"

	"github.com/google/go-cmp/cmp"

	"recount/schemas/query"
	"recount/serving/oracle"
)

// TestSumsAreOneValue asks for one sum many times. Engines add rows in any order, and these sums of float64 would
// show it: a hundred times 1e16, 1 and -1e16 is 100.
func TestSumsAreOneValue(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	var events []oracle.Event
	for i, v := range []float64{1e16, 1, -1e16} {
		for k := range 100 {
			events = append(events, oracle.Event{Time: start.UnixMicro() + int64(3*k+i)*60e6,
				Fields: map[string]any{"miles": v}})
		}
	}
	state := s.state(s.write(events))
	q := wholeRange()
	q.Measures = []string{"far"}
	scan := s.resolve(q)
	for range 60 {
		part, err := s.views().Scan(t.Context(), state, scan, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if v, fits := part.Measures[0][0].Sum.Float64(); v != 100 || !fits {
			t.Fatalf("the sum is %v", v)
		}
	}
}

// TestFarValues sums values that are too large or too small for the near part, in a query over some groups that
// have such values and some that have none.
func TestFarValues(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	var events []oracle.Event
	for i, miles := range []float64{1e300, -1e300, 5e-324, 5e-324, 1e308, 1e308, 0.1, 0.2, -1e-300} {
		for k := range 3 {
			origin := []string{"ORD", "ATL", "OR"}[(i+k)%3]
			events = append(events, oracle.Event{Time: start.UnixMicro() + int64(i)*60e6,
				Fields: map[string]any{"miles": miles, "origin": origin}})
		}
	}
	events = append(events, oracle.Event{Time: start.UnixMicro(), Fields: map[string]any{"miles": 2.5, "origin": ""}})
	state := s.state(s.write(events))
	q := wholeRange()
	q.Measures = []string{"far", "usual"}
	q.GroupBy = []string{"origin"}
	scan := s.resolve(q)
	part, err := s.views().Scan(t.Context(), state, scan, Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for _, r := range oracle.Rows(scan, events) {
		want[r.Keys[0].(string)] = fmt.Sprint(r.Measure(scan.Measures[0]), r.Measure(scan.Measures[1]))
	}
	got := map[string]string{}
	for i, origin := range part.Dims[0].Strings {
		sum := part.Measures[0][i].Sum
		got[origin] = fmt.Sprint(orNil(sum.Float64()), orNil(sum.Mean(part.Measures[1][i].N)))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-oracle +scan): %s", diff)
	}
}

func orNil(v float64, fits bool) any {
	if !fits {
		return nil
	}
	return v
}

// TestRoundedSums reads a table from before sums of floats were exact: its DDL is in testdata. The sums of its
// rows are rounded, and are added exactly, so the answer is one value. Infinity is what a sum beyond the range
// was stored as.
func TestRoundedSums(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.leaveOutQuantiles()
	s.useTable("testdata/rounded.sql", s.catalog.RoundedDigest(s.view))
	values := map[string][]float64{
		"costs": {0.1, 0.2, 0.3, 1e16, -1e16, 12.34, -0.07}, "far": {1e-300, 1e300, -1e300, 5e-324},
		"beyond": {math.Inf(1), 1, -1e308}, "none": nil,
	}
	var events []oracle.Event
	for origin, list := range values {
		events = append(events, oracle.Event{Time: start.UnixMicro(), Fields: map[string]any{"origin": origin}})
		for i, v := range list {
			events = append(events, oracle.Event{Time: start.UnixMicro() + int64(i+1)*60e6,
				Fields: map[string]any{"miles": v, "origin": origin}})
		}
	}
	state := s.state(s.write(events))
	q := wholeRange()
	q.Measures = []string{"far"}
	q.GroupBy = []string{"origin"}
	scan := s.resolve(q)
	for range 10 {
		part, err := s.views().Scan(t.Context(), state, scan, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for i, origin := range part.Dims[0].Strings {
			want := new(big.Float).SetPrec(2400)
			for _, v := range values[origin] {
				want.Add(want, big.NewFloat(v))
			}
			rounded, _ := want.Float64()
			got, fits := part.Measures[0][i].Sum.Float64()
			n := part.Measures[0][i].N
			if fits == math.IsInf(rounded, 0) || fits && got != rounded || n != uint64(len(values[origin])) {
				t.Fatalf("%s: the sum of %d is %v, %t; want %v", origin, n, got, fits, rounded)
			}
		}
	}
	checkDigest(t, s, scan)
}

// checkDigest checks that only the digests of the definition are read.
func checkDigest(t *testing.T, s *store, scan *query.Scan) {
	t.Helper()
	for _, digest := range s.catalog.Digests(s.view) {
		if !scan.Reads(digest) {
			t.Errorf("the scan does not read the digest %s", digest)
		}
	}
	if scan.Reads("0123456789abcdef") {
		t.Error("the scan reads the digest of another definition")
	}
}
