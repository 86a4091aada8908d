package api

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"recount/schemas/catalog"
	"recount/schemas/eventbatch"
	"recount/schemas/openapi"
	"recount/schemas/record"
	"recount/serving/reader"
)

// Publications are what can be pinned and listed.
type Publications interface {
	reader.Publications
	State() *record.State // the newest known, never nil
	Kept() []uint64
}

// Config bounds queries.
type Config struct {
	Tenant     string        // whose events are asked for
	Timeout    time.Duration // of one query
	Concurrent int           // queries at once; as many again may wait
}

// DefaultConfig lets four queries a core run at once, for 30 seconds.
func DefaultConfig() Config {
	return Config{Tenant: eventbatch.DefaultTenant, Timeout: 30 * time.Second, Concurrent: 4 * runtime.NumCPU()}
}

// Validate names each wrong field and what to write instead.
func (c Config) Validate() error {
	var errs []error
	if c.Tenant == "" {
		errs = append(errs, errors.New("query.tenant: empty"))
	}
	if c.Timeout <= 0 {
		errs = append(errs, fmt.Errorf("query.timeout: %s; use a duration such as 30s", c.Timeout))
	}
	if c.Concurrent < 1 {
		errs = append(errs, fmt.Errorf("query.concurrent: %d; use at least 1", c.Concurrent))
	}
	return errors.Join(errs...)
}

// Options are what the process injects.
type Options struct {
	Ready      func() error // why the process cannot do its work, or nil; nil: it always can
	Now        func() time.Time
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// API answers queries. It is safe for concurrent use.
type API struct {
	cfg      Config
	catalog  *catalog.Catalog
	pubs     Publications
	reader   *reader.Reader
	ready    func() error
	now      func() time.Time
	log      *slog.Logger
	metrics  *metrics
	admitted chan struct{} // one element a query that runs or waits
	running  chan struct{}
}

// New returns an API over a catalog, its publications and the reader of its views.
func New(cfg Config, cat *catalog.Catalog, pubs Publications, r *reader.Reader, o Options) (*API, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	a := &API{cfg: cfg, catalog: cat, pubs: pubs, reader: r, ready: o.Ready, now: o.Now, log: o.Logger,
		admitted: make(chan struct{}, 2*cfg.Concurrent), running: make(chan struct{}, cfg.Concurrent)}
	if a.now == nil {
		a.now = time.Now
	}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	if a.ready == nil {
		a.ready = func() error { return nil }
	}
	a.metrics = newMetrics(o.Registerer, a)
	return a, nil
}

// Handler serves every route of the package; anything else is a problem with status 404.
func (a *API) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/query", a.getQuery)
	mux.HandleFunc("POST /v1/query", a.postQuery)
	mux.HandleFunc("GET /v1/views", a.listViews)
	mux.HandleFunc("GET /v1/views/{name}", a.showView)
	mux.HandleFunc("GET /v1/publications", a.listPublications)
	mux.HandleFunc("GET /v1/publications/{n}", a.showPublication)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /readyz", a.readyz)
	mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(openapi.Document)
	})
	mux.HandleFunc("/", notFound)
	return mux
}

func (a *API) readyz(w http.ResponseWriter, _ *http.Request) {
	if err := a.ready(); err != nil {
		writeProblem(w, &problem{Status: http.StatusServiceUnavailable, Code: "not_ready", Detail: err.Error()})
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"status": "ready"})
}
