package reader

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"recount/schemas/failpoint"
	"recount/schemas/query"
	"recount/schemas/record"
	"recount/serving/batchview"
	"recount/serving/merge"
)

// Answers are those of several queries, from one publication. The live parts are of one moment of each partition.
type Answers struct {
	Results []Result
	memory  *query.Share // what all answers hold together
}

// Close gives back the memory that the answers hold.
func (a *Answers) Close() { a.memory.Close() }

// Result is the answer to one of several queries, or why it has none.
type Result struct {
	Answer *merge.Answer
	Err    error
}

// AnswerAll answers several queries of a tenant from one publication, which is the newest or the one that the first
// query names with as_of: all queries must have the same. It sets their empty fields to their defaults. The caller must
// close the answers.
//
// A result has an error that is about its query alone: *query.Error, query.ErrNoDefinition, ErrNotInPublication,
// ErrNotPublished, *batchview.LimitError, *merge.FillError, *query.ShortError or *query.StaleError. After any
// other error of Answer no query has an answer.
func (r *Reader) AnswerAll(ctx context.Context, queries []*query.Query, tenant string) (*Answers, error) {
	var asked []query.Query
	var names []string
	for _, q := range queries {
		if err := q.Continue(tenant); err != nil {
			return nil, err
		}
		asked = append(asked, *q)
		names = append(names, q.View)
	}
	memory := r.Memory.Open(tenant)
	var missing uint64 // the publication whose rows were missing or changed in the last attempt
	for restarts := range 1 + MaxRestarts {
		for i := range asked {
			*queries[i] = asked[i] // The attempt before has resolved it by another publication.
		}
		a := &attempt{reader: r, tenant: tenant, memory: memory, number: 1 + restarts}
		err := a.run(ctx, queries)
		switch {
		case ctx.Err() != nil:
			err = context.Cause(ctx)
		case err == nil:
			return &Answers{a.results(), memory}, nil
		default:
			err = r.restart(strings.Join(names, ", "), err, &missing, queries[0].AsOf == nil)
		}
		memory.Close() // What an attempt holds is given back before the next.
		if err != nil {
			return nil, err
		}
	}
	return nil, ErrRestarts
}

// attempt goes once from Q1 to Q4.
type attempt struct {
	reader *Reader
	tenant string
	memory *query.Share
	number int
	// last says that there is no other attempt. Partitions that do not reach back to the pin are then left out of
	// the live part. This is their state after a sealed epoch, until the next publication.
	last      bool
	state     *record.State
	inquiries []*inquiry
}

// inquiry is one query of an attempt.
type inquiry struct {
	asked       *query.Query // perhaps without from or to
	query       *query.Query // with the ends of the data in place of them
	scan        *query.Scan
	explanation *query.Explanation
	known       []uint64 // what the answer must reach to be complete
	short       bool     // the search for the ends of the data lacked something
	live        *query.LivePart
	earlier     *inquiry // the range that the query compares with, or nil
	result      Result
}

func (a *attempt) results() []Result {
	var out []Result
	for _, i := range a.inquiries {
		out = append(out, i.result)
	}
	return out
}

func (a *attempt) run(ctx context.Context, queries []*query.Query) error {
	for _, q := range queries {
		a.inquiries = append(a.inquiries, &inquiry{asked: q, explanation: newExplanation(q, a.number)})
	}
	if err := a.pin(ctx); err != nil {
		return err
	}
	// A query with as_of has one attempt, because a restart would pin the same publication.
	a.last = a.number > MaxRestarts || queries[0].AsOf != nil
	if err := a.each(func(i *inquiry) error { return a.prepare(ctx, i) }); err != nil {
		return err
	}
	if err := a.reader.askLive(ctx, withEarlier(a.open()), a.state, a.last); err != nil {
		return err
	}
	isFresh := func(i *inquiry) error { return a.reader.checkFresh(i.query, i.scan, a.state, i.live) }
	if err := a.each(isFresh); err != nil {
		return err
	}
	if failpoint.Off(failpoint.Q1) {
		if err := a.pin(ctx); err != nil {
			return err
		}
	}
	return a.each(func(i *inquiry) error { return a.finish(ctx, i) })
}

// pin chooses the publication for all queries (Q1).
func (a *attempt) pin(ctx context.Context) error {
	began := time.Now()
	state, err := a.reader.pin(ctx, a.inquiries[0].asked)
	a.state = state
	for _, i := range a.inquiries {
		i.explanation.Time("publication", time.Since(began))
	}
	return err
}

// open returns the inquiries that may still get an answer.
func (a *attempt) open() []*inquiry {
	return slices.DeleteFunc(slices.Clone(a.inquiries), func(i *inquiry) bool { return i.result.Err != nil })
}

// each takes a step with each open inquiry. An error that is about one query ends its inquiry, and any other one ends
// the attempt.
func (a *attempt) each(step func(*inquiry) error) error {
	for _, i := range a.open() {
		if i.result.Err = step(i); i.result.Err != nil && !isAboutQuery(i.result.Err) {
			return i.result.Err
		}
	}
	return nil
}

// isAboutQuery reports whether an error says nothing about other queries.
func isAboutQuery(err error) bool {
	var wrong *query.Error
	var limit *batchview.LimitError
	var fill *merge.FillError
	return isUnmet(err) || errors.As(err, &wrong) || errors.As(err, &limit) || errors.As(err, &fill) ||
		errors.Is(err, ErrNotPublished) || errors.Is(err, ErrNotInPublication) || errors.Is(err, query.ErrNoDefinition)
}

// prepare resolves a query by the pinned publication.
func (a *attempt) prepare(ctx context.Context, i *inquiry) error {
	scan, err := a.reader.resolve(ctx, i.asked, a.state, a.tenant)
	if err != nil {
		return err
	}
	scan.Memory = a.memory
	// It is read before the scan, so messages that arrive during the scan are not asked for.
	i.known = a.reader.known(ctx, i.asked)
	ends := ends{reader: a.reader, query: i.asked, state: a.state, known: i.known, last: a.last}
	i.query, i.scan, err = ends.bound(ctx, scan, i.explanation)
	i.short = ends.short
	if err == nil && i.scan.Comparison != nil {
		i.earlier = &inquiry{asked: i.asked, query: i.query, scan: i.scan.Earlier()}
	}
	return err
}

// resolve returns the scan of a query by the definition of its view in a publication.
func (r *Reader) resolve(ctx context.Context, q *query.Query, state *record.State, tenant string) (*query.Scan, error) {
	c, err := r.definition(ctx, q, state)
	if err != nil {
		return nil, err
	}
	scan, err := q.Resolve(c, tenant)
	if err != nil {
		return nil, err
	}
	published := scan.Reads(state.Views[scan.View.Name].Digest)
	if state.N > 0 && !published && q.Mode != query.Live {
		return nil, fmt.Errorf("view %s, publication %d: %w", scan.View.Name, state.N, ErrNotPublished)
	}
	return scan, nil
}

// finish asks the batch layer and merges its part with the live part.
func (a *attempt) finish(ctx context.Context, i *inquiry) error {
	r := a.reader
	read, err := r.readRanges(ctx, i, a.state)
	if err != nil {
		return err
	}
	stop := r.time("merge", i.explanation)
	answer, err := mergeRanges(i.query, read.laterUnited, read.earlierUnited, a.accuracy(i))
	stop()
	if err != nil {
		return err
	}
	if isShort(i.live, i.known) || answer.Accuracy.FilledFrom != nil || i.short {
		answer.Accuracy.Exact = false
	}
	if answer.Accuracy.Truncated && i.query.Mode == query.Exact && a.state.N > 0 {
		answer.Next = i.asked.Next(a.state.N, answer.Rows())
	}
	if answer.Identity, err = identity(a.state, i.asked, i.scan); err != nil {
		return err
	}
	if i.query.Totals {
		if err := r.addTotals(ctx, answer, i.query, i.scan, a.state, read); err != nil {
			return err
		}
	}
	if i.query.Others {
		if err := r.addOthers(ctx, answer, i.query, i.scan, a.state, read); err != nil {
			return err
		}
	}
	i.result.Answer = answer
	return r.explain(ctx, answer, i.scan, a.state, i.explanation)
}

// accuracy returns what an answer covers. Merge adds what depends on its rows.
func (a *attempt) accuracy(i *inquiry) query.Accuracy {
	accuracy := a.reader.accuracy(a.state, i.live, i.known)
	i.query.SetRanges(i.scan, &accuracy)
	if i.query.AsOf != nil {
		hasLive := i.query.Mode != query.Exact && len(i.live.Stale) < len(a.state.H)
		accuracy.LiveIncluded = &hasLive
	}
	if i.query.Mode == query.Exact {
		accuracy.LagMS = nil // Nothing else in the answer changes with time, and AsOf says how old it is.
	}
	if i.query.Mode != query.Live && a.state.Publication != nil {
		accuracy.Holes = a.state.Publication.Holes
		accuracy.FilledFrom = filledFrom(a.state, i.asked, i.first().scan)
	}
	if accuracy.FilledFrom != nil || i.short {
		accuracy.Complete = false
	}
	return accuracy
}

// live asks the speed layer for one scan.
func (r *Reader) live(ctx context.Context, q *query.Query, scan *query.Scan, state *record.State,
	e *query.Explanation, last bool) (*query.LivePart, error) {
	i := &inquiry{query: q, scan: scan, explanation: e}
	err := r.askLive(ctx, []*inquiry{i}, state, last)
	return i.live, err
}

// errNoLive means that this process has no real-time views.
var errNoLive = errors.New("no speed layer is connected")

// askLive asks the speed layer for [H, S) of several queries, all as of one moment (Q2). Where it does not answer,
// S = H: the answer is older, but still exact.
func (r *Reader) askLive(ctx context.Context, inquiries []*inquiry, state *record.State, last bool) error {
	var scans []*query.Scan
	var asked []*inquiry
	for _, i := range inquiries {
		if i.query.Mode == query.Exact {
			i.live = &query.LivePart{Through: slices.Clone(state.H)}
			continue
		}
		asked = append(asked, i)
		scans = append(scans, i.scan.Whole())
	}
	if len(asked) == 0 {
		return nil
	}
	results := slices.Repeat([]query.LiveResult{{Err: errNoLive}}, len(scans))
	if r.Live != nil {
		observe := r.metrics.time("live")
		began := time.Now()
		results = r.Live.ScanAll(ctx, scans, state.H)
		observe()
		for _, i := range asked {
			i.explanation.Time("live", time.Since(began))
		}
	}
	for n, i := range asked {
		if err := r.takeLive(ctx, i, results[n], state, last); err != nil {
			return err
		}
	}
	return nil
}

// takeLive takes the speed layer's result for a query, or decides what an error means.
func (r *Reader) takeLive(ctx context.Context, i *inquiry, result query.LiveResult, state *record.State,
	last bool) error {
	switch err := result.Err; {
	case err == nil && !last && r.isOutdated(ctx, state, result.Live):
		return errOutdated
	case err == nil:
		i.live = result.Live
		r.reportRefused(i.query, i.scan, i.live)
		i.explanation.SetLive(state.H, i.live.Through)
		return checkLive(i.live, state.H)
	case ctx.Err() != nil || isMemory(err):
		return err
	case i.query.Mode == query.Live && (i.query.AsOf == nil || !errors.Is(err, query.ErrViewNotReady)):
		return fmt.Errorf("%w: %w", ErrLive, err)
	}
	r.metrics.stale.Inc()
	r.Logger.Warn("a query is answered without the speed layer", "view", i.scan.View.Name, "error", result.Err)
	i.live = nothingLive(state)
	return nil
}
