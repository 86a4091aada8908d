package publish

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"recount/schemas/failpoint"
	"recount/schemas/query"
	"recount/schemas/record"
)

// PinPrefix is the prefix of pins. The record publish/pins/{n}, with the body {"format":1,"n":7}, keeps publication
// n for ever (P3). The key says everything, so the body is never read.
const PinPrefix = record.PublicationPrefix + "pins/"

// CollectedPrefix is the prefix of the horizons of collection. The record publish/collected/{n}, with the body
// {"format":1,"n":7}, says that rows which only publications before n name may be gone, unless a pin keeps them.
// Collection creates it before it deletes. Without it a publisher whose batch.keep was raised would list
// publications that were collected under the old value. The highest counts; the others are deleted.
const CollectedPrefix = record.PublicationPrefix + "collected/"

// PinKey returns the key of the pin of publication n.
func PinKey(n uint64) string { return fmt.Sprintf("%s%d", PinPrefix, n) }

// Pin keeps publication n for ever. It fails with query.ErrCollected when the pin comes too late.
//
// Publication n must still be kept for its age or number, and Pin checks that again after the pin
// exists. A collection that began earlier does not see the pin and spares n only if n is kept
// anyway. A check before the pin is not enough, because this process may know an old chain or may
// have been paused in between.
func (p *Publisher) Pin(ctx context.Context, n uint64) error {
	if _, err := p.StateAt(ctx, n); err != nil {
		return fmt.Errorf("pin: %w", err)
	}
	if _, _, err := p.records.Create(ctx, PinKey(n), fmt.Appendf(nil, `{"format":%d,"n":%d}`,
		record.CurrentFormat, n)); err != nil {
		return fmt.Errorf("pin publication %d: %w", n, err)
	}
	if err := p.Refresh(ctx); err != nil {
		return fmt.Errorf("pin publication %d: %w", n, err)
	}
	if err := p.loadKept(ctx); err != nil {
		return err
	}
	if oldest := p.OldestKept().N; n < oldest {
		return fmt.Errorf("pin publication %d: %w: the pin came too late, the oldest kept publication is %d", n,
			query.ErrCollected, oldest)
	}
	return nil
}

// maxPinned bounds the states of pinned publications that are held in memory.
const maxPinned = 4

// firstKept returns the index in recent, consecutive states, of the oldest kept publication. Kept are the last Keep
// publications and those that were the newest at some time within twice the longest query, unless
// they may be collected already. Age counts from when a publication was replaced, because a reader may
// have begun to use it until then. p.mu must be held.
func (p *Publisher) firstKept(recent []*record.State) int {
	i := max(0, len(recent)-p.cfg.Keep)
	if failpoint.Off(failpoint.P3) {
		return max(0, len(recent)-1)
	}
	limit := p.cfg.Now().Add(-2 * p.cfg.LongestQuery)
	for i > 0 && recent[i].Publication.Created.After(limit) {
		i--
	}
	for i < len(recent)-1 && recent[i].N < p.collected {
		i++
	}
	return i
}

// OldestKept returns the oldest publication that a reader may hold while it asks the speed layer.
// The speed layer and the log must keep everything from its H on (S3, L6). Pinned publications do
// not count: they answer from the batch view alone, and a pin of last year must not keep a year of
// log.
func (p *Publisher) OldestKept() *record.State {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.recent) == 0 {
		return p.State()
	}
	return p.recent[p.firstKept(p.recent)]
}

// holdsBack reports whether old publications keep the log and the real-time views from letting go
// of events (L6, S3), although no query can still read them and they are kept for their number
// alone. Where nothing lands, no new publication would ever replace them. A log that is full could
// then not be trimmed, so nothing could be appended and nothing could land. Publishing the newest H
// again replaces them. Rejected: to keep fewer than Keep, because that number protects readers
// where clocks differ.
func (p *Publisher) holdsBack() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.recent) == 0 {
		return false
	}
	h := p.newest.Load().H
	if slices.Equal(p.recent[p.firstKept(p.recent)].H, h) {
		return false
	}
	reached := slices.IndexFunc(p.recent, func(s *record.State) bool { return slices.Equal(s.H, h) })
	return p.recent[reached].Publication.Created.Before(p.cfg.Now().Add(-2 * p.cfg.LongestQuery))
}

// Kept lists the publications that At returns, ascending.
func (p *Publisher) Kept() []uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	kept := slices.Clone(p.pins)
	for _, s := range p.recent[min(p.firstKept(p.recent), len(p.recent)):] {
		kept = append(kept, s.N)
	}
	slices.Sort(kept)
	return slices.Compact(kept)
}

// Pinned lists the pinned publications that this process knows, ascending.
func (p *Publisher) Pinned() []uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pins // The slice is replaced when it changes and never written to.
}

// StateAt returns publication n. The error wraps query.ErrNoPublication if there never was a publication n,
// and query.ErrCollected if it is no longer kept (P3).
func (p *Publisher) StateAt(ctx context.Context, n uint64) (*record.State, error) {
	if n > p.State().N {
		if err := p.Refresh(ctx); err != nil {
			return nil, err
		}
	}
	if l := p.lost.Load(); l != nil && p.State().N < n && n <= l.n {
		return nil, l
	}
	if n == 0 || n > p.State().N {
		return nil, fmt.Errorf("publication %d: %w; the newest is %d", n, query.ErrNoPublication, p.State().N)
	}
	if s := p.keptState(n); s != nil {
		return s, nil
	}
	if err := p.loadKept(ctx); err != nil {
		return nil, err
	}
	p.mu.Lock()
	_, pinned := slices.BinarySearch(p.pins, n)
	p.mu.Unlock()
	if !pinned {
		return nil, fmt.Errorf("publication %d: %w; the kept publications are %v", n, query.ErrCollected, p.Kept())
	}
	return p.loadPinned(ctx, n)
}

// keptState returns publication n if it is kept and in memory, else nil.
func (p *Publisher) keptState(n uint64) *record.State {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.recent[min(p.firstKept(p.recent), len(p.recent)):] {
		if s.N == n {
			return s
		}
	}
	if _, pinned := slices.BinarySearch(p.pins, n); !pinned {
		return nil
	}
	for _, s := range p.pinned {
		if s.N == n {
			return s
		}
	}
	return nil
}

// loadPinned reads publication n and the records from its base on, and keeps the state in memory.
func (p *Publisher) loadPinned(ctx context.Context, n uint64) (*record.State, error) {
	raws, err := p.readBack(ctx, n, func(*record.Publication) bool { return false })
	if errors.Is(err, record.ErrMissing) {
		if f, forgottenErr := p.forgotten(ctx); forgottenErr == nil && f.Forgets(n) {
			return nil, fmt.Errorf("publication %d: %w; its pin came too late, remove it", n, query.ErrCollected)
		}
	}
	if err != nil {
		return nil, err
	}
	s := record.EmptyState(p.cfg.Partitions)
	for _, raw := range raws {
		if s, err = s.Apply(raw); err != nil {
			return nil, fmt.Errorf("read publication %d: %w", n, err)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pinned = append(p.pinned, s)
	p.pinned = slices.Clone(p.pinned[max(0, len(p.pinned)-maxPinned):])
	return s, nil
}

// loadKept reads which publications are pinned, and which may be collected.
func (p *Publisher) loadKept(ctx context.Context) error {
	pins, err := p.numbersBelow(ctx, PinPrefix)
	if err != nil {
		return fmt.Errorf("list pins: %w", err)
	}
	horizons, err := p.numbersBelow(ctx, CollectedPrefix)
	if err != nil {
		return fmt.Errorf("list horizons of collection: %w", err)
	}
	keys, err := p.records.List(ctx, record.ForgottenPrefix)
	if err != nil {
		return fmt.Errorf("list forgotten publications: %w", err)
	}
	before, err := record.NewestForgotten(keys)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forgottenBefore = before
	p.pins = pins
	if len(horizons) > 0 {
		p.collected = max(p.collected, horizons[len(horizons)-1])
	}
	return nil
}

// numbersBelow returns the numbers with which the keys below a prefix end, ascending.
func (p *Publisher) numbersBelow(ctx context.Context, prefix string) (numbers []uint64, err error) {
	keys, err := p.records.List(ctx, prefix)
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		n, err := strconv.ParseUint(strings.TrimPrefix(k, prefix), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("the key %s does not end in the number of a publication; remove or rename it", k)
		}
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	return numbers, nil
}

// setHorizon records that publications before the oldest kept one may be collected. Then it deletes earlier horizons.
func (p *Publisher) setHorizon(ctx context.Context) error {
	n := p.OldestKept().N
	p.mu.Lock()
	known := p.collected
	p.mu.Unlock()
	if n <= max(known, 1) {
		return nil
	}
	body := fmt.Appendf(nil, `{"format":%d,"n":%d}`, record.CurrentFormat, n)
	if _, _, err := p.records.Create(ctx, fmt.Sprint(CollectedPrefix, n), body); err != nil {
		return fmt.Errorf("create the horizon of collection %d: %w", n, err)
	}
	if err := p.loadKept(ctx); err != nil {
		return err
	}
	horizons, err := p.numbersBelow(ctx, CollectedPrefix)
	if err != nil {
		return fmt.Errorf("list horizons of collection: %w", err)
	}
	var earlier []string
	for _, h := range horizons {
		if h < n {
			earlier = append(earlier, fmt.Sprint(CollectedPrefix, h))
		}
	}
	return p.delete(ctx, earlier)
}
