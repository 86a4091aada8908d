package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"recount/deploy/client"
)

// verdict is what one attempt to send a request came to.
type verdict int

const (
	acked       verdict = iota // every event is durable or refused for good
	partly                     // some are durable, others may be sent again
	refused                    // every event is refused for good
	shed                       // 429 or 503: nothing was kept
	lost                       // sent and no answer: nobody knows
	unreachable                // not sent: there was no connection
	unexpected                 // an answer that a correct load does not get
)

// attempt is one request sent once and what was answered.
type attempt struct {
	verdict verdict
	status  int
	answer  struct {
		Accepted *int              `json:"accepted"`
		Rejected []client.Rejected `json:"rejected"`
		Receipt  string            `json:"receipt"`
		Code     string            `json:"code"`
	}
	wait time.Duration // as Retry-After says
	err  error         // of lost, unreachable and unexpected
}

// retryable says that sending the request again may change its outcome.
func (a *attempt) retryable() bool {
	return a.verdict == partly || a.verdict == shed || a.verdict == lost || a.verdict == unreachable
}

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 64 << 20

// requestBody tells when the transport is done with it. A server that refuses before it
// has read everything is answered while the body is still being sent.
type requestBody struct {
	bytes.Reader
	once   sync.Once
	closed chan struct{}
}

func (b *requestBody) Close() error {
	b.once.Do(func() { close(b.closed) })
	return nil
}

// post sends a body of events once. It no longer reads the body after it returned.
func (l *Load) post(ctx context.Context, body []byte) *attempt {
	rd := &requestBody{closed: make(chan struct{})}
	rd.Reset(body)
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.url+"/v1/events", rd)
	if err != nil {
		cancel()
		return (&attempt{}).end(unexpected, err)
	}
	req.ContentLength = int64(len(body))
	req.Header.Set("Content-Type", "application/x-ndjson")
	l.cfg.authorize(req)
	a := l.exchange(req)
	cancel()
	<-rd.closed
	return a
}

// exchange sends a request and judges its answer.
func (l *Load) exchange(req *http.Request) *attempt {
	a := &attempt{}
	resp, err := l.client.Do(req)
	if err != nil {
		if op := (*net.OpError)(nil); errors.As(err, &op) && op.Op == "dial" {
			return a.end(unreachable, err)
		}
		return a.end(lost, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return a.end(lost, err)
	}
	a.judge(resp.StatusCode, resp.Header, raw)
	return a
}

func (a *attempt) end(v verdict, err error) *attempt {
	a.verdict = v
	a.err = err
	return a
}

// judge reads an answer. What is neither an acknowledgement nor a refusal for load or
// for good is unexpected: a limit, a missing key, a fault of the server.
func (a *attempt) judge(status int, h http.Header, raw []byte) {
	a.status = status
	if seconds, err := strconv.Atoi(h.Get("Retry-After")); err == nil && seconds >= 0 {
		a.wait = time.Duration(seconds) * time.Second
	}
	err := json.Unmarshal(raw, &a.answer)
	known := err == nil && a.answer.Accepted != nil
	switch {
	case status == http.StatusOK && known:
		a.verdict = acked
	case status == http.StatusBadRequest && known:
		a.verdict = refused
	case status == http.StatusServiceUnavailable && known:
		a.verdict = partly
	case status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable:
		a.verdict = shed
	case status == http.StatusOK || status >= 500:
		a.end(lost, fmt.Errorf("status %d: %s", status, excerpt(raw)))
	default:
		a.end(unexpected, fmt.Errorf("status %d: %s", status, excerpt(raw)))
	}
}
