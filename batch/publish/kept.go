package publish

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"recount/schemas/failpoint"
	"recount/schemas/record"
)

// PinPrefix is the prefix of pins: the record publish/pins/{n}, with the body {"n":7}, keeps
// publication n for ever (P3).
const PinPrefix = record.PublicationPrefix + "pins/"

// PinKey is the key of the pin of publication n.
func PinKey(n uint64) string { return fmt.Sprintf("%s%d", PinPrefix, n) }

// Pin keeps publication n for ever. It must be kept for its age or number still, and after
// the pin is there too: a collection that began before does not see the pin, and has spared
// n only if it was kept anyway. Looking before alone is not enough: this process may know an old
// chain, or have been paused in between. A pin that came too late wraps ErrExpired.
func (p *Publisher) Pin(ctx context.Context, n uint64) error {
	if _, err := p.At(ctx, n); err != nil {
		return fmt.Errorf("pin: %w", err)
	}
	if _, _, err := p.log.Create(ctx, PinKey(n), fmt.Appendf(nil, `{"n":%d}`, n)); err != nil {
		return fmt.Errorf("pin publication %d: %w", n, err)
	}
	if err := p.Refresh(ctx); err != nil {
		return fmt.Errorf("pin publication %d: %w", n, err)
	}
	if oldest := p.OldestKept().N; n < oldest {
		return fmt.Errorf("pin publication %d: %w: the pin came too late, kept from %d on", n, ErrExpired, oldest)
	}
	return p.loadPins(ctx)
}

// maxPinned bounds the states of pinned publications that are held in memory.
const maxPinned = 4

// firstKept is the index in recent of the oldest kept publication: the last Keep
// ones, and those that were the newest within twice the longest query. Age counts
// from the day a publication was replaced, because a reader may have pinned it
// until then. p.mu must be held.
func (p *Publisher) firstKept() int {
	i := max(0, len(p.recent)-p.cfg.Keep)
	if failpoint.Off(failpoint.P3) {
		return max(0, len(p.recent)-1)
	}
	limit := p.cfg.Now().Add(-2 * p.cfg.LongestQuery)
	for i > 0 && p.recent[i].Publication.Created.After(limit) {
		i--
	}
	return i
}

// OldestKept is the oldest publication a reader may hold while it asks the speed
// layer. Its H bounds what speed and log must keep (S3, L6). Pinned publications
// do not count: they answer from the batch view alone, and a pin of last year must
// not keep the log since then.
func (p *Publisher) OldestKept() *record.State {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.recent) == 0 {
		return p.State()
	}
	return p.recent[p.firstKept()]
}

// holdsBack reports whether publications that no query can be reading any more, and that
// are kept for their number alone, hold log and real-time views back (L6, S3). Where nothing
// lands there is nothing to publish and they would do so for ever: a log that filled since
// could not be trimmed, so nothing could be appended, so nothing could land. Publishing the
// newest H again lets them go. Rejected: keeping fewer than Keep, which is what saves a
// reader where clocks differ.
func (p *Publisher) holdsBack() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.recent) == 0 {
		return false
	}
	h := p.newest.Load().H
	if slices.Equal(p.recent[p.firstKept()].H, h) {
		return false
	}
	reached := slices.IndexFunc(p.recent, func(s *record.State) bool { return slices.Equal(s.H, h) })
	return p.recent[reached].Publication.Created.Before(p.cfg.Now().Add(-2 * p.cfg.LongestQuery))
}

// Kept lists the publications At answers for, ascending.
func (p *Publisher) Kept() []uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	kept := slices.Clone(p.pins)
	for _, s := range p.recent[min(p.firstKept(), len(p.recent)):] {
		kept = append(kept, s.N)
	}
	slices.Sort(kept)
	return slices.Compact(kept)
}

// Pinned lists the publications that are kept for ever, as far as this process knows, ascending.
func (p *Publisher) Pinned() []uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pins // Replaced when it changes, never written to.
}

// At returns publication n. The error wraps ErrNoPublication if there never was
// one and ErrExpired if it is no longer kept (P3).
func (p *Publisher) At(ctx context.Context, n uint64) (*record.State, error) {
	if n > p.State().N {
		if err := p.Refresh(ctx); err != nil {
			return nil, err
		}
	}
	if n == 0 || n > p.State().N {
		return nil, fmt.Errorf("publication %d: %w; the newest is %d", n, ErrNoPublication, p.State().N)
	}
	if s := p.known(n); s != nil {
		return s, nil
	}
	if err := p.loadPins(ctx); err != nil {
		return nil, err
	}
	p.mu.Lock()
	_, pinned := slices.BinarySearch(p.pins, n)
	p.mu.Unlock()
	if !pinned {
		return nil, fmt.Errorf("publication %d: %w; kept are %v", n, ErrExpired, p.Kept())
	}
	return p.loadPinned(ctx, n)
}

// known returns a kept publication that is in memory, or nil.
func (p *Publisher) known(n uint64) *record.State {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.recent[min(p.firstKept(), len(p.recent)):] {
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

// loadPinned resolves a publication from its base.
func (p *Publisher) loadPinned(ctx context.Context, n uint64) (*record.State, error) {
	raws, err := p.readBack(ctx, n, func(*record.Publication) bool { return false })
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

// loadPins reads which publications are pinned.
func (p *Publisher) loadPins(ctx context.Context) error {
	keys, err := p.log.List(ctx, PinPrefix)
	if err != nil {
		return fmt.Errorf("list pins: %w", err)
	}
	var pins []uint64
	for _, k := range keys {
		n, err := strconv.ParseUint(strings.TrimPrefix(k, PinPrefix), 10, 64)
		if err != nil {
			return fmt.Errorf("list pins: %s does not end in the number of a publication; remove or rename it", k)
		}
		pins = append(pins, n)
	}
	slices.Sort(pins)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pins = pins
	return nil
}
