package batchview

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"recount/schemas/distinct"
	"recount/schemas/query"
	"recount/serving/oracle"
)

// TestStatesOfEverySize reads sets of sizes at which the stored number of hashes takes one more
// byte. Each set is united with a small set of another cell.
func TestStatesOfEverySize(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	var events []oracle.Event
	want := map[string]query.Acc{}
	for _, n := range []int{0, 1, 127, 128, 1<<14 - 1, 1 << 14} {
		var hashes []uint64
		add := func(at time.Time, tail int) {
			events = append(events, oracle.Event{Time: at.UnixMicro(),
				Fields: map[string]any{"origin": fmt.Sprint(n), "tail": fmt.Sprint(tail)}})
			hashes = append(hashes, distinct.HashString(fmt.Sprint(tail)))
		}
		events = append(events, oracle.Event{Time: start.UnixMicro(), Fields: map[string]any{"origin": fmt.Sprint(n)}})
		for tail := range n {
			add(start, tail)
		}
		for tail := range 5 {
			add(start.Add(time.Hour), n+tail-2) // Up to two values that the set has, and new values.
		}
		slices.Sort(hashes)
		hashes = slices.Compact(hashes)
		want[fmt.Sprint(n)] = query.Acc{Exact: uint64(len(hashes)), Registers: distinct.AppendRegisters(nil, hashes)}
	}
	q := wholeRange()
	q.Measures = []string{"tails"}
	pinned := s.write(events)
	part, err := s.views().Scan(t.Context(), s.state(pinned), s.resolve(q), Options{Sketches: []int32{0}})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]query.Acc{}
	for i, a := range part.Measures[0] {
		got[part.Dims[0].Strings[i]] = query.Acc{Exact: a.Exact, Registers: unite(a.Registers)}
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(distinct.Sketch{})); diff != "" {
		t.Errorf("%.2000s", diff)
	}
}

// unite returns the registers in order and without duplicates.
func unite(registers []uint32) []uint32 {
	var s distinct.Sketch
	for _, r := range registers {
		s.AddRegister(r)
	}
	return s.Registers()
}
