package reader

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"recount/schemas/query"
	"recount/serving/oracle"
)

// TestSeveralAnswersAreOfOnePublication asks several queries at once in worlds that change all the time. Each answer is
// an exact prefix of the log, all have one publication, and all live parts are of one moment.
func TestSeveralAnswersAreOfOnePublication(t *testing.T) {
	t.Parallel()
	answered := 0
	for seed := range uint64(200) {
		w := newWorld(seed)
		r := w.reader(t)
		for range 12 {
			w.step()
			queries := []*query.Query{w.query(), w.query(), w.query()}
			answers, err := r.AnswerAll(t.Context(), queries, "default")
			if err == nil {
				err = w.checkAll(queries, answers)
				answers.Close()
				answered++
			}
			if err != nil && !expected(err) {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if n := held(r); n != 0 {
				t.Fatalf("seed %d: %d bytes are held after answers with the error %v", seed, n, err)
			}
		}
	}
	if answered < 400 {
		t.Errorf("only %d times were all answered", answered)
	}
}

// checkAll returns the error of a query that has no answer, or says what is wrong with the answers.
func (w *world) checkAll(queries []*query.Query, answers *Answers) error {
	var through []uint64
	first := answers.Results[0]
	for i, result := range answers.Results {
		if result.Err != nil {
			return result.Err
		}
		a := result.Answer.Accuracy
		if a.Publication != first.Answer.Accuracy.Publication {
			return fmt.Errorf("publications %d and %d", first.Answer.Accuracy.Publication, a.Publication)
		}
		if queries[i].Mode != query.Exact {
			if through != nil && !slices.Equal(through, a.Through) {
				return fmt.Errorf("live parts through %v and %v", through, a.Through)
			}
			through = a.Through
		}
		if err := w.check(queries[i], result.Answer); err != nil {
			return fmt.Errorf("query %d, mode %s, %+v: %w", i, queries[i].Mode, a, err)
		}
	}
	return nil
}

// TestOneWrongQuery: a mistake in one query takes no answer from the others, and a layer that is down takes all.
func TestOneWrongQuery(t *testing.T) {
	t.Parallel()
	f := &fixed{state: published(), live: &query.LivePart{Through: published().H}}
	r, err := New(Config{Catalog: oracle.Catalog(), Publications: f, Batch: noRows{}, Live: f})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(mode query.Mode) (*Answers, error) {
		queries := []*query.Query{
			{View: "trains", From: start, To: start.Add(time.Hour)},
			{View: "flights", From: start, To: start.Add(time.Hour), Mode: mode},
			{View: "flights", From: start, To: start.Add(time.Hour), Measures: []string{"miles"}},
		}
		return r.AnswerAll(t.Context(), queries, "default")
	}
	answers, err := ask(query.Merged)
	if err != nil {
		t.Fatal(err)
	}
	var wrong *query.Error
	for i, field := range []string{"view", "", "measures"} {
		result := answers.Results[i]
		switch {
		case field == "" && (result.Err != nil || result.Answer.Rows() != 1):
			t.Errorf("query %d: got %+v", i, result)
		case field != "" && (!errors.As(result.Err, &wrong) || wrong.Field != field):
			t.Errorf("query %d: got %v, want an error about %s", i, result.Err, field)
		}
	}
	f.err = errors.New("connection refused")
	if _, err := ask(query.Live); !errors.Is(err, ErrLive) {
		t.Errorf("without the speed layer: got %v, want %v", err, ErrLive)
	}
}
