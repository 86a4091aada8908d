package sim

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"recount/schemas/position"
	"recount/schemas/query"
	"recount/schemas/record"
	"recount/serving/reader"
)

// liveOf lets a scan of the real-time views wait, as over a network. The operation comes last:
// what wakes with the clock beside the scan would make its answer a matter of luck.
type liveOf struct {
	n   *node
	p   *proc
	rng *rand.Rand
}

func (l liveOf) Scan(ctx context.Context, scan *query.Scan, cut []position.Offset) (*query.LivePart, error) {
	if l.n.w.bad > 0 && l.rng.IntN(6) == 0 {
		l.n.w.meet("slow reader")
		l.p.sleep(8 + l.rng.IntN(30)) // A slow reader: its publication may no longer be kept.
	}
	if err := l.p.do(ctx, op{kind: "live", key: scan.View.Name, fates: readFates,
		effect: func() error { return nil }}); err != nil {
		return nil, err
	}
	part, err := l.n.views.Scan(ctx, scan, cut)
	if errors.Is(err, query.ErrPinExpired) {
		l.n.w.meet("a reader's publication has expired")
	}
	if errors.Is(err, query.ErrPinExpired) {
		expired := false
		for p, h := range l.n.publisher.OldestKept().H {
			expired = expired || cut[p].Seq < max(h.Seq, l.n.from[p])
		}
		if !expired {
			l.n.w.fail("%s: the real-time views do not reach back to a kept publication: %v", l.p.name, err)
		}
	}
	return part, err
}

var expected = []error{reader.ErrBatch, reader.ErrLive, reader.ErrRestarts, reader.ErrLost, reader.ErrNotPublished,
	query.ErrCollected, errLost}

// asks asks queries and compares the answers.
func (n *node) asks(p *proc) {
	rng := p.random("asks")
	for p.sleep(1 + rng.IntN(n.pace(3))) {
		for name := range 3 {
			view := []string{"by_kind", "each", "seen_users"}[name]
			if n.catalog.Views[view] == nil || n.w.bad > 0 && rng.IntN(2) == 0 {
				continue
			}
			modes := []query.Mode{query.Merged, query.Exact, query.Live}
			if n.w.bad == 0 {
				modes = modes[:2]
			}
			for _, mode := range modes {
				n.ask(p, rng, view, mode)
			}
			if pins := n.w.pins(); len(pins) > 0 && rng.IntN(3) == 0 {
				n.askPinned(p, view, pins[rng.IntN(len(pins))])
			}
		}
	}
}

var opening = time.Date(1999, 12, 31, 0, 0, 0, 0, time.UTC)

func (n *node) ask(p *proc, rng *rand.Rand, view string, mode query.Mode) {
	q := &query.Query{View: view, From: opening, To: opening.Add(96 * time.Hour), Mode: mode,
		Granularity: []string{"all", "1h"}[rng.IntN(2)]}
	if v := n.catalog.Views[view]; len(v.Dimensions) > 0 && (view == "each" || rng.IntN(2) == 0) {
		q.GroupBy = v.Dimensions
	}
	// Another node may have pinned what this one has not read yet; reading on is not a reader's affair here.
	kept := slices.DeleteFunc(n.publisher.Kept(), func(k uint64) bool { return k > n.publisher.State().N })
	if n.w.bad > 0 && len(kept) > 0 && rng.IntN(4) == 0 {
		q.AsOf = &kept[rng.IntN(len(kept))]
	}
	n.answer(p, q, []string{"acme", "default"}[rng.IntN(2)])
}

// askPinned asks for a publication that was pinned perhaps hours ago (P3).
func (n *node) askPinned(p *proc, view string, pinned uint64) {
	if pinned > n.publisher.State().N {
		return // Reading on is the publisher's own affair.
	}
	err := n.answer(p, &query.Query{View: view, From: opening, To: opening.Add(96 * time.Hour), Mode: query.Exact,
		AsOf: &pinned}, "acme")
	if err == nil {
		n.w.meet("answer: of a pinned publication")
	}
	if err != nil && p.ctx.Err() == nil && n.w.bad == 0 && !n.w.forgets && !errors.Is(err, reader.ErrNotPublished) {
		n.w.fail("%s: publication %d is pinned and does not answer: %v", p.name, pinned, err)
	}
}

// answer asks a query and compares the answer. The error is the query's.
func (n *node) answer(p *proc, q *query.Query, tenant string) error {
	losses := n.w.losses
	a, err := n.answers.Answer(p.ctx, q, tenant)
	if p.ctx.Err() != nil || losses != n.w.losses {
		return nil
	}
	if err != nil {
		stillKept := q.AsOf != nil &&
			slices.ContainsFunc(n.w.kept(), func(s *record.State) bool { return s.N == *q.AsOf })
		n.w.meet("answer: an error")
		unexpected := !slices.ContainsFunc(expected, func(e error) bool { return errors.Is(err, e) })
		if unexpected && !(n.w.otherRule && n.name == "B") || errors.Is(err, query.ErrCollected) && stillKept {
			n.w.fail("%s: query of %s in mode %s: %v", p.name, q.View, q.Mode, err)
		}
		return err
	}
	if err := n.w.check(n.catalog, q, tenant, a, n.memory); err != nil {
		n.w.fail("%s: query of %s, tenant %s, mode %s, %+v: %v", p.name, q.View, tenant, q.Mode, a.Accuracy, err)
	}
	n.w.meet("answer: " + string(q.Mode))
	if !a.Accuracy.Complete {
		n.w.meet("answer: without a partition's live part")
	}
	if q.AsOf != nil {
		n.w.meet("answer: as_of")
		return nil
	}
	n.final[q.View+string(q.Mode)] = n.w.bad == 0 && n.w.covers(a.Accuracy.Through) &&
		(q.Mode == query.Exact || a.Accuracy.Complete)
	return nil
}
