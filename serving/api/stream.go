package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"net/http"
	"time"

	"recount/schemas/access"
	"recount/schemas/problem"
	"recount/schemas/query"
	"recount/serving/encode"
	"recount/serving/merge"
	"recount/serving/stream"
)

// streamFormats has the only format of a stream.
var streamFormats = []format{{media: "text/event-stream", name: "sse"}}

// streamParameters are those of GET /v1/query and interval, without those that are about one answer only: an
// explanation, a page, a wait and another format.
var streamParameters = func() map[string]bool {
	p := maps.Clone(queryParameters)
	for _, name := range []string{"format", "explain", "cursor", "min_through", "max_staleness", "wait"} {
		delete(p, name)
	}
	p["interval"] = false
	return p
}()

// maxStreamed is the largest answer of a stream in bytes. A reader that is slow holds one old answer, so all readers
// hold at most so many bytes each.
const maxStreamed = 1 << 20

const (
	// checkEvery is how often the key of a stream is checked. A key is known to be revoked after keys.ReloadEvery.
	checkEvery = 5 * time.Second
	// beatEvery is after how long without an answer a comment is sent. Proxies close connections that are silent for a
	// minute, and a client sees that the server is there.
	beatEvery = 15 * time.Second
	// sendTimeout is how long a client may take to receive one answer.
	sendTimeout = 10 * time.Second
	// lastTimeout is how long it may take when the process ends.
	lastTimeout = time.Second
)

// EndStreams ends all streams. Later ones are refused.
func (a *API) EndStreams() { a.hub.Close() }

// getStream sends the answer to a query and, whenever it is another one, sends it again.
func (a *API) getStream(w http.ResponseWriter, r *http.Request) error {
	principal, ok := access.FromContext(r.Context())
	if !ok {
		return errNoPrincipal
	}
	if _, err := negotiate(r, streamFormats); err != nil {
		return err
	}
	q, err := a.streamedQuery(r.URL.RawQuery, principal.Tenant)
	if err != nil {
		return err
	}
	reader, err := a.hub.Join(q)
	if err != nil {
		return err
	}
	defer reader.Leave()
	s := &streamed{api: a, w: w, r: r, control: http.NewResponseController(w), reader: reader,
		known: r.Header.Get("Last-Event-ID")}
	return s.run()
}

// streamedQuery reads the query of a stream. Its text has the parameters in one order, so that requests for the same
// answer share it.
func (a *API) streamedQuery(raw, tenant string) (stream.Query, error) {
	values, err := knownParameters(raw, streamParameters)
	if err != nil {
		return stream.Query{}, err
	}
	interval, err := readInterval(values.Get("interval"), values.Has("interval"))
	if err != nil {
		return stream.Query{}, err
	}
	delete(values, "interval")
	text := values.Encode()
	if _, err := parseParameters(text, a.parts.Now()); err != nil {
		return stream.Query{}, err
	}
	return stream.Query{Tenant: tenant, Text: text, Interval: interval,
		Ask: func(ctx context.Context, last *stream.Answer) (*stream.Answer, error) {
			return a.askStreamed(ctx, text, tenant, last)
		}}, nil
}

func readInterval(text string, given bool) (time.Duration, error) {
	if !given {
		return stream.DefaultInterval, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < stream.LeastInterval || d > stream.MostInterval {
		return 0, invalid("interval", "%.50q; use a length of time from 100ms to 1h, such as 500ms, or leave it out "+
			"for %s", text, stream.DefaultInterval)
	}
	return d, nil
}

// askStreamed answers the query of a stream, unless nothing has changed since the last answer. Times such as today are
// those of now. It has a place at the gate and counts against the tenant's rate only if it answers.
func (a *API) askStreamed(ctx context.Context, text, tenant string, last *stream.Answer) (*stream.Answer, error) {
	ctx, cancel := context.WithTimeout(access.NewContext(ctx, access.Principal{Tenant: tenant}), a.cfg.Timeout)
	defer cancel()
	q, err := parseParameters(text, a.parts.Now())
	if err != nil {
		return nil, err
	}
	standing, err := a.parts.Answerer.Standing(ctx, q, tenant)
	switch {
	case err != nil:
		return nil, err
	case last != nil && standing != "" && standing == last.Standing:
		return last, nil
	}
	began := time.Now()
	answer, err := a.answerStreamed(ctx, q, tenant)
	status := http.StatusOK
	switch {
	case errors.Is(ctx.Err(), context.Canceled): // Nobody reads any more.
		status = statusClientGone
	case err != nil:
		status = problemOf(err).Status
	}
	a.metrics.observe(q.Mode, status, began)
	switch {
	case status == http.StatusTooManyRequests:
		return nil, fmt.Errorf("%w: %w", stream.ErrBusy, err)
	case err != nil && last != nil && status >= http.StatusInternalServerError: // Requests log the first failure.
		a.parts.Logger.Error("the query of a stream failed", "view", q.View, "error", err)
	}
	if err != nil {
		return nil, err
	}
	answer.Standing = standing
	return answer, nil
}

func (a *API) answerStreamed(ctx context.Context, q *query.Query, tenant string) (*stream.Answer, error) {
	leave, err := a.enter(ctx, 1, time.Time{})
	if err != nil {
		return nil, err
	}
	defer leave()
	answer, err := a.parts.Answerer.Answer(ctx, q, tenant)
	if err != nil {
		return nil, err
	}
	defer answer.Close()
	a.metrics.rows.Observe(float64(answer.Rows()))
	return encodeStreamed(answer)
}

// encodeStreamed writes an answer as an event. Its id is the digest of the answer without lag_ms, which is another one
// at every moment.
func encodeStreamed(answer *merge.Answer) (*stream.Answer, error) {
	lag := answer.Accuracy.LagMS
	answer.Accuracy.LagMS = nil
	digest := &limited{to: sha256.New(), left: maxStreamed}
	err := encode.JSON(digest, answer)
	answer.Accuracy.LagMS = lag
	if err != nil {
		return nil, err
	}
	id := base64.RawURLEncoding.EncodeToString(digest.to.(hash.Hash).Sum(nil)[:18])
	frame := bytes.NewBufferString("id: " + id + "\nevent: answer\ndata: ")
	if err := encode.JSON(frame, answer); err != nil { // It is one line.
		return nil, err
	}
	frame.WriteByte('\n')
	return &stream.Answer{ID: id, Frame: frame.Bytes()}, nil
}

// limited refuses to write an answer that is too large for a stream.
type limited struct {
	to   io.Writer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	if l.left -= len(p); l.left < 0 {
		return 0, problem.New(http.StatusUnprocessableEntity, problem.QueryTooLarge, fmt.Sprintf("an answer of a "+
			"stream may have at most %d bytes; ask for less: a shorter range, fewer dimensions, a lower limit",
			maxStreamed))
	}
	return l.to.Write(p)
}

// streamed is the answer to one request for a stream.
type streamed struct {
	api     *API
	w       http.ResponseWriter
	r       *http.Request
	control *http.ResponseController
	reader  *stream.Reader
	known   string // the id of the answer that the client has
	begun   bool
	wrote   time.Time
}

// run sends answers until the client leaves, or until there is an error. An error before the first byte is one of the
// request, and a later one is the last event.
func (s *streamed) run() error {
	check := time.NewTicker(checkEvery)
	defer check.Stop()
	defer s.api.hub.OnClose(s.hurry)()
	for {
		answer, changed, err := s.reader.Newest()
		if err == nil {
			err = s.checkKey()
		}
		switch {
		case err != nil && !s.begun:
			return err
		case err != nil:
			return s.sendProblem(err)
		case answer != nil:
			if err := s.sendAnswer(answer); err != nil || s.r.Method == http.MethodHead {
				return s.left(err)
			}
		}
		select {
		case <-s.r.Context().Done():
			return s.left(context.Cause(s.r.Context()))
		case <-changed:
		case <-check.C:
			if err := s.beat(); err != nil {
				return s.left(err)
			}
		}
	}
}

// left ends a stream whose client has left, which a wait or a failed write has found out. That is its usual end, unless
// it has not begun.
func (s *streamed) left(err error) error {
	if s.begun {
		return nil
	}
	return clientGone(err)
}

// checkKey returns an error if the key of the request is not valid any more.
func (s *streamed) checkKey() error {
	if s.api.parts.Authenticate == nil {
		return nil
	}
	first, _ := access.FromContext(s.r.Context())
	now, err := s.api.parts.Authenticate(s.r)
	switch {
	case err != nil:
		return problem.New(http.StatusUnauthorized, problem.Unauthorized, err.Error())
	case now.Tenant != first.Tenant || !now.Scopes.Has(access.Query):
		return problem.New(http.StatusForbidden, problem.Forbidden, "the key may no longer ask for these counts")
	}
	return nil
}

// sendAnswer sends an answer, unless the client has it.
func (s *streamed) sendAnswer(a *stream.Answer) error {
	if err := s.begin(); err != nil || a.ID == s.known || s.r.Method == http.MethodHead {
		return err
	}
	if err := s.send(a.Frame); err != nil {
		return err
	}
	s.known = a.ID
	s.reader.Sent(a)
	return nil
}

// begin sends the header. X-Accel-Buffering keeps NGINX from collecting events, and no-transform keeps proxies from
// compressing them, for which some collect them too. Recount itself does not compress them: 1,000 readers would need
// 1,000 encoders, and the compressed bytes of one answer are no part of another one's stream.
func (s *streamed) begin() error {
	if s.begun {
		return nil
	}
	s.begun = true
	h := s.w.Header()
	h.Set("Content-Type", streamFormats[0].media)
	h.Set("Cache-Control", "no-store, no-transform")
	h.Set("X-Accel-Buffering", "no")
	h.Add("Vary", "Accept")
	if s.r.Method == http.MethodHead {
		return nil
	}
	return s.send([]byte("retry: 1000\n\n"))
}

// beat sends a comment if nothing else was sent for long.
func (s *streamed) beat() error {
	if !s.begun || time.Since(s.wrote) < beatEvery {
		return nil
	}
	return s.send([]byte(":\n\n"))
}

// sendProblem sends the last event. The client waits for as long as the problem says before it asks again.
func (s *streamed) sendProblem(err error) error {
	p := problemOf(err)
	var frame bytes.Buffer
	if p.RetryAfter > 0 {
		fmt.Fprintf(&frame, "retry: %d\n", p.RetryAfter.Milliseconds())
	}
	fmt.Fprintf(&frame, "event: problem\ndata: %s\n\n", bytes.TrimSpace(p.JSON(problem.RequestID(s.w))))
	return s.left(s.send(frame.Bytes()))
}

// hurry gives a client that receives slowly little time, because the process ends.
func (s *streamed) hurry() { _ = s.control.SetWriteDeadline(time.Now().Add(lastTimeout)) }

// send sends bytes at once. The deadline is for these bytes alone, because the stream as a whole has no end.
func (s *streamed) send(frame []byte) error {
	_ = s.control.SetWriteDeadline(time.Now().Add(sendTimeout)) // Only a test's connection has no deadline.
	if s.api.hub.Closed() {
		s.hurry() // The hub has perhaps called it before the line above.
	}
	if _, err := s.w.Write(frame); err != nil {
		return err
	}
	s.wrote = time.Now()
	return s.control.Flush()
}
