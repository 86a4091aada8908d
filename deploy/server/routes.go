package server

import (
	"fmt"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"recount/deploy/server/keys"
	"recount/schemas/access"
	"recount/schemas/problem"
)

// metricsAtOnce bounds how many may gather metrics at the same time; others are told 503.
const metricsAtOnce = 8

// place is on which addresses a route is.
type place uint8

const (
	everywhere   place = iota
	publicly           // not on the admin address
	byAdmins           // on the admin address if there is one, else with the others
	apartOrNever       // on the admin address alone
)

// route is who may use a pattern, and where: who has one of the scopes; with none it is anybody.
type route struct {
	needs access.Scopes
	on    place
}

// routes is the only table of what a process answers, and nothing is mounted that is not in it. What
// counts the events of all tenants is for admins: a tenant learns nothing of another.
var routes = map[string]route{
	"/":             {0, everywhere}, // no resource is here
	"/healthz":      {0, everywhere},
	"/readyz":       {0, everywhere},
	"/openapi.json": {0, everywhere},

	"/v1/events":       {access.Ingest, publicly},
	"/v1/query":        {access.Query, publicly},
	"/v1/views":        {access.Query, publicly},
	"/v1/views/{name}": {access.Query, publicly},

	"/v1/dead-letters":         {access.Query, publicly}, // a tenant's own
	"/v1/dead-letters/{name}":  {access.Query, publicly},
	"/v1/dead-letters/replays": {access.Ingest, publicly},

	"/v1/audit": {access.Query | access.Admin, everywhere}, // a tenant's own; everybody's for admins

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

// handlers are what the process's roles answer, by pattern.
func (s *Stack) handlers() map[string]http.Handler {
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
	out["/metrics"] = atOnce(metricsAtOnce, promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{}))
	out["/debug/pprof/"] = profiles()
	return out
}

// atOnce lets at most n requests into next at the same time. promhttp can do so too, but
// refuses in plain text.
func atOnce(n int, next http.Handler) http.Handler {
	slots := make(chan struct{}, n)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
			next.ServeHTTP(w, r)
		default:
			problem.Write(w, &problem.Problem{Status: http.StatusServiceUnavailable, Code: problem.Overloaded,
				Detail:     fmt.Sprintf("%d requests gather metrics already; try again after Retry-After", n),
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
	return mux
}

// mount guards the handlers and lays them on the public and the admin address. They are
// one mux, the public one, when there is no admin address.
func mount(handlers map[string]http.Handler, who keys.Authenticate, apart bool) (public, admin *http.ServeMux,
	err error) {
	public = http.NewServeMux()
	admin = http.NewServeMux()
	for pattern, h := range handlers {
		r, ok := routes[pattern]
		if !ok {
			return nil, nil, fmt.Errorf("nobody has said who may use the route %s", pattern)
		}
		if r.needs != 0 {
			h = keys.Guard(who, r.needs, h)
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
