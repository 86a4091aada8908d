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

	"recount/schemas/access"
	"recount/schemas/catalog"
	"recount/schemas/openapi"
	"recount/schemas/query"
	"recount/schemas/record"
	"recount/schemas/setting"
	"recount/serving/merge"
	"recount/serving/reader"
	"recount/serving/stream"
)

// Answerer answers queries. *reader.Reader implements it.
type Answerer interface {
	// Await waits for what the query's min_through and max_staleness ask for, at most so long.
	Await(ctx context.Context, q *query.Query, tenant string, patience time.Duration) error
	Answer(ctx context.Context, q *query.Query, tenant string) (*merge.Answer, error)
	// Identity names all that an answer is a function of (merge.Answer), without answering.
	Identity(ctx context.Context, q *query.Query, tenant string) (string, error)
	AnswerAll(ctx context.Context, queries []*query.Query, tenant string) (*reader.Answers, error)
	// Standing names what an answer is a function of now, without answering, or is empty.
	Standing(ctx context.Context, q *query.Query, tenant string) (string, error)
}

// Publications gives the publications to show and to pin.
type Publications interface {
	reader.Publications
	// Kept returns the numbers of the publications that can be pinned, ascending.
	Kept() []uint64
	// Pinned returns the numbers of the publications that are kept for ever, ascending.
	Pinned() []uint64
	// Objects returns the objects of an event type that count in a publication.
	Objects(ctx context.Context, s *record.State, eventType string) ([]*record.Object, error)
	// Pin keeps publication n for ever. It returns query.ErrNoPublication if there is none yet, and
	// query.ErrCollected if it is no longer kept.
	Pin(ctx context.Context, n uint64) error
}

// Check is a condition of readiness. An error says why the process is not ready.
type Check struct {
	Name  string
	Check func(ctx context.Context) error
}

// Config bounds what clients may ask at the same time.
type Config struct {
	// MaxConcurrent is how many queries may run.
	MaxConcurrent int
	// MaxQueued is how many queries may wait for their turn.
	MaxQueued int
	// Memory is how many bytes all queries may hold together while they run.
	Memory int64
	// Cache is how many bytes of parts of publications are kept for the same question.
	Cache int64
	// MaxHeld is how many bytes of finished answers may wait for slow clients.
	MaxHeld int64
	// Timeout is how long one query may take, including its wait.
	Timeout time.Duration
	// Fair says that there are several tenants. No tenant may then have all places.
	Fair bool
	// Stream bounds streams.
	Stream stream.Config
}

// perProcessor is how many queries run at once for each processor. Most of them wait for ClickHouse.
// More than maxByDefault would not make ClickHouse faster.
const (
	perProcessor = 4
	maxByDefault = 32
)

// DefaultConfig allows 4 running and 4 waiting queries for each processor, but at most 32 of each, and
// 64 MiB for slow clients.
func DefaultConfig() Config {
	concurrent := min(perProcessor*runtime.NumCPU(), maxByDefault)
	return Config{MaxConcurrent: concurrent, MaxQueued: concurrent, Memory: 2 << 30, MaxHeld: 64 << 20,
		Timeout: query.DefaultTimeout, Stream: stream.DefaultConfig()}
}

// Budget returns the memory of all queries. A query waits for memory for less than its time, so that the
// answer is 429 and not 504.
func (c Config) Budget() *query.Budget {
	return query.NewBudget(c.Memory, c.Timeout/2, c.Fair)
}

// Settings lists what an operator may set.
func (c *Config) Settings() []setting.Setting {
	return append([]setting.Setting{
		setting.Duration("query.timeout", setting.AtLeast(time.Second), "Longest time of one query.", &c.Timeout),
		setting.Count("query.concurrent", "queries", setting.AtLeast(1), "Queries that run at once; as many again "+
			"may wait.", &c.MaxConcurrent, &c.MaxQueued).
			DefaultIs(fmt.Sprintf("%d for each processor, but at most %d", perProcessor, maxByDefault)),
		setting.Size("query.memory", setting.AtLeast(64<<20), "Largest memory of all queries together, with what they "+
			"use in ClickHouse; a query that finds none for half of query.timeout is answered 429.", &c.Memory),
		setting.Size("query.cache", setting.AtLeast(0).OrZero("no cache"), "Memory, beside query.memory, for what "+
			"ClickHouse has answered of a publication; the same question is then answered without ClickHouse, also "+
			"when its rows were lost meanwhile.", &c.Cache),
	}, c.Stream.Settings()...)
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
	Catalog      catalog.Source
	Answerer     Answerer
	Publications Publications
	Declarations Declarations
	// Changes may be nil. Requests for changes are then refused.
	Changes Changes
	// DeadLetters may be nil. Requests for dead letters are then refused.
	DeadLetters DeadLetters
	// Events may be nil. Requests to list and to explain events are then refused.
	Events Events
	// Ingest accepts events. It may be nil. They are then refused.
	Ingest http.Handler
	// SQL may be nil. Statements are then refused, and NoSQL says why and what to set.
	SQL   SQL
	NoSQL string
	// Grade returns the newest grade, or nil if there is none. It may be nil.
	Grade func() *openapi.Scores
	// MinThrough sets Next of what a query waits for. It returns a *query.Error for what no answer will ever cover. If
	// it is nil, such queries are refused.
	MinThrough func(ctx context.Context, m *query.MinThrough) error
	// Admit counts queries of a tenant against its rate. If the rate is used up, it returns how
	// long to wait instead. A nil Admit allows any rate.
	Admit func(tenant string, queries int) (wait time.Duration)
	// OnRequest says that recompute has no schedule, so no client should wait for the next one.
	OnRequest bool
	// Checks are the checks of /readyz, besides the publications.
	Checks []Check
	// NeedsRestart returns why only a restart of the process helps, or nil. It may be nil.
	NeedsRestart func() error
	// Version is that of the program.
	Version string
	// Authenticate returns who sends a request now. A stream asks again and again, and ends when the key of its request
	// is no longer valid. If it is nil, streams do not ask.
	Authenticate func(*http.Request) (access.Principal, error)
	// Cap returns the cap of a dimension, or nil if it has none or none is known. It may be nil.
	Cap func(tenant, event, dimension string) *openapi.Cap
	// Now may be nil, which means time.Now. Times such as today are those of Now.
	Now func() time.Time
	// Logger may be nil, which discards log lines.
	Logger *slog.Logger
	// Registerer may be nil, which registers no metrics.
	Registerer prometheus.Registerer
}

// API is the HTTP interface. It is safe for concurrent use.
type API struct {
	cfg   Config
	parts Parts
	gate  *gate
	lobby *lobby
	hub   *stream.Hub
	// large has a token for each large body that is being read or parsed.
	large   chan struct{}
	codings []*coding
	metrics *metrics
	routes  []route
}

// New returns the API.
func New(cfg Config, p Parts) (*API, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if p.Catalog == nil || p.Answerer == nil || p.Publications == nil || p.Declarations == nil {
		return nil, errors.New("api: a catalog, an answerer, publications and declarations are required")
	}
	if p.Now == nil {
		p.Now = time.Now
	}
	if p.Logger == nil {
		p.Logger = slog.New(slog.DiscardHandler)
	}
	g := newGate(cfg)
	a := &API{cfg: cfg, parts: p, gate: g, large: make(chan struct{}, cfg.MaxConcurrent),
		codings: newCodings(), lobby: newLobby(cfg.Fair)}
	a.metrics = newMetrics(p.Registerer, g, a.lobby)
	cfg.Stream.Fair = cfg.Fair
	a.hub = stream.New(cfg.Stream, p.Registerer)
	a.routes = []route{
		{"/v1/query", map[string]handler{http.MethodGet: a.getQuery, http.MethodPost: a.postQuery}},
		{"/v1/queries", map[string]handler{http.MethodPost: a.postQueries}},
		{"/v1/stream", map[string]handler{http.MethodGet: a.getStream}},
		{"/v1/changes", map[string]handler{http.MethodGet: a.getChanges}},
		{"/v1/sql", map[string]handler{http.MethodPost: a.postSQL}},
		{"/v1/views", map[string]handler{http.MethodGet: a.gated(a.listViews)}},
		{"/v1/views/{name}", map[string]handler{http.MethodGet: a.gated(a.getView),
			http.MethodPut: a.putDeclaration(views), http.MethodDelete: a.remove(views)}},
		{"/v1/event-types", map[string]handler{http.MethodGet: a.gated(a.listEventTypes)}},
		{"/v1/event-types/{name}", map[string]handler{http.MethodGet: a.gated(a.getEventType),
			http.MethodPut: a.putDeclaration(eventTypes), http.MethodDelete: a.remove(eventTypes)}},
		{"/v1/catalog", map[string]handler{http.MethodGet: a.gated(a.getCatalog),
			http.MethodPut: a.putCatalog}},
		{"/v1/publications", map[string]handler{http.MethodGet: a.gated(a.listPublications)}},
		{"/v1/publications/{n}", map[string]handler{http.MethodGet: a.gated(a.getPublication)}},
		{"/v1/publications/{n}/pin", map[string]handler{http.MethodPut: a.gated(a.pinPublication)}},
		{"/v1/scores", map[string]handler{http.MethodGet: a.gated(a.getScores)}},
		{"/v1/dead-letters", map[string]handler{http.MethodGet: a.gated(a.listDeadLetters)}},
		{"/v1/dead-letters/{name}", map[string]handler{http.MethodGet: a.gated(a.getDeadLetter)}},
		{"/v1/dead-letters/replays", map[string]handler{http.MethodPost: a.gated(a.replayDeadLetters)}},
		{"/v1/events", map[string]handler{http.MethodGet: a.gated(a.listEvents), http.MethodPost: a.sendEvents}},
		{"/v1/events/{id}", map[string]handler{http.MethodGet: a.gated(a.getEvent)}},
		{"/v1/receipts/{receipt}", map[string]handler{http.MethodGet: a.gated(a.getReceipt)}},
		{"/healthz", map[string]handler{http.MethodGet: a.healthz}},
		{"/readyz", map[string]handler{http.MethodGet: a.readyz}},
		{"/openapi.json", map[string]handler{http.MethodGet: a.openapi}},
	}
	return a, nil
}
