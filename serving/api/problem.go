package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"recount/schemas/query"
	"recount/serving/batchview"
	"recount/serving/merge"
	"recount/serving/reader"
)

// problem is an RFC 9457 answer. Code is stable; Detail is for people.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
	Field  string `json:"field,omitempty"` // of the query at fault

	retryAfter string
}

// problemOf decides what an error means to a client.
func problemOf(err error) *problem {
	var field *query.Error
	var fill *merge.FillError
	var over *merge.OverflowError
	var limit *batchview.LimitError
	switch {
	case errors.As(err, &field):
		return &problem{Status: http.StatusBadRequest, Code: "invalid_query", Field: field.Field, Detail: field.Error()}
	case errors.As(err, &fill):
		return &problem{Status: http.StatusBadRequest, Code: "invalid_query", Field: "fill", Detail: fill.Error()}
	case errors.As(err, &over):
		return &problem{Status: http.StatusUnprocessableEntity, Code: "overflow", Field: "measures", Detail: over.Error()}
	case errors.As(err, &limit):
		return &problem{Status: http.StatusUnprocessableEntity, Code: "query_too_large", Detail: limit.Error()}
	case errors.Is(err, reader.ErrNotPublished):
		return &problem{Status: http.StatusConflict, Code: "view_not_published", retryAfter: "5",
			Detail: err.Error()}
	case errors.Is(err, reader.ErrLive):
		return &problem{Status: http.StatusServiceUnavailable, Code: "live_unavailable", retryAfter: "1", Detail: err.Error() + "; ask in mode exact or merged"}
	case errors.Is(err, query.ErrNoPublication):
		return &problem{Status: http.StatusNotFound, Code: "no_such_publication", Field: "as_of", Detail: "there is no such publication; GET /v1/publications lists them"}
	case errors.Is(err, query.ErrCollected):
		return &problem{Status: http.StatusGone, Code: "publication_collected", Field: "as_of", Detail: "the publication is no longer kept; GET /v1/publications lists those that are"}
	case errors.Is(err, context.DeadlineExceeded):
		return &problem{Status: http.StatusGatewayTimeout, Code: "query_timeout", Detail: "the query took too long; use a shorter range or a coarser granularity"}
	}
	return &problem{Status: http.StatusServiceUnavailable, Code: "unavailable", retryAfter: "1", Detail: "the query could not be answered now; the server's log says why"}
}

func writeProblem(w http.ResponseWriter, p *problem) {
	p.Type, p.Title = "about:blank", http.StatusText(p.Status)
	if p.retryAfter != "" {
		w.Header().Set("Retry-After", p.retryAfter)
	}
	write(w, p.Status, "application/problem+json", p)
}

func writeJSON(w http.ResponseWriter, status int, v any) { write(w, status, "application/json", v) }

func write(w http.ResponseWriter, status int, contentType string, v any) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // The client may be gone; there is nobody left to tell.
}

func notFound(w http.ResponseWriter, r *http.Request) {
	writeProblem(w, &problem{Status: http.StatusNotFound, Code: "not_found", Detail: "nothing is served at " + r.URL.Path + "; /openapi.json lists the routes"})
}
