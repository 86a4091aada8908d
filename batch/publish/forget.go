package publish

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"recount/schemas/failpoint"
	"recount/schemas/record"
)

// collectPublications is how many publications one run deletes.
const collectPublications = 10_000

// forget deletes publications that no kept publication needs: those before a base (firstToStay). Of each pinned
// publication stays what it is resolved from. A record that says what goes comes first (record.Forgotten), so a
// missing publication is known to be forgotten or known to be lost.
//
// A number is not given again although its key is free: a process that has not read for half of CollectAfter
// asks for that record before it goes on (checkPassed).
func (p *Publisher) forget(ctx context.Context, result *CollectResult) error {
	f, err := p.forgotten(ctx)
	if err != nil {
		return err
	}
	base, err := p.firstToStay(ctx, f)
	if err != nil {
		return err
	}
	if base != nil {
		if f, err = p.createForgotten(ctx, f, base); err != nil {
			return err
		}
	}
	return p.deleteForgotten(ctx, f, result)
}

// forgotten returns the newest record of forgotten publications, or nil.
func (p *Publisher) forgotten(ctx context.Context) (*record.Forgotten, error) {
	keys, err := p.records.List(ctx, record.ForgottenPrefix)
	if err != nil {
		return nil, fmt.Errorf("list forgotten publications: %w", err)
	}
	before, err := record.NewestForgotten(keys)
	if err != nil || before == 0 {
		return nil, err
	}
	raw, err := p.records.Get(ctx, record.ForgottenKey(before))
	if err != nil {
		return nil, fmt.Errorf("read forgotten publications: %w", err)
	}
	return record.DecodeForgotten(raw)
}

// firstToStay returns the base before which publications may go, or nil if f lets all of these go already. It is
// the newest base that meets two conditions. It is not after the oldest kept publication. And the Keep
// publications from it on have existed for CollectAfter. So no publication before it could be pinned since
// then, and the listing of pins has every pin of one. firstToStay searches the numbers at which bases are.
func (p *Publisher) firstToStay(ctx context.Context, f *record.Forgotten) (*record.Publication, error) {
	every := uint64(p.cfg.BaseEvery)
	low := uint64(0) // The base at low*every+1 lets nothing more go.
	if f != nil {
		low = (f.Before - 1) / every
	}
	first := low
	limit := p.cfg.Now().Add(-p.cfg.CollectAfter)
	for high := (max(p.OldestKept().N, 1) - 1) / every; low < high; {
		middle := high - (high-low)/2
		last, err := p.read(ctx, min(middle*every+uint64(p.cfg.Keep), p.State().N))
		if err != nil {
			return nil, err
		}
		if last.Created.Before(limit) || failpoint.Off(failpoint.P3) {
			low = middle
		} else {
			high = middle - 1
		}
	}
	if low == first {
		return nil, nil
	}
	b, err := p.read(ctx, low*every+1)
	if err != nil || !b.Base { // Another program made it, with another number of publications to a base.
		return nil, err
	}
	return b, nil
}

// read reads publication n, which must exist.
func (p *Publisher) read(ctx context.Context, n uint64) (*record.Publication, error) {
	raw, err := p.records.Get(ctx, record.PublicationKey(n))
	if errors.Is(err, record.ErrNotFound) {
		return nil, missing(n)
	}
	if err != nil {
		return nil, fmt.Errorf("read publication %d: %w", n, err)
	}
	return record.DecodePublication(raw)
}

// createForgotten creates the record that lets the publications before a base go. It reads the pins after the
// caller has found the base: a pin of a publication before the base that is created later is not valid.
func (p *Publisher) createForgotten(ctx context.Context, old *record.Forgotten, base *record.Publication) (
	*record.Forgotten, error) {
	if err := p.loadKept(ctx); err != nil {
		return nil, err
	}
	f := &record.Forgotten{Before: base.N, Previous: base.Previous}
	for _, n := range p.Pinned() {
		if n >= base.N || old.Forgets(n) || failpoint.Off(failpoint.P3) {
			continue
		}
		raws, err := p.readBack(ctx, n, func(*record.Publication) bool { return false })
		if err != nil {
			return nil, err
		}
		f.Kept = append(f.Kept, record.PublicationRange{First: n + 1 - uint64(len(raws)), Last: n,
			Digest: record.Digest(raws[len(raws)-1])})
	}
	raw, err := f.Encode()
	if err != nil {
		return nil, err
	}
	if _, _, err := p.records.Create(ctx, record.ForgottenKey(base.N), raw); err != nil {
		return nil, fmt.Errorf("create the record of forgotten publications: %w", err)
	}
	return p.forgotten(ctx) // Another publisher may have created it, or a later one.
}

// deleteForgotten deletes what the newest record lets go: publications, and then the records before it.
func (p *Publisher) deleteForgotten(ctx context.Context, f *record.Forgotten, result *CollectResult) error {
	if f == nil {
		return nil
	}
	keys, err := p.records.List(ctx, record.PublicationPrefix)
	if err != nil {
		return fmt.Errorf("list publications: %w", err)
	}
	keys = slices.DeleteFunc(keys, func(k string) bool {
		n, ok := record.PublicationNumber(k)
		return !ok || !f.Forgets(n)
	})
	keys = keys[:min(len(keys), collectPublications)]
	if err := p.delete(ctx, keys); err != nil {
		return err
	}
	result.Publications += int64(len(keys))
	older, err := p.records.List(ctx, record.ForgottenPrefix)
	if err != nil {
		return fmt.Errorf("list forgotten publications: %w", err)
	}
	older = slices.DeleteFunc(older, func(k string) bool { return k >= record.ForgottenKey(f.Before) })
	return p.delete(ctx, older)
}

func (p *Publisher) delete(ctx context.Context, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	if err := p.objects.Delete(ctx, keys...); err != nil {
		return fmt.Errorf("delete records of publications: %w", err)
	}
	return nil
}

// checkPassed returns an error if publications after the newest known one were forgotten, whose numbers this process
// would otherwise give again. That takes at least CollectAfter, so it only asks after a long pause.
// p.reading must be held.
func (p *Publisher) checkPassed(ctx context.Context) error {
	now := p.cfg.Now()
	if now.Sub(p.readAt) > p.cfg.CollectAfter/2 {
		f, err := p.forgotten(ctx)
		if err != nil {
			return err
		}
		if next := p.State().N + 1; f != nil && next < f.Before {
			return fmt.Errorf("publications from %d on were deleted while this process read none since %s; restart it",
				next, p.readAt.UTC().Format("2006-01-02 15:04:05"))
		}
	}
	p.readAt = now
	return nil
}
