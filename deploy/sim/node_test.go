package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing/synctest"
	"time"

	"recount/batch/lake"
	"recount/batch/landing"
	"recount/batch/publish"
	"recount/deploy/janitor"
	"recount/jobs"
	"recount/schemas/catalog"
	"recount/schemas/position"
	"recount/schemas/query"
	"recount/schemas/record"
	"recount/serving/reader"
	"recount/speed/realtime"
)

// cutRules cut small segments, so that a seed sees many: the one of before and of after the
// change that some seeds make.
var cutRules = [2]position.CutRule{{Interval: time.Minute, Rows: 8, Bytes: 1 << 20}, {Interval: 90 * time.Second, Rows: 5, Bytes: 1 << 20}}

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
	lander    *landing.Lander
	records   *lake.CommitLog
	answers   *reader.Reader
	up        bool
	restart   atomic.Bool // an operator would restart it

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
		n.up, n.busy, n.views, n.final = false, false, nil, map[string]bool{}
		n.restart.Store(false)
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
	n.dir, n.up = next, false
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
	wg.Go(func() { _ = n.lander.Run(p.ctx) })
	if n.name != "C" {
		wg.Go(func() { _ = n.views.Run(p.ctx) })
		wg.Go(func() { n.retains(p) })
		wg.Go(func() { n.works(p) })
		wg.Go(func() { n.asks(p) })
	}
	wg.Wait()
	<-p.ctx.Done()
}

// boot is stack.Open.
func (n *node) boot(p *proc) (err error) {
	log := logOf{n.w, p}
	n.records = lake.CommitLogOver(backend{n.w, p}, 3, time.Second)
	records := n.records
	objects := objectsOf{n.w, p}
	if n.w.overwrites {
		if err := records.Probe(p.ctx, "probe/"+p.name); err != nil {
			return err
		}
	}
	next := record.Next{Epoch: 1, Rule: n.w.rule, Bucket: bucket, Partitions: partitions}
	lc := landing.Config{Encode: encode}
	if n.name == "C" {
		n.chains = make([]*record.Chain, partitions)
		for i := range n.chains {
			if n.chains[i], err = landing.Begin(p.ctx, records, i, next); err != nil {
				return err
			}
		}
		n.lander, err = landing.New(lc, n.chains, landingLog{log}, records, objects)
		return err
	}
	n.catalog = catalogs[n.w.catalog]
	if err := os.MkdirAll(n.dir, 0o755); err != nil {
		return err
	}
	discard := slog.New(slog.DiscardHandler)
	if n.marks, err = janitor.OpenMarks(n.dir, janitorLog{log}, discard); err != nil {
		return err
	}
	c := janitor.Config{Next: next, Snapshots: n.dir, LogName: "the log", Logger: discard}
	if n.chains, err = janitor.Begin(p.ctx, c, janitorLog{log}, records, n.marks); err != nil {
		return err
	}
	if n.lander, err = landing.New(lc, n.chains, landingLog{log}, records, objects); err != nil {
		return err
	}
	if err := n.bootPublisher(p, records, objects); err != nil {
		return err
	}
	if err := n.bootViews(log); err != nil {
		return err
	}
	n.answers, err = reader.New(reader.Config{Catalog: n.catalog, Publications: n.publisher, Batch: scansOf{n.w, p}, Live: liveOf{n, p, p.random("live")}, OnGone: n.publisher.Suspect})
	return err
}

func (n *node) bootPublisher(p *proc, records *lake.CommitLog, objects objectsOf) (err error) {
	pc := publish.DefaultConfig(n.catalog, partitions)
	pc.Keep, pc.LongestQuery, pc.Workers, pc.Memory, pc.CollectAfter = keep, longestQuery, 1, 64<<20, collectAfter
	pc.Rebuild = func(ctx context.Context, o record.Object) error {
		chains, err := n.current(ctx)
		if err != nil {
			return err
		}
		return p.do(ctx, op{kind: "rebuild", key: unnamed(o.Key), fates: writeFates[:2], rare: true, effect: func() error { return n.w.rebuild(chains, o) }})
	}
	n.publisher, err = publish.New(pc, records, objects, viewsOf{n.w, p, n.catalog}, n.current, objects.open)
	if err != nil {
		return err
	}
	n.publisher.Suspect()
	return n.publisher.Start(p.ctx)
}

// current is stack's currentChains: the lander's chains, read on.
func (n *node) current(ctx context.Context) ([]*record.Chain, error) {
	chains := n.lander.Chains()
	for _, c := range chains {
		if err := landing.Extend(ctx, n.records, c); err != nil {
			return nil, err
		}
	}
	return chains, nil
}

// rebuild puts a lost object back from the log (C8).
func (w *world) rebuild(chains []*record.Chain, o record.Object) (err error) {
	err = fmt.Errorf("no record names %s", o.Key)
	for _, c := range chains {
		for _, s := range c.Segments {
			if slices.ContainsFunc(s.Objects, func(x record.Object) bool { return x.Key == o.Key }) {
				w.meet("an object is rebuilt")
				outside(func() { err = landing.Rebuild(context.Background(), plain{w}, plain{w}, s, o.Key, bucket) })
			}
		}
	}
	return err
}

func (n *node) bootViews(log logOf) (err error) {
	rc := realtime.DefaultConfig(n.dir)
	rc.SnapshotEvery = 4 * step
	if n.w.shortWindow {
		rc.Window = 8 * time.Minute
	}
	oldest := n.publisher.OldestKept()
	starts := make([]realtime.PartitionStart, partitions)
	for p, c := range n.chains {
		epochs := slices.Clone(c.Epochs)
		for i := range epochs {
			if n.w.otherRule && n.name == "B" {
				epochs[i].Rule.Rows += 3
			}
		}
		n.from[p] = janitor.ReplayFrom(c, n.w.logs[p].first)
		starts[p] = realtime.PartitionStart{Epochs: epochs, OldestKept: oldest.H[p].Seq, ReplayFrom: n.from[p], LogNext: n.w.logs[p].next}
	}
	if n.views, err = realtime.Open(rc, n.catalog, starts, speedLog{log}); err != nil {
		return err
	}
	n.memory.span = rc.Window
	for p, st := range n.views.Status() {
		if st.Snapshot > 0 {
			n.w.meet("a snapshot is resumed")
		}
		if st.Snapshot == 0 || st.Through.Seq < n.w.logs[p].first {
			n.memory.start[p] = max(oldest.H[p].Seq, n.from[p])
		}
	}
	return nil
}

// lands fails where a partition has stopped landing though the log has all it should.
func (n *node) lands() {
	err := n.lander.Stopped()
	if err == nil {
		return
	}
	if !n.w.rot && n.w.losses == 0 {
		n.w.fail("%s: landing stopped: %v", n.p.name, err)
	}
	n.restart.Store(true)
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
		for i, st := range n.views.Status() {
			if n.w.logs[i].epoch != n.chains[i].Head.Epoch {
				n.restart.Store(true) // Another owner sealed: it is stale.
			}
			err = errors.Join(err, st.Failed)
			if err == nil {
				continue
			}
			n.restart.Store(true)
			gap := errors.Is(err, realtime.ErrGap) && (n.name == "B" || n.w.losses > 0)
			other := n.w.otherRule && n.name == "B" || n.w.logs[i].epoch != n.chains[i].Head.Epoch
			if !gap && !other && !n.w.rot {
				n.w.fail("%s: real-time views of a healthy process: %v", p.name, err)
			}
		}
	}
}

// works runs the jobs one after the other. Only node A trims: its process knows no other's needs.
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
		if k%2 == 1 && n.name == "A" {
			_, _ = jobs.Trim(p.ctx, janitorLog{logOf{n.w, p}}, janitor.Needed(n.publisher.OldestKept().H, n.lander.Heads(), n.views.Status()))
		}
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

// liveOf lets a scan of the real-time views wait, as over a network.
type liveOf struct {
	n   *node
	p   *proc
	rng *rand.Rand
}

func (l liveOf) Scan(ctx context.Context, scan *query.Scan, cut []position.Offset) (*query.LivePart, error) {
	if err := l.p.do(ctx, op{kind: "live", key: scan.View.Name, fates: readFates, effect: func() error { return nil }}); err != nil {
		return nil, err
	}
	if l.n.w.bad > 0 && l.rng.IntN(6) == 0 {
		l.n.w.meet("slow reader")
		l.p.sleep(8 + l.rng.IntN(30)) // A slow reader: its publication may no longer be kept.
	}
	part, err := l.n.views.Scan(ctx, scan, cut)
	if errors.Is(err, query.ErrPinExpired) {
		l.n.w.meet("a reader's publication has expired")
	}
	if errors.Is(err, query.ErrPinExpired) && !l.n.restart.Load() {
		expired := false
		for p, h := range l.n.publisher.OldestKept().H {
			expired = expired || cut[p].Seq < max(h.Seq, l.n.from[p])
		}
		if !expired {
			l.n.w.fail("%s: the real-time views do not reach back to a kept publication: %v", l.p.name, err)
		}
	}
	return part, err
}

var expected = []error{reader.ErrBatch, reader.ErrLive, reader.ErrRestarts, reader.ErrNotPublished, query.ErrCollected, errLost}

// asks asks queries and compares the answers.
func (n *node) asks(p *proc) {
	rng := p.random("asks")
	for p.sleep(1 + rng.IntN(n.pace(3))) {
		for name := range 3 {
			view := []string{"by_kind", "each", "seen_users"}[name]
			if n.catalog.Views[view] == nil || n.w.bad > 0 && rng.IntN(2) == 0 {
				continue
			}
			modes := []query.Mode{query.Merged, query.Exact, query.Live}
			if n.w.bad == 0 {
				modes = modes[:2]
			}
			for _, mode := range modes {
				n.ask(p, rng, view, mode)
			}
			if pins := n.w.pins(); len(pins) > 0 && rng.IntN(3) == 0 {
				n.askPinned(p, view, pins[rng.IntN(len(pins))])
			}
		}
	}
}

var opening = time.Date(1999, 12, 31, 0, 0, 0, 0, time.UTC)

func (n *node) ask(p *proc, rng *rand.Rand, view string, mode query.Mode) {
	q := &query.Query{View: view, From: opening, To: opening.Add(96 * time.Hour), Mode: mode, Granularity: []string{"all", "1h"}[rng.IntN(2)]}
	if v := n.catalog.Views[view]; len(v.Dimensions) > 0 && (view == "each" || rng.IntN(2) == 0) {
		q.GroupBy = v.Dimensions
	}
	// Another node may have pinned what this one has not read yet; reading on is not a reader's affair here.
	kept := slices.DeleteFunc(n.publisher.Kept(), func(k uint64) bool { return k > n.publisher.State().N })
	if n.w.bad > 0 && len(kept) > 0 && rng.IntN(4) == 0 {
		q.AsOf = &kept[rng.IntN(len(kept))]
	}
	n.answer(p, q, []string{"acme", "default"}[rng.IntN(2)])
}

// askPinned asks for a publication that was pinned perhaps hours ago (P3).
func (n *node) askPinned(p *proc, view string, pinned uint64) {
	if pinned > n.publisher.State().N {
		return // Reading on is the publisher's own affair.
	}
	err := n.answer(p, &query.Query{View: view, From: opening, To: opening.Add(96 * time.Hour), Mode: query.Exact, AsOf: &pinned}, "acme")
	if err == nil {
		n.w.meet("answer: of a pinned publication")
	}
	if err != nil && p.ctx.Err() == nil && n.w.bad == 0 && !n.w.forgets && !errors.Is(err, reader.ErrNotPublished) {
		n.w.fail("%s: publication %d is pinned and does not answer: %v", p.name, pinned, err)
	}
}

// answer asks a query and compares the answer. The error is the query's.
func (n *node) answer(p *proc, q *query.Query, tenant string) error {
	losses := n.w.losses
	a, err := n.answers.Answer(p.ctx, q, tenant)
	if p.ctx.Err() != nil || losses != n.w.losses {
		return nil
	}
	if err != nil {
		stillKept := q.AsOf != nil && slices.ContainsFunc(n.w.kept(), func(s *record.State) bool { return s.N == *q.AsOf })
		n.w.meet("answer: an error")
		unexpected := !slices.ContainsFunc(expected, func(e error) bool { return errors.Is(err, e) })
		if unexpected && !(n.w.otherRule && n.name == "B") || errors.Is(err, query.ErrCollected) && stillKept {
			n.w.fail("%s: query of %s in mode %s: %v", p.name, q.View, q.Mode, err)
		}
		return err
	}
	if err := n.w.check(n.catalog, q, tenant, a, n.memory); err != nil {
		n.w.fail("%s: query of %s, tenant %s, mode %s, %+v: %v", p.name, q.View, tenant, q.Mode, a.Accuracy, err)
	}
	n.w.meet("answer: " + string(q.Mode))
	if !a.Accuracy.Complete {
		n.w.meet("answer: without a partition's live part")
	}
	if q.AsOf != nil {
		n.w.meet("answer: as_of")
		return nil
	}
	n.final[q.View+string(q.Mode)] = n.w.bad == 0 && n.w.covers(a.Accuracy.Through) && (q.Mode == query.Exact || a.Accuracy.Complete)
	return nil
}

// encode makes a Parquet object outside the bubble.
func encode(t *lake.Table) (body []byte, o record.Object, err error) {
	outside(func() { body, o, err = t.WriteParquet() })
	return body, o, err
}
