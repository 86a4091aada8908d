package explain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/apache/arrow/go/v15/arrow/array"

	"recount/batch/exact"
	"recount/batch/object"
	"recount/schemas/eventbatch"
	"recount/schemas/position"
	"recount/schemas/record"
)

// Up to so many rows and bytes an object is read whole at once, so that its events need no second reading. Rows with
// fewer rows between them are read together.
const (
	smallRows  = 4096
	smallBytes = 256 << 10
)

func (s *Store) isSmall(o *record.Object) bool {
	return o.Rows <= s.pages.whole && o.Size <= smallBytes
}

// stream is the events of one partition for a page, from the highest position down.
type stream struct {
	*listing
	chain *record.Chain
	// frontier is the bound down to which was searched. What was found there and not taken yet is in found.
	frontier bound
	found    []*place
	message  uint64 // the next message to read, if it has not landed
	segment  int    // of the chain: those from here on were searched
	missing  []string
	begin    bound     // below which the page searches
	arrived  time.Time // when the log stored the last message that was read

	rows    int64 // how many may still be read
	objects int
	tail    int64

	trimmed  uint64 // the log has no message below this one
	askedSeq uint64 // the last message whose time was asked for
	asked    time.Time
	held     int64 // of Memory, until the page is done
}

// open finds the end of the partition, and its newest event.
func (st *stream) open(ctx, search context.Context) error {
	_, next, err := st.cfg.Log.Bounds(ctx, st.chain.Partition)
	if err != nil {
		return logError(ctx, err)
	}
	end := bound{seq: max(next, st.chain.Head.Seq)}
	if end.compare(st.frontier) < 0 {
		st.frontier = end
	}
	st.message = st.frontier.seq
	if st.frontier.index == 0 {
		st.message--
	}
	st.begin = st.frontier
	return st.advance(search)
}

// below returns the bound below which the next page goes on.
func (st *stream) below() bound {
	if len(st.found) > 0 {
		return st.found[0].after()
	}
	return st.frontier
}

func logError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("%w: %w", ErrLog, err)
}

// isDone reports whether the whole partition was searched. Nothing is below the bound zero, which a client's cursor may
// have, and the message before it has no number.
func (st *stream) isDone() bool {
	return st.frontier == bound{} || st.message < st.chain.Head.Seq && st.segment == 0
}

// advance searches until something is found, or until the stream has read as much as it may, or until the context ends.
// What a step has found that did not end is forgotten, so the next page takes it again from its begin.
func (st *stream) advance(search context.Context) error {
	for len(st.found) == 0 && !st.isDone() && st.rows > 0 && st.objects > 0 && st.tail > 0 && search.Err() == nil {
		step := st.searchSegment
		if st.message >= st.chain.Head.Seq {
			step = st.searchMessage
		}
		missing := len(st.missing)
		err := step(search)
		switch {
		case err != nil && search.Err() != nil:
			st.found = nil
			st.missing = st.missing[:missing]
		case err != nil:
			return err
		}
	}
	return nil
}

// searchMessage finds events in the newest message that has not landed and was not searched.
func (st *stream) searchMessage(ctx context.Context) error {
	seq := st.message
	frame, stored, err := st.cfg.Log.Get(ctx, st.chain.Partition, seq)
	st.tail -= messageCost + int64(len(frame))
	switch {
	case errors.Is(err, position.ErrTrimmed): // It has landed meanwhile.
		return err
	case errors.Is(err, position.ErrGap):
		st.miss("message %d of partition %d of the log: %v", seq, st.chain.Partition, err)
	case err != nil:
		return logError(ctx, err)
	default:
		if err := st.searchFrame(ctx, frame, stored); err != nil {
			return err
		}
	}
	st.message--
	st.frontier = bound{seq: seq}
	st.arrived = stored
	return nil
}

func (st *stream) miss(format string, args ...any) {
	st.missing = append(st.missing, fmt.Sprintf(format, args...))
}

// searchFrame adds the events of a message. A message that cannot be read is named, as it stops everything else (C7).
func (st *stream) searchFrame(ctx context.Context, frame []byte, stored time.Time) error {
	m := eventbatch.Message{Seq: st.message, Frame: frame}
	h, err := eventbatch.ReadHeader(frame)
	if err == nil && (h.Kind == eventbatch.Heartbeat || h.Type != st.Event.Name) {
		return nil
	}
	var batches []eventbatch.Columns
	if err == nil {
		if err := st.grow(ctx, int64(m.Size())); err != nil {
			return err
		}
		_, batches, err = m.Decode()
	}
	if err != nil {
		st.miss("message %d of partition %d of the log: %v", m.Seq, st.chain.Partition, err)
		return nil
	}
	first := h.Events
	for _, c := range slices.Backward(batches) {
		rows := int(c.Rec.NumRows())
		first -= rows
		keeps, err := st.match.rows(c, false, &st.EventSelection)
		if err != nil {
			return fmt.Errorf("message %d: %w", m.Seq, err)
		}
		for at := rows - 1; at >= 0 && len(st.found) <= st.Limit; at-- {
			x := &place{bound: bound{m.Seq, first + at}, stream: st, columns: c, at: at,
				time: int64(c.Time.Value(at)), stored: stored, isAsked: true}
			if x.compare(st.frontier) < 0 && keeps(at) {
				st.found = append(st.found, x)
			}
		}
	}
	return nil
}

// grow claims memory until the page is done.
func (st *stream) grow(ctx context.Context, n int64) error {
	if err := st.Memory.Grow(ctx, n); err != nil {
		return err
	}
	st.held += n
	return nil
}

// searchSegment finds events in the newest segment that was not searched.
func (st *stream) searchSegment(ctx context.Context) error {
	segment := st.chain.Segments[st.segment-1]
	start := bound{seq: segment.Start}
	if start.compare(st.frontier) < 0 {
		for i := range segment.Objects {
			o := &segment.Objects[i]
			from, to := st.rowsOf(o)
			if o.Type != st.Event.Name || from == to || !hasTenant(segment, o, st.Tenant) ||
				st.horizons.Retired(segment, o) {
				continue
			}
			st.objects--
			st.rows -= to - from
			err := st.searchObject(ctx, segment, o, from, to)
			if errors.Is(err, record.ErrNotFound) {
				st.miss("object %s: it is not in the object store", o.Key)
			} else if err != nil {
				return err
			}
		}
		st.found = newestPlaces(st.found, st.Limit+1)
		st.frontier = start
	}
	st.segment--
	return nil
}

// rowsOf returns the rows of an object that are in the buckets of the range.
func (st *stream) rowsOf(o *record.Object) (from, to int64) {
	width := st.chain.Bucket.Microseconds()
	row := int64(0)
	for _, b := range o.Buckets {
		if b.Bucket+width <= st.From {
			from = row + b.Rows
		}
		row += b.Rows
		if b.Bucket < st.To {
			to = row
		}
	}
	return min(from, to), to
}

// newestPlaces sorts by position, the highest first, and cuts to n. One more than the page has room for shows that
// there is more.
func newestPlaces(places []*place, n int) []*place {
	slices.SortFunc(places, func(a, b *place) int { return b.compare(a.bound) })
	return places[:min(len(places), n)]
}

// searchObject adds the events among the rows [from, to) of an object.
func (st *stream) searchObject(ctx context.Context, segment *record.Commit, o *record.Object, from, to int64) error {
	f, err := st.cfg.Open(ctx, *o)
	if err != nil {
		return err
	}
	defer f.Close()
	st.metrics.countObject(to - from)
	columns := st.match.columns(f, o)
	if st.isSmall(o) {
		columns = []string{object.AllColumns}
	}
	for row := from; row < to; row += keysAtOnce {
		at := row
		for c, err := range f.Read(ctx, columns, row, min(to, row+keysAtOnce)) {
			if err == nil {
				err = st.searchRows(c, segment, o, at)
			}
			if err != nil {
				return fmt.Errorf("read %s: %w", o.Key, err)
			}
			at += c.Rec.NumRows()
		}
	}
	return nil
}

// searchRows adds the events among rows of an object, of which the first is given.
func (st *stream) searchRows(c eventbatch.Columns, segment *record.Commit, o *record.Object, first int64) error {
	seqs, ok1 := c.Field(exact.ColSeq).(*array.Int64)
	indexes, ok2 := c.Field(exact.ColIndex).(*array.Int32)
	if !ok1 || !ok2 || c.Time == nil {
		return errors.New("it has no positions or no times")
	}
	keeps, err := st.match.rows(c, !o.Uniform, &st.EventSelection)
	if err != nil {
		return err
	}
	for at := range int(c.Rec.NumRows()) {
		position := bound{uint64(seqs.Value(at)), int(indexes.Value(at))}
		if position.compare(st.frontier) >= 0 || !keeps(at) {
			continue
		}
		x := &place{bound: position, stream: st, segment: segment, object: o, row: first + int64(at),
			time: int64(c.Time.Value(at))}
		if st.isSmall(o) {
			if err := x.read(c, at); err != nil {
				return err
			}
		}
		if st.found = append(st.found, x); len(st.found) > 2*(st.Limit+1) {
			st.found = newestPlaces(st.found, st.Limit+1)
		}
	}
	return nil
}

// storedAt returns when the log stored an event, or zero if the log no longer has the message.
func (st *stream) storedAt(ctx context.Context, x *place) time.Time {
	if x.seq < st.trimmed || x.seq == st.askedSeq {
		return st.askedTime(x.seq)
	}
	frame, stored, err := st.cfg.Log.Get(ctx, st.chain.Partition, x.seq)
	if err == nil {
		// Another log may have given the sequence to another message.
		h, wrong := eventbatch.ReadHeader(frame)
		if wrong != nil || h.Type != st.Event.Name || x.index >= h.Events {
			stored = time.Time{}
		}
	} else {
		stored = time.Time{}
		if errors.Is(err, position.ErrTrimmed) {
			st.trimmed = x.seq + 1
		}
	}
	st.askedSeq = x.seq
	st.asked = stored
	return stored
}

func (st *stream) askedTime(seq uint64) time.Time {
	if seq == st.askedSeq {
		return st.asked
	}
	return time.Time{}
}

// readRows reads the events that were taken from objects and are not known yet, one object after another. It begins no
// further object when most of the time is over.
func (l *listing) readRows(ctx context.Context, taken []*place) error {
	byObject := map[*record.Object][]*place{}
	var objects []*record.Object // in the order of the page
	for _, x := range taken {
		switch {
		case x.isRead:
		case x.object == nil:
			if err := x.read(x.columns, x.at); err != nil {
				return fmt.Errorf("message %d: %w", x.seq, err)
			}
		default:
			if byObject[x.object] == nil {
				objects = append(objects, x.object)
			}
			byObject[x.object] = append(byObject[x.object], x)
		}
	}
	for i, o := range objects {
		if i > 0 && l.isLate() {
			break
		}
		places := byObject[o]
		slices.SortFunc(places, func(a, b *place) int { return cmp.Compare(a.row, b.row) })
		if err := l.readObject(ctx, o, places); err != nil {
			return fmt.Errorf("read %s: %w", o.Key, err)
		}
	}
	return nil
}

// readObject reads events of an object, which are in the order of its rows. Those that are near to each other are read
// together, because each reading fetches a page of each column.
func (l *listing) readObject(ctx context.Context, o *record.Object, places []*place) error {
	f, err := l.cfg.Open(ctx, *o)
	if err != nil {
		return err
	}
	defer f.Close()
	for len(places) > 0 {
		n := 1
		for n < len(places) && places[n].row < places[n-1].row+smallRows {
			n++
		}
		row := places[0].row
		next := 0
		for c, err := range f.Read(ctx, []string{object.AllColumns}, row, places[n-1].row+1) {
			if err != nil {
				return err
			}
			for ; next < n && places[next].row < row+c.Rec.NumRows(); next++ {
				if err := places[next].read(c, int(places[next].row-row)); err != nil {
					return err
				}
			}
			row += c.Rec.NumRows()
		}
		places = places[n:]
	}
	return nil
}
