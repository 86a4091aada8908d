package lake

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"
)

// errStalled is the error of a try, or of reading a body, that got nothing for the timeout.
var errStalled = errors.New("the object store did not answer in time")

// wire is a transport below the retries of the SDK. It times and bounds each try. The SDK has a deadline
// only for all tries together, so a try that hangs would use up the time of the others.
type wire struct {
	next    http.RoundTripper
	metrics *metrics
	timeout time.Duration
}

// RoundTrip implements http.RoundTripper.
func (t *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	operation, _ := r.Context().Value(operationKey{}).(string)
	ctx, cancel := context.WithCancelCause(r.Context())
	begin := time.Now()
	timer := time.AfterFunc(t.timeout+bodyTime(r.ContentLength), func() { cancel(errStalled) })
	res, err := t.next.RoundTrip(r.WithContext(ctx))
	timer.Stop()
	t.metrics.seconds.WithLabelValues(operation).Observe(time.Since(begin).Seconds())
	if err != nil {
		if errors.Is(context.Cause(ctx), errStalled) {
			err = errStalled
			t.dropIdle()
		}
		cancel(nil)
		t.metrics.requests.WithLabelValues(operation, "none").Inc()
		return nil, err
	}
	t.metrics.requests.WithLabelValues(operation, strconv.Itoa(res.StatusCode)).Inc()
	t.metrics.bytes.WithLabelValues("out").Add(float64(max(0, r.ContentLength)))
	res.Body = &body{ReadCloser: res.Body, wire: t, cancel: cancel}
	return res, nil
}

// dropIdle closes idle connections. If one connection hangs, because its peer is gone for example, the
// others mostly hang too, and each would cost a try.
func (t *wire) dropIdle() {
	if c, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// bodyTime returns the time that a body of size bytes adds to a timeout: a second for each MiB.
func bodyTime(size int64) time.Duration { return time.Duration(max(0, size)>>20) * time.Second }

// body is the body of an answer. A read that gets nothing for the timeout is an error.
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
	b.wire.metrics.bytes.WithLabelValues("in").Add(float64(n))
	return n, err
}

// Close implements io.Closer.
func (b *body) Close() error {
	defer b.cancel(nil)
	return b.ReadCloser.Close()
}
