package record

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"recount/schemas/position"
)

// State is a publication with its deltas resolved: everything a reader pins (Q1).
// It is immutable; Apply returns a new one that shares what did not change.
type State struct {
	Publication *Publication             // nil in the state before the first publication
	Digest      string                   // of the publication's bytes; empty before the first
	N           uint64                   // 0 before the first
	H           []position.Offset        // next offset that is not in the batch view, per partition
	Views       map[string]ViewState     // every view with a batch view
	Types       map[string][]BucketCount // ascending by bucket
	Ledgers     map[string]Ledger        // by event type
}

// ViewState is the batch view of one view: which rows of its table count.
type ViewState struct {
	Digest      string
	Reading     int
	Buckets     []BucketVersion // ascending by bucket
	Fill        *Fill           // down to where the view is filled; nil if it has all of its history (B8)
	Unconverted []BucketEvents  // ascending by bucket, then tenant; none has zero events
	Retired     []BucketEvents  // in the same order; the events that the rows lack because of retired objects
	Overflowed  []BucketEvents  // in the same order; the events with a value beyond Publication.Limit (B7)
}

// EmptyState is the state before the first publication: nothing of the log is in
// the batch view and every view's batch view is empty.
func EmptyState(partitions int) *State {
	s := &State{H: make([]position.Offset, partitions)}
	for p := range s.H {
		s.H[p].Seq = position.First
	}
	return s
}

// Apply returns the state after publication n+1, given its bytes. A base may be
// applied to any state; everything else must continue the chain (P2, V5).
func (s *State) Apply(raw []byte) (*State, error) {
	p, err := DecodePublication(raw)
	if err != nil {
		return nil, err
	}
	const remedy = "restore the records below publish/ from one copy of the bucket: recount verify names them"
	if !p.Base && (p.N != s.N+1 || p.Previous != s.Digest) {
		return nil, fmt.Errorf("%w: publication %d does not continue %d; %s", ErrInvalid, p.N, s.N, remedy)
	}
	if p.N == s.N+1 && (decreases(s.H, p.H)) {
		return nil, fmt.Errorf("%w: publication %d takes H from %v to %v; %s", ErrInvalid, p.N, s.H, p.H, remedy)
	}
	next := &State{Publication: p, Digest: Digest(raw), N: p.N, H: p.H, Views: map[string]ViewState{},
		Types: maps.Clone(s.Types), Ledgers: maps.Clone(s.Ledgers)}
	if p.Base || next.Types == nil {
		next.Types = map[string][]BucketCount{}
	}
	if p.Base || next.Ledgers == nil {
		next.Ledgers = map[string]Ledger{}
	}
	for name, v := range p.Views {
		view := ViewState{Digest: v.Digest, Reading: v.Reading, Buckets: v.Buckets, Fill: v.Fill,
			Unconverted: v.Unconverted, Retired: v.Retired, Overflowed: v.Overflowed}
		if old := s.Views[name]; !p.Base && !v.Full {
			view.Buckets = overlay(old.Buckets, v.Buckets, func(b BucketVersion) int64 { return b.Bucket })
			view.Unconverted = overlayEvents(old.Unconverted, v.Unconverted)
			view.Retired = overlayEvents(old.Retired, v.Retired)
			view.Overflowed = overlayEvents(old.Overflowed, v.Overflowed)
		}
		next.Views[name] = view
	}
	for name, counts := range p.Types {
		next.Types[name] = overlay(next.Types[name], counts, func(b BucketCount) int64 { return b.Bucket })
	}
	for name, l := range p.Ledgers {
		if next.Ledgers[name], err = next.Ledgers[name].plus(l); err != nil {
			return nil, fmt.Errorf("publication %d: type %s: %w", p.N, name, err)
		}
	}
	return next, nil
}

// decreases reports whether any component of the vector goes back (P2).
func decreases(from, to []position.Offset) bool {
	for p := range from {
		if p >= len(to) || to[p].Seq < from[p].Seq {
			return true
		}
	}
	return len(from) != len(to)
}

// overlay merges two ascending lists; where both have a bucket the delta's wins.
func overlay[T any](old, delta []T, bucket func(T) int64) []T {
	if len(delta) == 0 {
		return old
	}
	out := make([]T, 0, len(old)+len(delta))
	for len(old) > 0 && len(delta) > 0 {
		switch cmp.Compare(bucket(old[0]), bucket(delta[0])) {
		case -1:
			out = append(out, old[0])
			old = old[1:]
		case 0:
			old = old[1:]
		case 1:
			out = append(out, delta[0])
			delta = delta[1:]
		}
	}
	return append(append(out, old...), delta...)
}

// overlayEvents merges two ascending lists, and leaves out what the delta sets to zero.
func overlayEvents(old, delta []BucketEvents) []BucketEvents {
	if len(delta) == 0 {
		return old
	}
	out := slices.Clone(delta)
	for _, u := range old {
		if _, replaced := slices.BinarySearchFunc(delta, u, CompareBucketEvents); !replaced {
			out = append(out, u)
		}
	}
	slices.SortFunc(out, CompareBucketEvents)
	return slices.DeleteFunc(out, func(u BucketEvents) bool { return u.Events == 0 })
}

// Limit returns Publication.Limit.
func (s *State) Limit() int {
	if s.Publication == nil {
		return 0
	}
	return s.Publication.Limit
}

// Generation returns Publication.Generation.
func (s *State) Generation() uint64 {
	if s.Publication == nil {
		return 0
	}
	return s.Publication.Generation
}

// IsCurrent reports whether a computation of today gives the rows of the view, if its definition has the digest.
func (v ViewState) IsCurrent(digest string) bool {
	return v.Digest == digest && v.Reading == CurrentReading
}

// IsFilled reports whether the view has what had landed of the bucket. A bucket before Fill.From has no rows yet (B8).
func (v ViewState) IsFilled(bucket int64) bool { return v.Fill == nil || bucket >= v.Fill.From }

// SumEvents returns how many events of a tenant a list has in the buckets of the given width that have a part in
// [from, to).
func SumEvents(list []BucketEvents, tenant string, from, to, width int64) (n int64) {
	for _, u := range list {
		if u.Tenant == tenant && u.Bucket < to && u.Bucket+width > from {
			n += u.Events
		}
	}
	return n
}

// VersionsBetween returns the versions of the buckets that start in [from, to).
func (v ViewState) VersionsBetween(from, to int64) []BucketVersion {
	lo, _ := slices.BinarySearchFunc(v.Buckets, from,
		func(b BucketVersion, t int64) int { return cmp.Compare(b.Bucket, t) })
	hi, _ := slices.BinarySearchFunc(v.Buckets, to,
		func(b BucketVersion, t int64) int { return cmp.Compare(b.Bucket, t) })
	return v.Buckets[lo:max(lo, hi)]
}
