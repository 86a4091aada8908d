package api

import (
	"net/http"

	"recount/schemas/problem"
)

// getScores shows the newest grade of the speed layer (A2). It needs the scope admin, because a
// grade covers the largest tenants together.
func (a *API) getScores(w http.ResponseWriter, _ *http.Request) error {
	if a.parts.Grade != nil {
		if grade := a.parts.Grade(); grade != nil {
			return writeJSON(w, grade)
		}
	}
	return problem.New(http.StatusNotFound, problem.NoScores,
		"nothing was compared since the server started; POST /v1/jobs/score/runs compares the newest "+
			"publication, in a process with the roles batch and speed")
}
