package verify

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"recount/schemas/record"
)

// TestForgottenPublications checks a chain of publications with gaps. Those that the record of forgotten
// publications names are right, and every other is a finding (V5, P3).
func TestForgottenPublications(t *testing.T) {
	t.Parallel()
	forgotten := func() *record.Forgotten {
		return &record.Forgotten{Before: 33, Previous: "d32",
			Kept: []record.PublicationRange{{First: 5, Last: 7, Digest: "d7"}}}
	}
	for _, c := range []struct {
		name   string
		change func(s *snapshot)
		says   string
	}{
		{"as they should be", func(*snapshot) {}, ""},
		{"no record of forgotten publications", func(s *snapshot) { s.forgotten = nil },
			"the first publication that exists has the number 5"},
		{"a kept one is missing", func(s *snapshot) { s.publications = slices.Delete(s.publications, 1, 2) },
			"the publications between 5 and 7 are missing"},
		{"a kept one has another digest", func(s *snapshot) { s.publications[2].digest = "forged" },
			"names publication 7, which is missing or has another digest"},
		{"the first after the gap names another before it", func(s *snapshot) { s.publications[3].Previous = "forged" },
			"names publication 33, which is missing or has another digest"},
		{"one after the gap is missing", func(s *snapshot) { s.publications = slices.Delete(s.publications, 4, 5) },
			"the publications between 33 and 35 are missing"},
		{"a record that lets more go", func(s *snapshot) { s.forgotten.Before = 34 },
			"names publication 34, which is missing or has another digest"},
	} {
		s := &snapshot{forgotten: forgotten()}
		for _, n := range []uint64{5, 6, 7, 33, 34, 35} {
			s.publications = append(s.publications, &publication{Publication: &record.Publication{N: n,
				Base: n%4 == 1, Previous: fmt.Sprint("d", n-1)}, digest: fmt.Sprint("d", n)})
		}
		c.change(s)
		r := newRecorder(nil)
		checkPublications(r, s)
		checkForgotten(r, s)
		var got []string
		for _, f := range r.report.Findings {
			if f.Check == V5 {
				got = append(got, f.What)
			}
		}
		if all := strings.Join(got, "\n"); (c.says == "") != (all == "") || !strings.Contains(all, c.says) {
			t.Errorf("%s: got %q, want %q", c.name, all, c.says)
		}
	}
}
