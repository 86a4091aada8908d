package client

import (
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/retrypolicy"

	"recount/schemas/problem"
)

// Retry says how often a call is tried, and how long it waits between two tries: twice as long
// after each try, up to MaxBackoff, less a random part. If the server sends Retry-After, the call
// waits at least that long. The context of a call ends its wait.
type Retry struct {
	// Attempts is how often a call is tried at most. With 1 nothing is repeated. With 0 events are
	// sent until the context ends, and other calls are tried DefaultAttempts times.
	Attempts int
	// Backoff is the longest wait before the second try. The default is DefaultBackoff.
	Backoff time.Duration
	// MaxBackoff is the longest wait if the server sends no Retry-After. The default is
	// DefaultMaxBackoff.
	MaxBackoff time.Duration
}

// Breaker says when a failing server is left alone. It counts failures in a row, separately for
// events and for other calls. A failure is a missing answer or a retried status of 500 and more; a
// try that its caller cancels is none.
// An open breaker holds all tries back for Delay, while the calls wait. Then one try goes out: if it
// succeeds, the breaker closes, otherwise it stays open for another Delay.
//
// A breaker only delays tries. It never decides the outcome of an event.
type Breaker struct {
	// Failures opens the breaker. The default is DefaultFailures; a negative number turns it off.
	Failures int
	// Delay is how long the breaker stays open. The default is DefaultDelay.
	Delay time.Duration
}

// Defaults of Retry and Breaker.
const (
	DefaultAttempts   = 5
	DefaultBackoff    = 20 * time.Millisecond
	DefaultMaxBackoff = 2 * time.Second
	DefaultFailures   = 10
	DefaultDelay      = 2 * time.Second
)

// ErrOpen is wrapped by the error of a call whose last try the breaker held back.
var ErrOpen = circuitbreaker.ErrOpen

func (r Retry) withDefaults() Retry {
	if r.Backoff <= 0 {
		r.Backoff = DefaultBackoff
	}
	if r.MaxBackoff <= 0 {
		r.MaxBackoff = DefaultMaxBackoff
	}
	return r
}

func (b Breaker) withDefaults() Breaker {
	if b.Failures == 0 {
		b.Failures = DefaultFailures
	}
	if b.Delay <= 0 {
		b.Delay = DefaultDelay
	}
	return b
}

// unlimited is the number of attempts that only the context bounds.
const unlimited = -1

func (r Retry) eventAttempts() int {
	if r.Attempts <= 0 {
		return unlimited
	}
	return r.Attempts
}

func (r Retry) readAttempts() int {
	if r.Attempts <= 0 {
		return DefaultAttempts
	}
	return r.Attempts
}

// retryable reports whether a failed try may be followed by another, as the package comment lists.
func retryable(err error) bool {
	var final *finalError
	var certificate *tls.CertificateVerificationError
	var p *Problem
	switch {
	case err == nil || errors.As(err, &final) || errors.As(err, &certificate):
		return false
	case !errors.As(err, &p):
		return true
	case p.Code == problem.QueryTimeout || p.Code == problem.NotReached || p.Code == problem.TooStale:
		return false // The server has waited for as long as the query allowed.
	}
	switch p.Status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests:
		return true
	case http.StatusConflict:
		return p.RetryAfter > 0 // Without it, what the call asks for never comes.
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return false
	}
	return p.Status >= http.StatusInternalServerError
}

// outage reports whether a try failed because the server is down or broken. A server that refuses
// requests with 429 works.
func outage(err error) bool {
	var p *Problem
	return retryable(err) && (!errors.As(err, &p) || p.Status >= http.StatusInternalServerError)
}

// finalError is a failure after which a call ends: another try would not change it, or OnRetry
// returned it.
type finalError struct{ error }

// Unwrap returns the failure.
func (e *finalError) Unwrap() error { return e.error }

// policies decide when a call is tried again, and when a try is held back.
type policies struct {
	attempts int
	retry    Retry
	breaker  circuitbreaker.CircuitBreaker[any] // breaker may be nil.
	executor failsafe.Executor[any]
}

func newPolicies(cfg Config, attempts int) policies {
	p := policies{attempts: attempts, retry: cfg.Retry}
	if cfg.Breaker.Failures > 0 {
		p.breaker = circuitbreaker.NewBuilder[any]().
			HandleIf(func(_ any, err error) bool { return outage(err) }).
			WithFailureThreshold(uint(cfg.Breaker.Failures)).WithSuccessThreshold(1).
			WithDelay(cfg.Breaker.Delay).Build()
	}
	again := retrypolicy.NewBuilder[any]().
		HandleIf(func(_ any, err error) bool { return retryable(err) }).
		WithMaxAttempts(attempts).ReturnLastFailure().
		WithDelayFunc(func(e failsafe.ExecutionAttempt[any]) time.Duration {
			return p.wait(e.Retries(), e.LastError())
		}).Build()
	p.executor = failsafe.With[any](again)
	if p.breaker != nil {
		p.executor = failsafe.With[any](again, p.breaker)
	}
	return p
}

// wait returns how long a call waits after a failure. retries is how many retries it has made.
func (p *policies) wait(retries int, failure error) time.Duration {
	backoff := min(p.retry.Backoff<<min(retries, 16), p.retry.MaxBackoff)
	wait := backoff/2 + rand.N(backoff/2+1)
	var refused *Problem
	switch {
	case errors.Is(failure, ErrOpen) && p.breaker != nil:
		return p.breaker.RemainingDelay() + wait
	case errors.As(failure, &refused) && refused.RetryAfter > 0:
		// The random part keeps clients that were refused together from coming back together.
		return refused.RetryAfter + wait
	}
	return wait
}
