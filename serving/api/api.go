package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"recount/schemas/catalog"
	"recount/schemas/openapi"
	"recount/schemas/query"
	"recount/schemas/setting"
	"recount/serving/merge"
	"recount/serving/reader"
)

// Answerer answers queries; *reader.Reader does.
type Answerer interface {
	Answer(ctx context.Context, q *query.Query, tenant string) (*merge.Answer, error)
}

// Publications are the states to show.
type Publications interface {
	reader.Publications
	// Kept returns the numbers of the publications that can be pinned, ascending.
	Kept() []uint64
	// Pinned returns the numbers of those that are kept for ever, ascending.
	Pinned() []uint64
	// Pin keeps publication n for ever: query.ErrNoPublication when there is none yet,
	// query.ErrCollected when it is too late.
	Pin(ctx context.Context, n uint64) error
}

// Check is one reason not to be ready.
type Check struct {
	Name  string
	Check func(ctx context.Context) error
}

// Config bounds what clients may ask at once.
type Config struct {
	MaxConcurrent int           // queries that run at once
	MaxQueued     int           // queries that wait for their turn
	MaxHeld       int64         // bytes of answers that wait for their readers, besides those of running queries
	Timeout       time.Duration // of one query, waiting included
	Fair          bool          // there are several tenants, so none may have all places
}

// perProcessor is how many queries run at once for each processor. Most of them wait for ClickHouse.
const perProcessor = 4

// DefaultConfig returns 4 running and 4 waiting queries for each processor, and 64 MiB for slow readers.
func DefaultConfig() Config {
	concurrent := perProcessor * runtime.NumCPU()
	return Config{MaxConcurrent: concurrent, MaxQueued: concurrent, MaxHeld: 64 << 20, Timeout: query.DefaultTimeout}
}

// Settings lists what an operator may set.
func (c *Config) Settings() []setting.Setting {
	return []setting.Setting{
		setting.Duration("query.timeout", setting.AtLeast(time.Second), "Longest time of one query.", &c.Timeout),
		setting.Count("query.concurrent", "queries", setting.AtLeast(1), "Queries that run at once; as many again "+
			"may wait.", &c.MaxConcurrent, &c.MaxQueued).DefaultIs(fmt.Sprintf("%d for each processor", perProcessor)),
	}
}

// Validate returns an error for each field that is wrong, joined. It says what to write instead.
func (c Config) Validate() error {
	errs := []error{setting.Check(c.Settings())}
	if c.MaxQueued < 0 {
		errs = append(errs, fmt.Errorf("query max_queued %d: use 0 or more", c.MaxQueued))
	}
	if c.MaxHeld < 0 {
		errs = append(errs, fmt.Errorf("query max_held %d: use 0 or more", c.MaxHeld))
	}
	return errors.Join(errs...)
}

// Parts is what the API answers from.
type Parts struct {
	Catalog      *catalog.Catalog
	Answerer     Answerer
	Publications Publications
	DeadLetters  DeadLetters            // nil: there are none here
	Grade        func() *openapi.Scores // the newest; nil, or returns it, where nothing is compared
	// takes one query for a tenant, or says how long it has to wait; nil lets everybody
	Admit      func(tenant string) (wait time.Duration)
	Checks     []Check                                            // of /readyz, besides the publications
	Cap        func(tenant, event, dimension string) *openapi.Cap // nil, or returns it, where nothing is known of one
	Logger     *slog.Logger                                       // nil discards
	Registerer prometheus.Registerer                              // nil registers nothing
}

// API is the HTTP interface. It is safe for concurrent use.
type API struct {
	cfg     Config
	parts   Parts
	gate    *gate
	large   chan struct{} // a token for each large body being read or parsed
	metrics *metrics
	routes  []route
}

// New returns the API.
func New(cfg Config, p Parts) (*API, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if p.Catalog == nil || p.Answerer == nil || p.Publications == nil {
		return nil, errors.New("api: a catalog, an answerer and publications are required")
	}
	if p.Logger == nil {
		p.Logger = slog.New(slog.DiscardHandler)
	}
	g := newGate(cfg)
	a := &API{cfg: cfg, parts: p, gate: g, large: make(chan struct{}, cfg.MaxConcurrent),
		metrics: newMetrics(p.Registerer, g)}
	a.routes = []route{
		{"/v1/query", map[string]handler{http.MethodGet: a.getQuery, http.MethodPost: a.postQuery}},
		{"/v1/views", map[string]handler{http.MethodGet: a.gated(a.listViews)}},
		{"/v1/views/{name}", map[string]handler{http.MethodGet: a.gated(a.getView)}},
		{"/v1/publications", map[string]handler{http.MethodGet: a.gated(a.listPublications)}},
		{"/v1/publications/{n}", map[string]handler{http.MethodGet: a.gated(a.getPublication)}},
		{"/v1/publications/{n}/pin", map[string]handler{http.MethodPut: a.gated(a.pinPublication)}},
		{"/v1/scores", map[string]handler{http.MethodGet: a.gated(a.getScores)}},
		{"/v1/dead-letters", map[string]handler{http.MethodGet: a.gated(a.listLetters)}},
		{"/v1/dead-letters/{name}", map[string]handler{http.MethodGet: a.gated(a.getLetter)}},
		{"/v1/dead-letters/replays", map[string]handler{http.MethodPost: a.gated(a.replayLetters)}},
		{"/healthz", map[string]handler{http.MethodGet: a.healthz}},
		{"/readyz", map[string]handler{http.MethodGet: a.readyz}},
		{"/openapi.json", map[string]handler{http.MethodGet: a.openapi}},
	}
	return a, nil
}
