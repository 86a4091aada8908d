package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"

	"recount/schemas/access"
	"recount/schemas/query"
	"recount/serving/merge"
)

func (a *API) postQuery(w http.ResponseWriter, r *http.Request) error {
	return a.observed(w, r, func() (*query.Query, error) {
		body, err := readBody(w, r)
		if err != nil {
			return nil, err
		}
		return query.Parse(body)
	})
}

func (a *API) getQuery(w http.ResponseWriter, r *http.Request) error {
	return a.observed(w, r, func() (*query.Query, error) { return parseParameters(r.URL.RawQuery, a.parts.Catalog) })
}

// observed runs a query and records how long it took and what came of it.
func (a *API) observed(w http.ResponseWriter, r *http.Request, parse func() (*query.Query, error)) error {
	began, mode, status := time.Now(), query.Mode(""), http.StatusOK
	q, err := parse()
	if err == nil {
		err = a.runQuery(w, r, q)
		mode = q.Mode
	}
	switch {
	case errors.Is(err, errClientGone) || r.Context().Err() != nil:
		status = statusClientGone
	case err != nil:
		status = problemOf(err).Status
		if status == http.StatusBadRequest {
			mode = "" // It may be any string.
		}
	}
	a.metrics.observe(mode, status, began)
	return err
}

func (a *API) runQuery(w http.ResponseWriter, r *http.Request, q *query.Query) error {
	who, ok := access.FromContext(r.Context())
	if !ok {
		return errNobody
	}
	f, err := negotiate(r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), a.cfg.Timeout)
	defer cancel()
	leave, err := a.gate.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	answer, err := a.parts.Answerer.Answer(ctx, q, who.Tenant)
	if err != nil {
		return err
	}
	a.metrics.rows.Observe(float64(answer.Rows()))
	return write(w, f, answer)
}

// write sends the answer. The accuracy goes ahead as a header, so that formats without a
// place for it are as honest as JSON.
func write(w http.ResponseWriter, f format, answer *merge.Answer) error {
	accuracy, err := json.Marshal(answer.Accuracy)
	if err != nil {
		return fmt.Errorf("encode accuracy: %w", err)
	}
	h := w.Header()
	h.Set("Content-Type", f.media)
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Accept")
	h.Set("Recount-Accuracy", string(accuracy))
	return clientGone(f.write(w, answer))
}

// readBody reads a JSON body of at most query.MaxBody bytes.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/json" {
		return nil, &Problem{Status: http.StatusUnsupportedMediaType, Code: "unsupported_media_type", Detail: "send the query as Content-Type: application/json"}
	}
	if e := r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return nil, &Problem{Status: http.StatusUnsupportedMediaType, Code: "unsupported_media_type", Detail: "send the query without Content-Encoding"}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, query.MaxBody))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return nil, &Problem{Status: http.StatusRequestEntityTooLarge, Code: "body_too_large", Detail: fmt.Sprintf("a query has at most %d bytes", tooLarge.Limit)}
	}
	return body, clientGone(err)
}
