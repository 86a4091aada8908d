package load

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"recount/deploy/client"
)

// verdict is the outcome of one attempt to send a request.
type verdict int

const (
	acked       verdict = iota // every event is durable or refused for good
	partly                     // some events are durable, others may be sent again
	refused                    // every event is refused for good
	shed                       // 429 or 503: nothing was kept
	lost                       // sent without an answer: the outcome is unknown
	unreachable                // not sent: there was no connection
	unexpected                 // an answer that a correct load does not get
)

// attempt is one request that was sent once, and its outcome.
type attempt struct {
	verdict verdict
	status  int // status is the status code of a refusal.
	result  client.Result
	wait    time.Duration // wait is what Retry-After asks for.
	err     error         // err is set for lost, unreachable and unexpected.
}

// retryable reports whether sending the request again may change its outcome.
func (a *attempt) retryable() bool {
	return a.verdict == partly || a.verdict == shed || a.verdict == lost || a.verdict == unreachable
}

// post sends a body of events once. It no longer reads the body after it has returned.
func (l *Load) post(ctx context.Context, body []byte) *attempt {
	a := &attempt{}
	var err error
	a.result, err = l.client.SendLines(ctx, body)
	a.judge(err)
	return a
}

// judge finds the verdict. An answer that is neither an acknowledgement nor a refusal for load or
// for good is unexpected, such as one for a limit or a missing key.
func (a *attempt) judge(err error) {
	var problem *client.Problem
	var network *net.OpError
	decided := a.result.Accepted > 0 || len(a.result.Rejected) > 0
	switch {
	case err == nil && a.result.Accepted == 0 && decided:
		a.verdict = refused
	case err == nil:
		a.verdict = acked
	case errors.As(err, &problem):
		a.status = problem.Status
		a.wait = problem.RetryAfter
		a.judgeProblem(problem, decided, err)
	case errors.As(err, &network) && network.Op == "dial":
		a.verdict = unreachable
		a.err = err
	default:
		a.verdict = lost
		a.err = err
	}
}

// judgeProblem finds the verdict of a refusal. decided means that it names outcomes of events.
func (a *attempt) judgeProblem(problem *client.Problem, decided bool, err error) {
	switch {
	case problem.Status == http.StatusServiceUnavailable && decided:
		a.verdict = partly
	case problem.Status == http.StatusTooManyRequests || problem.Status == http.StatusServiceUnavailable:
		a.verdict = shed
	case problem.Status >= http.StatusInternalServerError:
		a.verdict = lost
		a.err = err
	default:
		a.verdict = unexpected
		a.err = err
	}
}
