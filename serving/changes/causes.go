package changes

import (
	"cmp"
	"encoding/json"
	"slices"

	"recount/schemas/record"
)

// Causes is a set of reasons for which a cell changed.
type Causes uint16

// The causes. The package comment defines them.
const (
	LateEvents Causes = 1 << iota
	NewEvents
	CopiesRemoved
	Definition
	Fill
	Retention
	Limit
	Reading
	Rounding
	Unknown
)

// Names are the names of the causes, in the order of their bits.
var Names = []string{"late_events", "new_events", "copies_removed", "definition", "fill", "retention", "limit",
	"reading", "rounding", "unknown"}

// List returns the names of the set.
func (c Causes) List() []string {
	list := []string{}
	for i, name := range Names {
		if c&(1<<i) != 0 {
			list = append(list, name)
		}
	}
	return list
}

// MarshalJSON encodes the set as a list of names.
func (c Causes) MarshalJSON() ([]byte, error) { return json.Marshal(c.List()) }

// Side is what one publication says of a view.
type Side struct {
	State *record.State
	// Event is the type that the view counts.
	Event string
	// Digest is that of the view's definition, which is not always that of its rows: see Rounded.
	Digest string
	// Rounded says that the rows have sums of floats from before they were exact (B6).
	Rounded bool
}

// created is when the publication was made, in microseconds since 1970.
func (s *Side) created() int64 {
	if s.State.Publication == nil {
		return 0
	}
	return s.State.Publication.Created.UnixMicro()
}

func (s *Side) copies() int {
	if s.State.Publication == nil {
		return 0
	}
	return s.State.Publication.Copies
}

// causesOf returns why a bucket of the view may have other values for a tenant, without LateEvents and NewEvents, and
// whether more events count.
func (p *Pair) causesOf(bucket int64) (causes Causes, more bool) {
	oldView := p.Old.State.Views[p.View]
	newView := p.New.State.Views[p.View]
	oldCount := countOf(p.Old.State, p.Old.Event, bucket)
	newCount := countOf(p.New.State, p.New.Event, bucket)
	removed := newCount.Duplicates - oldCount.Duplicates
	counted := newCount.Rows - oldCount.Rows - removed
	add := func(is bool, cause Causes) {
		if is {
			causes |= cause
		}
	}
	add(p.Old.Digest != p.New.Digest, Definition)
	add(oldView.IsFilled(bucket) != newView.IsFilled(bucket), Fill)
	sameType := p.Old.Event == p.New.Event
	add(sameType && removed > 0 && (counted < 0 || p.Old.copies() != p.New.copies()), CopiesRemoved)
	add(eventsOf(oldView.Retired, bucket, p.Tenant) != eventsOf(newView.Retired, bucket, p.Tenant), Retention)
	add(p.Old.State.Limit() != p.New.State.Limit() &&
		eventsOf(oldView.Overflowed, bucket, p.Tenant) != eventsOf(newView.Overflowed, bucket, p.Tenant), Limit)
	add(oldView.Reading != newView.Reading, Reading)
	add(p.Old.Rounded != p.New.Rounded, Rounding)
	// A bucket that was not filled has no counts, so its events are no new ones.
	return causes, sameType && counted > 0 && newCount.Rows > oldCount.Rows && causes&Fill == 0
}

// countOf returns what deduplication found in a bucket of an event type.
func countOf(s *record.State, event string, bucket int64) record.BucketCount {
	counts := s.Types[event]
	i, found := slices.BinarySearchFunc(counts, bucket,
		func(c record.BucketCount, b int64) int { return cmp.Compare(c.Bucket, b) })
	if !found {
		return record.BucketCount{}
	}
	return counts[i]
}

// eventsOf returns the number of events that a list has of a tenant in a bucket.
func eventsOf(list []record.BucketEvents, bucket int64, tenant string) int64 {
	i, found := slices.BinarySearchFunc(list, record.BucketEvents{Bucket: bucket, Tenant: tenant},
		record.CompareBucketEvents)
	if !found {
		return 0
	}
	return list[i].Events
}
