package lake

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"
)

var errStalled = errors.New("the object store did not answer in time")

// wire measures and bounds each try on its way through the transport, below the SDK's
// retries. The SDK has deadlines only for all tries together, so one that hangs would
// use up the others' time.
type wire struct {
	next    http.RoundTripper
	m       *metrics
	timeout time.Duration
}

// RoundTrip implements http.RoundTripper.
func (t *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	op, _ := r.Context().Value(opKey{}).(string)
	ctx, cancel := context.WithCancelCause(r.Context())
	begin := time.Now()
	timer := time.AfterFunc(t.timeout+perMiB(r.ContentLength), func() { cancel(errStalled) })
	res, err := t.next.RoundTrip(r.WithContext(ctx))
	timer.Stop()
	t.m.seconds.WithLabelValues(op).Observe(time.Since(begin).Seconds())
	if err != nil {
		if errors.Is(context.Cause(ctx), errStalled) {
			err = errStalled
			t.dropIdle()
		}
		cancel(nil)
		t.m.requests.WithLabelValues(op, "none").Inc()
		return nil, err
	}
	t.m.requests.WithLabelValues(op, strconv.Itoa(res.StatusCode)).Inc()
	t.m.bytes.WithLabelValues("out").Add(float64(max(0, r.ContentLength)))
	res.Body = &body{ReadCloser: res.Body, wire: t, cancel: cancel}
	return res, nil
}

// dropIdle lets go of the connections kept for later: what made one hang, such as a peer
// that is gone without a word, has mostly met all of them, and each would cost a try.
func (t *wire) dropIdle() {
	if c, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// perMiB is the time a body of size bytes gets on top.
func perMiB(size int64) time.Duration { return time.Duration(max(0, size)>>20) * time.Second }

// body is the body of an answer. A read that gets nothing for the timeout fails.
type body struct {
	io.ReadCloser
	wire   *wire
	cancel context.CancelCauseFunc
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	timer := time.AfterFunc(b.wire.timeout, func() { b.cancel(errStalled) })
	defer timer.Stop()
	n, err := b.ReadCloser.Read(p)
	b.wire.m.bytes.WithLabelValues("in").Add(float64(n))
	return n, err
}

// Close implements io.Closer.
func (b *body) Close() error {
	defer b.cancel(nil)
	return b.ReadCloser.Close()
}
