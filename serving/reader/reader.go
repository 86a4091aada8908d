package reader

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"recount/schemas/catalog"
	"recount/schemas/failpoint"
	"recount/schemas/position"
	"recount/schemas/query"
	"recount/schemas/record"
	"recount/serving/batchview"
	"recount/serving/merge"
)

// Publications gives the states to pin. Both methods must be cheap enough for every query, so
// implementations keep the newest state in memory.
type Publications interface {
	// Newest returns the newest publication, or the empty state before the first.
	Newest(ctx context.Context) (*record.State, error)
	// StateAt returns publication n. It returns query.ErrNoPublication if there is none yet, and
	// query.ErrCollected if it is no longer kept.
	StateAt(ctx context.Context, n uint64) (*record.State, error)
}

// RealtimeViews answers for the messages from a cut on. The answers of each partition are of one moment.
type RealtimeViews interface {
	// ScanAll returns a result for each scan: query.ErrViewNotReady if it has no state for the view's definition (S5).
	// A partition that no longer reaches back to the cut (S4) refuses it, and the others answer.
	ScanAll(ctx context.Context, scans []*query.Scan, cut []position.Offset) []query.LiveResult
}

// BatchViews answers for everything below a publication's cut.
type BatchViews interface {
	// Scan returns query.ErrCollected if rows that the state pins are missing or changed (Q3).
	Scan(ctx context.Context, state *record.State, scan *query.Scan, opts batchview.Options) (*query.Part, error)
}

// MaxRestarts is how often a query starts again from Q1 (Q2).
const MaxRestarts = 3

var (
	// ErrNotPublished means that the publication has no batch view for the view's present definition.
	ErrNotPublished = errors.New("the view is not in the publication yet; the next recompute fills it, and mode " +
		"live answers now")
	// ErrNotInPublication means that the publication of as_of does not have the view.
	ErrNotInPublication = errors.New("the publication does not have the view, because the view was declared later or " +
		"had been removed; GET /v1/publications/{n} lists the views of a publication")
	// ErrRestarts means that pinned rows were missing more than MaxRestarts times in sequence.
	ErrRestarts = errors.New("publications were collected faster than the query could read them; try again")
	// ErrLost means that rows of a kept publication are missing or changed. recount verify says which (V6).
	ErrLost = errors.New("rows of the publication are missing in ClickHouse, or are not those that were published. " +
		"The next recompute writes the rows of the newest publication again; an earlier one stays unanswerable. If " +
		"this repeats, run recount verify and look for what changes ClickHouse's tables")
	// ErrBatch means that the batch layer failed. The batch layer's error is wrapped too.
	ErrBatch = errors.New("the batch view cannot be read")
	// ErrLive means that the query has mode live and the speed layer cannot answer.
	ErrLive = errors.New("the real-time view cannot be read")
	// ErrMissing means that a later publication is known to have existed, whose record is missing. An answer from an
	// earlier one would be smaller than one before, without a sign (Q5).
	ErrMissing = errors.New("records of publications are missing in the object store, so an answer would be older " +
		"than one before; /readyz says which, and what the operator can do")
	// ErrPublications means that the publication chain cannot be read.
	ErrPublications = errors.New("publications cannot be read")
)

// Config is what a reader needs.
type Config struct {
	Catalog      catalog.Source
	Publications Publications
	Batch        BatchViews
	// Definition returns a catalog with the definition that a view had under a digest, or
	// query.ErrNoDefinition. It may be nil if every publication has the declared definitions. It must be cheap
	// enough for every query.
	Definition func(ctx context.Context, view, digest string) (*catalog.Catalog, error)
	// Live may be nil, which makes all partitions stale.
	Live RealtimeViews
	// Reach returns where the real-time views would end in an answer to a scan from a cut on: a live part without
	// rows. It must be cheap, because waiting queries ask for it again and again. Its errors are those of Live.Scan. It
	// may be nil, and queries of live parts then wait for nothing.
	Reach func(scan *query.Scan, cut []position.Offset) (*query.LivePart, error)
	// Known returns, for each partition, the sequence before which every message is known to be in the
	// log, such as those that this process has acknowledged. An answer that ends earlier says so (Q6).
	// It may be nil.
	Known func() []uint64
	// Memory is what all queries together may hold. It may be nil, which means no limit.
	Memory *query.Budget
	// CacheBytes is how much memory parts of the batch layer may take that are kept for the same question. With 0,
	// none is kept.
	CacheBytes int64
	// Objects lists the objects with events of a type before H of a publication, in buckets that [from, to) touches, in
	// microseconds since 1970. It may be nil, and explanations then name none.
	Objects func(ctx context.Context, state *record.State, eventType string, from, to int64) (*query.ObjectList, error)
	// OnGone is called when rows of the newest publication are missing or changed, so that they can be
	// written again. It may be nil.
	OnGone func()
	// Now may be nil, which means time.Now.
	Now func() time.Time
	// Logger may be nil, which discards log lines.
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Validate says what is missing.
func (c Config) Validate() error {
	if c.Catalog == nil || c.Publications == nil || c.Batch == nil {
		return errors.New("reader: a catalog, publications and batch views are required")
	}
	return nil
}

// Reader answers queries. It is safe for concurrent use.
type Reader struct {
	Config
	metrics *metrics
	cache   *cache
	// comparedRows is the constant, unless a test changes it.
	comparedRows int64
}

// New returns a reader.
func New(c Config) (*Reader, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return &Reader{c, newMetrics(c.Registerer, c.Memory), newCache(c.CacheBytes, c.Registerer), maxComparedRows}, nil
}

// Answer answers a query of a tenant. It sets the query's empty fields to their defaults. The caller must
// close the answer.
//
// The errors are: *query.Error; query.ErrNoPublication, query.ErrCollected, query.ErrNoDefinition and
// ErrNotInPublication (for as_of); *query.ShortError and *query.StaleError (for min_through and max_staleness);
// ErrNotPublished, ErrRestarts, ErrLost, ErrBatch, ErrLive, ErrMissing and
// ErrPublications; *batchview.LimitError and *merge.FillError; query.ErrMemoryBusy and *query.TooMuchMemoryError; and
// the context's error.
func (r *Reader) Answer(ctx context.Context, q *query.Query, tenant string) (*merge.Answer, error) {
	answers, err := r.AnswerAll(ctx, []*query.Query{q}, tenant)
	if err != nil {
		return nil, err
	}
	result := answers.Results[0]
	if result.Err != nil {
		answers.Close()
		return nil, result.Err
	}
	result.Answer.Memory = answers.memory
	return result.Answer, nil
}

// definition returns the catalog with the definition that a publication has of the query's view (G5). So the batch part
// of an answer and its live part have one definition while a changed view spreads. The declared definition answers
// where the publication has none, and in mode live. With as_of all modes have that of the publication, so an answer of
// mode merged is one of mode exact and one of mode live together.
func (r *Reader) definition(ctx context.Context, q *query.Query, state *record.State) (*catalog.Catalog, error) {
	newest := r.Catalog.Catalog()
	if q.Mode == query.Live && q.AsOf == nil || r.Definition == nil {
		return newest, nil
	}
	published, found := state.Views[q.View]
	declared := newest.Views[q.View]
	switch {
	case declared == nil && (!found || q.AsOf == nil), !found && q.AsOf == nil,
		found && declared != nil && newest.Names(declared, published.Digest):
		return newest, nil
	case !found:
		return nil, fmt.Errorf("view %s, publication %d: %w", q.View, state.N, ErrNotInPublication)
	}
	c, err := r.Definition(ctx, q.View, published.Digest)
	noDefinition := errors.Is(err, query.ErrNoDefinition)
	switch {
	case noDefinition && q.AsOf == nil:
		return newest, nil // A program from before definitions were stored has published it: it is not published yet.
	case err != nil && !noDefinition:
		return nil, fmt.Errorf("%w: %w", ErrPublications, err)
	}
	return c, err
}

// restart returns nil if an attempt that failed with err may be made again, and what to answer otherwise. missing is
// the publication whose rows were missing or changed in the last attempt, and ofNewest says that the newest one was
// pinned.
func (r *Reader) restart(view string, err error, missing *uint64, ofNewest bool) error {
	var gone *goneError
	switch {
	case errors.Is(err, errOutdated):
		r.metrics.restarts.WithLabelValues("pin_expired").Inc()
	case errors.As(err, &gone):
		r.metrics.restarts.WithLabelValues("collected").Inc()
		r.Logger.Warn("ClickHouse does not have the pinned rows", "view", view, "error", err)
		if r.OnGone != nil && ofNewest {
			r.OnGone()
		}
		if gone.n == *missing { // It is still the publication to answer from, so it was not collected.
			return fmt.Errorf("publication %d: %w", gone.n, ErrLost)
		}
		*missing = gone.n
	default:
		return err
	}
	return nil
}

// goneError says that pinned rows are missing. If they were collected, a restart finds a newer
// publication. If they were lost, it finds the same publication.
type goneError struct {
	n   uint64
	err error
}

func (e *goneError) Error() string { return fmt.Sprintf("publication %d: %v", e.n, e.err) }

// known returns what an answer must reach to be complete: the known end of the log, and H of the newest
// publication. A query with as_of may pin an earlier one and get less than an answer before it. Mode exact
// asks for the publication alone.
func (r *Reader) known(ctx context.Context, q *query.Query) []uint64 {
	if r.Known == nil || q.Mode == query.Exact || failpoint.Off(failpoint.Q6) {
		return nil
	}
	known := r.Known()
	newest, err := r.Publications.Newest(ctx)
	if err != nil {
		return known // This process has read no publication, so no answer before this one reached further.
	}
	for p := range min(len(known), len(newest.H)) {
		known[p] = max(known[p], newest.H[p].Seq)
	}
	return known
}

// pin returns one publication for the whole query (Q1).
func (r *Reader) pin(ctx context.Context, q *query.Query) (*record.State, error) {
	var state *record.State
	var err error
	if q.AsOf == nil {
		state, err = r.Publications.Newest(ctx)
	} else {
		state, err = r.Publications.StateAt(ctx, *q.AsOf)
	}
	if errors.Is(err, record.ErrMissing) {
		return nil, fmt.Errorf("pin publication: %w: %w", ErrMissing, err)
	}
	if err != nil && (errors.Is(err, query.ErrNoPublication) || errors.Is(err, query.ErrCollected)) {
		return nil, fmt.Errorf("pin publication: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("pin publication: %w: %w", ErrPublications, err)
	}
	return state, nil
}

// errOutdated means that a partition no longer reaches back to the pin, and that there is a newer publication.
var errOutdated = errors.New("the pinned publication has expired")

// isOutdated reports whether a partition has expired the pin and a newer publication would help. Without a newer one,
// the partition has lost what it had read: another owner sealed its epoch, or an operator gave up messages.
func (r *Reader) isOutdated(ctx context.Context, state *record.State, part *query.LivePart) bool {
	expired := slices.ContainsFunc(part.Refused, func(f query.Refusal) bool {
		return errors.Is(f.Err, query.ErrPinExpired)
	})
	if !expired {
		return false
	}
	newest, err := r.Publications.Newest(ctx)
	return err == nil && newest.N > state.N
}

// reportRefused logs and counts an answer without the live part of some partitions. That they have expired an early
// publication, which the query names, is no trouble of the server.
func (r *Reader) reportRefused(q *query.Query, scan *query.Scan, part *query.LivePart) {
	for _, f := range part.Refused {
		if q.AsOf != nil && errors.Is(f.Err, query.ErrPinExpired) {
			continue
		}
		r.Logger.Warn("a query is answered without the real-time views of a partition", "view", scan.View.Name,
			"partition", f.Partition, "error", f.Err)
	}
	if len(part.Refused) > 0 {
		r.metrics.stale.Inc()
	}
}

// isMemory reports whether a layer is well and the query found no memory.
func isMemory(err error) bool {
	var tooMuch *query.TooMuchMemoryError
	return errors.Is(err, query.ErrMemoryBusy) || errors.As(err, &tooMuch)
}

// checkLive refuses a part that does not begin at H. Such a part would count messages twice, and
// nothing would show it.
func checkLive(l *query.LivePart, cut []position.Offset) error {
	if failpoint.Off(failpoint.Q2) {
		return nil
	}
	if len(l.Through) != len(cut) {
		return fmt.Errorf("real-time view: %d partitions answered, the publication has %d", len(l.Through), len(cut))
	}
	for _, f := range l.Refused {
		if !slices.Contains(l.Stale, f.Partition) {
			return fmt.Errorf("real-time view: partition %d refuses the cut and is not stale: %w", f.Partition, f.Err)
		}
	}
	for p, s := range l.Through {
		if s.Seq < cut[p].Seq || slices.Contains(l.Stale, p) && s.Seq != cut[p].Seq {
			return fmt.Errorf("real-time view: partition %d answers through %d, the cut is %d", p, s.Seq, cut[p].Seq)
		}
	}
	return nil
}

// batch asks the batch layer for the pinned rows (Q3).
func (r *Reader) batch(ctx context.Context, q *query.Query, scan *query.Scan, state *record.State,
	live *query.Part, e *query.Explanation) (*query.Part, error) {
	if q.Mode == query.Live || state.N == 0 {
		return nil, nil
	}
	defer r.time("batch", e)()
	sketches := SketchWindows(scan, live)
	key := ""
	if r.cache != nil {
		key = partKey(state, scan, sketches)
	}
	if part, err := r.cache.find(ctx, key, scan); part != nil {
		r.explainBatch(e, state, scan, part, true)
		return part, err
	}
	part, err := r.Batch.Scan(ctx, state, scan, batchview.Options{Sketches: sketches})
	if err == nil {
		r.cache.keep(key, part)
		r.explainBatch(e, state, scan, part, false)
		return part, nil
	}
	if err = batchError(state, err); errors.Is(err, ErrBatch) && failpoint.Off(failpoint.Q5) {
		return nil, nil
	}
	return nil, err
}

// SketchWindows returns the windows in which the speed layer has values of distinct measures.
func SketchWindows(scan *query.Scan, live *query.Part) []int32 {
	var out []int32
	for j, m := range scan.Measures {
		if m.Kind != catalog.Distinct || live == nil {
			continue
		}
		for i, a := range live.Measures[j] {
			if a.Sketch != nil && a.Sketch.Estimate() > 0 {
				out = append(out, live.Windows[i])
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
