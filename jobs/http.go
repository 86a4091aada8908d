package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"recount/schemas/problem"
)

// Handler serves GET /v1/jobs and POST /v1/jobs/{name}/runs. A requested run is answered when
// it has ended. It continues when the client leaves, and ends at the latest with Run.
func (s *Scheduler) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/jobs", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]any{"jobs": s.List()})
	})
	mux.HandleFunc("/v1/jobs", refuseAllBut(http.MethodGet))
	mux.HandleFunc("/v1/jobs/{name}/runs", refuseAllBut(http.MethodPost))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		problem.Write(w, problem.New(http.StatusNotFound, problem.NotFound,
			"no resource is at "+r.URL.Path+"; /openapi.json lists them"))
	})
	mux.HandleFunc("POST /v1/jobs/{name}/runs", func(w http.ResponseWriter, r *http.Request) {
		run, err := s.Start(context.WithoutCancel(r.Context()), r.PathValue("name"))
		switch {
		case errors.Is(err, ErrUnknownJob):
			problem.Write(w, problem.New(http.StatusNotFound, problem.UnknownJob,
				err.Error()+"; GET /v1/jobs lists them"))
		case errors.Is(err, ErrRunning):
			problem.Write(w, &problem.Problem{Status: http.StatusConflict, Code: problem.JobRunning,
				Detail: err.Error(), RetryAfter: time.Second})
		case errors.Is(err, ErrStopped):
			problem.Write(w, &problem.Problem{Status: http.StatusServiceUnavailable, Code: problem.ShuttingDown,
				Detail: err.Error() + "; run the job again when the server is back", RetryAfter: time.Second})
		case run.Error != "":
			s.logger.Error("a requested run failed", "job", run.Job, "request_id", problem.RequestID(w))
			writeJSON(w, http.StatusInternalServerError, run)
		default:
			writeJSON(w, http.StatusOK, run)
		}
	})
	return mux
}

// refuseAllBut answers requests of all other methods. ServeMux would do so too, but in plain text.
func refuseAllBut(method string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", method)
		problem.Write(w, problem.New(http.StatusMethodNotAllowed, problem.MethodNotAllowed,
			r.Method+" is not allowed here; use "+method))
	}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // The client may be gone, and then no answer can reach it.
}
