package batchview

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"recount/schemas/distinct"
	"recount/schemas/floatsum"
	"recount/schemas/quantile"
	"recount/schemas/query"
	"recount/serving/oracle"
)

// TestStatesOfEverySize reads sets of sizes at which the stored number of hashes takes one more
// byte. Each set is united with a small set of another cell.
func TestStatesOfEverySize(t *testing.T) {
	t.Parallel()
	testStates(t, newStore(t))
}

// TestStoredSketches does the same with a table from before sketches were made from sets: its DDL is in testdata.
func TestStoredSketches(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.leaveOutQuantiles()
	s.useTable("testdata/sketched.sql", s.catalog.SketchedDigest(s.view))
	testStates(t, s)
	checkDigest(t, s, s.resolve(wholeRange()))
}

func testStates(t *testing.T, s *store) {
	t.Helper()
	var events []oracle.Event
	want := map[string]query.Acc{}
	for _, n := range []int{0, 1, 127, 128, distinct.MaxHashes - 3, distinct.MaxHashes - 2, 1<<14 - 1, 1 << 14} {
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
		want[fmt.Sprint(n)] = query.Acc{Exact: uint64(len(hashes)), Set: distinct.SetOf(hashes)}
	}
	q := wholeRange()
	q.Measures = []string{"tails"}
	pinned := s.write(events)
	views := s.views()
	for _, views.maxStates = range []int64{maxStates, -1} {
		part, err := views.Scan(t.Context(), s.state(pinned), s.resolve(q), Options{Sketches: []int32{0}})
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]query.Acc{}
		for i, a := range part.Measures[0] {
			got[part.Dims[0].Strings[i]] = a
		}
		if diff := cmp.Diff(want, got, sameSets()); diff != "" {
			t.Errorf("states of up to %d bytes: %.2000s", views.maxStates, diff)
		}
	}
}

// TestOneBranchReadsAllSketches asks for sketches of all windows that have pinned rows, and of another one. Windows
// without rows need no branch.
func TestOneBranchReadsAllSketches(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	pinned := s.write([]oracle.Event{{Time: start.UnixMicro(), Fields: map[string]any{"tail": "N1"}}})
	q := wholeRange()
	q.Granularity = "1h"
	q.Measures = []string{"tails"}
	scan := s.resolve(q)
	window := scan.Windows.Index(start.UnixMicro())
	p := pinsOf(s.state(pinned).Views["flights"], scan.Windows.From, scan.Windows.To, s.catalog.Bucket)
	for sketched, want := range map[int32]int{int32(window): 2, int32(window + 1): 3} {
		sql := build(scan, p, Options{Sketches: []int32{sketched}}, facts{}, nearSums, nil).sql
		if got := strings.Count(sql, "SELECT"); got != want {
			t.Errorf("sketches of window %d, rows in %d: got %d branches, want %d:\n%s", sketched, window, got,
				want, sql)
		}
	}
}

// FuzzParseState reads any bytes as a state. What is not one is an error, and never a smaller set.
func FuzzParseState(f *testing.F) {
	f.Add([]byte{})
	f.Add(distinct.AppendState(nil, []uint64{1, 1 << 63, 7}))
	f.Add(distinct.AppendState(nil, make([]uint64, 130))[:200])
	f.Add([]byte{0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80})
	f.Fuzz(func(t *testing.T, state []byte) {
		acc, err := new(collector).parseState(string(state))
		if err != nil {
			return
		}
		hashes := make([]uint64, acc.Exact)
		for i := range hashes {
			hashes[i] = binary.LittleEndian.Uint64(state[len(state)-8*(i+1):])
		}
		slices.Reverse(hashes)
		if again := distinct.AppendState(nil, hashes); len(again) > len(state) {
			t.Fatalf("%d bytes are read as a state of %d", len(state), len(again))
		}
		if diff := cmp.Diff(distinct.SetOf(hashes), acc.Set, sameSets()); diff != "" {
			t.Fatal(diff)
		}
	})
}

// sameSets compares sets by what is in them, and not by its order.
func sameSets() cmp.Option {
	named := func(field string) func(cmp.Path) bool {
		return func(p cmp.Path) bool { return p.Last().String() == "."+field }
	}
	return cmp.Options{cmp.AllowUnexported(distinct.Set{}, quantile.Sketch{}),
		cmp.Comparer(slices.Equal[floatsum.Far]), // One that became empty is not nil.
		cmp.FilterPath(named("registers"), cmp.Comparer(func(a, b []uint32) bool {
			return slices.Equal(unite(a), unite(b))
		})),
		cmp.FilterPath(named("hashes"), cmp.Comparer(func(a, b string) bool {
			return slices.Equal(inOrder(a), inOrder(b))
		}))}
}

// inOrder returns the hashes in ascending order.
func inOrder(hashes string) (out []uint64) {
	for at := 0; at+8 <= len(hashes); at += 8 {
		out = append(out, binary.LittleEndian.Uint64([]byte(hashes[at:at+8])))
	}
	slices.Sort(out)
	return out
}

// unite returns the registers in order and without duplicates.
func unite(registers []uint32) []uint32 {
	var s distinct.Sketch
	for _, r := range registers {
		s.AddRegister(r)
	}
	return s.Registers()
}
