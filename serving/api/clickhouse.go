package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"recount/schemas/access"
	"recount/schemas/problem"
	"recount/serving/sql"
	"recount/serving/sql/door"
	"recount/serving/sql/guard"
)

// ClickHouse returns the handler of ClickHouse's HTTP interface. It runs statements like POST /v1/sql does, with the
// same limits. authenticate returns the owner of a request whose Authorization header has the key as a bearer token. It
// returns an error if the process has no place to run statements.
func (a *API) ClickHouse(authenticate func(*http.Request) (access.Principal, error)) (http.Handler, error) {
	if a.parts.SQL == nil {
		return nil, errors.New(a.parts.NoSQL)
	}
	return door.New(door.Config{Authenticate: authenticate, Run: a.runClickHouse, Database: sql.Database})
}

// runClickHouse runs a statement that came over ClickHouse's HTTP interface.
func (a *API) runClickHouse(w http.ResponseWriter, r *http.Request, s door.Statement,
	answer func(http.ResponseWriter, *door.Result) error) error {
	principal, ok := access.FromContext(r.Context())
	if !ok {
		return errNoPrincipal
	}
	began := time.Now()
	err := a.gated(func(w http.ResponseWriter, r *http.Request) error {
		result, err := a.parts.SQL.Run(r.Context(), principal.Tenant, sql.Request{SQL: s.SQL, Format: s.Format,
			Revision: s.Revision, Parameters: s.Parameters, Settings: s.Settings})
		if err != nil {
			return err
		}
		defer result.Close()
		return clientGone(answer(w, &door.Result{Body: result.Body, Format: result.Format,
			MediaType: sql.MediaType(result.Format)}))
	})(w, r)
	a.metrics.observe(modeSQL, statusOf(r, err), began)
	if err == nil || errors.Is(err, errClientGone) {
		return err
	}
	if errors.Is(r.Context().Err(), context.Canceled) {
		return fmt.Errorf("%w: %w", errClientGone, err)
	}
	p := problemOf(err)
	if p.Status >= http.StatusInternalServerError {
		a.parts.Logger.Error("a request failed", "path", r.URL.Path, "code", p.Code, "error", err)
	}
	return exceptionOf(err, p)
}

// exceptionOf returns what a client of ClickHouse is told of an error whose problem is p.
func exceptionOf(err error, p *problem.Problem) error {
	var refused *guard.Refusal
	if errors.As(err, &refused) {
		return &door.Exception{Code: refused.Code, Name: refused.Name, Text: refused.Error()}
	}
	var failed *sql.Failure
	if errors.As(err, &failed) && failed.Code != 0 {
		return &door.Exception{Code: failed.Code, Name: failed.Name, Text: failed.Text}
	}
	e := &door.Exception{Code: 36, Name: "BAD_ARGUMENTS", Text: p.Detail}
	switch p.Code {
	case problem.StatementRefused:
		e.Code = 497
		e.Name = "ACCESS_DENIED"
	case problem.QueryTooLarge:
		e.Code = 241
		e.Name = "MEMORY_LIMIT_EXCEEDED"
	case problem.QueryTimeout:
		e.Code = 159
		e.Name = "TIMEOUT_EXCEEDED"
	case problem.TooManyQueries, problem.RateLimited:
		e.Code = 202
		e.Name = "TOO_MANY_SIMULTANEOUS_QUERIES"
	case problem.InvalidQuery:
	default:
		e.Code = 279
		e.Name = "ALL_CONNECTION_TRIES_FAILED"
	}
	return e
}
