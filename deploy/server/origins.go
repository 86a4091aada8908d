package server

import (
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"recount/deploy/server/keys"
	"recount/schemas/access"
	"recount/schemas/problem"
)

// origins decides which web pages may use an address. A page of another origin may send nothing that changes
// something, because a browser sends with it what only its user may do. There are two exceptions:
//
//   - Pages of the origins in http.cors may use the whole API, with the key that they hold.
//   - Pages of the origins that a key of scope collect names may send events with it. Such a key is never valid for
//     pages of another origin, whatever else allows these.
//
// A key of scope collect counts here only with its secret, so that nobody finds out its origins by its id. Whether it
// was revoked is checked later, by the guard of the route, which takes the same key from the request.
type origins struct {
	listed     []string
	keys       *keys.Watcher // nil without keys
	sameOrigin *http.CrossOriginProtection
	refused    prometheus.Counter
	logger     *slog.Logger
	logging    sync.Mutex
	loggedAt   time.Time
}

// newOrigins returns the origins of an address. Listed have been checked; watcher may be nil.
func newOrigins(listed []string, watcher *keys.Watcher, logger *slog.Logger) *origins {
	o := &origins{listed: listed, keys: watcher, sameOrigin: http.NewCrossOriginProtection(), logger: logger,
		refused: prometheus.NewCounter(prometheus.CounterOpts{Name: "recount_http_cross_origin_refused_total",
			Help: "Requests that were refused because a web page of an origin that is not allowed sent them."})}
	for _, origin := range listed {
		if err := o.sameOrigin.AddTrustedOrigin(origin); err != nil {
			logger.Error("an origin of http.cors is not used", "error", err)
		}
	}
	return o
}

// over returns a handler that decides, and then calls next.
func (o *origins) over(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.Header["Origin"]) > 1 {
			problem.Write(w, problem.New(http.StatusBadRequest, problem.InvalidRequest,
				"the request has several headers Origin; send the header once"))
			return
		}
		origin := originOf(r)
		collect := o.collect(r)
		allowed := o.sameOrigin.Check(r) == nil
		shared := slices.Contains(o.listed, origin)
		if collect != nil {
			// A mail shows an image, and has no origin. Neither has a sender of webhooks that asks with OPTIONS.
			allowed = collect.AllowsOrigin(origin) || origin == "" && (isRead(r) || r.Method == http.MethodOptions)
			shared = allowed && origin != ""
		}
		if len(o.listed) > 0 || collect != nil {
			w.Header().Add("Vary", "Origin") // Also for other origins: their answers lack the header.
		}
		if shared {
			w.Header().Set("Access-Control-Allow-Origin", origin)
			w.Header().Set("Access-Control-Expose-Headers", exposedHeaders)
		}
		preflight := r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
		switch {
		case preflight && shared:
			answerPreflight(w)
		case preflight || !allowed:
			o.refuse(w, origin)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// collect returns what the request's key may send, if its scope is collect, and else nil.
func (o *origins) collect(r *http.Request) *access.Collect {
	if o.keys == nil {
		return nil
	}
	return o.keys.Collect(r)
}

// originOf returns the origin of the page that sends a request, or nothing. Browsers name it with every request that
// may change something. With an image they name only the page.
func originOf(r *http.Request) string {
	if origin := r.Header.Get("Origin"); origin != "" || !isRead(r) {
		return origin
	}
	page, err := url.Parse(r.Header.Get("Referer"))
	if err != nil || page.Host == "" {
		return ""
	}
	return strings.ToLower(page.Scheme + "://" + page.Host)
}

const (
	// exposedHeaders are those of answers that a page may read.
	exposedHeaders = "ETag, Link, Retry-After, X-Request-Id"
	// preflightAge is for how many seconds a browser keeps the answer to a preflight. Chromium keeps none longer.
	preflightAge = "7200"
)

// answerPreflight allows what the API has. The request itself is checked when it comes.
func answerPreflight(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, DELETE")
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Content-Encoding, Accept, If-Match, "+
		"If-None-Match, Last-Event-ID, X-Request-Id, ce-id, ce-source, ce-type, ce-time, ce-subject, ce-specversion")
	h.Set("Access-Control-Max-Age", preflightAge)
	w.WriteHeader(http.StatusNoContent)
}

// logRefusedEvery is how often refused requests are logged at most: strangers cause them, at any rate.
const logRefusedEvery = 10 * time.Second

func (o *origins) refuse(w http.ResponseWriter, origin string) {
	o.refused.Inc()
	o.logging.Lock()
	due := time.Since(o.loggedAt) >= logRefusedEvery
	if due {
		o.loggedAt = time.Now()
	}
	o.logging.Unlock()
	if due {
		o.logger.Warn("a web page of an origin that is not allowed sent a request; if it should, name its origin in "+
			"http.cors, or in a key of scope collect", "origin", origin[:min(len(origin), 200)])
	}
	problem.Write(w, problem.New(http.StatusForbidden, problem.CrossOrigin,
		"a web page of another origin may not send this request; send it from the server's own origin, or let an "+
			"operator name the page's origin in http.cors, or in the key of scope collect that it sends, and send "+
			"that key whole"))
}

// parseOrigins reads the origins of http.cors, which have commas between them.
func parseOrigins(text string) ([]string, error) {
	var out []string
	var errs []error
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
			errs = append(errs, access.CheckOrigin(part))
		}
	}
	return out, errors.Join(errs...)
}
