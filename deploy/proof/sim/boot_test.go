package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"recount/batch/lake"
	"recount/batch/landing"
	"recount/batch/object"
	"recount/batch/publish"
	"recount/deploy/server/janitor"
	"recount/schemas/position"
	"recount/schemas/record"
	"recount/serving/oracle"
	"recount/serving/reader"
	"recount/speed/realtime"
)

// boot starts the roles of a process as server.Open does.
func (n *node) boot(p *proc) (err error) {
	log := processLog{n.w, p}
	n.records = openRecords(n.w, p, "")
	records := n.records
	objects := processObjects{n.w, p}
	if n.w.overwrites {
		if err := records.Probe(p.ctx, "probe/"+p.name); err != nil {
			return err
		}
	}
	n.catalog = catalogs[n.w.catalog]
	if n.w.liveCatalog {
		if err := n.bootCatalog(p); err != nil {
			return err
		}
	}
	if err := n.bootPublisher(p, records, objects); err != nil {
		return err
	}
	next := record.Next{Epoch: 1, Rule: n.w.rule, Bucket: bucket, Partitions: partitions}
	if n.name == "C" {
		n.chains = make([]*record.Chain, partitions)
		for i := range n.chains {
			if n.chains[i], err = landing.Begin(p.ctx, records, i, next, n.publisher.Published); err != nil {
				return err
			}
		}
		n.landers, err = openLanders(n.w, p, n.chains, log, objects, n.publisher)
		return err
	}
	if err := os.MkdirAll(n.dir, 0o755); err != nil {
		return err
	}
	discard := slog.New(slog.DiscardHandler)
	if n.marks, err = janitor.OpenMarks(n.dir, janitorLog{log}, discard); err != nil {
		return err
	}
	c := janitor.Config{Next: next, Published: n.publisher.Published, Snapshots: n.dir, LogName: "the log",
		Logger: discard}
	if n.chains, err = janitor.Begin(p.ctx, c, janitorLog{log}, records, n.marks); err != nil {
		return err
	}
	if n.landers, err = openLanders(n.w, p, n.chains, log, objects, n.publisher); err != nil {
		return err
	}
	if err := n.bootViews(log); err != nil {
		return err
	}
	rc := reader.Config{Catalog: n.source(), Publications: n.publisher, Batch: batchScans{n.w, p},
		Live: oracle.OneByOne(liveScans{n, p, p.newRand("live")}.scan), Known: n.views.Known}
	if n.w.liveCatalog {
		rc.Definition = definition
	}
	if !n.w.apart {
		rc.OnGone = n.publisher.Suspect
	}
	n.answers, err = reader.New(rc)
	return err
}

// openRecords returns the commit log as one process sees it. The name of a goroutine tells apart the
// requests that two goroutines of a process make at once; without it they have no order.
func openRecords(w *world, p *proc, goroutine string) *lake.CommitLog {
	return lake.CommitLogOver(recordBackend{w, p, goroutine}, 3, time.Second)
}

// landers is the lander of a process; it consists of one lander for each partition.
type landers []*landing.Lander

func openLanders(w *world, p *proc, chains []*record.Chain, log processLog, objects processObjects,
	publisher *publish.Publisher) (landers, error) {
	var ls landers
	for i, c := range chains {
		l, err := landing.New(landing.Config{Encode: encode, Published: publisher.Published}, []*record.Chain{c},
			landingLog{log}, openRecords(w, p, fmt.Sprintf(" by the lander of p%d", i)), objects)
		if err != nil {
			return nil, err
		}
		ls = append(ls, l)
	}
	return ls, nil
}

func (ls landers) run(ctx context.Context) {
	var wg sync.WaitGroup
	for _, l := range ls {
		wg.Go(func() { _ = l.Run(ctx) })
	}
	wg.Wait()
}

// Stopped returns an error that names the partitions that have stopped.
func (ls landers) Stopped() (err error) {
	for _, l := range ls {
		err = errors.Join(err, l.Stopped())
	}
	return err
}

// Heads returns the heads of all partitions.
func (ls landers) Heads() (heads []position.Offset) {
	for _, l := range ls {
		heads = append(heads, l.Heads()...)
	}
	return heads
}

// Chains returns the commit chains of all partitions.
func (ls landers) Chains() (chains []*record.Chain) {
	for _, l := range ls {
		chains = append(chains, l.Chains()...)
	}
	return chains
}

func (n *node) bootPublisher(p *proc, records *lake.CommitLog, objects processObjects) (err error) {
	pc := publish.DefaultConfig(n.declared(), partitions)
	if n.chain != nil {
		pc.Newest = n.newestGeneration
	}
	pc.Keep = keep
	pc.LongestQuery = longestQuery
	pc.Workers = 1
	pc.Memory = 64 << 20
	pc.CollectAfter = collectAfter
	pc.BaseEvery = baseEvery
	pc.Limit = n.w.limit
	if n.w.smallSteps {
		pc.StepRows = smallStep
	}
	pc.Rebuild = func(ctx context.Context, o record.Object) error {
		// Several rebuilds run at once. Their reads have names of their own, so that the scheduler can order them.
		chains, err := n.currentFrom(ctx, openRecords(n.w, p, " by the rebuild of "+unnamed(o.Key)))
		if err != nil {
			return err
		}
		return p.perform(ctx, op{kind: "rebuild", key: unnamed(o.Key), fates: writeFates[:2], rare: true,
			effect: func() error { return n.w.rebuild(chains, o) }})
	}
	n.publisher, err = publish.New(pc, records, objects, &clickHouse{n.w, p, n.declared()}, n.current, objects.open)
	if err != nil {
		return err
	}
	n.publisher.Suspect()
	return n.publisher.Start(p.ctx)
}

// current returns the lander's chains, extended by the newest records, as the server does.
func (n *node) current(ctx context.Context) ([]*record.Chain, error) {
	return n.currentFrom(ctx, n.records)
}

func (n *node) currentFrom(ctx context.Context, records *lake.CommitLog) ([]*record.Chain, error) {
	chains := n.landers.Chains()
	for _, c := range chains {
		if err := landing.Extend(ctx, records, c); err != nil {
			return nil, err
		}
	}
	return chains, nil
}

// rebuild restores a lost object from the log (C8).
func (w *world) rebuild(chains []*record.Chain, o record.Object) (err error) {
	err = fmt.Errorf("no record names %s", o.Key)
	for _, c := range chains {
		for _, s := range c.Segments {
			if slices.ContainsFunc(s.Objects, func(x record.Object) bool { return x.Key == o.Key }) {
				w.observe("an object is rebuilt")
				source := faultless{w}
				outsideBubble(func() { err = landing.Rebuild(context.Background(), source, source, s, o.Key, bucket) })
			}
		}
	}
	return err
}

func (n *node) bootViews(log processLog) (err error) {
	rc := realtime.DefaultConfig(n.dir)
	rc.SnapshotEvery = 4 * step
	if n.w.shortWindow {
		rc.Window = 8 * time.Minute
	}
	oldest := n.publisher.OldestKept()
	starts := make([]realtime.PartitionStart, partitions)
	for p, c := range n.chains {
		if starts[p], err = janitor.Start(context.Background(), janitorLog{log}, c, oldest.H[p]); err != nil {
			return err
		}
		n.lowest[p] = starts[p].ReplayFrom
		starts[p].Epochs = slices.Clone(c.Epochs)
		for i := range c.Epochs {
			if n.w.otherRule && n.name == "B" {
				starts[p].Epochs[i].Rule.Rows += 3
			}
		}
	}
	c, before := n.liveDefinitions()
	if n.views, err = realtime.Open(rc, c, starts, speedLog{log}, before...); err != nil {
		return err
	}
	n.window.span = rc.Window
	for p, st := range n.views.Status() {
		if st.Snapshot > 0 {
			n.w.observe("a snapshot is resumed")
		}
		l := &n.w.logs[p]
		// Without the vanished message the views cannot read on, so they jump to the oldest kept cut or over
		// the hole (D3).
		from := max(oldest.H[p].Seq, n.lowest[p])
		hole := l.vanished >= st.Through.Seq && l.vanished < from
		if st.Snapshot == 0 || st.Through.Seq < l.first || hole {
			n.window.start[p] = from
		}
	}
	return nil
}

// encode writes a Parquet object outside the bubble.
func encode(t *object.Table) (body []byte, o record.Object, err error) {
	outsideBubble(func() { body, o, err = t.Encode() })
	return body, o, err
}
