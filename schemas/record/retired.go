package record

import (
	"fmt"
	"iter"
	"strings"
	"time"
)

// Retired is the create-only record that lets objects of an event type go: those of
// segments that landed before Before. It is created before the first of them is deleted,
// so every reader can tell whether a missing object was retired or lost.
// A horizon only ever rises: of several records of a type the latest Before counts.
type Retired struct {
	Header
	Type   string    `json:"type"`
	Before time.Time `json:"before"`
	Reason string    `json:"reason"`
}

// RetiredPrefix is the prefix of all retirements.
const RetiredPrefix = "retired/"

// retiredTime is the layout of Before in a key; keys of a type sort by it.
const retiredTime = "20060102T150405Z"

// Key returns the retirement's key. It says all that readers need, so they only list.
func (r *Retired) Key() string {
	return fmt.Sprintf("%s%s/%s.json", RetiredPrefix, r.Type, r.Before.UTC().Format(retiredTime))
}

// Encode returns the record's bytes in the current format, the same for the same record.
func (r *Retired) Encode() ([]byte, error) {
	if r.Type == "" || strings.Contains(r.Type, "/") || !r.Before.Equal(r.Before.Truncate(time.Second)) {
		return nil, fmt.Errorf("%w: retirement of type %q before %s", ErrInvalid, r.Type, r.Before)
	}
	r.Header = NewHeader()
	return encode(r, nil)
}

// Horizons says, by event type, before which landing time objects are retired.
type Horizons map[string]time.Time

// HorizonsOf reads the horizons from the keys below RetiredPrefix, in any order.
func HorizonsOf(keys []string) (Horizons, error) {
	h := Horizons{}
	for _, key := range keys {
		name, isJSON := strings.CutSuffix(strings.TrimPrefix(key, RetiredPrefix), ".json")
		typ, stamp, ok := strings.Cut(name, "/")
		before, err := time.Parse(retiredTime, stamp)
		if !isJSON || !ok || err != nil || (&Retired{Type: typ, Before: before}).Key() != key {
			return nil, fmt.Errorf("%w: %q is not the key of a retirement", ErrInvalid, key)
		}
		if before.After(h[typ]) {
			h[typ] = before
		}
	}
	return h, nil
}

// Retired reports whether the object of the segment is gone on purpose, or may be at any moment.
func (h Horizons) Retired(c *Commit, o *Object) bool { return c.Created.Before(h[o.Type]) }

// EventsByTenant returns how many events of each tenant the object of the segment has in each bucket, at most. A record
// counts an object's events by tenant and by bucket, but not by both. So a number is exact if the object has one tenant
// or one bucket, and an upper bound otherwise.
func (c *Commit) EventsByTenant(o *Object) iter.Seq[BucketEvents] {
	tenants := o.Tenants
	if tenants == nil {
		tenants = c.Tenants // Objects of older programs do not have their own.
	}
	return func(yield func(BucketEvents) bool) {
		for _, b := range o.Buckets {
			for tenant, events := range tenants {
				if n := min(events, b.Rows); n > 0 && !yield(BucketEvents{b.Bucket, tenant, n}) {
					return
				}
			}
		}
	}
}
