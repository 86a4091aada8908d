package landing

import (
	"cmp"
	"context"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"recount/schemas/eventbatch"
	"recount/schemas/record"
)

// node is one process: its own network to the world, and when it is killed.
type node struct {
	w    *world
	kill context.CancelFunc
	bad  int  // one of so many operations fails; 0 means none
	near bool // operations need no time

	mu     sync.Mutex
	rng    *rand.Rand
	ops    int
	killAt int            // the operation in which the process is killed; 0 means never
	late   sync.WaitGroup // effects that are still to come
}

func newNode(w *world, seed, id uint64, bad int) *node {
	return &node{w: w, bad: bad, rng: rand.New(rand.NewPCG(seed, id)), kill: func() {}}
}

// delay is how late the effect of a delayed operation comes. By then a successor is at work.
const delay = 1500 * time.Millisecond

// fate is the outcome of one operation.
type fate int

const (
	fine    fate = iota
	unsent       // the operation fails without effect; reads fail in no other way
	unheard      // the operation has its effect, and the reply is lost
	delayed      // the operation fails, and has its effect later
	mangled      // the operation has another effect
	fates        // the number of fates
)

// drawFate draws the fate of the next operation, and waits for the network.
func (n *node) drawFate(ctx context.Context) fate {
	n.mu.Lock()
	n.ops++
	f := fine
	wait := time.Duration(n.rng.Int64N(int64(20 * time.Millisecond)))
	if n.bad > 0 && n.rng.IntN(n.bad) == 0 {
		f = fate(n.rng.IntN(int(fates)))
	}
	if n.ops == n.killAt {
		f = fate(n.rng.IntN(int(mangled)))
		n.kill()
		n.w.count(&n.w.kills)
	}
	n.mu.Unlock()
	if ctx.Err() != nil {
		return unsent
	}
	if !n.near {
		time.Sleep(wait)
	}
	return f
}

// attempt runs an operation with an effect, as its fate says.
func (n *node) attempt(ctx context.Context, effect func()) error {
	switch n.drawFate(ctx) {
	case unsent:
		return errLost
	case unheard, mangled:
		effect()
		return errLost
	case delayed:
		n.late.Go(func() {
			time.Sleep(delay)
			effect()
		})
		return errLost
	}
	effect()
	return nil
}

// Create implements record.CommitLog.
func (n *node) Create(ctx context.Context, key string, body []byte) (record.Outcome, []byte, error) {
	type reply struct {
		outcome record.Outcome
		there   []byte
		err     error
	}
	replies := make(chan reply, 1) // Nothing receives the reply of a delayed effect.
	err := n.attempt(ctx, func() {
		o, there, err := n.w.Create(context.WithoutCancel(ctx), key, body)
		replies <- reply{o, there, err}
	})
	if err != nil {
		return record.Unknown, nil, err
	}
	r := <-replies
	return r.outcome, r.there, r.err
}

// Get implements record.CommitLog.
func (n *node) Get(ctx context.Context, key string) ([]byte, error) {
	if n.drawFate(ctx) == unsent {
		return nil, errLost
	}
	return n.w.Get(ctx, key)
}

// List implements record.CommitLog.
func (n *node) List(ctx context.Context, prefix string) ([]string, error) {
	if n.drawFate(ctx) == unsent {
		return nil, errLost
	}
	return n.w.List(ctx, prefix)
}

// Read implements Source.
func (n *node) Read(ctx context.Context, p int, from uint64) (eventbatch.Reader, error) {
	if n.drawFate(ctx) == unsent {
		return nil, errLost
	}
	if _, _, err := n.w.read(p, from); err != nil {
		return nil, err
	}
	return &reader{n: n, p: p, next: from}, nil
}

// Heartbeat implements Source.
func (n *node) Heartbeat(ctx context.Context, p int) error {
	return n.attempt(ctx, func() {
		n.w.count(&n.w.beats)
		n.w.append(p, eventbatch.AppendHeartbeat(nil, time.Now().Add(-n.w.skew).UnixMicro()))
	})
}

type reader struct {
	n    *node
	p    int
	next uint64
}

func (r *reader) Next(ctx context.Context) (eventbatch.Message, error) {
	if r.n.drawFate(ctx) == unsent {
		return eventbatch.Message{}, cmp.Or(ctx.Err(), errLost)
	}
	for {
		m, wait, err := r.n.w.read(r.p, r.next)
		if err != nil {
			return m, err
		}
		if wait == nil {
			r.next++
			return m, nil
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return m, ctx.Err()
		}
	}
}

func (r *reader) Close() {}

// store is the object store as a node sees it.
type store struct{ *node }

// Put implements Objects.
func (s store) Put(ctx context.Context, key string, body io.ReaderAt, size int64) error {
	raw := make([]byte, size)
	if _, err := body.ReadAt(raw, 0); err != nil && err != io.EOF {
		return err
	}
	switch s.drawFate(ctx) {
	case unsent, delayed:
		return errLost
	case unheard:
		s.w.storeObject(key, raw)
		return errLost
	case mangled: // The object is stored with a flipped bit, and reported as stored.
		raw[size/2] ^= 1
	}
	s.w.storeObject(key, raw)
	return nil
}

// Get implements Objects.
func (s store) Get(ctx context.Context, key string) ([]byte, error) {
	if s.drawFate(ctx) == unsent {
		return nil, errLost
	}
	return s.w.object(key)
}
