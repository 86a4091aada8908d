package changes

import (
	"cmp"
	"maps"
	"slices"

	"recount/schemas/record"
)

// Pair is one view in two publications, as a tenant sees it.
type Pair struct {
	View   string
	Tenant string
	// Width is the width of a bucket in microseconds.
	Width    int64
	Old, New Side
}

// Bucket is a bucket whose rows differ.
type Bucket struct {
	Start  int64 // microseconds since 1970
	causes Causes
	more   bool // more events count
}

// Changed returns the buckets that have a part in [from, to) and other rows, ascending.
func (p *Pair) Changed(from, to int64) []Bucket {
	var out []Bucket
	oldRows := p.versions(&p.Old, from, to)
	newRows := p.versions(&p.New, from, to)
	sameTable := p.Old.State.Views[p.View].Digest == p.New.State.Views[p.View].Digest
	for len(oldRows)+len(newRows) > 0 {
		var before, after record.BucketVersion
		start := firstOf(oldRows, newRows)
		if len(oldRows) > 0 && oldRows[0].Bucket == start {
			before = oldRows[0]
			oldRows = oldRows[1:]
		}
		if len(newRows) > 0 && newRows[0].Bucket == start {
			after = newRows[0]
			newRows = newRows[1:]
		}
		same := before.Rows == after.Rows && before.Checksum == after.Checksum
		if before.Rows+after.Rows == 0 || same && sameTable {
			continue
		}
		b := Bucket{Start: start}
		b.causes, b.more = p.causesOf(start)
		out = append(out, b)
	}
	return out
}

func firstOf(a, b []record.BucketVersion) int64 {
	if len(b) == 0 || len(a) > 0 && a[0].Bucket < b[0].Bucket {
		return a[0].Bucket
	}
	return b[0].Bucket
}

// versions returns the view's buckets that have a part in [from, to).
func (p *Pair) versions(s *Side, from, to int64) []record.BucketVersion {
	return s.State.Views[p.View].VersionsBetween(from-from%p.Width, to)
}

// Rows returns how many rows both publications have in the buckets that have a part in [from, to).
func (p *Pair) Rows(from, to int64) (n int64) {
	for _, s := range []*Side{&p.Old, &p.New} {
		for _, b := range p.versions(s, from, to) {
			n += b.Rows
		}
	}
	return n
}

// Pins returns a state like that of a side that pins only the buckets with a part in one of the spans, which are
// ascending. The rows of the others are the same in both publications, so they are not read.
func (p *Pair) Pins(s *Side, spans []Span) *record.State {
	pins := *s.State
	view, found := pins.Views[p.View]
	if !found {
		return &pins
	}
	var kept []record.BucketVersion
	for _, span := range spans {
		for _, b := range p.versions(s, span.From, span.To) {
			if n := len(kept); n == 0 || kept[n-1].Bucket < b.Bucket {
				kept = append(kept, b)
			}
		}
	}
	view.Buckets = kept
	pins.Views = maps.Clone(pins.Views)
	pins.Views[p.View] = view
	return &pins
}

// Span is a half-open range of event time, in microseconds since 1970.
type Span struct{ From, To int64 }

// Causes returns why a cell with events in [from, to) may have changed. Buckets are those of Changed.
func (p *Pair) Causes(buckets []Bucket, from, to int64) Causes {
	first, _ := slices.BinarySearchFunc(buckets, from-p.Width+1,
		func(b Bucket, t int64) int { return cmp.Compare(b.Start, t) })
	var causes Causes
	for _, b := range buckets[first:] {
		if b.Start >= to {
			break
		}
		causes |= b.causes
		switch {
		case !b.more:
		case min(b.Start+p.Width, to) <= p.Old.created():
			causes |= LateEvents
		default:
			causes |= NewEvents
		}
	}
	if causes == 0 {
		return Unknown
	}
	return causes
}

// Landed returns what landed of the tenant's events of the view's type between the two publications, whatever their
// time. It is not known if the ledgers begin at different events, or while a publication has not counted all of them
// (B8).
func (p *Pair) Landed() (record.Account, bool) {
	before, inOld := p.Old.State.Ledgers[p.Old.Event]
	after, inNew := p.New.State.Ledgers[p.New.Event]
	isFilled := p.Old.State.Views[p.View].Fill == nil && p.New.State.Views[p.View].Fill == nil
	// Without a ledger and counts, nothing had landed. The other ledger then begins with the first event.
	began := slices.Equal(before.From, after.From)
	if !inOld {
		began = len(p.Old.State.Types[p.Old.Event]) == 0 && after.IsComplete()
	}
	if !inNew || !isFilled || p.Old.Event != p.New.Event || !began {
		return record.Account{}, false
	}
	was := record.Sum(before.Tenants[p.Tenant])
	now := record.Sum(after.Tenants[p.Tenant])
	return record.Account{Rows: now.Rows - was.Rows, Duplicates: now.Duplicates - was.Duplicates,
		Conflicts: now.Conflicts - was.Conflicts}, true
}
