package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"recount/schemas/deadletter"
	"recount/schemas/problem"
	"recount/schemas/query"
	"recount/serving/batchview"
	"recount/serving/merge"
	"recount/serving/reader"
)

// errNobody refuses a request whose context carries no principal.
var errNobody = problem.New(http.StatusUnauthorized, problem.Unauthorized, "the request has no owner")

// errClientGone marks a failed write: there is nobody left to tell.
var errClientGone = errors.New("the client is gone")

func clientGone(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", errClientGone, err)
}

// fail answers with the problem an error is, and logs those that are the server's fault. A client that is
// gone, or too slow with its body, is told only what is wrong with its request. Else its connection is cut:
// should it have closed only its half of it, it must not read the nothing that was written as an empty
// answer.
func (a *API) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := problemOf(err)
	if errors.Is(err, errClientGone) || r.Context().Err() != nil && p.Status >= http.StatusInternalServerError {
		a.parts.Logger.Debug("client gone", "path", r.URL.Path, "error", err)
		panic(http.ErrAbortHandler)
	}
	if p.Status >= http.StatusInternalServerError {
		a.parts.Logger.Error("request failed", "path", r.URL.Path, "request_id", problem.RequestID(w), "code", p.Code,
			"error", err)
	}
	w.Header().Del("Recount-Accuracy")
	problem.Write(w, p)
}

// unavailable are the errors of layers: what a client is told, without the reason.
var unavailable = []struct {
	err    error
	status int
	code   problem.Code
	wait   time.Duration // of Retry-After; 0 sends none
}{
	{query.ErrNoPublication, http.StatusNotFound, problem.UnknownPublication, 0},
	{query.ErrCollected, http.StatusGone, problem.PublicationCollected, 0},
	{reader.ErrNotPublished, http.StatusConflict, problem.ViewNotPublished, 5 * time.Second},
	{reader.ErrRestarts, http.StatusServiceUnavailable, problem.PinExpired, time.Second},
	{reader.ErrLost, http.StatusServiceUnavailable, problem.RowsMissing, 5 * time.Second},
	{reader.ErrLive, http.StatusServiceUnavailable, problem.LiveUnavailable, time.Second},
	{errBusy, http.StatusTooManyRequests, problem.TooManyQueries, time.Second},
	{deadletter.ErrExpired, http.StatusGone, problem.ExpiredDeadLetter, 0},
	{deadletter.ErrUnknown, http.StatusNotFound, problem.UnknownDeadLetter, 0},
	{deadletter.ErrUnavailable, http.StatusServiceUnavailable, problem.ReplayUnavailable, 0},
	{deadletter.ErrOverloaded, http.StatusTooManyRequests, problem.Overloaded, time.Second},
	{context.DeadlineExceeded, http.StatusGatewayTimeout, problem.QueryTimeout, 0},
	{reader.ErrBatch, http.StatusServiceUnavailable, problem.BatchUnavailable, 5 * time.Second},
	{reader.ErrPublications, http.StatusServiceUnavailable, problem.PublicationsUnavailable, 5 * time.Second},
}

// problemOf decides what an error is to a client.
func problemOf(err error) *problem.Problem {
	var p *problem.Problem
	var fault *query.Error
	var limit *batchview.LimitError
	var overflow *merge.OverflowError
	var fill *merge.FillError
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &fault) && fault.Field == "view":
		return &problem.Problem{Status: http.StatusNotFound, Code: problem.UnknownView, Detail: fault.Msg,
			Field: fault.Field}
	case errors.As(err, &fault):
		return &problem.Problem{Status: http.StatusBadRequest, Code: problem.InvalidQuery, Detail: fault.Msg,
			Field: fault.Field}
	case errors.As(err, &limit):
		return problem.New(http.StatusUnprocessableEntity, problem.QueryTooLarge, limit.Reason)
	case errors.As(err, &fill):
		return &problem.Problem{Status: http.StatusUnprocessableEntity, Code: problem.QueryTooLarge,
			Detail: fill.Error(), Field: "fill"}
	case errors.As(err, &overflow):
		return &problem.Problem{Status: http.StatusUnprocessableEntity, Code: problem.ValueOverflow,
			Detail: overflow.Error(), Field: "measures"}
	}
	for _, u := range unavailable {
		if errors.Is(err, u.err) {
			detail := u.err.Error()
			if errors.Is(u.err, context.DeadlineExceeded) {
				detail = "the request took longer than query.timeout; ask for less: a shorter range, fewer " +
					"dimensions, a coarser granularity, a lower limit"
			}
			return &problem.Problem{Status: u.status, Code: u.code, Detail: detail, RetryAfter: u.wait}
		}
	}
	return problem.New(http.StatusInternalServerError, problem.Internal,
		"the request failed for a reason that is in the server's log")
}
