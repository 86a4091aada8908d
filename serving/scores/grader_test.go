package scores

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"recount/schemas/openapi"
	"recount/schemas/query"
	"recount/schemas/record"
)

// chain has the publications 1 to n, of which kept is the oldest kept one.
type chain struct{ n, kept uint64 }

func (c *chain) Newest(context.Context) (*record.State, error) { return &record.State{N: c.n}, nil }

func (c *chain) StateAt(_ context.Context, n uint64) (*record.State, error) {
	if n < c.kept {
		return nil, query.ErrCollected
	}
	return &record.State{N: n}, nil
}

// TestEachPublicationIsGradedOnce checks that each publication is compared once with the one before
// it. A publication that cannot be compared is skipped, and only failures of the layers are errors.
func TestEachPublicationIsGradedOnce(t *testing.T) {
	t.Parallel()
	c := &chain{}
	var graded []string
	var fails error
	g := NewGrader(c, 2, func(_ context.Context, before, now *record.State) (*openapi.Scores, error) {
		if len(before.H) != 2 && before.N == 0 {
			t.Errorf("the empty state has a cut of %d partitions", len(before.H))
		}
		graded = append(graded, fmt.Sprintf("%d-%d", before.N, now.N))
		return &openapi.Scores{Publication: now.N}, fails
	}, nil, nil)
	broken := errors.New("connection refused")
	for _, step := range []struct {
		n, kept uint64
		fails   error
		message string
		graded  string
		err     error
	}{
		{0, 0, nil, "nothing new", "", nil},
		{1, 1, nil, "compared", "0-1", nil},
		{1, 1, nil, "nothing new", "", nil},
		{2, 1, broken, "", "1-2", broken},
		{2, 1, fmt.Errorf("partitions [1]: %w", ErrStale), "not compared", "1-2", nil},
		{2, 1, nil, "compared", "1-2", nil},
		{5, 5, nil, "not compared", "", nil},
		{6, 5, query.ErrPinExpired, "not compared", "5-6", nil},
		{6, 5, nil, "compared", "5-6", nil},
	} {
		c.n = step.n
		c.kept = step.kept
		fails = step.fails
		graded = nil
		n, outcome, err := g.Grade(t.Context())
		if n != step.n || !errors.Is(err, step.err) || !strings.Contains(outcome, step.message) ||
			strings.Join(graded, " ") != step.graded {
			t.Errorf("%+v: got %d, %q, %v, graded %v", step, n, outcome, err, graded)
		}
	}
}
