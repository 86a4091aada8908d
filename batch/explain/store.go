package explain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"recount/batch/exact"
	"recount/schemas/catalog"
	"recount/schemas/deadletter"
	"recount/schemas/eventbatch"
	"recount/schemas/openapi"
	"recount/schemas/record"
)

// Log is the part of the event log that an explanation needs.
type Log interface {
	// Bounds returns the first message of a partition, and the next one that it will have.
	Bounds(ctx context.Context, partition int) (first, next uint64, err error)
	// Read returns the messages from a sequence on.
	Read(ctx context.Context, partition int, from uint64) (eventbatch.Reader, error)
	// Get returns a message, and when the log stored it.
	Get(ctx context.Context, partition int, seq uint64) (frame []byte, stored time.Time, err error)
}

// Config describes a Store.
type Config struct {
	Catalog  catalog.Source
	Identity eventbatch.Identity
	Chains   func(context.Context) ([]*record.Chain, error) // reads the commit chains, as publish.Chains does
	Open     exact.Open                                     // opens an object for reads of ranges
	Records  record.CommitLog                               // has the retirements
	Log      Log
	// Newest returns the newest publication, or why its record cannot be read.
	Newest func(context.Context) (*record.State, error)
	// DeadLetters lists the dead letters of a tenant that have landed.
	DeadLetters func(ctx context.Context, tenant string, f deadletter.Filter) (deadletter.Page, error)
	Registerer  prometheus.Registerer // for the metrics of lists; nil for none
}

// searchesAtOnce bounds the explanations that run at the same time.
const searchesAtOnce = 2

// ErrBusy says that as many explanations run as may run at once.
var ErrBusy = errors.New("too many events are being explained; try again after Retry-After")

// Store lists and explains events. It is safe for concurrent use.
type Store struct {
	cfg      Config
	searches chan struct{}
	pages    pageLimits
	metrics  *metrics
	pageTime pageTime
}

// New returns a store.
func New(cfg Config) (*Store, error) {
	m, err := newMetrics(cfg.Registerer)
	if err != nil {
		return nil, fmt.Errorf("new store of events: %w", err)
	}
	return &Store{cfg: cfg, searches: make(chan struct{}, searchesAtOnce), pages: defaultPageLimits, metrics: m,
		pageTime: untilDeadline}, nil
}

// Question names an event of a tenant.
type Question struct {
	Tenant, Source, ID string
	// Time is about when the event happened: only its bucket and the two beside it are searched. Zero searches all.
	Time time.Time
}

const (
	maxEvents  = 50 // events of an answer
	maxLetters = 10 // dead letters of an answer
)

// Explain returns what became of the event. It is no error if there is none. It does not wait for other explanations
// but returns ErrBusy, because its caller has a place among the queries while it waits.
func (s *Store) Explain(ctx context.Context, q Question) (*openapi.Explanation, error) {
	began := time.Now()
	select {
	case s.searches <- struct{}{}:
		defer func() { <-s.searches }()
	default:
		return nil, ErrBusy
	}
	state, err := s.cfg.Newest(ctx)
	if err != nil {
		return nil, fmt.Errorf("explain an event: %w", err)
	}
	e := &search{Store: s, Question: q, key: s.cfg.Identity.Key(q.Tenant, q.Source, q.ID), state: state,
		declared: s.cfg.Catalog.Catalog()}
	if err := e.run(ctx); err != nil {
		return nil, fmt.Errorf("explain an event: %w", err)
	}
	e.answer.Search.Milliseconds = float64(time.Since(began).Microseconds()) / 1000
	return &e.answer, nil
}

// search is one call of Explain.
type search struct {
	*Store
	Question
	key   eventbatch.Key
	state *record.State
	// declared is the catalog of the whole search.
	declared *catalog.Catalog
	chains   []*record.Chain

	recomputed int64 // rows of buckets that were computed again; only judge uses it

	mu     sync.Mutex // guards the fields below while the parts of the search run
	answer openapi.Explanation
	found  []*event
}

func (e *search) run(ctx context.Context) (err error) {
	if e.chains, err = e.cfg.Chains(ctx); err != nil {
		return fmt.Errorf("read commit chains: %w", err)
	}
	partition := e.key.Partition(len(e.chains))
	e.answer = openapi.Explanation{ID: e.ID, Source: e.Source, Partition: partition, Publication: e.state.N,
		Events: []openapi.ExplainedEvent{}, DeadLetters: []deadletter.Letter{},
		Search: openapi.ExplainedScope{Missing: []string{}, GivenUp: []openapi.GivenUp{}}}
	if !e.Time.IsZero() {
		e.answer.Search.Missing = append(e.answer.Search.Missing,
			"buckets that neither hold the time nor lie beside it")
	}
	for _, h := range e.chains[partition].Holes {
		e.answer.Search.GivenUp = append(e.answer.Search.GivenUp,
			openapi.GivenUp{Partition: partition, From: h.Start, To: h.End})
	}
	g, searchCtx := errgroup.WithContext(ctx)
	g.Go(func() error { return e.searchLake(searchCtx, e.chains[partition]) })
	for p := range e.chains {
		g.Go(func() error { return e.searchLog(searchCtx, p, p == partition) })
	}
	g.Go(func() error { return e.searchDeadLetters(searchCtx) })
	if err := g.Wait(); err != nil {
		return err
	}
	slices.Sort(e.answer.Search.Missing)
	e.answer.Search.Complete = len(e.answer.Search.Missing) == 0
	e.answer.DeadLetters = newestLetters(e.answer.DeadLetters)
	return e.judge(ctx)
}

// miss notes what was not searched.
func (e *search) miss(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.answer.Search.Missing = append(e.answer.Search.Missing, fmt.Sprintf(format, args...))
}

// add adds an event that was found, and drops the one at the highest position if there are too many. Events at lower
// positions decide which one counts (B2, I3), so what is said of those that stay is right.
func (e *search) add(x *event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	at, _ := slices.BinarySearchFunc(e.found, x, compareEvents)
	e.found = slices.Insert(e.found, at, x)
	if len(e.found) > maxEvents {
		e.found = e.found[:maxEvents]
		e.answer.More++
	}
}

// compareEvents orders by position.
func compareEvents(a, b *event) int {
	return cmp.Or(cmp.Compare(a.position.Sequence, b.position.Sequence),
		cmp.Compare(a.position.Index, b.position.Index))
}

// searchDeadLetters finds rejections that have landed.
func (e *search) searchDeadLetters(ctx context.Context) error {
	page, err := e.cfg.DeadLetters(ctx, e.Tenant,
		deadletter.Filter{EventID: e.ID, Source: &e.Source, Limit: maxLetters})
	if err != nil {
		return err
	}
	if page.Cursor != "" && len(page.Letters) < maxLetters {
		e.miss("dead letters before %s", page.Cursor)
	}
	e.addLetters(page.Letters...)
	return nil
}

// addLetters adds dead letters, and drops the oldest if there are far too many.
func (e *search) addLetters(letters ...deadletter.Letter) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.answer.DeadLetters = append(e.answer.DeadLetters, letters...)
	if len(e.answer.DeadLetters) > 2*maxLetters {
		e.answer.DeadLetters = newestLetters(e.answer.DeadLetters)
	}
}

// newestLetters returns the dead letters of an answer, the newest first. A letter that lands during the search is found
// both in the log and in the lake, and is listed once.
func newestLetters(letters []deadletter.Letter) []deadletter.Letter {
	slices.SortFunc(letters, func(a, b deadletter.Letter) int {
		return cmp.Or(b.Received.Compare(a.Received), cmp.Compare(a.Name, b.Name))
	})
	letters = slices.CompactFunc(letters, func(a, b deadletter.Letter) bool { return a.Name == b.Name })
	return slices.Clip(letters[:min(len(letters), maxLetters)])
}
