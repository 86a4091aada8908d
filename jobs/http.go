package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
)

// Handler serves GET /v1/jobs and POST /v1/jobs/{name}/runs. A requested run is answered when
// it has ended. It continues when the client leaves, and ends at the latest with Run.
func (s *Scheduler) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/jobs", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, "application/json", map[string]any{"jobs": s.List()})
	})
	mux.HandleFunc("/v1/jobs", only(http.MethodGet))
	mux.HandleFunc("/v1/jobs/{name}/runs", only(http.MethodPost))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		problem(w, http.StatusNotFound, "not_found", "no resource is at "+r.URL.Path+"; /openapi.json lists them")
	})
	mux.HandleFunc("POST /v1/jobs/{name}/runs", func(w http.ResponseWriter, r *http.Request) {
		run, err := s.Start(context.WithoutCancel(r.Context()), r.PathValue("name"))
		switch {
		case errors.Is(err, ErrUnknownJob):
			problem(w, http.StatusNotFound, "unknown_job", err.Error()+"; GET /v1/jobs lists them")
		case errors.Is(err, ErrRunning):
			w.Header().Set("Retry-After", "1")
			problem(w, http.StatusConflict, "job_running", err.Error())
		case errors.Is(err, ErrStopped):
			w.Header().Set("Retry-After", "1")
			problem(w, http.StatusServiceUnavailable, "shutting_down",
				err.Error()+"; run the job again when the server is back")
		case run.Error != "":
			writeJSON(w, http.StatusInternalServerError, "application/json", run)
		default:
			writeJSON(w, http.StatusOK, "application/json", run)
		}
	})
	return mux
}

// only answers every other method, because ServeMux would in plain text.
func only(method string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", method)
		problem(w, http.StatusMethodNotAllowed, "method_not_allowed", r.Method+" is not allowed here; use "+method)
	}
}

func problem(w http.ResponseWriter, status int, code, detail string) {
	writeJSON(w, status, "application/problem+json", map[string]any{
		"type": "about:blank", "title": http.StatusText(status), "status": status, "code": code, "detail": detail,
	})
}

func writeJSON(w http.ResponseWriter, status int, contentType string, v any) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // The client may be gone; there is nobody left to tell.
}
