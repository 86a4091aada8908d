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

// step is how far the clock moves at once. It is longer than any pause with jitter in
// the code under test, so a schedule does not depend on where in a step a pause ends.
const step = 10 * time.Second

// fate is what becomes of an operation.
type fate int

const (
	fine      fate = iota
	unsent         // no effect, an error
	unheard        // its effect, and an error
	delayed        // an error, and its effect later
	conflict       // 409, without effect
	refused        // 412, though the effect is this very operation's
	broken         // 500, with or without effect
	mangled        // another effect than was asked for, reported as done
	lateWrong      // an error, and another effect than was asked for later
)

var fateNames = [...]string{"fine", "unsent", "unheard", "delayed", "409", "412", "500", "mangled", "late and mangled"}

// errLost is what a process sees of an operation whose request or reply was lost.
var errLost = errors.New("connection lost")

// status is an error with an HTTP status.
type status int

func (s status) Error() string       { return fmt.Sprintf("HTTP status %d", int(s)) }
func (s status) HTTPStatusCode() int { return int(s) }

// op is a parked operation.
type op struct {
	p         *proc // nil once its process is gone
	kind, key string
	fates     []fate
	rare      bool         // so seldom that every second one goes wrong
	ready     func() bool  // nil: always
	effect    func() error // runs while every goroutine is blocked, so it needs no locks
	mangle    func()
	reply     chan error
}

// scheduler decides everything. Its run method is the only goroutine that changes the world.
type scheduler struct {
	root  context.Context
	seed  uint64
	rng   *rand.Rand
	bad   int // one in bad operations goes wrong; 0 for none
	ticks int
	steps int

	mu      sync.Mutex
	pending []*op
	met     map[string]int // how often each trouble was met; 0 for one that was offered and never came
	trace   []string
	digest  uint64
	failed  error
}

func newScheduler(root context.Context, seed uint64) *scheduler {
	return &scheduler{root: root, seed: seed, rng: rand.New(rand.NewPCG(seed, 0)), bad: 9, met: map[string]int{}}
}

// meet counts a trouble. It may be called by any goroutine.
func (s *scheduler) meet(trouble string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.met[trouble]++
}

// note adds a line to the schedule.
func (s *scheduler) note(format string, args ...any) {
	line := fmt.Sprintf("%5d ", s.ticks) + fmt.Sprintf(format, args...)
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %s", s.digest, line)
	s.digest = h.Sum64()
	s.trace = append(s.trace, line)
}

// fail notes the first thing that must not be. It may be called by any goroutine.
func (s *scheduler) fail(format string, args ...any) {
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

// eligible returns the operations that can go on, in an order that depends on them alone.
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

func (s *scheduler) remove(o *op) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.pending, o)
	if i >= 0 {
		s.pending = slices.Delete(s.pending, i, i+1)
	}
	return i >= 0
}

// run plays until done says so or something failed. between is called once a step of the clock.
func (s *scheduler) run(done func() bool, between func()) {
	for {
		synctest.Wait()
		if done() || s.failure() != nil {
			return
		}
		ops := s.eligible()
		if len(ops) == 0 || s.bad > 0 && s.rng.IntN(25) == 0 {
			s.passes(1)
			synctest.Wait()
			between()
			continue
		}
		s.play(ops[s.rng.IntN(len(ops))])
	}
}

// passes lets the clock go on.
func (s *scheduler) passes(steps int) {
	s.mu.Lock()
	s.ticks += steps
	s.mu.Unlock()
	time.Sleep(time.Duration(steps) * step)
}

// play lets one operation have its fate.
func (s *scheduler) play(o *op) {
	s.remove(o)
	s.steps++
	f := fine
	bad := s.bad
	if o.rare {
		bad = min(bad, 2)
	}
	if bad > 0 && len(o.fates) > 0 && s.rng.IntN(bad) == 0 {
		f = o.fates[s.rng.IntN(len(o.fates))]
	}
	if f != fine {
		s.meet(o.kind + ": " + fateNames[f])
	}
	s.note("%s %s %s: %s", o.actor(), o.kind, o.key, fateNames[f])
	var err error
	switch f {
	case fine:
		err = o.effect()
	case unsent:
		err = errLost
	case conflict:
		err = status(409)
	case unheard:
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
		s.later(o, o.effect)
		err = errLost
	case mangled:
		o.mangle()
	case lateWrong:
		s.later(o, func() error {
			o.mangle()
			return nil
		})
		err = errLost
	}
	if o.reply != nil {
		o.reply <- err
	}
}

// later parks an effect that nobody waits for any more. It still waits until it can be: a
// dead process's message must not reach a log that accepts nothing yet (L5).
func (s *scheduler) later(o *op, effect func() error) {
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
	end         context.CancelFunc
	dead        bool // guarded by s.mu
	pausedUntil int  // step of the clock
}

func (s *scheduler) start(name string) *proc {
	ctx, end := context.WithCancel(s.root)
	return &proc{s: s, name: name, ctx: ctx, end: end}
}

// random are the numbers of one goroutine of a process: shared ones would come in any order.
func (p *proc) random(of string) *rand.Rand {
	h := fnv.New64a()
	fmt.Fprint(h, p.name, of)
	return rand.New(rand.NewPCG(p.s.seed, h.Sum64()))
}

// do parks an operation and waits for its fate.
func (p *proc) do(ctx context.Context, o op) error {
	o.p = p
	o.reply = make(chan error, 1)
	p.s.mu.Lock()
	if p.dead || ctx.Err() != nil {
		p.s.mu.Unlock()
		return cmp.Or(ctx.Err(), errLost)
	}
	p.s.pending = append(p.s.pending, &o)
	for _, f := range o.fates {
		p.s.met[o.kind+": "+fateNames[f]] += 0
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

// kill ends a process. What it had sent may still arrive.
func (p *proc) kill() {
	s := p.s
	s.mu.Lock()
	p.dead = true
	mine := slices.Clone(s.pending)
	mine = slices.DeleteFunc(mine, func(o *op) bool { return o.p != p })
	slices.SortFunc(mine, func(a, b *op) int { return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.key, b.key)) })
	s.pending = slices.DeleteFunc(s.pending, func(o *op) bool { return o.p == p })
	s.mu.Unlock()
	for _, o := range mine {
		if slices.Contains(o.fates, unheard) && s.bad > 0 && s.rng.IntN(2) == 0 {
			s.later(o, o.effect)
		}
	}
	p.end()
}

// sleep reports whether the wait ended before the process. One that is paused meanwhile wakes
// behind the pause, and what it had asked of others may be answered before.
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

// see orders what the scheduler did before what the caller reads next. The virtual clock
// does so already, but the race detector does not learn of it from a timer.
func (s *scheduler) see() {
	s.mu.Lock()
	defer s.mu.Unlock()
}
