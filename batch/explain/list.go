package explain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"recount/schemas/eventbatch"
	"recount/schemas/openapi"
	"recount/schemas/position"
	"recount/schemas/query"
	"recount/schemas/record"
	"recount/schemas/window"
)

// pageLimits bound what one page reads and has. Each partition has its part of them, and reads at least one object and
// one message, so the pages of a cursor come to an end.
type pageLimits struct {
	rows    int64 // of objects
	objects int
	tail    int64 // bytes of messages that have not landed
	bytes   int64 // of the events
	whole   int64 // rows of an object that is read whole at once
}

var defaultPageLimits = pageLimits{rows: 4 << 20, objects: 256, tail: 128 << 20, bytes: 8 << 20, whole: smallRows}

const (
	// listMemory is what the reading of a page needs, beside the events of the page.
	listMemory = 64 << 20
	// messageCost is what a message counts at least, so that the number of messages is bounded too.
	messageCost = 4 << 10
	// listAttempts is how often a page begins again because its messages landed and were trimmed meanwhile.
	listAttempts = 3
)

// ErrLog means that the log cannot be read now, so the newest events are not known.
var ErrLog = errors.New("the log cannot be read now, so the newest events are not known; try again after Retry-After")

// List returns a page of the tenant's events, those that were stored last first. The order within a partition is that
// of positions, and a cursor is a position in each partition. So the pages of one cursor after another have each event
// once, while others arrive and while segments land. Partitions are merged by the time at which the log stored the
// events, or by that of landing where the log no longer has the message.
func (s *Store) List(ctx context.Context, q query.EventSelection) (page *openapi.EventPage, err error) {
	if err := q.Memory.Grow(ctx, listMemory); err != nil {
		return nil, err
	}
	defer q.Memory.Shrink(listMemory)
	began := time.Now()
	search, isLate, done := s.pageTime(ctx)
	defer done()
	for range listAttempts {
		page, err = s.list(ctx, search, q, isLate)
		if !errors.Is(err, position.ErrTrimmed) {
			break
		}
	}
	s.metrics.countList(endOf(search, q, page, err), time.Since(began))
	if err != nil {
		return nil, fmt.Errorf("list events of type %s: %w", q.Event.Name, err)
	}
	return page, nil
}

func (s *Store) list(ctx, search context.Context, q query.EventSelection,
	isLate func() bool) (*openapi.EventPage, error) {
	state, err := s.cfg.Newest(ctx)
	if err != nil {
		return nil, err
	}
	chains, err := s.cfg.Chains(ctx)
	if err != nil {
		return nil, fmt.Errorf("read commit chains: %w", err)
	}
	keys, err := s.cfg.Records.List(ctx, record.RetiredPrefix)
	if err != nil {
		return nil, fmt.Errorf("read retirements: %w", err)
	}
	horizons, err := record.HorizonsOf(keys)
	if err != nil {
		return nil, err
	}
	l := &listing{Store: s, EventSelection: q, horizons: horizons, match: newMatcher(q.Event, q.Where),
		isLate: isLate}
	defer l.release()
	if err := l.open(ctx, search, chains); err != nil {
		return nil, err
	}
	return l.page(ctx, search, state)
}

// listing is one attempt at a page.
type listing struct {
	*Store
	query.EventSelection
	horizons record.Horizons
	match    *matcher
	isLate   func() bool // as of pageTime
	streams  []*stream   // by partition
}

// open begins the stream of each partition, and finds the newest event of each.
func (l *listing) open(ctx, search context.Context, chains []*record.Chain) error {
	c, err := parseCursor(l.Cursor, l.Asked, len(chains))
	if err != nil {
		return err
	}
	if l.Cursor != "" {
		l.From = c.from
		l.To = c.to
	}
	n := len(chains)
	g, search := errgroup.WithContext(search)
	g.SetLimit(objectsAtOnce)
	for p, chain := range chains {
		st := &stream{listing: l, chain: chain, frontier: c.below[p], segment: len(chain.Segments),
			rows: max(1, l.pages.rows/int64(n)), objects: max(1, l.pages.objects/n),
			tail: max(1, l.pages.tail/int64(n))}
		l.streams = append(l.streams, st)
		g.Go(func() error { return st.open(ctx, search) })
	}
	return g.Wait()
}

// release gives back the memory of the streams.
func (l *listing) release() {
	for _, st := range l.streams {
		st.Memory.Shrink(st.held)
	}
}

// page merges the streams, and reads the events that it takes from them.
func (l *listing) page(ctx, search context.Context, state *record.State) (*openapi.EventPage, error) {
	var taken []*place
	for len(taken) < l.Limit {
		newest, err := l.newest(ctx, search)
		if err != nil {
			return nil, err
		}
		if newest == nil {
			break
		}
		taken = append(taken, newest.found[0])
		newest.found = newest.found[1:]
	}
	if err := l.readRows(ctx, taken); err != nil {
		return nil, err
	}
	taken = l.fitting(taken)
	out := &openapi.EventPage{Events: make([]openapi.StoredEvent, len(taken)), Publication: state.N}
	for i, x := range taken {
		out.Events[i] = x.show(state)
	}
	l.markCopies(taken, out.Events)
	for _, st := range l.streams {
		out.Missing = append(out.Missing, st.missing...)
	}
	if out.Cursor = l.next(); out.Cursor == "" {
		return out, nil
	}
	if search.Err() != nil && !l.isFurther() {
		return nil, context.DeadlineExceeded // The next page would read the same.
	}
	out.SearchedTo = l.searchedTo(ctx)
	return out, nil
}

// newest returns the stream whose next event was stored last. It returns none if there are no more, or if a stream has
// read as much as it may before it found its next event: that might be the newest, so the page ends.
func (l *listing) newest(ctx, search context.Context) (newest *stream, err error) {
	var last time.Time
	for _, st := range l.streams {
		if err := st.advance(search); err != nil {
			return nil, err
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if len(st.found) == 0 && !st.isDone() {
			return nil, nil
		}
		if len(st.found) == 0 {
			continue
		}
		if stored := st.found[0].order(ctx); newest == nil || stored.After(last) {
			newest = st
			last = stored
		}
	}
	return newest, nil
}

// fitting returns the events that were read and for which one answer has room, at least one. The others are for the
// next page.
func (l *listing) fitting(taken []*place) []*place {
	total := int64(0)
	for i, x := range taken {
		if total += x.event.size(); x.isRead && (total <= l.pages.bytes || i == 0) {
			continue
		}
		for _, left := range slices.Backward(taken[i:]) {
			left.stream.found = slices.Insert(left.stream.found, 0, left)
		}
		return taken[:i]
	}
	return taken
}

// next returns the cursor of the next page, or nothing after the last event.
func (l *listing) next() string {
	c := cursor{from: l.From, to: l.To}
	done := true
	for _, st := range l.streams {
		done = done && len(st.found) == 0 && st.isDone()
		c.below = append(c.below, st.below())
	}
	if done {
		return ""
	}
	return c.text(l.Asked)
}

// markCopies marks the events of which the same page has an event of the same identity and bucket at a lower position
// (I2). All of them are in one partition, and the page has those of a partition from the highest position down.
func (l *listing) markCopies(taken []*place, events []openapi.StoredEvent) {
	type identity struct {
		key    eventbatch.Key
		bucket int64
	}
	seen := map[identity]bool{}
	width := l.cfg.Catalog.Catalog().Bucket
	for i, x := range slices.Backward(taken) {
		of := identity{x.key, window.Floor(x.time, width)}
		events[i].Copy = seen[of]
		seen[of] = true
	}
}

// bound is a place between two events of a partition: those below it are at lower positions.
type bound struct {
	seq   uint64
	index int
}

func (b bound) compare(o bound) int {
	return cmp.Or(cmp.Compare(b.seq, o.seq), cmp.Compare(b.index, o.index))
}

// after returns the bound below which the event at the position b is the first.
func (b bound) after() bound { return bound{b.seq, b.index + 1} }

// place is an event that is listed.
type place struct {
	bound  // its position
	stream *stream
	// segment, object and row say where a landed event is.
	segment *record.Commit
	object  *record.Object
	row     int64
	// columns have the event in the row at, if it has not landed.
	columns eventbatch.Columns
	at      int

	time     int64
	isRead   bool // the fields below are known
	event    cloudEvent
	assigned bool
	key      eventbatch.Key

	stored  time.Time // zero if the log no longer has the message
	isAsked bool      // stored is known
}

// order is the time by which partitions are merged.
func (x *place) order(ctx context.Context) time.Time {
	if !x.isAsked {
		x.stored = x.stream.storedAt(ctx, x)
		x.isAsked = true
	}
	if x.stored.IsZero() && x.segment != nil {
		return x.segment.Created
	}
	return x.stored
}

// show returns the event as it is listed.
func (x *place) show(state *record.State) openapi.StoredEvent {
	p := x.stream.chain.Partition
	out := openapi.StoredEvent{Event: x.event, State: openapi.ReceiptLogged, TimeAssigned: x.assigned,
		StoredAt: openapi.StoredAt{Time: x.stored.UTC(), Position: openapi.Position{Partition: p,
			Epoch: x.stream.chain.Head.Epoch, Sequence: x.seq, Index: x.index}}}
	if x.segment == nil {
		return out
	}
	out.StoredAt.Epoch = x.segment.Epoch
	out.Landed = x.segment.Created
	out.State = openapi.ReceiptLanded
	if p < len(state.H) && below(out.StoredAt.Position, state.H[p]) {
		out.State = openapi.ReceiptPublished
	}
	return out
}
