package publish

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"recount/schemas/record"
)

// witness says that publication n existed. The chain of publications cannot show that its last records are
// missing, so others are asked (P2). Each exists only after the publication that it names, and they are in two stores.
//
// Rejected: the versions of rows, which would have to be searched in all tables, and which exist before their
// publication.
type witness struct {
	n      uint64
	name   string
	remedy string // what to do with the witness if the publication is lost for ever
}

// lost is the error about a publication that a witness names and that is not in the store.
type lost struct {
	n   uint64
	err error
}

func (l *lost) Error() string { return l.err.Error() }

func (l *lost) Unwrap() error { return l.err }

// Newest is State with the signature that readers declare. It returns a publication of another
// process once Refresh or Follow has read it. Until then the answer is as exact, only older. The error wraps
// record.ErrMissing while a later publication is known to have existed: answers from an earlier one would be smaller
// than those before, without a sign (Q5).
func (p *Publisher) Newest(context.Context) (*record.State, error) {
	s := p.State()
	if l := p.lost.Load(); l != nil && l.n > s.N {
		return nil, l
	}
	return s, nil
}

// Published is Newest for those that ask only for the record, which is nil before the first publication.
func (p *Publisher) Published(ctx context.Context) (*record.Publication, error) {
	s, err := p.Newest(ctx)
	if err != nil {
		return nil, err
	}
	return s.Publication, nil
}

// checkNumbers returns an error if the newest publication that this process knows is not the newest
// that ever was. Its number would then be given again (P2). Besides the witnesses, this process remembers what it has
// read. Until the next check finds the publication, Newest returns the error too. A witness that does not answer takes
// nothing away from what the others say.
func (p *Publisher) checkNumbers(ctx context.Context) error {
	named, failed := p.namedAfter(ctx, p.State().N)
	if len(named) > 0 {
		var err error
		named, err = p.lookAgain(ctx, named)
		failed = errors.Join(failed, err)
	}
	s := p.State()
	if len(named) == 0 && failed != nil {
		return failed
	}
	if len(named) == 0 {
		p.lost.Store(nil)
		if err := p.checkNewestRecord(ctx, s); err != nil {
			return err
		}
		p.endLost()
		return nil
	}
	l := &lost{}
	var names, remedies []string
	for _, w := range named {
		l.n = max(l.n, w.n)
		names = append(names, fmt.Sprintf("%s names publication %d", w.name, w.n))
		remedies = append(remedies, w.remedy)
	}
	newest := "none"
	if s.N > 0 {
		newest = record.PublicationKey(s.N)
	}
	l.err = fmt.Errorf("%w: %s, but the newest record is %s; restore %s and later ones from a copy of the bucket, or, "+
		"if they are lost for ever, stop recount and %s; their numbers are given again then", record.ErrMissing,
		strings.Join(names, ", "), newest, record.PublicationKey(s.N+1), strings.Join(remedies, ", and "))
	if known := p.lost.Load(); failed != nil && known != nil && known.n > l.n {
		l = known // What named it did not answer now.
	}
	p.lost.Store(l)
	return errors.Join(l, failed, p.refuseViews(ctx, named))
}

// refuseViews makes SQL VIEWs fail if the projection is among those that name a lost publication. SQL readers would see
// a publication that is not there, beside answers from an earlier one.
func (p *Publisher) refuseViews(ctx context.Context, named []witness) error {
	for _, w := range named {
		if w.name == projectionName {
			p.viewsRefused.Store(true)
			return p.views.Refuse(ctx, fmt.Sprintf("recount: ClickHouse shows publication %d, but the newest record "+
				"in the object store is %d; /readyz says what to do", w.n, p.State().N))
		}
	}
	return nil
}

// lookAgain reads the publications again and returns those witnesses that name still later ones. Another publisher may
// have been faster than this process, or an operator may have put records back. The witnesses are not asked again:
// they might name a publication that was created after the reading. If a record on the way is missing, later witnesses
// are returned together with that error. After any other error nothing is known, and none is returned.
func (p *Publisher) lookAgain(ctx context.Context, named []witness) (later []witness, err error) {
	if err := p.Refresh(ctx); err != nil {
		return nil, err
	}
	last, err := lastPublication(ctx, p.records)
	if err == nil && last > p.State().N {
		err = p.loadNewest(ctx) // Records below the next number were put back too, or are forgotten.
	}
	if err != nil && !errors.Is(err, record.ErrMissing) {
		return nil, err
	}
	n := p.State().N
	return slices.DeleteFunc(named, func(w witness) bool { return w.n <= n }), err
}

const projectionName = "ClickHouse (recount_published)"

// namedAfter returns what names a publication after n. Runs of jobs are read once, and then again only while they name
// one: what this process publishes it remembers itself. failed says which witnesses did not answer.
func (p *Publisher) namedAfter(ctx context.Context, n uint64) (named []witness, failed error) {
	projected, failed := p.views.Projected(ctx)
	run := p.newestRun.Load()
	if p.cfg.Runs != nil && (run == nil || run.n > n) {
		asked := &witness{remedy: "remove the records below jobs/recompute/"}
		var err error
		if asked.n, asked.name, err = p.cfg.Runs(ctx); err != nil {
			failed = errors.Join(failed, fmt.Errorf("read the runs of the job recompute: %w", err))
		} else {
			p.newestRun.Store(asked)
			run = asked
		}
	}
	if run != nil {
		named = append(named, *run)
	}
	const remove = "remove that record"
	pinned := uint64(0)
	if pins := p.Pinned(); len(pins) > 0 {
		pinned = pins[len(pins)-1]
	}
	p.mu.Lock()
	collected := p.collected
	forgotten := p.forgottenBefore
	p.mu.Unlock()
	named = append(named,
		witness{projected, projectionName, fmt.Sprintf("DELETE FROM recount_published WHERE n > %d (embedded: move "+
			"data_dir/clickhouse away; its rows are computed again)", n)},
		witness{pinned, "the pin " + PinKey(pinned), remove},
		witness{collected, fmt.Sprint("the horizon ", CollectedPrefix, collected), remove},
		witness{forgotten, "the record " + record.ForgottenKey(forgotten), remove})
	return slices.DeleteFunc(named, func(w witness) bool { return w.n <= n }), failed
}

// checkNewestRecord returns an error if the store no longer has the newest publication that this process has read.
func (p *Publisher) checkNewestRecord(ctx context.Context, s *record.State) error {
	if s.N == 0 {
		return nil
	}
	raw, err := p.records.Get(ctx, record.PublicationKey(s.N))
	if errors.Is(err, record.ErrNotFound) || err == nil && record.Digest(raw) != s.Digest {
		return fmt.Errorf("%w: %s is missing, or not the record that this process has read; restore it from a copy of "+
			"the bucket", record.ErrMissing, record.PublicationKey(s.N))
	}
	if err != nil {
		return fmt.Errorf("read publication %d: %w", s.N, err)
	}
	return nil
}

// AwaitRepair looks at an interval whether a missing publication is back, until ctx ends. Follow does so too. Otherwise
// only the next run of a job would look, and queries are refused until then.
func (p *Publisher) AwaitRepair(ctx context.Context, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			p.lookForLost(ctx)
		}
	}
}

// lookForLost checks again while a publication is known to be missing. Its error was logged when it was found. Once
// nothing is missing, SQL VIEWs show the newest publication again.
func (p *Publisher) lookForLost(ctx context.Context) {
	if p.lost.Load() == nil && !p.viewsRefused.Load() || !p.running.TryLock() {
		return
	}
	defer p.running.Unlock()
	if p.lost.Load() != nil {
		if err := p.loadKept(ctx); err != nil {
			return
		}
		if err := p.checkNumbers(ctx); err != nil {
			return
		}
		p.cfg.Logger.Warn("the missing publications are back, or given up", "publication", p.State().N)
	}
	if err := p.project(ctx); err != nil && ctx.Err() == nil {
		p.cfg.Logger.Warn("SQL VIEWs still fail, although no publication is missing any more; the next try follows",
			"error", err)
	}
}

// endLost forgets that the newest run was refused because a publication was missing. A run that was refused for another
// reason would be refused again.
func (p *Publisher) endLost() {
	p.mu.Lock()
	defer p.mu.Unlock()
	var l *lost
	if errors.As(p.refused, &l) {
		p.refused = nil
	}
}
