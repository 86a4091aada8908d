package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"recount/schemas/deadletter"
	"recount/schemas/query"
	"recount/serving/batchview"
	"recount/serving/merge"
	"recount/serving/reader"
)

// Problem is the body of every error (RFC 9457). Code is stable; Detail is for people.
type Problem struct {
	Type    string   `json:"type"`
	Title   string   `json:"title"`
	Status  int      `json:"status"`
	Code    string   `json:"code"`
	Detail  string   `json:"detail"`
	Field   string   `json:"field,omitempty"`   // of the request that is at fault
	Reasons []string `json:"reasons,omitempty"` // of not_ready
	retry   int      // seconds of Retry-After; 0 sends none
}

func (p *Problem) Error() string { return p.Code + ": " + p.Detail }

// writeProblem fills in what follows from the code and answers with the problem.
func writeProblem(w http.ResponseWriter, p *Problem) {
	p.Type = "about:blank"
	p.Title = http.StatusText(p.Status)
	h := w.Header()
	for _, name := range []string{"Content-Length", "Recount-Accuracy"} {
		h.Del(name)
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	if p.retry > 0 {
		h.Set("Retry-After", strconv.Itoa(p.retry))
	}
	w.WriteHeader(p.Status)
	// A Problem always encodes, and whether the client is still there changes nothing.
	_ = json.NewEncoder(w).Encode(p)
}

// errNobody refuses a request whose context carries no principal.
var errNobody = &Problem{Status: http.StatusUnauthorized, Code: "unauthorized", Detail: "the request has no owner"}

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
		a.parts.Logger.Error("request failed", "path", r.URL.Path, "code", p.Code, "error", err)
	}
	writeProblem(w, p)
}

// unavailable are the errors of layers: what a client is told, without the reason.
var unavailable = []struct {
	err    error
	status int
	code   string
	retry  int
}{
	{query.ErrNoPublication, http.StatusNotFound, "unknown_publication", 0},
	{query.ErrCollected, http.StatusGone, "publication_collected", 0},
	{reader.ErrNotPublished, http.StatusConflict, "view_not_published", 5},
	{reader.ErrRestarts, http.StatusServiceUnavailable, "pin_expired", 1},
	{reader.ErrLost, http.StatusServiceUnavailable, "rows_missing", 5},
	{reader.ErrLive, http.StatusServiceUnavailable, "live_unavailable", 1},
	{errBusy, http.StatusTooManyRequests, "too_many_queries", 1},
	{deadletter.ErrExpired, http.StatusGone, "expired_dead_letter", 0},
	{deadletter.ErrUnknown, http.StatusNotFound, "unknown_dead_letter", 0},
	{deadletter.ErrUnavailable, http.StatusServiceUnavailable, "replay_unavailable", 0},
	{deadletter.ErrOverloaded, http.StatusTooManyRequests, "overloaded", 1},
	{context.DeadlineExceeded, http.StatusGatewayTimeout, "query_timeout", 0},
	{reader.ErrBatch, http.StatusServiceUnavailable, "batch_unavailable", 5},
	{reader.ErrPublications, http.StatusServiceUnavailable, "publications_unavailable", 5},
}

// problemOf decides what an error is to a client.
func problemOf(err error) *Problem {
	var p *Problem
	var fault *query.Error
	var limit *batchview.LimitError
	var overflow *merge.OverflowError
	var fill *merge.FillError
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &fault) && fault.Field == "view":
		return &Problem{Status: http.StatusNotFound, Code: "unknown_view", Detail: fault.Msg, Field: fault.Field}
	case errors.As(err, &fault):
		return &Problem{Status: http.StatusBadRequest, Code: "invalid_query", Detail: fault.Msg, Field: fault.Field}
	case errors.As(err, &limit):
		return &Problem{Status: http.StatusUnprocessableEntity, Code: "query_too_large", Detail: limit.Reason}
	case errors.As(err, &fill):
		return &Problem{Status: http.StatusUnprocessableEntity, Code: "query_too_large", Detail: fill.Error(),
			Field: "fill"}
	case errors.As(err, &overflow):
		return &Problem{Status: http.StatusUnprocessableEntity, Code: "value_overflow", Detail: overflow.Error(),
			Field: "measures"}
	}
	for _, u := range unavailable {
		if errors.Is(err, u.err) {
			detail := u.err.Error()
			if errors.Is(u.err, context.DeadlineExceeded) {
				detail = "the request took longer than query.timeout; ask for less: a shorter range, fewer " +
					"dimensions, a coarser granularity, a lower limit"
			}
			return &Problem{Status: u.status, Code: u.code, Detail: detail, retry: u.retry}
		}
	}
	return &Problem{Status: http.StatusInternalServerError, Code: "internal",
		Detail: "the request failed for a reason that is in the server's log"}
}
