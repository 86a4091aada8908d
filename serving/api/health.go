package api

import (
	"context"
	"net/http"
	"time"

	"recount/schemas/problem"
)

// checkTimeout is how long all checks of /readyz together may take.
const checkTimeout = 2 * time.Second

// healthz says that the process answers, or that only a restart of it helps. It says nothing else about the stores
// that the process needs, because a restart of the process would not repair them.
func (a *API) healthz(w http.ResponseWriter, _ *http.Request) error {
	if a.parts.NeedsRestart != nil {
		if err := a.parts.NeedsRestart(); err != nil {
			return &problem.Problem{Status: http.StatusServiceUnavailable, Code: problem.RestartNeeded,
				Detail: "restart this process; it does not recover by itself", Reasons: []string{err.Error()}}
		}
	}
	return writeJSON(w, map[string]string{"status": "ok"})
}

// readyz says whether queries can be answered and, if not, why.
func (a *API) readyz(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), checkTimeout)
	defer cancel()
	publications := Check{"publications", func(ctx context.Context) error {
		_, err := a.parts.Publications.Newest(ctx)
		return err
	}}
	var reasons []string
	for _, c := range append([]Check{publications}, a.parts.Checks...) {
		if err := c.Check(ctx); err != nil {
			reasons = append(reasons, c.Name+": "+err.Error())
		}
	}
	if len(reasons) > 0 {
		return &problem.Problem{Status: http.StatusServiceUnavailable, Code: problem.NotReady,
			Detail: "queries cannot be answered yet", Reasons: reasons, RetryAfter: time.Second}
	}
	return writeJSON(w, map[string]string{"status": "ready"})
}
