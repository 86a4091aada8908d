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
	"recount/serving/dashboard"
	"recount/speed/collect"
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
	// reads are the scopes for GET and HEAD, where they are others than those of needs.
	reads access.Scopes
	// edits says that PUT and DELETE change what is declared: they need scope admin, and are allowed on the addresses
	// of byAdmins.
	edits bool
}

// routes lists every route of a process; a pattern that is missing here cannot be mounted. Routes
// that count the events of all tenants need scope admin, so that no tenant learns of another.
var routes = map[string]route{
	"/":             {}, // the page, and 404 for every other path
	"/healthz":      {},
	"/readyz":       {},
	"/openapi.json": {},
	"/recount.js":   {on: publicly},

	"/v1/events": {needs: access.Ingest | access.Collects, reads: access.Query, on: publicly},
	// No key of another scope may use the image, so that a page cannot count with what its user may do.
	"/v1/pixel.gif": {needs: access.Collects, on: publicly},

	"/v1/query":   {needs: access.Query, on: publicly},
	"/v1/queries": {needs: access.Query, on: publicly},
	"/v1/stream":  {needs: access.Query, on: publicly},
	"/v1/changes": {needs: access.Query, on: publicly},
	"/v1/sql":     {needs: access.Query, on: publicly},

	"/v1/views":              {needs: access.Query | access.Admin},
	"/v1/views/{name}":       {needs: access.Query | access.Admin, edits: true},
	"/v1/event-types":        {needs: access.Query | access.Admin},
	"/v1/event-types/{name}": {needs: access.Query | access.Admin, edits: true},
	"/v1/catalog":            {needs: access.Admin, on: byAdmins},

	"/v1/events/{id}":        {needs: access.Query, on: publicly}, // a tenant's own
	"/v1/receipts/{receipt}": {needs: access.Query, on: publicly}, // offsets, which every answer has

	"/v1/dead-letters":         {needs: access.Query, on: publicly}, // a tenant's own
	"/v1/dead-letters/{name}":  {needs: access.Query, on: publicly},
	"/v1/dead-letters/replays": {needs: access.Ingest, on: publicly},

	"/v1/audit": {needs: access.Query | access.Admin}, // a tenant's own; all tenants' for admins

	"/v1/scores":               {needs: access.Admin, on: byAdmins},
	"/v1/publications":         {needs: access.Admin, on: byAdmins},
	"/v1/publications/{n}":     {needs: access.Admin, on: byAdmins},
	"/v1/publications/{n}/pin": {needs: access.Admin, on: byAdmins},
	"/v1/jobs":                 {needs: access.Admin, on: byAdmins},
	"/v1/jobs/{name}/runs":     {needs: access.Admin, on: byAdmins},
	"/v1/verify":               {needs: access.Admin, on: byAdmins},
	"/metrics":                 {needs: access.Admin | access.Metrics, on: byAdmins},
	"/debug/pprof/":            {needs: access.Admin, on: apartOrNever},
}

// handlers returns the handlers of the process's roles, by pattern.
func (s *Server) handlers() (map[string]http.Handler, error) {
	out := s.api.Routes()
	if s.roles.Has(Serving) {
		page, err := dashboard.New(out["/"])
		if err != nil {
			return nil, err
		}
		out["/"] = page
	}
	if s.ingest != nil {
		out["/v1/pixel.gif"] = s.ingest.Pixel()
		out["/recount.js"] = collect.Handler()
	}
	out["/v1/events"] = s.agreeToWebhooks(out["/v1/events"])
	if s.scheduler != nil {
		out["/v1/jobs"] = s.scheduler.Handler()
		out["/v1/jobs/{name}/runs"] = s.scheduler.Handler()
		out["/v1/audit"] = s.auditor.Handler()
	}
	out["/v1/verify"] = s.verifyHandler()
	out["/metrics"] = metrics(s.registry)
	out["/debug/pprof/"] = profiles()
	return out, nil
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
		onPublic := h
		if r.edits && apart {
			onPublic = readOnlyHere(h)
		}
		if r.on == everywhere || r.on == publicly || r.on == byAdmins && !apart {
			public.Handle(pattern, r.guard(authenticate, onPublic))
		} else if r.on == byAdmins {
			public.HandleFunc(pattern, servedApart)
		}
		if r.on != publicly {
			admin.Handle(pattern, r.guard(authenticate, h))
		}
	}
	return public, admin, nil
}

// servedApart answers at the public address for what is served to operators alone.
func servedApart(w http.ResponseWriter, r *http.Request) {
	problem.Write(w, problem.New(http.StatusNotFound, problem.NotFound,
		r.URL.Path+" is not served at this address; ask at the address of admin.listen"))
}

// guard asks for the scopes of the route.
func (r route) guard(authenticate keys.Authenticate, h http.Handler) http.Handler {
	if r.needs == 0 {
		return h
	}
	guarded := keys.Guard(authenticate, r.needs, h)
	apart := guarded
	is := isEdit
	switch {
	case r.edits:
		apart = keys.Guard(authenticate, access.Admin, h)
	case r.reads != 0:
		apart = keys.Guard(authenticate, r.reads, h)
		is = isRead
	default:
		return guarded
	}
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if is(q) {
			apart.ServeHTTP(w, q)
		} else {
			guarded.ServeHTTP(w, q)
		}
	})
}

func isRead(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

func isEdit(r *http.Request) bool { return r.Method == http.MethodPut || r.Method == http.MethodDelete }

// readOnlyHere refuses edits on the public address of a process that has one for operators.
func readOnlyHere(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isEdit(r) {
			h.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Allow", "GET, HEAD")
		problem.Write(w, problem.New(http.StatusMethodNotAllowed, problem.MethodNotAllowed,
			r.Method+" is not allowed here; declarations are changed on the address of admin.listen"))
	})
}
