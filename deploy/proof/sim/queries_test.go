package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"recount/schemas/position"
	"recount/schemas/query"
	"recount/schemas/record"
	"recount/schemas/window/windowtest"
	"recount/serving/merge"
	"recount/serving/reader"
)

// liveScans delays a scan of the real-time views, as a network does. The scan itself runs after
// the parked operation, while no other goroutine runs; otherwise its answer would depend on which
// goroutine the clock wakes first.
type liveScans struct {
	n   *node
	p   *proc
	rng *rand.Rand
}

func (l liveScans) scan(ctx context.Context, scan *query.Scan, cut []position.Offset) (*query.LivePart, error) {
	l.n.stale = []int{0, 1} // unless the real-time views answer
	if l.n.w.bad > 0 && l.rng.IntN(6) == 0 {
		l.n.w.observe("slow reader")
		l.p.sleep(8 + l.rng.IntN(30)) // Meanwhile the reader's publication may expire.
	}
	if err := l.p.perform(ctx, op{kind: "live", key: scan.View.Name, fates: readFates,
		effect: func() error { return nil }}); err != nil {
		return nil, err
	}
	part, err := l.n.views.Scan(ctx, scan, cut)
	if err != nil {
		return nil, err
	}
	for _, r := range part.Refused {
		if errors.Is(r.Err, query.ErrPinExpired) {
			l.checkExpired(r, cut[r.Partition])
		}
	}
	if n := len(part.Refused); 0 < n && n < len(cut) {
		l.n.w.observe("a reader's publication has expired in one partition only")
	}
	l.n.stale = slices.Concat(part.Stale, part.Lagging)
	return part, nil
}

// checkExpired fails if a partition refuses a cut to which it must reach back.
func (l liveScans) checkExpired(r query.Refusal, cut position.Offset) {
	l.n.w.observe("a reader's publication has expired")
	p := r.Partition
	if cut.Seq >= max(l.n.publisher.OldestKept().H[p].Seq, l.n.lowest[p], l.n.w.logs[p].givenUp) {
		l.n.w.failf("%s: the real-time views of partition %d do not reach back to the oldest kept publication: %v",
			l.p.name, p, r.Err)
	}
}

// expectedErrors are the errors with which a query may fail.
var expectedErrors = []error{reader.ErrBatch, reader.ErrLive, reader.ErrRestarts, reader.ErrLost,
	reader.ErrNotPublished, query.ErrCollected, errLost}

// runQueries asks queries and compares the answers.
func (n *node) runQueries(p *proc) {
	rng := p.newRand("asks") // The label is part of the seed.
	for p.sleep(1 + rng.IntN(n.pace(3))) {
		for name := range 3 {
			view := []string{"by_kind", "each", "seen_users"}[name]
			if n.declared().Views[view] == nil || n.w.bad > 0 && rng.IntN(2) == 0 {
				continue
			}
			modes := []query.Mode{query.Merged, query.Exact, query.Live}
			if n.w.bad == 0 {
				modes = modes[:2]
			}
			for _, mode := range modes {
				n.askRandom(p, rng, view, mode)
			}
			if pins := n.w.pins(); len(pins) > 0 && rng.IntN(3) == 0 {
				n.askPinned(p, view, pins[rng.IntN(len(pins))])
			}
		}
	}
}

// earliest is the start of the time range of every query, before the earliest event.
var earliest = time.Date(1999, 12, 31, 0, 0, 0, 0, time.UTC)

// askRandom asks a query with random groups and granularity for a random tenant.
func (n *node) askRandom(p *proc, rng *rand.Rand, view string, mode query.Mode) {
	q := &query.Query{View: view, From: earliest, To: earliest.Add(96 * time.Hour), Mode: mode,
		Granularity: []string{"all", "1h"}[rng.IntN(2)]}
	if n.asked++; q.Granularity != "all" && n.w.bad > 0 {
		setUnevenWindows(q, n.asked)
	}
	if n.asked%5 == 0 {
		q.From = time.Time{}
		q.To = []time.Time{{}, q.To}[n.asked/5%2]
	}
	if v := n.declared().Views[view]; v != nil && len(v.Dimensions) > 0 && (view == "each" || rng.IntN(2) == 0) {
		q.GroupBy = v.Dimensions
	}
	// Another node may have pinned a publication that this one has not read yet, and a query does not read it.
	kept := slices.DeleteFunc(n.publisher.Kept(), func(k uint64) bool { return k > n.publisher.State().N })
	if n.w.bad > 0 && len(kept) > 0 && rng.IntN(4) == 0 {
		q.AsOf = &kept[rng.IntN(len(kept))]
	}
	n.compareAnswer(p, q, []string{"acme", "default"}[rng.IntN(2)])
}

// unevenWindows are ranges that hold late events in a last window that is longer than those before it, and in days
// that begin between two hours.
var unevenWindows = []windowtest.Calendar{
	windowtest.Parse("1999-11-01T00:00:00Z", "2000-01-01T00:00:00Z", "1mo", "UTC"),
	windowtest.Parse("1999-11-15T13:00:00Z", "2000-01-01T00:00:00Z", "1mo", "UTC"),
	windowtest.Parse("1999-12-30T18:15:00Z", "2000-01-01T18:15:00Z", "1d", "Asia/Kathmandu"),
}

// setUnevenWindows gives half of the queries such a range. It draws nothing, so schedules do not depend on it.
func setUnevenWindows(q *query.Query, asked int) {
	if i := asked % (2 * len(unevenWindows)); i < len(unevenWindows) {
		c := unevenWindows[i]
		q.From = c.From
		q.To = c.To
		q.Granularity = c.Granularity
		q.TimeZone = c.Zone
	}
}

// askPinned queries a publication that may have been pinned hours ago (P3).
func (n *node) askPinned(p *proc, view string, pinned uint64) {
	if pinned > n.publisher.State().N {
		return // This node's publisher has not read that publication yet.
	}
	q := &query.Query{View: view, From: earliest, To: earliest.Add(96 * time.Hour), Mode: query.Exact, AsOf: &pinned}
	err := n.compareAnswer(p, q, "acme")
	if err == nil {
		n.w.observe("answer: from a pinned publication")
	}
	if err != nil && p.ctx.Err() == nil && n.w.bad == 0 && !n.w.rowDamage && !errors.Is(err, reader.ErrNotPublished) &&
		!n.isRemoved(err) {
		n.w.failf("%s: a query of the pinned publication %d fails: %v", p.name, pinned, err)
	}
}

// compareAnswer asks a query, compares the answer and returns the error of the query.
func (n *node) compareAnswer(p *proc, q *query.Query, tenant string) error {
	losses := n.w.losses + n.w.holes
	before := n.declared()
	promised := n.promised // A message that is acknowledged during the query need not be in the answer.
	a, err := n.answers.Answer(p.ctx, q, tenant)
	if p.ctx.Err() != nil || losses != n.w.losses+n.w.holes {
		return nil
	}
	if err != nil {
		stillKept := q.AsOf != nil &&
			slices.ContainsFunc(n.w.keptPublications(), func(s *record.State) bool { return s.N == *q.AsOf })
		n.w.observe("answer: an error")
		unexpected := !slices.ContainsFunc(expectedErrors, func(e error) bool { return errors.Is(err, e) })
		otherRule := n.w.otherRule && n.name == "B" // This node's cut rule may make queries fail (S2).
		if unexpected && !otherRule && !n.isRemoved(err) || errors.Is(err, query.ErrCollected) && stillKept {
			n.w.failf("%s: query of %s in mode %s: %v", p.name, q.View, q.Mode, err)
		}
		return err
	}
	for _, c := range n.definitionsOf(q, a, before) {
		if err = n.w.checkAnswer(c, q, tenant, a, n.window, promised); err == nil {
			break
		}
	}
	if err != nil {
		n.w.failf("%s: query of %s, tenant %s, mode %s, %+v: %v", p.name, q.View, tenant, q.Mode, a.Accuracy, err)
	}
	if err := n.checkPromises(q, a, promised); err != nil {
		n.w.failf("%s: query of %s, tenant %s, mode %s, %+v: %v", p.name, q.View, tenant, q.Mode, a.Accuracy, err)
	}
	if err := n.checkStale(q, a); err != nil {
		n.w.failf("%s: query of %s, tenant %s, mode %s, %+v: %v", p.name, q.View, tenant, q.Mode, a.Accuracy, err)
	}
	n.w.observe("answer: " + string(q.Mode))
	if !a.Accuracy.Complete && a.Accuracy.FilledFrom == nil {
		n.w.observe("answer: without a partition's live part")
	}
	if q.AsOf != nil {
		n.w.observe("answer: as_of")
		return nil
	}
	n.finalAnswers[q.View+string(q.Mode)] = n.w.bad == 0 && n.w.coversAll(a.Accuracy.Through) &&
		(q.Mode == query.Exact && a.Accuracy.FilledFrom == nil || a.Accuracy.Complete)
	return nil
}

// checkStale fails if an answer calls other partitions stale than the real-time views did (Q2).
func (n *node) checkStale(q *query.Query, a *merge.Answer) error {
	slices.Sort(n.stale)
	if got := a.Accuracy.StalePartitions; q.Mode != query.Exact && !slices.Equal(got, n.stale) {
		return fmt.Errorf("the partitions %v are stale in the answer, and %v in the real-time views", got, n.stale)
	}
	return nil
}

// checkPromises fails if an answer covers less than this node has acknowledged or answered before, and does
// not say so (Q6). Mode exact asks for the publication alone.
func (n *node) checkPromises(q *query.Query, a *merge.Answer, promised [partitions]uint64) error {
	if q.Mode == query.Exact {
		return nil
	}
	for p, through := range a.Accuracy.Through {
		switch {
		case through >= promised[p]:
			n.promised[p] = max(n.promised[p], through)
		case a.Accuracy.Complete || a.Accuracy.Exact:
			return fmt.Errorf("partition %d: the answer covers the log through %d, but this node has promised it "+
				"through %d, and the answer does not say so", p, through, promised[p])
		default:
			n.w.observe("answer: older than one before, and says so")
		}
	}
	return nil
}
