package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/failsafe-go/failsafe-go"
)

// maxAnswer is the largest answer that is read into memory, in bytes.
const maxAnswer = 1 << 30

// call describes a request and how its answer is read.
type call struct {
	method      string
	path        string // path has escaped parts.
	query       url.Values
	body        []byte    // body is for a request that may be repeated.
	stream      io.Reader // stream is for a request that is sent once.
	contentType string
	encoding    Encoding
	accept      string
	ifMatch     string
	ifNoneMatch string
	lastEventID string

	policies *policies // policies are nil for a call that is tried once.
	untimed  bool      // untimed means that Config.Timeout does not apply.

	// One of these reads the answer: into is the address for the JSON of a 200, open takes over
	// the body of a 200, and decode reads an answer of any status.
	into   any
	open   func(header http.Header, body io.ReadCloser) error
	decode func(status int, header http.Header, raw []byte) error
}

// execute carries a call out. Its error is nil if and only if a try succeeded.
func (c *Client) execute(ctx context.Context, call *call) error {
	o := outcome{}
	try := func() error {
		o.tries++
		err := c.try(ctx, call)
		o.succeeded = err == nil
		switch {
		case ctx.Err() == nil:
			o.failure = err
		case err != nil && errors.Is(ctx.Err(), context.Canceled):
			return &finalError{err} // The caller gave up, which says nothing about the server.
		}
		return err
	}
	var err error
	if call.policies == nil {
		err = try()
	} else {
		err = call.policies.executor.WithContext(ctx).RunWithExecution(func(e failsafe.Execution[any]) error {
			if err := try(); err == nil || ctx.Err() != nil || e.Attempts() == call.policies.attempts {
				return err
			}
			return c.report(o.failure)
		})
	}
	if o.succeeded {
		return nil // The context may have ended since then.
	}
	return fmt.Errorf("%s %s: %w", call.method, call.path, o.explain(ctx, err))
}

// outcome is the state of a call.
type outcome struct {
	tries     int
	succeeded bool
	failure   error // failure is of the last try that the context did not end.
}

// explain returns the error of a call that did not succeed.
func (o *outcome) explain(ctx context.Context, err error) error {
	var final *finalError
	switch {
	case ctx.Err() != nil:
		err = context.Cause(ctx)
		if !errors.Is(err, ctx.Err()) {
			err = fmt.Errorf("%w: %w", ctx.Err(), err)
		}
		if o.failure != nil {
			err = fmt.Errorf("%w (last failure: %w)", err, o.failure)
		}
	case errors.As(err, &final):
		err = final.error
	case errors.Is(err, ErrOpen) && o.failure != nil:
		err = fmt.Errorf("%w (last failure: %w)", err, o.failure)
	}
	if o.tries > 1 {
		return fmt.Errorf("after %d tries: %w", o.tries, err)
	}
	return err
}

// report passes a failure that may be followed by another try to OnRetry.
func (c *Client) report(failure error) error {
	if c.cfg.OnRetry == nil || !retryable(failure) {
		return failure
	}
	if err := c.cfg.OnRetry(failure); err != nil {
		return &finalError{err}
	}
	return failure
}

// errTimeout ends a try that took longer than Config.Timeout.
var errTimeout = errors.New("the server did not answer in time")

// try sends the request once. It no longer reads the request's body after it has returned.
func (c *Client) try(ctx context.Context, call *call) error {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(c.cfg.Timeout, func() { cancel(errTimeout) })
	defer timer.Stop()
	if call.untimed {
		timer.Stop()
	}
	resp, err := c.send(ctx, call)
	if err != nil {
		cancel(nil)
		return err
	}
	if call.open != nil && resp.StatusCode == http.StatusOK {
		return call.open(resp.Header, &openBody{resp.Body, func() { cancel(nil) }})
	}
	defer cancel(nil)
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	switch {
	case err != nil:
		return fmt.Errorf("read the answer: %w", cause(ctx, err))
	case call.decode != nil:
		return call.decode(resp.StatusCode, resp.Header, raw)
	case resp.StatusCode != http.StatusOK:
		return decodeProblem(resp.StatusCode, resp.Header, raw)
	case call.into == nil:
		return nil
	}
	if err := json.Unmarshal(raw, call.into); err != nil {
		return &finalError{fmt.Errorf("read the answer: %w", err)}
	}
	return nil
}

// send sends the request and waits for the header of its answer.
func (c *Client) send(ctx context.Context, call *call) (*http.Response, error) {
	target := c.base + call.path
	if len(call.query) > 0 {
		target += "?" + call.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, call.method, target, call.stream)
	if err != nil {
		return nil, err
	}
	body := &requestBody{raw: call.body}
	defer body.open.Wait()
	if call.body != nil {
		req.Body = body.reader()
		req.GetBody = func() (io.ReadCloser, error) { return body.reader(), nil }
		req.ContentLength = int64(len(call.body))
	}
	c.setHeader(req.Header, call)
	resp, err := c.http.Do(req)
	if err == nil {
		return resp, nil
	}
	var request *url.Error // This error repeats the method and the address.
	if errors.As(err, &request) {
		err = request.Err
	}
	return nil, cause(ctx, err)
}

// setHeader sets the headers that have a value.
func (c *Client) setHeader(h http.Header, call *call) {
	set := func(name, value string) {
		if value != "" {
			h.Set(name, value)
		}
	}
	set("User-Agent", c.cfg.UserAgent)
	set("Accept", call.accept)
	set("If-Match", call.ifMatch)
	set("If-None-Match", call.ifNoneMatch)
	set("Last-Event-ID", call.lastEventID)
	set("Content-Type", call.contentType)
	set("Content-Encoding", string(call.encoding))
	if c.cfg.Key != "" {
		h.Set("Authorization", "Bearer "+c.cfg.Key)
	}
}

// cause returns the reason for which ctx ended, if it has ended, and otherwise the failure.
func cause(ctx context.Context, failure error) error {
	if ctx.Err() == nil {
		return failure
	}
	return context.Cause(ctx)
}

// decodeProblem reads a refusal.
func decodeProblem(status int, header http.Header, raw []byte) *Problem {
	p := &Problem{}
	if err := json.Unmarshal(raw, p); err != nil || p.Code == "" {
		p = &Problem{Title: http.StatusText(status), Detail: excerpt(raw)}
	}
	p.Status = status
	if p.RequestID == "" {
		p.RequestID = header.Get("X-Request-Id")
	}
	p.RetryAfter = retryAfter(header.Get("Retry-After"))
	return p
}

// retryAfter reads the header: seconds, or a time.
func retryAfter(value string) time.Duration {
	if seconds, err := strconv.Atoi(value); err == nil {
		return time.Duration(max(seconds, 0)) * time.Second
	}
	if moment, err := http.ParseTime(value); err == nil {
		return max(time.Until(moment), 0)
	}
	return 0
}

// excerpt returns the beginning of an answer, for an error.
func excerpt(raw []byte) string {
	return strings.ToValidUTF8(strings.TrimSpace(string(raw[:min(len(raw), 500)])), "�")
}

// requestBody is a request's body. net/http may read a body after it has returned the answer, and
// may read it again on another connection, so open counts the readers that are not closed yet.
type requestBody struct {
	raw  []byte
	open sync.WaitGroup
}

func (b *requestBody) reader() io.ReadCloser {
	b.open.Add(1)
	return &bodyReader{Reader: bytes.NewReader(b.raw), close: sync.OnceFunc(b.open.Done)}
}

type bodyReader struct {
	*bytes.Reader
	close func()
}

// Close reports that nothing more is read.
func (r *bodyReader) Close() error {
	r.close()
	return nil
}

// openBody is the body of an answer that the caller reads. Closing it ends the request.
type openBody struct {
	io.ReadCloser
	cancel func()
}

// Close closes the body.
func (b *openBody) Close() error {
	err := b.ReadCloser.Close()
	b.cancel()
	return err
}
