package api

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"

	"recount/schemas/openapi"
	"recount/schemas/problem"
)

// handler answers a request or returns an error, which is answered as a problem.
type handler func(w http.ResponseWriter, r *http.Request) error

// route is a pattern of http.ServeMux with a handler for each method.
type route struct {
	pattern string
	methods map[string]handler
}

// Routes returns the handlers by http.ServeMux pattern, without methods. A process mounts them
// together with those of other layers. The handler of "/" answers 404.
func (a *API) Routes() map[string]http.Handler {
	out := map[string]http.Handler{"/": http.HandlerFunc(notFound)}
	for _, r := range a.routes {
		out[r.pattern] = a.methods(r.methods)
	}
	return out
}

func notFound(w http.ResponseWriter, r *http.Request) {
	problem.Write(w, problem.New(http.StatusNotFound, problem.NotFound,
		"no resource is at "+r.URL.Path+"; /openapi.json lists them"))
}

// methods chooses the handler by method. ServeMux could do so too, but answers 405 in plain text.
func (a *API) methods(handlers map[string]handler) http.Handler {
	allow := slices.Sorted(maps.Keys(handlers))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		method := r.Method
		if method == http.MethodHead {
			method = http.MethodGet
		}
		h, ok := handlers[method]
		if !ok {
			w.Header().Set("Allow", strings.Join(allow, ", "))
			problem.Write(w, problem.New(http.StatusMethodNotAllowed, problem.MethodNotAllowed,
				r.Method+" is not allowed here; use "+strings.Join(allow, " or ")))
			return
		}
		if err := h(w, r); err != nil {
			a.fail(w, r, err)
		}
	})
}

func writeJSON(w http.ResponseWriter, v any) error { return writeStatus(w, http.StatusOK, v) }

func writeStatus(w http.ResponseWriter, status int, v any) error {
	var body bytes.Buffer
	e := json.NewEncoder(&body)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	if status != http.StatusOK {
		w.WriteHeader(status)
	}
	_, err := w.Write(body.Bytes())
	return clientGone(err)
}

func (a *API) openapi(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "application/json")
	_, err := w.Write(openapi.Document())
	return clientGone(err)
}
