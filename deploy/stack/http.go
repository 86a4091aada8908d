package stack

import (
	"context"
	"fmt"
	"net"
	"net/http"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"recount/schemas/access"
)

// metricsAtOnce bounds how many may gather metrics at the same time; others are told 503.
const metricsAtOnce = 8

// listen mounts what the roles serve and takes the address.
func (s *Stack) listen(context.Context) error {
	mux := http.NewServeMux()
	mux.Handle("/", s.api.Handler())
	if s.ingest != nil {
		mux.Handle("/v1/events", s.ingest.Handler())
	}
	if s.scheduler != nil {
		mux.Handle("/v1/jobs", s.scheduler.Handler())
		mux.Handle("/v1/jobs/", s.scheduler.Handler())
	}
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{MaxRequestsInFlight: metricsAtOnce}))
	s.server = newServer(s.cfg.HTTP, owned(access.Local(), mux), s.log)
	l, err := net.Listen("tcp", s.cfg.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w; choose another address with --listen", err)
	}
	s.listener = limitConnections(l, affordable(s.cfg.HTTP, s.log), s.registry)
	return nil
}

// owned lets every request be p's.
func owned(p access.Principal, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(access.NewContext(r.Context(), p)))
	})
}
