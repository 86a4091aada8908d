package server

import (
	"fmt"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"recount/deploy/server/keys"
	"recount/schemas/access"
	"recount/schemas/problem"
)

// metricsAtOnce bounds how many requests gather metrics at the same time; others get 503.
const metricsAtOnce = 8

// place says which addresses serve a route.
type place uint8

const (
	everywhere   place = iota
	publicly           // on the public address only
	byAdmins           // on the admin address if there is one, else on the public address
	apartOrNever       // on the admin address only
)

// route says which keys may use a pattern, and on which addresses it is served. A key needs one of
// the scopes; a route without scopes is open to everybody.
type route struct {
	needs access.Scopes
	on    place
}

// routes lists every route of a process; a pattern that is missing here cannot be mounted. Routes
// that count the events of all tenants need scope admin, so that no tenant learns of another.
var routes = map[string]route{
	"/":             {0, everywhere}, // answers 404 for every other path
	"/healthz":      {0, everywhere},
	"/readyz":       {0, everywhere},
	"/openapi.json": {0, everywhere},

	"/v1/events":       {access.Ingest, publicly},
	"/v1/query":        {access.Query, publicly},
	"/v1/views":        {access.Query, publicly},
	"/v1/views/{name}": {access.Query, publicly},

	"/v1/events/{id}":        {access.Query, publicly}, // a tenant's own
	"/v1/receipts/{receipt}": {access.Query, publicly}, // offsets, which every answer has

	"/v1/dead-letters":         {access.Query, publicly}, // a tenant's own
	"/v1/dead-letters/{name}":  {access.Query, publicly},
	"/v1/dead-letters/replays": {access.Ingest, publicly},

	"/v1/audit": {access.Query | access.Admin, everywhere}, // a tenant's own; all tenants' for admins

	"/v1/scores":               {access.Admin, byAdmins},
	"/v1/publications":         {access.Admin, byAdmins},
	"/v1/publications/{n}":     {access.Admin, byAdmins},
	"/v1/publications/{n}/pin": {access.Admin, byAdmins},
	"/v1/jobs":                 {access.Admin, byAdmins},
	"/v1/jobs/{name}/runs":     {access.Admin, byAdmins},
	"/v1/verify":               {access.Admin, byAdmins},
	"/metrics":                 {access.Admin, byAdmins},
	"/debug/pprof/":            {access.Admin, apartOrNever},
}

// handlers returns the handlers of the process's roles, by pattern.
func (s *Server) handlers() map[string]http.Handler {
	out := s.api.Routes()
	if s.ingest != nil {
		out["/v1/events"] = s.ingest.Handler()
	}
	if s.scheduler != nil {
		out["/v1/jobs"] = s.scheduler.Handler()
		out["/v1/jobs/{name}/runs"] = s.scheduler.Handler()
		out["/v1/audit"] = s.auditor.Handler()
	}
	out["/v1/verify"] = s.verifyHandler()
	out["/metrics"] = metrics(s.registry)
	out["/debug/pprof/"] = profiles()
	return out
}

func metrics(registry prometheus.Gatherer) http.Handler {
	return readOnly(limitConcurrency(metricsAtOnce, promhttp.HandlerFor(registry, promhttp.HandlerOpts{})))
}

// limitConcurrency lets at most n requests into next at the same time. promhttp has such a limit
// too, but refuses in plain text.
func limitConcurrency(n int, next http.Handler) http.Handler {
	slots := make(chan struct{}, n)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
			next.ServeHTTP(w, r)
		default:
			problem.Write(w, &problem.Problem{Status: http.StatusServiceUnavailable, Code: problem.Overloaded,
				Detail:     fmt.Sprintf("%d requests are gathering metrics already; try again after Retry-After", n),
				RetryAfter: time.Second})
		}
	})
}

func profiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	return readOnly(mux)
}

// readOnly refuses every method but GET and HEAD, and POST where profiles look up symbols. The libraries answer
// all methods.
func readOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		symbols := r.Method == http.MethodPost && r.URL.Path == "/debug/pprof/symbol"
		if r.Method != http.MethodGet && r.Method != http.MethodHead && !symbols {
			w.Header().Set("Allow", "GET, HEAD")
			problem.Write(w, problem.New(http.StatusMethodNotAllowed, problem.MethodNotAllowed,
				r.Method+" is not allowed here; use GET or HEAD"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// mount guards the handlers and mounts each on the mux of the public address, of the admin address,
// or on both. Without an admin address (apart is false) the public mux has the admin routes too.
func mount(handlers map[string]http.Handler, authenticate keys.Authenticate, apart bool) (public, admin *http.ServeMux,
	err error) {
	public = http.NewServeMux()
	admin = http.NewServeMux()
	for pattern, h := range handlers {
		r, ok := routes[pattern]
		if !ok {
			return nil, nil, fmt.Errorf("mount %s: the table of routes does not say which keys may use it", pattern)
		}
		if r.needs != 0 {
			h = keys.Guard(authenticate, r.needs, h)
		}
		if r.on == everywhere || r.on == publicly || r.on == byAdmins && !apart {
			public.Handle(pattern, h)
		}
		if r.on != publicly {
			admin.Handle(pattern, h)
		}
	}
	return public, admin, nil
}
