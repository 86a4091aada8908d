package reader

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"recount/schemas/catalog"
	"recount/schemas/position"
	"recount/schemas/query"
	"recount/schemas/record"
	"recount/serving/batchview"
	"recount/serving/oracle"
)

var start = time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)

// world is a log with one event per message, a batch layer and a speed layer. All of them
// change whenever they are called.
type world struct {
	rng *rand.Rand
	// log holds message i+1 of each partition at index i.
	log [2][]oracle.Event
	// states holds publication n at index n-1.
	states []*record.State
	// oldest is the oldest kept publication.
	oldest uint64
	digest string

	// base is the first message that the speed layer has, and next is the first that it has not read.
	base [2]uint64
	next [2]uint64
	// stale are the partitions that gave nothing in the last scan.
	stale []int

	// noGuard turns off Q3: collected rows are missing without an error.
	noGuard bool
	// noBase turns off S4: the speed layer answers for a cut below base.
	noBase bool
	// repin turns off Q1: the speed layer answers from the newest cut instead of the pinned cut.
	repin bool
	// noMinThrough hides min_through from the reader.
	noMinThrough bool
	// client is what a client has seen, by partition: the ends of answers, and of messages that were acknowledged to
	// it.
	client [2]uint64
	// cacheBytes is the reader's cache.
	cacheBytes int64
}

func newWorld(seed uint64) *world {
	c := oracle.Catalog()
	w := &world{rng: rand.New(rand.NewPCG(seed, 1)), oldest: 1, digest: c.Digest(c.Views["flights"])}
	w.base = [2]uint64{1, 1}
	w.next = [2]uint64{1, 1}
	return w
}

// step changes the world at random, as it may change between any two calls of a reader.
func (w *world) step() {
	for range w.rng.IntN(6) {
		switch p := w.rng.IntN(2); w.rng.IntN(6) {
		case 0, 1:
			w.log[p] = append(w.log[p], w.event())
		case 2:
			w.next[p] = min(w.next[p]+uint64(w.rng.IntN(4)), uint64(len(w.log[p]))+1)
		case 3:
			w.publish()
		case 4:
			w.collect()
		case 5:
			w.evict()
		}
	}
}

func (w *world) event() oracle.Event {
	minute := start.Add(time.Duration(w.rng.IntN(180)) * time.Minute)
	return oracle.Event{Time: minute.UnixMicro(), Fields: map[string]any{
		"origin": []any{"ORD", "ATL", nil, catalog.Overflow}[w.rng.IntN(4)], "tail": fmt.Sprint("N", w.rng.IntN(30)),
		"delay": int64(w.rng.IntN(9)),
	}}
}

// publish moves H forward, sometimes past the speed layer.
func (w *world) publish() {
	s := &record.State{N: uint64(len(w.states)) + 1, Views: map[string]record.ViewState{"flights": {Digest: w.digest}}}
	if w.rng.IntN(20) == 0 {
		s.Views = nil
	}
	s.Publication = &record.Publication{N: s.N, Created: start}
	for p := range w.log {
		from := uint64(1)
		if len(w.states) > 0 {
			from = w.states[len(w.states)-1].H[p].Seq
		}
		s.H = append(s.H, position.Offset{Seq: from + w.rng.Uint64N(uint64(len(w.log[p]))+2-from)})
	}
	w.states = append(w.states, s)
}

// collect removes publications before the newest.
func (w *world) collect() {
	w.oldest = max(w.oldest, uint64(w.rng.IntN(len(w.states)+1)))
}

// evict drops messages that the speed layer need not keep, or restarts it at the newest publication.
func (w *world) evict() {
	if len(w.states) == 0 {
		return
	}
	s := w.states[min(int(w.oldest), len(w.states))-1]
	if w.rng.IntN(3) == 0 {
		s = w.states[len(w.states)-1]
	}
	for p := range w.base {
		if s.H[p].Seq <= w.next[p] {
			w.base[p] = max(w.base[p], s.H[p].Seq)
		}
	}
}

func (w *world) newest() *record.State {
	if len(w.states) == 0 {
		return record.EmptyState(2)
	}
	return w.states[len(w.states)-1]
}

func (w *world) Newest(context.Context) (*record.State, error) {
	w.step()
	return w.newest(), nil
}

func (w *world) StateAt(_ context.Context, n uint64) (*record.State, error) {
	w.step()
	switch {
	case n == 0 || n > uint64(len(w.states)):
		return nil, query.ErrNoPublication
	case n < w.oldest:
		return nil, query.ErrCollected
	}
	return w.states[n-1], nil
}

// events returns the events of the messages [from, to).
func (w *world) events(from, to []uint64) []oracle.Event {
	var out []oracle.Event
	for p := range w.log {
		for seq := from[p]; seq < to[p]; seq++ {
			out = append(out, w.log[p][seq-1])
		}
	}
	return out
}

// batchLayer and speedLayer are the two layers of the world.
type (
	batchLayer struct{ *world }
	speedLayer struct{ *world }
)

func (b batchLayer) Scan(_ context.Context, s *record.State, scan *query.Scan,
	opts batchview.Options) (*query.Part, error) {
	b.step()
	if b.rng.IntN(30) == 0 {
		return nil, errors.New("connection reset")
	}
	if s.N >= b.oldest {
		events := b.events([]uint64{1, 1}, sequences(s.H))
		if opts.Except != nil {
			events = oracle.Without(scan, events, opts.Except.By, opts.Except.Groups)
		}
		return oracle.Part(scan, events, oracle.Batch), nil
	}
	if b.noGuard {
		return oracle.Part(scan, nil, oracle.Batch), nil
	}
	return nil, fmt.Errorf("guard: %w", query.ErrCollected)
}

// ScanAll answers all scans as of one moment.
func (l speedLayer) ScanAll(_ context.Context, scans []*query.Scan, cut []position.Offset) []query.LiveResult {
	l.step()
	l.stale = []int{0, 1}
	switch l.rng.IntN(15) {
	case 0:
		return slices.Repeat([]query.LiveResult{{Err: errors.New("connection refused")}}, len(scans))
	case 1:
		return slices.Repeat([]query.LiveResult{{Err: query.ErrViewNotReady}}, len(scans))
	}
	var out []query.LiveResult
	for _, s := range scans {
		out = append(out, query.LiveResult{Live: l.scan(s, cut)})
	}
	return out
}

func (l speedLayer) scan(scan *query.Scan, cut []position.Offset) *query.LivePart {
	out := &query.LivePart{}
	from := sequences(cut)
	to := sequences(cut)
	for p := range cut {
		if l.base[p] > cut[p].Seq && !l.noBase {
			out.Refused = append(out.Refused, query.Refusal{Partition: p, Err: query.ErrPinExpired})
			out.Stale = append(out.Stale, p)
		} else if l.next[p] < cut[p].Seq {
			out.Stale = append(out.Stale, p)
		} else {
			from[p] = max(from[p], l.base[p])
			to[p] = l.next[p]
			if l.repin {
				from[p] = min(l.newest().H[p].Seq, to[p])
			}
		}
		out.Through = append(out.Through, position.Offset{Seq: to[p]})
		out.Pending += to[p] - from[p]
	}
	out.Part = oracle.Part(scan, l.events(from, to), oracle.Speed)
	l.stale = out.Stale
	return out
}
