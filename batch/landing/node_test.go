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

// node is one process as the world sees it: its own network, and its end.
type node struct {
	w    *world
	kill context.CancelFunc
	bad  int  // one in bad operations goes wrong; 0 for none
	near bool // operations take no time

	mu     sync.Mutex
	rng    *rand.Rand
	ops    int
	killAt int // the operation in which the process ends; 0 for never
	late   sync.WaitGroup
}

func newNode(w *world, seed, id uint64, bad int) *node {
	return &node{w: w, bad: bad, rng: rand.New(rand.NewPCG(seed, id)), kill: func() {}}
}

// late is how long a delayed operation takes: long enough for a successor to be at work.
const late = 1500 * time.Millisecond

// fate is what becomes of one operation.
type fate int

const (
	fine    fate = iota
	unsent       // fails without effect; the only thing that happens to reads
	unheard      // has its effect, the reply is lost
	delayed      // fails, and has its effect later
	mangled      // has another effect than was wanted
	fates        // their number
)

// op decides an operation's fate after some time on the network.
func (n *node) op(ctx context.Context) fate {
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

// do runs an operation with an effect under its fate.
func (n *node) do(ctx context.Context, effect func()) error {
	switch n.op(ctx) {
	case unsent:
		return errLost
	case unheard, mangled:
		effect()
		return errLost
	case delayed:
		n.late.Go(func() {
			time.Sleep(late)
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
	replies := make(chan reply, 1) // A delayed effect has nobody to tell.
	err := n.do(ctx, func() {
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
	if n.op(ctx) == unsent {
		return nil, errLost
	}
	return n.w.Get(ctx, key)
}

// List implements record.CommitLog.
func (n *node) List(ctx context.Context, prefix string) ([]string, error) {
	if n.op(ctx) == unsent {
		return nil, errLost
	}
	return n.w.List(ctx, prefix)
}

// Read implements Source.
func (n *node) Read(ctx context.Context, p int, from uint64) (eventbatch.Reader, error) {
	if n.op(ctx) == unsent {
		return nil, errLost
	}
	if _, _, err := n.w.read(p, from); err != nil {
		return nil, err
	}
	return &reader{n: n, p: p, next: from}, nil
}

// Heartbeat implements Source.
func (n *node) Heartbeat(ctx context.Context, p int) error {
	return n.do(ctx, func() {
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
	if r.n.op(ctx) == unsent {
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
	switch s.op(ctx) {
	case unsent, delayed:
		return errLost
	case unheard:
		s.w.put(key, raw)
		return errLost
	case mangled: // stored with a flipped bit, and reported as stored
		raw[size/2] ^= 1
	}
	s.w.put(key, raw)
	return nil
}

// Get implements Objects.
func (s store) Get(ctx context.Context, key string) ([]byte, error) {
	if s.op(ctx) == unsent {
		return nil, errLost
	}
	return s.w.object(key)
}
