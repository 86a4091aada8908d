package client

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"recount/schemas/openapi"
	"recount/schemas/problem"
	"recount/schemas/query"
)

// TestReadsAreTriedAgain checks that a read is tried DefaultAttempts times. Calls that must act once, or that ask for
// the current state, are tried once.
func TestReadsAreTriedAgain(t *testing.T) {
	t.Parallel()
	var rows []map[string]any
	for name, c := range map[string]struct {
		call  func(*Client) error
		tries int
	}{
		"query": {func(c *Client) error {
			_, err := c.Query(t.Context(), &query.Query{}, &rows)
			return err
		}, DefaultAttempts},
		"stream": {func(c *Client) error {
			_, err := c.QueryAs(t.Context(), &query.Query{}, CSV)
			return err
		}, DefaultAttempts},
		"pin": {func(c *Client) error {
			_, err := c.PinPublication(t.Context(), 1)
			return err
		}, DefaultAttempts},
		"edit": {func(c *Client) error {
			_, err := c.PutView(t.Context(), "v", []byte("{}"), EditOptions{})
			return err
		}, DefaultAttempts},
		"conditional edit": {func(c *Client) error {
			_, err := c.PutView(t.Context(), "v", []byte("{}"), EditOptions{IfMatch: `"x"`})
			return err
		}, 1},
		"job": {func(c *Client) error {
			_, err := c.RunJob(t.Context(), "recompute")
			return err
		}, 1},
		"verify": {func(c *Client) error {
			_, err := c.Verify(t.Context(), strings.NewReader("{}"), nil)
			return err
		}, 1},
		"ready": {func(c *Client) error { return c.Ready(t.Context()) }, 1},
	} {
		s := &script{answers: []http.HandlerFunc{answer(503,
			`{"code":"not_ready","detail":"d","reasons":["log: gone"]}`)}}
		err := c.call(newClient(t, s, func(cfg *Config) { cfg.Retry.Backoff = time.Microsecond }))
		var p *Problem
		if !errors.As(err, &p) || p.Code != problem.NotReady || p.Reasons[0] != "log: gone" ||
			len(s.bodies) != c.tries {
			t.Errorf("%s: got %d tries and error %v", name, len(s.bodies), err)
		}
	}
}

// TestConflictIsTriedAgain: a view that the next recompute fills is asked for again after Retry-After, and a bounded
// number of times. A conflict without Retry-After is final.
func TestConflictIsTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const refused = `{"code":"view_not_published","detail":"d"}`
		soon := answer(409, refused, "Retry-After", "1")
		var rows []map[string]any
		for name, c := range map[string]struct {
			answers []http.HandlerFunc
			tries   int
			waits   time.Duration
			ok      bool
		}{
			"filled": {[]http.HandlerFunc{soon, soon, answer(200, `{"rows":[],"accuracy":{}}`)}, 3,
				2 * time.Second, true},
			"never":    {[]http.HandlerFunc{soon}, DefaultAttempts, 4 * time.Second, false},
			"no event": {[]http.HandlerFunc{answer(409, refused)}, 1, 0, false},
		} {
			s := &script{answers: c.answers}
			client := newClient(t, s, func(cfg *Config) { cfg.Retry.Backoff = time.Microsecond })
			start := time.Now()
			_, err := client.Query(t.Context(), &query.Query{}, &rows)
			took := time.Since(start)
			if (err == nil) != c.ok || len(s.bodies) != c.tries || took.Truncate(time.Second) != c.waits {
				t.Errorf("%s: %d tries in %s: %v", name, len(s.bodies), took, err)
			}
		}
	})
}

// TestAnswersThatCannotBeRead checks that an answer which cannot be decoded ends a call, because another try would not
// help.
func TestAnswersThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"{", "<html>", `{"rows":[{"views":"many"}]}`} {
		s := &script{answers: []http.HandlerFunc{answer(200, body, "Recount-Accuracy", body)}}
		c := newClient(t, s, nil)
		var rows []struct{ Views int }
		if _, err := c.Query(t.Context(), &query.Query{}, &rows); err == nil || len(s.bodies) != 1 {
			t.Errorf("%s: %d tries, %v", body, len(s.bodies), err)
		}
		if _, err := c.QueryAs(t.Context(), &query.Query{}, CSV); err == nil && body[0] == '<' || len(s.bodies) != 2 {
			t.Errorf("%s as a stream: %d tries, %v", body, len(s.bodies), err)
		}
	}
}

// TestQueryReturnsTotals reads all members of an answer.
func TestQueryReturnsTotals(t *testing.T) {
	t.Parallel()
	s := &script{answers: []http.HandlerFunc{answer(200,
		`{"rows":[{"views":3}],"totals":{"views":5},"others":[{"views":2}],`+
			`"accuracy":{"publication":7,"exact":true}}`)}}
	var rows []struct{ Views int }
	got, err := newClient(t, s, nil).Query(t.Context(), &query.Query{Totals: true}, &rows)
	if err != nil || string(got.Totals) != `{"views":5}` || string(got.Others) != `[{"views":2}]` ||
		got.Publication != 7 || !got.Exact || rows[0].Views != 3 {
		t.Errorf("%v, %+v, %v", rows, got, err)
	}
}

// TestFailedRun checks that RunJob returns a failed run and its reason.
func TestFailedRun(t *testing.T) {
	t.Parallel()
	s := &script{answers: []http.HandlerFunc{answer(500, `{"id":"x","job":"audit","error":"the residue is 3 events"}`)}}
	run, err := newClient(t, s, nil).RunJob(t.Context(), "audit")
	if err == nil || !strings.Contains(err.Error(), "the residue is 3 events") || run.ID != "x" {
		t.Errorf("%+v, %v", run, err)
	}
}

// TestVerifyReadsLines reads progress, and then the report or an error.
func TestVerifyReadsLines(t *testing.T) {
	t.Parallel()
	const progress = `{"progress":{"step":"chains","done":1,"total":2}}` + "\n"
	for answered, says := range map[string]string{
		progress + `{"report":{"checks":[{"name":"V1"}],"findings":[]}}` + "\n": "",
		progress + `{"error":"no space left"}` + "\n":                           "no space left",
		progress:           "ended without a report",
		progress + "html>": "read the answer",
	} {
		steps := 0
		s := &script{answers: []http.HandlerFunc{answer(200, answered)}}
		report, err := newClient(t, s, nil).Verify(t.Context(), nil, func(openapi.VerifyProgress) { steps++ })
		if steps != 1 || (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) ||
			err == nil && report.Checks[0].Name != "V1" {
			t.Errorf("%q: %d steps, %+v, %v", answered, steps, report, err)
		}
	}
}
