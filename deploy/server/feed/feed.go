// Package feed lets the roles of a process share one reader of each partition. Landing and the real-time views need
// the same messages at about the same time. Without a feed the log server sends each message twice, and each role
// decodes it.
//
//	log ──▶ lead ──▶ recent messages ──▶ reader of landing
//	                        └──────────▶ reader of the real-time views
//
// Every reader begins alone, with a reader of its own that compares the log with what it wants. It joins the others
// where it has just read the same bytes under the same sequence as they. So it continues with the messages that it
// would have read itself. A reader that lags by more than a bound, or meets an error, continues alone, after the
// message that it had last. It joins again where it meets the others.
//
// The reader that needs a message first reads it from the lead. There is no goroutine that reads ahead.
package feed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"recount/schemas/eventbatch"
	"recount/schemas/position"
)

const (
	recentBytes = 64 << 20 // what all partitions together keep for readers that lag, decoded
	leastBytes  = 1 << 20  // what each partition may keep
)

// Open opens a reader of the log whose first message is from.
type Open func(ctx context.Context, partition int, from uint64) (eventbatch.Reader, error)

// Feed hands out the messages of all partitions. It is safe for concurrent use.
type Feed struct {
	open       Open
	partitions []*partition
}

// New returns a feed of messages that open reads.
func New(open Open, partitions int) *Feed {
	f := &Feed{open: open, partitions: make([]*partition, partitions)}
	for i := range f.partitions {
		f.partitions[i] = &partition{most: max(leastBytes, recentBytes/partitions), turn: make(chan struct{}, 1),
			arrived: make(chan struct{}), joined: map[*reader]struct{}{}}
	}
	return f
}

// Read opens a reader as Open does. The reader is for one goroutine.
func (f *Feed) Read(ctx context.Context, p int, from uint64) (eventbatch.Reader, error) {
	own, err := f.open(ctx, p, from)
	if err != nil {
		return nil, err
	}
	return &reader{open: f.open, id: p, partition: f.partitions[p], own: own, want: from}, nil
}

// partition has what its joined readers share.
type partition struct {
	turn chan struct{} // holds a token while a reader reads from lead

	mu      sync.Mutex
	lead    eventbatch.Reader    // reads what follows recent; nil while no reader has joined
	recent  []eventbatch.Message // without a gap
	bytes   int                  // of recent, decoded
	most    int                  // bytes that recent may have
	joined  map[*reader]struct{}
	arrived chan struct{} // closed, and replaced, when recent or joined has changed
}

// find returns a recent message. mu must be held.
func (p *partition) find(seq uint64) (eventbatch.Message, bool) {
	if len(p.recent) == 0 || seq < p.recent[0].Seq || seq-p.recent[0].Seq >= uint64(len(p.recent)) {
		return eventbatch.Message{}, false
	}
	return p.recent[seq-p.recent[0].Seq], true
}

// push adds the message that lead has read, and wakes the readers that wait for it. mu must be held.
func (p *partition) push(m eventbatch.Message) {
	if n := len(p.recent); n > 0 && m.Seq != p.recent[n-1].Seq+1 {
		p.drop(n)
	}
	p.recent = append(p.recent, m.Share())
	p.bytes += m.Size()
	if p.bytes > p.most {
		p.dropHalf()
	}
	p.wake()
}

// dropHalf forgets the oldest messages, up to half of what may be kept, but never the newest. To forget one at a time
// would move all others each time. mu must be held.
func (p *partition) dropHalf() {
	n := 0
	for rest := p.bytes; n < len(p.recent)-1 && rest > p.most/2; n++ {
		rest -= p.recent[n].Size()
	}
	p.drop(n)
}

// drop forgets the oldest n recent messages. mu must be held.
func (p *partition) drop(n int) {
	for _, m := range p.recent[:n] {
		p.bytes -= m.Size()
	}
	rest := copy(p.recent, p.recent[n:])
	clear(p.recent[rest:])
	p.recent = p.recent[:rest]
}

// dropRead forgets what every joined reader has. It keeps the newest message, which readers compare when they join.
// mu must be held.
func (p *partition) dropRead() {
	n := max(0, len(p.recent)-1)
	for r := range p.joined {
		n = min(n, int(max(r.want, p.recent[0].Seq)-p.recent[0].Seq))
	}
	p.drop(n)
}

// wake wakes all readers that wait. mu must be held.
func (p *partition) wake() {
	close(p.arrived)
	p.arrived = make(chan struct{})
}

// leave lets a reader continue alone. It returns the lead, for the caller to close, if no other reader needs it. mu
// must be held.
func (p *partition) leave(r *reader) eventbatch.Reader {
	_, joined := p.joined[r]
	delete(p.joined, r)
	if !joined || len(p.joined) > 0 {
		return nil
	}
	return p.dissolve()
}

// dissolve lets all readers continue alone, and returns the lead for the caller to close. mu must be held.
func (p *partition) dissolve() eventbatch.Reader {
	lead := p.lead
	p.lead = nil
	p.drop(len(p.recent))
	clear(p.joined)
	p.wake()
	return lead
}

// advance reads one message from the lead, unless the reader that had the turn before has read it. An error ends
// the sharing, because each reader has to find out for itself where it stands.
func (p *partition) advance(ctx context.Context, r *reader) error {
	defer func() { <-p.turn }()
	p.mu.Lock()
	_, joined := p.joined[r]
	_, found := p.find(r.want)
	lead := p.lead
	p.mu.Unlock()
	if !joined || found {
		return nil
	}
	m, err := lead.Next(ctx)
	p.mu.Lock()
	if err == nil {
		p.push(m)
		p.mu.Unlock()
		return nil
	}
	if ctx.Err() != nil { // It says nothing about the log.
		p.mu.Unlock()
		return err
	}
	p.dissolve()
	p.mu.Unlock()
	lead.Close()
	return err
}

// reader is one role's reader of a partition.
type reader struct {
	open      Open
	id        int
	partition *partition
	own       eventbatch.Reader // nil while joined, and after that until it is opened
	want      uint64            // the next message; the partition's mu guards it while joined
	last      []byte            // frame of the message before want; nil before the first
}

// Next returns the next message.
func (r *reader) Next(ctx context.Context) (eventbatch.Message, error) {
	m, shared, err := r.readShared(ctx)
	if err == nil && !shared {
		m, err = r.readAlone(ctx)
	}
	if err != nil {
		return eventbatch.Message{}, err
	}
	r.advance(m)
	return m, nil
}

// advance moves past a message. A reader that read it alone joins at once if the others have it already; if they get
// it later, it joins before its next message.
func (r *reader) advance(m eventbatch.Message) {
	p := r.partition
	p.mu.Lock()
	r.want = m.Seq + 1
	r.last = m.Frame
	_, needless := r.join()
	p.dropRead()
	p.mu.Unlock()
	if needless != nil {
		needless.Close()
	}
}

// readShared waits for the next recent message. shared is false if the reader has to read alone.
func (r *reader) readShared(ctx context.Context) (m eventbatch.Message, shared bool, err error) {
	p := r.partition
	for {
		p.mu.Lock()
		joined, needless := r.join()
		m, found := p.find(r.want)
		arrived := p.arrived
		p.mu.Unlock()
		if needless != nil {
			needless.Close()
		}
		if !joined || found {
			return m, joined, nil
		}
		select {
		case p.turn <- struct{}{}:
			if err := p.advance(ctx, r); err != nil {
				return m, false, err
			}
		case <-arrived:
		case <-ctx.Done():
			return m, false, ctx.Err()
		}
	}
}

// join reports whether the reader is joined, or can join now, and returns a reader of the log that nobody needs any
// more. It leaves if it lags too far. mu must be held.
func (r *reader) join() (joined bool, needless eventbatch.Reader) {
	p := r.partition
	if _, ok := p.joined[r]; ok {
		if r.want >= p.recent[0].Seq {
			return true, nil
		}
		return false, p.leave(r)
	}
	if r.last == nil || r.own == nil {
		return false, nil
	}
	if p.lead == nil {
		p.lead = r.own
		p.push(eventbatch.Message{Seq: r.want - 1, Frame: r.last})
	} else if m, ok := p.find(r.want - 1); ok && bytes.Equal(m.Frame, r.last) {
		needless = r.own
	} else {
		return false, nil
	}
	r.own = nil
	p.joined[r] = struct{}{}
	return true, needless
}

// readAlone reads the next message from a reader of its own.
func (r *reader) readAlone(ctx context.Context) (eventbatch.Message, error) {
	if r.own == nil {
		own, err := r.resume(ctx)
		if err != nil {
			return eventbatch.Message{}, err
		}
		r.own = own
	}
	return r.own.Next(ctx)
}

// resume opens a reader after the last message. It reads that message again: a log that lost its end and was filled
// again has another one there.
func (r *reader) resume(ctx context.Context) (eventbatch.Reader, error) {
	if r.last == nil {
		return r.open(ctx, r.id, r.want)
	}
	own, err := r.open(ctx, r.id, r.want-1)
	if errors.Is(err, position.ErrTrimmed) {
		return r.open(ctx, r.id, r.want)
	}
	if err != nil {
		return nil, err
	}
	m, err := own.Next(ctx)
	if err == nil && !bytes.Equal(m.Frame, r.last) {
		err = fmt.Errorf("%w: message %d is not the one that was read before: "+
			"the log lost its end and was filled again",
			position.GapError{Partition: r.id, Want: r.want, Got: r.want - 1}, r.want-1)
	}
	if err != nil {
		own.Close()
		return nil, err
	}
	return own, nil
}

// Close ends the reader. It may be called again. The last joined reader closes the lead.
func (r *reader) Close() {
	p := r.partition
	p.mu.Lock()
	lead := p.leave(r)
	p.mu.Unlock()
	if lead != nil {
		lead.Close()
	}
	if r.own != nil {
		r.own.Close()
		r.own = nil
	}
}
