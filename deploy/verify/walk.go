package verify

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"recount/batch/object"
	"recount/schemas/conversion"
	"recount/schemas/eventbatch"
	"recount/schemas/position"
	"recount/schemas/record"
	"recount/speed/eventlog"
)

// rows are events that are stored together: a chunk of an object of the lake, or a record batch of a
// message of the log. They have the requested columns and always those of the identity.
type rows struct {
	partition int
	epoch     uint32
	eventType string
	n         int
	cols      eventbatch.Columns
	seqs      *array.Int64 // nil in a message, where every row has sequence seq
	indexes   *array.Int32 // nil in a message, where the indexes begin with first
	seq       uint64
	first     int
	tenant    arrow.Array
	ids       arrow.Array
	sources   arrow.Array
	lost      conversion.Lost
}

// position returns the sequence of the row's message, and the row's index in the message.
func (b *rows) position(i int) (seq uint64, index int) {
	if b.seqs == nil {
		return b.seq, b.first + i
	}
	return uint64(b.seqs.Value(i)), int(b.indexes.Value(i))
}

func (b *rows) key(i int) eventbatch.Key { return eventbatch.Key(b.cols.Key.Value(i)) }
func (b *rows) id(i int) string          { return text(b.ids, i) }
func (b *rows) time(i int) int64         { return int64(b.cols.Time.Value(i)) }
func (b *rows) assigned(i int) bool {
	return b.cols.Flags.Value(i)&eventbatch.FlagTimeAssigned != 0
}

func text(col arrow.Array, i int) string {
	switch c := col.(type) {
	case *array.String:
		return c.Value(i)
	case *array.Dictionary:
		return c.Dictionary().(*array.String).Value(c.GetValueIndex(i))
	}
	return ""
}

// identity lists the columns that every reading needs.
var identity = []string{eventbatch.ColKey, eventbatch.ColTenant, eventbatch.ColFlags, eventbatch.ColHash,
	eventbatch.ColID, eventbatch.ColSource, eventbatch.ColTime, object.ColSeq, object.ColIndex}

// bindRows sets the columns of the rows, and checks that the columns of the identity exist.
func bindRows(b *rows, c eventbatch.Columns) error {
	b.cols = c
	b.n = int(c.Rec.NumRows())
	b.tenant = c.Field(eventbatch.ColTenant)
	b.ids = c.Field(eventbatch.ColID)
	b.sources = c.Field(eventbatch.ColSource)
	ok := c.Key != nil && c.Flags != nil && c.Hash != nil && c.Time != nil && isText(b.tenant) && isText(b.ids) &&
		isText(b.sources)
	if seqs := c.Field(object.ColSeq); seqs != nil {
		var ok1, ok2 bool
		b.seqs, ok1 = seqs.(*array.Int64)
		b.indexes, ok2 = c.Field(object.ColIndex).(*array.Int32)
		ok = ok && ok1 && ok2
	}
	if !ok {
		return fmt.Errorf("%w: a column of the event's identity or position is missing", object.ErrMalformed)
	}
	return nil
}

func isText(col arrow.Array) bool {
	switch c := col.(type) {
	case *array.String:
		return true
	case *array.Dictionary:
		_, ok := c.Dictionary().(*array.String)
		return ok
	}
	return false
}

// readObject calls visit with the rows of a committed object in file order. columns are read besides
// those of the identity. An error that wraps object.ErrMalformed means that the object is damaged.
func (e *Evidence) readObject(ctx context.Context, seg *record.Commit, o record.Object, columns []string,
	visit func(*rows) error) error {
	body, err := e.Objects.Open(ctx, o.Key)
	if err != nil {
		return err
	}
	f, err := object.Open(ctx, o, body)
	if err != nil {
		return err
	}
	stored := append(identity[:len(identity):len(identity)], e.declaredFields(o.Type).Stored(columns)...)
	if len(columns) > 0 {
		stored = append(stored, eventbatch.ColExtra) // Fields may have been declared later.
	}
	for c, err := range f.Read(ctx, stored, 0, o.Rows) {
		if err != nil {
			return err
		}
		b := &rows{partition: seg.Partition, epoch: seg.Epoch, eventType: o.Type}
		c, b.lost = e.declaredFields(o.Type).Read(c, !o.Uniform)
		if err := bindRows(b, c); err != nil {
			return fmt.Errorf("read %s: %w", o.Key, err)
		}
		if err := visit(b); err != nil {
			return err
		}
	}
	return nil
}

// declaredFields returns the fields of an event type, none if it is not declared.
func (e *Evidence) declaredFields(eventType string) conversion.Fields {
	if t := e.Catalog.Events[eventType]; t != nil {
		return conversion.Fields(t.Fields)
	}
	return nil
}

// message is a message of the log with its events.
type message struct {
	seq    uint64
	header eventbatch.Header
	rows   []*rows
}

// logCursor reads a partition's log from a sequence on.
type logCursor struct {
	e         *Evidence
	partition int
	epoch     uint32
	next      uint64
	reader    *eventlog.Reader
}

func (e *Evidence) openLog(ctx context.Context, partition int, from uint64) (*logCursor, error) {
	r, err := e.Log.Read(ctx, partition, from)
	if err != nil {
		return nil, err
	}
	return &logCursor{e: e, partition: partition, next: from, reader: r}, nil
}

func (l *logCursor) close() {
	if l != nil && l.reader != nil {
		l.reader.Close()
	}
}

// errUndecodable means that a message's bytes are not as they were written, or that messages are missing.
var errUndecodable = errors.New("the message cannot be decoded")

// read returns the next message. The caller makes sure that there is one. With errUndecodable the message has
// only its sequence, and the cursor has moved past what cannot be read.
func (l *logCursor) read(ctx context.Context) (*message, error) {
	if l.reader == nil {
		var err error
		if l.reader, err = l.e.Log.Read(ctx, l.partition, l.next); err != nil {
			return nil, err
		}
	}
	m, err := l.reader.Next(ctx)
	var gap position.GapError
	if errors.As(err, &gap) && gap.Got > gap.Want {
		l.close()
		l.reader = nil
		l.next = gap.Got
		return &message{seq: gap.Want}, fmt.Errorf("%w: %w", errUndecodable, err)
	}
	if err != nil {
		return nil, err
	}
	l.next = m.Seq + 1
	out := &message{seq: m.Seq}
	h, batches, err := eventbatch.Decode(m.Data)
	if err != nil {
		return out, fmt.Errorf("%w: %w", errUndecodable, err)
	}
	out.header = h
	first := 0
	for _, c := range batches {
		b := &rows{partition: l.partition, epoch: l.epoch, eventType: h.Type, seq: m.Seq, first: first}
		c, b.lost = l.e.declaredFields(h.Type).Read(c, false)
		if err := bindRows(b, c); err != nil {
			return out, fmt.Errorf("%w: %w", errUndecodable, err)
		}
		first += b.n
		out.rows = append(out.rows, b)
	}
	return out, nil
}

// visitor receives every event once: first the tail of every partition's log, then what has landed,
// segment by segment.
type visitor interface {
	tail(m *message, b *rows)
	landed(seg *record.Commit, o *record.Object, b *rows)
	segment(ctx context.Context, seg *record.Commit) error // called after the last rows of a segment
}

// walk shows every stored event to the visitors. The tails come first, because a running server trims
// them soonest.
func walk(ctx context.Context, e *Evidence, r *recorder, s *snapshot, visitors []visitor) error {
	for p := range s.logs {
		if err := walkTail(ctx, e, r, s, p, visitors); err != nil {
			return fmt.Errorf("read the log of partition %d: %w", p, err)
		}
	}
	var done, total int64
	for _, c := range s.chains {
		total += c.events
	}
	for _, c := range s.chains {
		for _, seg := range c.segments {
			if err := walkSegment(ctx, e, r, s, seg, visitors); err != nil {
				return err
			}
			done += seg.Events
			r.progress("V3, V4, V10 events", done, total)
		}
	}
	r.examine(V10, total, "events")
	return nil
}

func walkTail(ctx context.Context, e *Evidence, r *recorder, s *snapshot, p int, visitors []visitor) error {
	c := s.chains[p]
	b := s.logs[p]
	from := max(c.head.Seq, b.first)
	for _, hole := range c.holes {
		r.addNote("partition %d: an operator gave up messages [%d, %d) at %s: %s (C7)", p, hole.Start, hole.End,
			hole.Created.Format(time.RFC3339), hole.Reason)
	}
	if b.first > c.head.Seq {
		r.find(V9, placeOf(p).AtOffsets(c.head.Epoch, c.head.Seq, b.first),
			fmt.Sprintf("restore the log; if that cannot be done, give the messages up: recount hole --partition %d "+
				"--from %d --to %d --reason TEXT", p, c.head.Seq, b.first),
			"the log is trimmed above the chain's head: these messages have not landed and are lost")
	}
	if from >= b.next {
		return nil
	}
	cur, err := e.openLog(ctx, p, from)
	if err != nil {
		return err
	}
	defer cur.close()
	cur.epoch = c.head.Epoch
	for cur.next < b.next {
		m, err := cur.read(ctx)
		if errors.Is(err, errUndecodable) {
			r.find(V10, placeOf(p).AtOffsets(c.head.Epoch, m.seq, cur.next), fmt.Sprintf("restore the log from a "+
				"replica or a copy, because landing stops here (C7); if that cannot be done, give the messages up: "+
				"recount hole --partition %d --from %d --to %d --reason TEXT", p, m.seq, cur.next), "%v", err)
			continue
		}
		if err != nil {
			return err
		}
		if m.header.Generation > s.decoded.generation {
			s.decoded = decodedMessage{partition: p, seq: m.seq, generation: m.header.Generation}
		}
		for _, b := range m.rows {
			for _, v := range visitors {
				v.tail(m, b)
			}
			b.cols.Rec.Release()
		}
	}
	return nil
}

func walkSegment(ctx context.Context, e *Evidence, r *recorder, s *snapshot, seg *record.Commit,
	visitors []visitor) error {
	for i := range seg.Objects {
		o := &seg.Objects[i]
		if !s.readable(seg, o) {
			continue // V2 has reported it.
		}
		err := e.readObject(ctx, seg, *o, nil, func(b *rows) error {
			for _, v := range visitors {
				v.landed(seg, o, b)
			}
			return nil
		})
		if errors.Is(err, object.ErrMalformed) {
			s.damaged[o.Key] = true
			r.find(V2, placeOf(seg.Partition).AtOffsets(seg.Epoch, seg.Start, seg.End).InFile(o.Key),
				"restore it from a copy of the bucket", "%v", err)
			continue
		}
		if err != nil {
			return err
		}
	}
	for _, v := range visitors {
		if err := v.segment(ctx, seg); err != nil {
			return err
		}
	}
	return nil
}
