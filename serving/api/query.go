package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"recount/schemas/query"
)

func (a *API) postQuery(w http.ResponseWriter, r *http.Request) {
	q, p := readBody(w, r)
	if p != nil {
		a.refuse(w, "", p)
		return
	}
	a.answer(w, r, q)
}

func (a *API) getQuery(w http.ResponseWriter, r *http.Request) {
	q, err := a.readParameters(r.URL.Query())
	if err != nil {
		a.refuse(w, "", problemOf(err))
		return
	}
	a.answer(w, r, q)
}

func (a *API) refuse(w http.ResponseWriter, mode query.Mode, p *problem) {
	a.metrics.refused(mode, p.Status)
	writeProblem(w, p)
}

// answer runs a query and writes what came of it.
func (a *API) answer(w http.ResponseWriter, r *http.Request, q *query.Query) {
	began := a.now()
	encode, contentType, p := encoderFor(r.Header.Values("Accept"))
	if p != nil {
		a.refuse(w, q.Mode, p)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), a.cfg.Timeout)
	defer cancel()
	leave, err := a.enter(ctx)
	if err != nil {
		a.refuse(w, q.Mode, overloaded(err))
		return
	}
	answer, err := a.reader.Answer(ctx, q, a.cfg.Tenant)
	leave()
	if err != nil {
		p := problemOf(err)
		if p.Status == http.StatusServiceUnavailable && r.Context().Err() == nil {
			a.log.Error("query failed", "view", q.View, "mode", q.Mode, "error", err)
		}
		a.refuse(w, q.Mode, p)
		return
	}
	w.Header().Set("Content-Type", contentType)
	if accuracy, err := json.Marshal(answer.Accuracy); err == nil && contentType != "application/json" {
		w.Header().Set("Recount-Accuracy", string(accuracy))
	}
	if err := encode(w, answer); err != nil && r.Context().Err() == nil {
		a.log.Warn("write answer", "error", err)
	}
	a.metrics.answered(q.Mode, answer.Rows(), a.now().Sub(began))
}

var errQueueFull = errors.New("too many queries run and wait")

// enter takes a place among the running queries, waiting if as many as may wait do not.
func (a *API) enter(ctx context.Context) (leave func(), err error) {
	select {
	case a.admitted <- struct{}{}:
	default:
		return nil, errQueueFull
	}
	select {
	case a.running <- struct{}{}:
		return func() { <-a.running; <-a.admitted }, nil
	case <-ctx.Done():
		<-a.admitted
		return nil, ctx.Err()
	}
}

func overloaded(err error) *problem {
	if errors.Is(err, errQueueFull) {
		return &problem{Status: http.StatusTooManyRequests, Code: "too_many_queries", retryAfter: "1", Detail: errQueueFull.Error() + "; try again in a moment"}
	}
	return problemOf(err)
}
