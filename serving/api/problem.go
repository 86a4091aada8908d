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
	"recount/serving/sql"
	"recount/serving/stream"
)

// errNoPrincipal refuses a request whose context has no principal.
var errNoPrincipal = problem.New(http.StatusUnauthorized, problem.Unauthorized, "the request carries no identity")

// ErrCatalog is wrapped by errors of Declarations that are not about what is declared.
var ErrCatalog = errors.New("the catalog cannot be read or changed now, and a change may have been made or not; send " +
	"the same request again")

// errClientGone marks a failed write: no answer can reach the client.
var errClientGone = errors.New("the client is gone")

func clientGone(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", errClientGone, err)
}

// fail answers with the problem for an error, and logs errors of the server.
//
// If the client has left, only errors of its request are answered. For other errors fail cuts the
// connection. The client may have closed only its sending half, and would otherwise take the missing
// answer for an empty one.
func (a *API) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := problemOf(err)
	if a.parts.OnRequest && errors.Is(err, reader.ErrNotPublished) {
		p.RetryAfter = 0 // Nobody knows when somebody asks for a recompute.
	}
	if errors.Is(err, errClientGone) || r.Context().Err() != nil && p.Status >= http.StatusInternalServerError {
		a.parts.Logger.Debug("a client left before its answer", "path", r.URL.Path, "error", err)
		panic(http.ErrAbortHandler)
	}
	switch {
	case p.Code == problem.NotReached || p.Code == problem.TooStale: // The client has asked to be told.
		a.parts.Logger.Debug("a query was not answered in time", "request_id", problem.RequestID(w), "error", err)
	case p.Code == problem.NotReady: // Each start is so for a moment, and probes ask all the time.
		a.parts.Logger.Info("not ready yet", "request_id", problem.RequestID(w), "reasons", p.Reasons)
	case p.Status >= http.StatusInternalServerError:
		a.parts.Logger.Error("a request failed", "path", r.URL.Path, "request_id", problem.RequestID(w), "code", p.Code,
			"error", err)
	}
	w.Header().Del("Recount-Accuracy")
	w.Header().Del("ETag")
	problem.Write(w, p)
}

// layerErrors says how to answer errors of the layers. A client gets the text of err, but not the
// reason that is wrapped with it.
var layerErrors = []struct {
	err    error
	status int
	code   problem.Code
	// wait is sent as Retry-After, unless it is 0.
	wait time.Duration
}{
	{query.ErrNoPublication, http.StatusNotFound, problem.UnknownPublication, 0},
	{query.ErrCollected, http.StatusGone, problem.PublicationCollected, 0},
	{query.ErrNoDefinition, http.StatusConflict, problem.ViewNotPublished, 0},
	{reader.ErrNotInPublication, http.StatusConflict, problem.ViewNotPublished, 0},
	{reader.ErrNotPublished, http.StatusConflict, problem.ViewNotPublished, 5 * time.Second},
	{reader.ErrRestarts, http.StatusServiceUnavailable, problem.PinExpired, time.Second},
	{reader.ErrLost, http.StatusServiceUnavailable, problem.RowsMissing, 5 * time.Second},
	{reader.ErrLive, http.StatusServiceUnavailable, problem.LiveUnavailable, time.Second},
	{ErrCatalog, http.StatusServiceUnavailable, problem.CatalogUnavailable, time.Second},
	{errBusy, http.StatusTooManyRequests, problem.TooManyQueries, time.Second},
	{sql.ErrBusy, http.StatusTooManyRequests, problem.TooManyQueries, 2 * time.Second},
	{stream.ErrClosed, http.StatusServiceUnavailable, problem.ShuttingDown, time.Second},
	{query.ErrMemoryBusy, http.StatusTooManyRequests, problem.TooManyQueries, 2 * time.Second},
	{deadletter.ErrExpired, http.StatusGone, problem.ExpiredDeadLetter, 0},
	{deadletter.ErrUnknown, http.StatusNotFound, problem.UnknownDeadLetter, 0},
	{deadletter.ErrUnavailable, http.StatusServiceUnavailable, problem.ReplayUnavailable, 0},
	{deadletter.ErrOverloaded, http.StatusTooManyRequests, problem.Overloaded, time.Second},
	{context.DeadlineExceeded, http.StatusGatewayTimeout, problem.QueryTimeout, 0},
	{reader.ErrBatch, http.StatusServiceUnavailable, problem.BatchUnavailable, 5 * time.Second},
	{reader.ErrMissing, http.StatusServiceUnavailable, problem.PublicationsUnavailable, 5 * time.Second},
	{reader.ErrPublications, http.StatusServiceUnavailable, problem.PublicationsUnavailable, 5 * time.Second},
}

// problemOf returns the problem with which an error is answered.
func problemOf(err error) *problem.Problem {
	var p *problem.Problem
	var refused *query.Error
	var limit *batchview.LimitError
	var fill *merge.FillError
	var tooMuch *query.TooMuchMemoryError
	var side *reader.PublicationError
	var full *stream.FullError
	if p := problemOfUnmet(err); p != nil {
		return p
	}
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &side):
		return problemOfPublication(side)
	case errors.As(err, &refused) && refused.Field == "view":
		return &problem.Problem{Status: http.StatusNotFound, Code: problem.UnknownView, Detail: refused.Msg,
			Field: refused.Field}
	case errors.As(err, &refused):
		return &problem.Problem{Status: http.StatusBadRequest, Code: problem.InvalidQuery, Detail: refused.Msg,
			Field: refused.Field}
	case errors.As(err, &full):
		return &problem.Problem{Status: http.StatusTooManyRequests, Code: problem.TooManyQueries,
			Detail: full.Error() + "; try again after Retry-After", RetryAfter: 5 * time.Second}
	case errors.As(err, &limit):
		return problem.New(http.StatusUnprocessableEntity, problem.QueryTooLarge, limit.Reason)
	case errors.As(err, &tooMuch):
		return problem.New(http.StatusUnprocessableEntity, problem.QueryTooLarge, tooMuch.Error())
	case errors.As(err, &fill):
		return &problem.Problem{Status: http.StatusUnprocessableEntity, Code: problem.QueryTooLarge,
			Detail: fill.Error(), Field: "fill"}
	}
	if p := problemOfSQL(err); p != nil {
		return p
	}
	for _, l := range layerErrors {
		if errors.Is(err, l.err) {
			detail := l.err.Error()
			if errors.Is(l.err, context.DeadlineExceeded) {
				detail = "the request took longer than query.timeout; ask for less: a shorter range, fewer " +
					"dimensions, a coarser granularity, a lower limit"
			}
			return &problem.Problem{Status: l.status, Code: l.code, Detail: detail, RetryAfter: l.wait}
		}
	}
	return problem.New(http.StatusInternalServerError, problem.Internal,
		"the request failed; the server's log has the reason under this request's id")
}
