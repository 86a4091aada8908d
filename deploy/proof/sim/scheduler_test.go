package sim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"sync"
	"testing/synctest"
	"time"
)

// step is how far the clock moves at once. It is longer than every random pause of the code under
// test, so the moment in a step at which a pause ends does not change the schedule.
const step = 10 * time.Second

// fate is what happens to an operation.
type fate int

const (
	done           fate = iota // The operation has its effect and succeeds.
	requestLost                // The operation has no effect and fails.
	replyLost                  // The operation has its effect and fails.
	delayed                    // The operation fails and has its effect later.
	conflict                   // The operation is answered 409 and has no effect.
	refused                    // The operation is answered 412, although it has its effect.
	broken                     // The operation is answered 500, with or without its effect.
	altered                    // The operation has an altered effect and succeeds.
	delayedAltered             // The operation fails and has an altered effect later.
)

var fateNames = [...]string{"done", "request lost", "reply lost", "delayed", "409", "412", "500", "altered",
	"delayed and altered"}

// errLost is the error of an operation whose request or reply was lost.
var errLost = errors.New("connection lost")

// status is an error with an HTTP status.
type status int

func (s status) Error() string       { return fmt.Sprintf("HTTP status %d", int(s)) }
func (s status) HTTPStatusCode() int { return int(s) }

// op is a parked operation.
type op struct {
	p         *proc  // p is nil when its process has ended.
	kind, key string // kind and key order the operations of a process, so they are part of the schedule.
	fates     []fate
	rare      bool         // rare operations go wrong every second time, because there are so few of them.
	ready     func() bool  // ready says whether the operation can run now; nil means always.
	effect    func() error // effect runs while every goroutine is blocked, so it needs no locks.
	alter     func()       // alter is the altered effect.
	reply     chan error
}

// scheduler decides what happens next. Only the goroutine of its run method changes the world.
type scheduler struct {
	root  context.Context
	seed  uint64
	rng   *rand.Rand
	bad   int // One in bad operations goes wrong; 0 means none.
	ticks int
	steps int

	mu         sync.Mutex
	pending    []*op
	situations map[string]int // situations counts what occurred; a count is 0 where it only could have.
	trace      []string
	digest     uint64
	failed     error
}

func newScheduler(root context.Context, seed uint64) *scheduler {
	return &scheduler{root: root, seed: seed, rng: rand.New(rand.NewPCG(seed, 0)), bad: 9,
		situations: map[string]int{}}
}

// observe counts a situation. It may be called by any goroutine.
func (s *scheduler) observe(situation string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.situations[situation]++
}

// tracef adds a line to the printed schedule.
func (s *scheduler) tracef(format string, args ...any) {
	line := fmt.Sprintf("%5d ", s.ticks) + fmt.Sprintf(format, args...)
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %s", s.digest, line)
	s.digest = h.Sum64()
	s.trace = append(s.trace, line)
}

// failf records the first error of the seed. It may be called by any goroutine.
func (s *scheduler) failf(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == nil {
		s.failed = fmt.Errorf(format, args...)
	}
}

func (s *scheduler) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

// eligible returns the operations that can run now, in an order that depends on them alone.
func (s *scheduler) eligible() []*op {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*op
	for _, o := range s.pending {
		if (o.p == nil || o.p.pausedUntil <= s.ticks) && (o.ready == nil || o.ready()) {
			out = append(out, o)
		}
	}
	slices.SortStableFunc(out, func(a, b *op) int {
		return cmp.Or(cmp.Compare(a.actor(), b.actor()), cmp.Compare(a.kind, b.kind), cmp.Compare(a.key, b.key))
	})
	return out
}

func (o *op) actor() string {
	if o.p == nil {
		return "~"
	}
	return o.p.name
}

func (s *scheduler) remove(o *op) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending = slices.DeleteFunc(s.pending, func(other *op) bool { return other == o })
}

// run plays operations until finished returns true or the seed fails. It calls onTick after each
// step of the clock.
func (s *scheduler) run(finished func() bool, onTick func()) {
	for {
		synctest.Wait()
		if finished() || s.failure() != nil {
			return
		}
		ops := s.eligible()
		if len(ops) == 0 || s.bad > 0 && s.rng.IntN(25) == 0 {
			s.advanceClock(1)
			synctest.Wait()
			onTick()
			continue
		}
		s.play(ops[s.rng.IntN(len(ops))])
	}
}

// advanceClock lets the clock run for some steps.
func (s *scheduler) advanceClock(steps int) {
	s.mu.Lock()
	s.ticks += steps
	s.mu.Unlock()
	time.Sleep(time.Duration(steps) * step)
}

// play draws the fate of an operation and carries it out.
func (s *scheduler) play(o *op) {
	s.remove(o)
	s.steps++
	f := done
	bad := s.bad
	if o.rare {
		bad = min(bad, 2)
	}
	if bad > 0 && len(o.fates) > 0 && s.rng.IntN(bad) == 0 {
		f = o.fates[s.rng.IntN(len(o.fates))]
	}
	if f != done {
		s.observe(o.kind + ": " + fateNames[f])
	}
	s.tracef("%s %s %s: %s", o.actor(), o.kind, o.key, fateNames[f])
	var err error
	switch f {
	case done:
		err = o.effect()
	case requestLost:
		err = errLost
	case conflict:
		err = status(409)
	case replyLost:
		_ = o.effect()
		err = errLost
	case refused:
		_ = o.effect()
		err = status(412)
	case broken:
		if s.rng.IntN(2) == 0 {
			_ = o.effect()
		}
		err = status(500)
	case delayed:
		s.delayEffect(o, o.effect)
		err = errLost
	case altered:
		o.alter()
	case delayedAltered:
		s.delayEffect(o, func() error {
			o.alter()
			return nil
		})
		err = errLost
	}
	if o.reply != nil {
		o.reply <- err
	}
}

// delayEffect parks an effect for which no process waits any more. It still waits until it is ready:
// a message of a dead process must not reach a log that does not accept messages yet (L5).
func (s *scheduler) delayEffect(o *op, effect func() error) {
	due := s.ticks + 1 + s.rng.IntN(12)
	ready := func() bool { return s.ticks >= due && (o.ready == nil || o.ready()) }
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending = append(s.pending, &op{kind: o.kind, key: o.key + " of " + o.actor(), effect: effect, ready: ready})
}

// proc is one process, from its start to its end.
type proc struct {
	s           *scheduler
	name        string
	ctx         context.Context
	cancel      context.CancelFunc
	dead        bool // dead is guarded by s.mu.
	pausedUntil int  // pausedUntil is a step of the clock.
}

func (s *scheduler) start(name string) *proc {
	ctx, cancel := context.WithCancel(s.root)
	return &proc{s: s, name: name, ctx: ctx, cancel: cancel}
}

// newRand returns the random numbers of one goroutine of a process. Goroutines that shared a source
// would draw from it in an order that differs from run to run.
func (p *proc) newRand(label string) *rand.Rand {
	h := fnv.New64a()
	fmt.Fprint(h, p.name, label)
	return rand.New(rand.NewPCG(p.s.seed, h.Sum64()))
}

// perform parks an operation and waits for its fate.
func (p *proc) perform(ctx context.Context, o op) error {
	o.p = p
	o.reply = make(chan error, 1)
	p.s.mu.Lock()
	if p.dead || ctx.Err() != nil {
		p.s.mu.Unlock()
		return cmp.Or(ctx.Err(), errLost)
	}
	p.s.pending = append(p.s.pending, &o)
	for _, f := range o.fates {
		p.s.situations[o.kind+": "+fateNames[f]] += 0
	}
	p.s.mu.Unlock()
	select {
	case err := <-o.reply:
		return err
	case <-ctx.Done():
		p.s.remove(&o)
		return ctx.Err()
	}
}

// kill ends a process. Requests that it has sent may still have their effect.
func (p *proc) kill() {
	s := p.s
	s.mu.Lock()
	p.dead = true
	sent := slices.Clone(s.pending)
	sent = slices.DeleteFunc(sent, func(o *op) bool { return o.p != p })
	slices.SortFunc(sent, func(a, b *op) int { return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.key, b.key)) })
	s.pending = slices.DeleteFunc(s.pending, func(o *op) bool { return o.p == p })
	s.mu.Unlock()
	for _, o := range sent {
		if slices.Contains(o.fates, replyLost) && s.bad > 0 && s.rng.IntN(2) == 0 {
			s.delayEffect(o, o.effect)
		}
	}
	p.cancel()
}

// sleep waits for some steps and reports whether the process still lives. A process that is paused
// wakes after the pause; answers to its requests may have arrived earlier.
func (p *proc) sleep(steps int) bool {
	for wait := steps; ; wait = 1 {
		t := time.NewTimer(time.Duration(wait) * step)
		select {
		case <-t.C:
			if !p.paused() {
				return true
			}
		case <-p.ctx.Done():
			t.Stop()
			return false
		}
	}
}

func (p *proc) paused() bool {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	return p.pausedUntil > p.s.ticks
}

// synchronize orders the scheduler's changes before the caller's next reads. The virtual clock does
// that already, but the race detector does not learn it from a timer.
func (s *scheduler) synchronize() {
	s.mu.Lock()
	defer s.mu.Unlock()
}
