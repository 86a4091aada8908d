package sim

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing/synctest"
	"time"

	"recount/batch/lake"
	"recount/batch/publish"
	"recount/deploy/server/janitor"
	"recount/jobs"
	"recount/schemas/catalog"
	"recount/schemas/position"
	"recount/schemas/record"
	"recount/serving/reader"
	"recount/speed/realtime"
)

// cutRules cut small segments, so that a seed sees many: the one of before and of after the
// change that some seeds make.
var cutRules = [2]position.CutRule{{Interval: time.Minute, Rows: 8, Bytes: 1 << 20},
	{Interval: 90 * time.Second, Rows: 5, Bytes: 1 << 20}}

// node is a place where processes run one after the other. Nodes A and B run every role,
// wired as package stack wires them; C lands alone, and survives the power's failures.
type node struct {
	w    *world
	name string
	life int
	dir  string // of the snapshots and marks; a kill takes it from the dying process
	base string

	// Of the process that runs now.
	p         *proc
	catalog   *catalog.Catalog
	chains    []*record.Chain
	marks     *janitor.Marks
	publisher *publish.Publisher
	views     *realtime.Views
	landers   landers
	records   *lake.CommitLog
	answers   *reader.Reader
	up        bool

	failed error              // of the last recompute
	busy   bool               // recomputing
	from   [partitions]uint64 // the lowest boundary that the log reached as the process began

	memory recall
	final  map[string]bool
}

// runs keeps processes running until the world ends.
func (n *node) runs() {
	for n.w.root.Err() == nil {
		n.life++
		n.p = n.w.start(fmt.Sprintf("%s%d", n.name, n.life))
		n.up = false
		n.busy = false
		n.views = nil
		n.final = map[string]bool{}
		n.lives(n.p)
		if n.w.root.Err() == nil {
			time.Sleep(step * time.Duration(1+n.p.random("next").IntN(4)))
			n.w.see()
		}
	}
}

// kill ends the node's process. The next one finds the files as they are now.
func (n *node) kill() {
	next := filepath.Join(n.base, fmt.Sprintf("%s-%d", n.name, n.life+1))
	if n.dir != "" {
		_ = os.Rename(n.dir, next)
	}
	n.dir = next
	n.up = false
	n.w.note("%s is killed", n.p.name)
	n.p.kill()
	synctest.Wait() // It runs no further beside the scheduler.
}

func (n *node) lives(p *proc) {
	if n.dir == "" {
		n.dir = filepath.Join(n.base, fmt.Sprintf("%s-%d", n.name, n.life))
	}
	for {
		err := n.boot(p)
		if err == nil {
			break
		}
		if strings.Contains(err.Error(), "may be another's") {
			_ = os.Remove(filepath.Join(n.dir, "high-water.json")) // What the message tells the operator.
		}
		n.w.meet("boot fails")
		if errors.Is(err, record.ErrInvalid) {
			n.w.fail("%s: boot: %v", p.name, err)
		}
		if !p.sleep(1) {
			return
		}
	}
	n.up = true
	n.w.accepting = n.w.accepting || n.name != "C"
	var wg sync.WaitGroup
	wg.Go(func() { n.landers.run(p.ctx) })
	if n.name != "C" {
		wg.Go(func() { _ = n.views.Run(p.ctx) })
		wg.Go(func() { n.retains(p) })
		wg.Go(func() { n.works(p) })
		wg.Go(func() { n.asks(p) })
	}
	wg.Wait()
	<-p.ctx.Done()
}

// lands fails where a partition has stopped landing though the log has all it should.
func (n *node) lands() {
	if err := n.landers.Stopped(); err != nil && !n.w.rot && n.w.losses == 0 {
		n.w.fail("%s: landing stopped: %v", n.p.name, err)
	}
}

// outrun notes that another owner trimmed what this one's views had still to read. They
// begin anew further on, and know no identities from before (D3).
func (n *node) outrun(p int, first uint64) {
	if n.views != nil && n.views.Status()[p].Through.Seq < first {
		n.w.meet("another owner trims what is still to be read")
		n.memory.start[p] = math.MaxUint64
	}
}

// retains is stack's loops of a process: what speed keeps, and the high-water marks.
func (n *node) retains(p *proc) {
	for p.sleep(1) {
		_ = n.marks.Advance(p.ctx)
		err := n.views.Retain(n.publisher.OldestKept().H)
		n.renew(p)
		for i, st := range n.views.Status() {
			err = errors.Join(err, st.Failed)
			if err == nil {
				continue
			}
			gap := errors.Is(err, position.ErrGap) && n.w.losses > 0
			other := n.w.otherRule && n.name == "B" || n.w.logs[i].epoch != st.Epoch
			if !gap && !other && !n.w.rot {
				n.w.fail("%s: real-time views of a healthy process: %v", p.name, err)
			}
		}
	}
}

// renew is what stack's loop does about epochs that other owners begin.
func (n *node) renew(p *proc) {
	if n.w.otherRule && n.name == "B" {
		return // It would learn the rule that it has not.
	}
	renewal := janitor.Renewal{Log: janitorLog{logOf{n.w, p}}, Marks: n.marks, Views: n.views, Chains: n.current}
	oldest := n.publisher.OldestKept().H
	renewed, _ := renewal.Renew(p.ctx, oldest, n.publisher.State().H, n.landers.Heads())
	for _, i := range renewed {
		n.w.meet("a running process follows another's epoch")
		_ = p.do(p.ctx, op{kind: "renewed", key: fmt.Sprint(i), effect: func() error {
			n.from[i] = n.w.logs[i].first
			n.memory.start[i] = max(oldest[i].Seq, n.from[i])
			return nil
		}})
	}
}

// works runs the jobs one after the other.
func (n *node) works(p *proc) {
	rng := p.random("works")
	for k := 0; p.sleep(1 + rng.IntN(n.pace(6))); k++ {
		n.busy = true
		_, n.failed = n.publisher.Recompute(p.ctx)
		n.busy = false
		if n.failed == nil && n.w.bad == 0 {
			n.w.healed(p.name)
		}
		if n.w.restless {
			_, _ = n.publisher.Recompute(p.ctx)
		}
		if n.w.pinning && n.w.bad > 0 && rng.IntN(8) == 0 {
			n.pin(p)
		}
		if k%2 == 0 {
			_, _ = n.publisher.Collect(p.ctx)
		}
		if k%2 == 1 {
			n.trims(p)
		}
	}
}

// trims is the log's part of the job expire. Node B trims like a process that has no
// real-time views, so neither node asks for what the other's still read (L6).
func (n *node) trims(p *proc) {
	n.busy = true
	defer func() { n.busy = false }()
	chains, err := n.current(p.ctx)
	if err != nil {
		return
	}
	own := n.views.Status()
	if n.name == "B" {
		own = nil
	}
	bounds := janitor.Needed(n.publisher.OldestKept().H, chains, own)
	first := make([]uint64, partitions)
	for i := range first {
		first[i] = n.w.logs[i].first
	}
	if n.publisher.EnsureObjects(p.ctx, first, bounds) == nil {
		_, _ = jobs.Trim(p.ctx, janitorLog{logOf{n.w, p}}, bounds)
	}
}

// pin pins the newest publication this node knows.
func (n *node) pin(p *proc) {
	s := n.publisher.State()
	if s.N > 0 && n.publisher.Pin(p.ctx, s.N) == nil {
		n.w.pins(s.N)
	}
}

func (n *node) pace(steps int) int {
	if n.w.restless || n.w.bad == 0 {
		return 1
	}
	return steps
}
