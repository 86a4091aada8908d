package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"testing"

	"recount/schemas/problem"
)

// TestStream reads answers with comments between them, until the stream ends in each way.
func TestStream(t *testing.T) {
	t.Parallel()
	const answers = "retry: 1000\n\n" +
		"id: a\nevent: answer\ndata: {\"rows\":[{\"n\":1}],\"accuracy\":{\"publication\":7}}\n\n:\n\n" +
		"id: b\nevent: answer\ndata: {\"rows\":[{\"n\":2}],\"accuracy\":{\"publication\":8}}\n\n"
	stop := errors.New("stop")
	for name, c := range map[string]struct {
		rest string
		stop error // what the function for answers returns for the last one
		is   func(error) bool
	}{
		"problem": {"event: problem\ndata: {\"status\":401,\"code\":\"unauthorized\",\"detail\":\"revoked\"}\n\n", nil,
			func(err error) bool {
				var p *Problem
				return errors.As(err, &p) && p.Code == problem.Unauthorized && p.Status == 401
			}},
		"break":  {"id: c\nevent: ans", nil, func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }},
		"end":    {"", nil, func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }},
		"caller": {"", stop, func(err error) bool { return errors.Is(err, stop) }},
		"damage": {"id: c\nevent: answer\ndata: {\n\n", nil, func(err error) bool { return err != nil }},
	} {
		var sent http.Header
		s := &script{answers: []http.HandlerFunc{func(w http.ResponseWriter, r *http.Request) {
			sent = r.Header
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, answers+c.rest)
		}}}
		got := ""
		err := newClient(t, s, nil).Stream(t.Context(), url.Values{"view": {"v"}}, "z", func(a *StreamedAnswer) error {
			got += a.ID + string(a.Rows)
			if a.Accuracy.Publication == 8 {
				return c.stop
			}
			return nil
		})
		if want := `a[{"n":1}]b[{"n":2}]`; got != want || !c.is(err) || sent.Get("Last-Event-ID") != "z" {
			t.Errorf("%s: got %s, %v; Last-Event-ID %q", name, got, err, sent.Get("Last-Event-ID"))
		}
	}
}

// TestStreamEndsWithItsContext: the error is the cause for which the caller ended the stream.
func TestStreamEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	s := &script{answers: []http.HandlerFunc{func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "id: a\nevent: answer\ndata: {}\n\n")
	}}}
	err := newClient(t, s, nil).Stream(ctx, nil, "", func(*StreamedAnswer) error {
		cancel(cause)
		return nil
	})
	if !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
}
