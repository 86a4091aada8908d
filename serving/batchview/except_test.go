package batchview

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"recount/schemas/query"
	"recount/serving/oracle"
)

// TestScanWithoutGroups leaves out random groups, whose dimensions are hard to quote, and compares what remains with a
// naive grouping. Some of the groups have no events.
func TestScanWithoutGroups(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	views := s.views()
	rapid.Check(t, func(t *rapid.T) {
		events := oracle.Draw(t, start, minutes, 60)
		s.ver++
		pinned := s.prepare("default", s.ver, events)
		s.flush()
		q := drawQuery(t)
		scan := s.resolve(q)
		_, others := q.OtherGroups(scan)
		all := oracle.Part(scan, append(oracle.Draw(t, start, minutes, 5), events...), oracle.Batch)
		groups := all.Empty()
		for row, w := range all.Windows {
			if rapid.Bool().Draw(t, "is shown") {
				groups.Append(all, row, w)
			}
		}
		got, err := views.Scan(context.Background(), s.state(pinned), others,
			Options{Except: &Except{By: scan.GroupBy, Groups: groups}})
		if err != nil {
			t.Fatal(err)
		}
		want := oracle.Part(others, oracle.Without(scan, events, scan.GroupBy, groups), oracle.Batch)
		for j := range want.Measures {
			for i := range want.Measures[j] {
				want.Measures[j][i].Set = nil // No window was asked for.
			}
		}
		if diff := cmp.Diff(byKey(want), byKey(got), sameSets()); diff != "" {
			t.Fatalf("without %d groups by %v: %s", groups.Rows(), scan.GroupBy, diff)
		}
	})
}

// TestLargestExcept: as many groups as may be left out can be sent, and one more is an error that says what to do.
func TestLargestExcept(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	events := events48()
	state := s.state(s.write(events))
	views := s.views()
	scan := s.resolve(wholeRange())
	_, others := wholeRange().OtherGroups(scan)
	except := func(n, size int) *Except {
		p := &query.Part{Dims: []query.Column{{Type: scan.GroupBy[0].Type}}}
		for i := range n {
			p.Windows = append(p.Windows, 0)
			p.Dims[0].Strings = append(p.Dims[0].Strings, fmt.Sprint(strings.Repeat("é", size/2), "A", i))
		}
		return &Except{By: scan.GroupBy, Groups: p}
	}
	part, err := views.Scan(t.Context(), state, others, Options{Except: except(maxExcept, 0)})
	if err != nil || part.Rows() != 0 {
		t.Errorf("without all seven groups there are %d rows, %v", part.Rows(), err)
	}
	part, err = views.Scan(t.Context(), state, others, Options{Except: except(250, 1000)})
	if err != nil || part.Rows() != 1 || part.Events[0] != uint64(len(events)) {
		t.Errorf("without groups that have no events there are %d rows, %v", part.Rows(), err)
	}
	for _, e := range []*Except{except(maxExcept+1, 0), except(270, 1000)} {
		var limit *LimitError
		if _, err := views.Scan(t.Context(), state, others, Options{Except: e}); !errors.As(err, &limit) {
			t.Errorf("%d groups are left out: %v", e.Groups.Rows(), err)
		}
	}
}
