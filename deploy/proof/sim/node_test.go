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
	"recount/deploy/server/generations"
	"recount/deploy/server/janitor"
	"recount/jobs"
	"recount/schemas/catalog"
	"recount/schemas/position"
	"recount/schemas/record"
	"recount/serving/reader"
	"recount/speed/realtime"
)

// cutRules are the cut rules before and after the change that some seeds make. They cut small
// segments, so that a seed has many.
var cutRules = [2]position.CutRule{{Interval: time.Minute, Rows: 8, Bytes: 1 << 20},
	{Interval: 90 * time.Second, Rows: 5, Bytes: 1 << 20}}

// node is a machine on which processes run one after the other. Nodes A and B run every role, wired
// as package server wires them. Node C only lands, and survives power failures.
type node struct {
	w          *world
	name       string
	generation int    // generation is the number of the process.
	dir        string // dir holds snapshots and marks; a kill renames it for the next process.
	baseDir    string

	// The fields from here to running belong to the process that runs now.
	p         *proc
	catalog   *catalog.Catalog
	chain     *generations.Chain // of the catalog; nil where it changes at a restart only
	chains    []*record.Chain
	marks     *janitor.Marks
	publisher *publish.Publisher
	views     *realtime.Views
	landers   landers
	records   *lake.CommitLog
	answers   *reader.Reader
	running   bool

	recomputeErr error // recomputeErr is the error of the last recompute.
	busy         bool  // busy says that a recompute or a trim is running.
	// lowest is the lowest boundary from which the log could be read when the process began.
	lowest [partitions]uint64

	window dedupWindow
	asked  int // asked is how many random queries were asked.
	// promised holds, for each partition, the end of what this node's processes have acknowledged or
	// answered. The next process must not answer less without saying so (Q6).
	promised     [partitions]uint64
	stale        []int           // stale lists the partitions that the last scan of real-time views called stale.
	finalAnswers map[string]bool // finalAnswers says, by view and mode, whether an answer covers all events.
}

// runProcesses runs one process after the other until the world ends.
func (n *node) runProcesses() {
	for n.w.root.Err() == nil {
		n.generation++
		n.p = n.w.start(fmt.Sprintf("%s%d", n.name, n.generation))
		n.running = false
		n.busy = false
		n.views = nil
		n.finalAnswers = map[string]bool{}
		n.runProcess(n.p)
		if n.w.root.Err() == nil {
			time.Sleep(step * time.Duration(1+n.p.newRand("next").IntN(4)))
			n.w.synchronize()
		}
	}
}

// kill ends the node's process. The next process finds the files as they are now.
func (n *node) kill() {
	next := filepath.Join(n.baseDir, fmt.Sprintf("%s-%d", n.name, n.generation+1))
	if n.dir != "" {
		_ = os.Rename(n.dir, next)
	}
	n.dir = next
	n.running = false
	n.w.tracef("%s is killed", n.p.name)
	n.p.kill()
	synctest.Wait() // The process must not run beside the scheduler.
}

// runProcess boots a process, again after each failure, and runs its roles until it ends.
func (n *node) runProcess(p *proc) {
	if n.dir == "" {
		n.dir = filepath.Join(n.baseDir, fmt.Sprintf("%s-%d", n.name, n.generation))
	}
	for {
		err := n.boot(p)
		if err == nil {
			break
		}
		switch {
		case strings.Contains(err.Error(), "may be the log of another system"):
			n.w.observe("a boot refuses another log")
			_ = os.Remove(filepath.Join(n.dir, "high-water.json")) // The error tells the operator to do this.
		case p.ctx.Err() != nil:
			n.w.observe("a boot is killed")
		case injected(err):
			n.w.observe("boot fails")
		default:
			n.w.failf("%s: boot fails without a fault: %v", p.name, err)
		}
		if !p.sleep(1) {
			return
		}
	}
	n.running = true
	n.w.accepting = n.w.accepting || n.name != "C"
	var wg sync.WaitGroup
	wg.Go(func() { n.landers.run(p.ctx) })
	if n.name != "C" {
		wg.Go(func() { _ = n.views.Run(p.ctx) })
		wg.Go(func() { n.runRetention(p) })
		wg.Go(func() { n.runJobs(p) })
		wg.Go(func() { n.runQueries(p) })
		if n.w.liveCatalog {
			wg.Go(func() { n.runCatalog(p) })
		}
	}
	wg.Wait()
	<-p.ctx.Done()
}

// injected reports whether a fault of the scheduler explains an error: a request or its reply was lost, or an answer
// was an error. A boot reads every commit record, and gives up at the first fault, so most boots fail a few times.
func injected(err error) bool {
	var answer status
	return errors.Is(err, errLost) || errors.As(err, &answer)
}

// checkLanding fails the seed if landing has stopped although the log has lost nothing.
func (n *node) checkLanding() {
	if err := n.landers.Stopped(); err != nil && !n.w.vanish && n.w.losses == 0 {
		n.w.failf("%s: landing stopped: %v", n.p.name, err)
	}
}

// markTrimmed records that another owner trimmed messages that this node's views had not read. The
// views continue at a later offset and know no earlier identities (D3).
func (n *node) markTrimmed(p int, first uint64) {
	if n.views != nil && n.views.Status()[p].Through.Seq < first {
		n.w.observe("another owner trims unread messages")
		n.window.start[p] = math.MaxUint64
	}
}

// runRetention runs the server's loops for what speed keeps and for the high-water marks.
func (n *node) runRetention(p *proc) {
	for p.sleep(1) {
		// Snapshots are written at the begin of a step. A partition that has stopped may continue here. Whether a
		// snapshot holds what it has then must follow from the seed, so this is later in the step.
		if into := time.Duration(time.Now().UnixNano()) % step; into < step/10 {
			time.Sleep(step/10 - into)
		}
		_ = n.marks.Advance(p.ctx)
		err := n.views.Retain(n.publisher.OldestKept().H)
		if n.w.liveCatalog {
			c, before := n.liveDefinitions()
			n.views.Declare(c, before...)
		}
		n.renew(p)
		for i, st := range n.views.Status() {
			err = errors.Join(err, st.Failed)
			if err == nil {
				continue
			}
			gap := errors.Is(err, position.ErrGap) && n.w.losses > 0
			other := n.w.otherRule && n.name == "B" || n.w.logs[i].epoch != st.Epoch
			if !gap && !other && !n.w.vanish {
				n.w.failf("%s: the real-time views of a healthy process fail: %v", p.name, err)
			}
		}
	}
}

// renew runs the server's loop that follows epochs which other owners begin.
func (n *node) renew(p *proc) {
	if n.w.otherRule && n.name == "B" {
		return // The renewal would give this node the right cut rule.
	}
	renewal := janitor.Renewal{Log: janitorLog{processLog{n.w, p}}, Marks: n.marks, Views: n.views, Chains: n.current}
	oldest := n.publisher.OldestKept().H
	renewed, _ := renewal.Renew(p.ctx, oldest, n.publisher.State().H, n.landers.Heads())
	for _, i := range renewed {
		n.w.observe("a process follows another owner's epoch")
		_ = p.perform(p.ctx, op{kind: "renewed", key: fmt.Sprint(i), effect: func() error {
			n.lowest[i] = max(n.w.logs[i].first, n.w.logs[i].givenUp)
			n.window.start[i] = max(oldest[i].Seq, n.lowest[i])
			return nil
		}})
	}
}

// runJobs runs the jobs one after the other.
func (n *node) runJobs(p *proc) {
	rng := p.newRand("works") // The label is part of the seed.
	for k := 0; p.sleep(1 + rng.IntN(n.pace(6))); k++ {
		n.busy = true
		_, n.recomputeErr = n.publisher.Recompute(p.ctx)
		n.busy = false
		if n.recomputeErr == nil && n.w.bad == 0 {
			n.w.checkRowsRestored(p.name)
		}
		if n.w.eagerJobs {
			_, _ = n.publisher.Recompute(p.ctx)
		}
		if n.w.pinning && n.w.bad > 0 && rng.IntN(8) == 0 {
			n.pin(p)
		}
		if k%2 == 0 {
			_, _ = n.publisher.Collect(p.ctx)
		}
		if k%2 == 1 {
			n.trimLog(p)
		}
	}
}

// trimLog is the part of the job expire that trims the log. Node B trims like a process without
// real-time views, so each node may trim messages that the views of the other have not read (L6).
func (n *node) trimLog(p *proc) {
	n.busy = true
	defer func() { n.busy = false }()
	chains, err := n.current(p.ctx)
	if err != nil {
		return
	}
	status := n.views.Status()
	if n.name == "B" {
		status = nil
	}
	bounds := janitor.Needed(n.publisher.OldestKept().H, chains, status)
	first := make([]uint64, partitions)
	for i := range first {
		first[i] = n.w.logs[i].first
	}
	if n.publisher.EnsureObjects(p.ctx, first, bounds) == nil {
		_, _ = jobs.Trim(p.ctx, janitorLog{processLog{n.w, p}}, bounds)
	}
}

// pin pins the newest publication that this node knows.
func (n *node) pin(p *proc) {
	s := n.publisher.State()
	if s.N > 0 && n.publisher.Pin(p.ctx, s.N) == nil {
		n.w.addPin(s.N)
	}
}

// pace returns how many steps of the clock lie between two runs of a loop at most.
func (n *node) pace(steps int) int {
	if n.w.eagerJobs || n.w.bad == 0 {
		return 1
	}
	return steps
}
