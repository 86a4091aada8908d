package server

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"recount/deploy/server/keys"
	"recount/schemas/access"
	"recount/schemas/problem"
)

// accessLog logs one in so many requests of an address, drawn at random, because every nth request of clients that
// take turns would always be of the same client. It logs each request that fails in the server.
//
// A line has no path, query, header or body of a request, which may hold keys and what a tenant asks for. Its route is
// the pattern that was registered. Only the request's id may come from the client.
type accessLog struct {
	logger  *slog.Logger
	address string
	oneIn   int
}

// accessLine is what is known of a request when it ends. The handlers inside find it in the request's context.
type accessLine struct {
	http.ResponseWriter
	route    string
	tenant   string
	status   int
	bytes    int64
	finished bool
}

type accessLineKey struct{}

// Unwrap lets http.ResponseController reach the connection.
func (l *accessLine) Unwrap() http.ResponseWriter { return l.ResponseWriter }

// WriteHeader notes the status. One below 200 announces another.
func (l *accessLine) WriteHeader(status int) {
	if l.status < http.StatusOK {
		l.status = status
	}
	l.ResponseWriter.WriteHeader(status)
}

func (l *accessLine) Write(p []byte) (int, error) {
	if l.status < http.StatusOK {
		l.status = http.StatusOK
	}
	n, err := l.ResponseWriter.Write(p)
	l.bytes += int64(n)
	return n, err
}

// over returns next, with its requests logged.
func (a *accessLog) over(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		line := &accessLine{ResponseWriter: w}
		defer func() { a.log(r, line, time.Since(began)) }() // also if next panics to cut the connection
		next.ServeHTTP(line, r.WithContext(context.WithValue(r.Context(), accessLineKey{}, line)))
		line.finished = true
	})
}

func (a *accessLog) log(r *http.Request, l *accessLine, took time.Duration) {
	if l.finished && l.status == 0 {
		l.status = http.StatusOK // net/http sends it for a handler that writes nothing.
	}
	level := slog.LevelInfo
	if !l.finished || l.status >= http.StatusInternalServerError {
		level = slog.LevelWarn
	} else if rand.IntN(a.oneIn) > 0 {
		return
	}
	a.logger.LogAttrs(r.Context(), level, "request", slog.String("address", a.address),
		slog.String("method", knownMethod(r.Method)), slog.String("route", l.route), slog.Int("status", l.status),
		slog.Int64("bytes", l.bytes), slog.Float64("seconds", took.Seconds()), slog.String("tenant", l.tenant),
		slog.String("request_id", problem.RequestID(l)), slog.Bool("cut", !l.finished))
}

// noteRoute notes the pattern of the handler that mux calls. Mux sets it in the request that it is given, and not in
// those that were copied before. A handler that is no mux has one route.
func noteRoute(mux http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		line, _ := r.Context().Value(accessLineKey{}).(*accessLine)
		defer func() {
			line.route = r.Pattern
			if line.route == "" {
				line.route = "/"
			}
		}()
		mux.ServeHTTP(w, r)
	})
}

// noteTenants returns authenticate, which notes the tenants that it finds where requests are logged.
func noteTenants(authenticate keys.Authenticate) keys.Authenticate {
	return func(r *http.Request) (p access.Principal, err error) {
		p, err = authenticate(r)
		if line, ok := r.Context().Value(accessLineKey{}).(*accessLine); ok && err == nil {
			line.tenant = p.Tenant
		}
		return p, err
	}
}

// knownMethod returns a method that HTTP defines, or "other". A client may send any text as a method.
func knownMethod(method string) string {
	if slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete,
		http.MethodOptions, http.MethodPatch, http.MethodConnect, http.MethodTrace}, method) {
		return method
	}
	return "other"
}
