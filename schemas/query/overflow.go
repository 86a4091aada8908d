package query

import "recount/schemas/catalog"

// Overflow counts the events of a scan whose group is unknown, because a dimension that the scan groups by or has a
// condition on holds catalog.Overflow. An event counts if the conditions hold for some value that it may have had
// there, and if they do not hold for every such value or its group depends on it. What is decided for each test apart
// is not decided for tests of one dimension together: eq or ne of one value holds for every value, but counts.
//
// So a count over conditions is too small by at most LeftOut and too large by at most
// Events − LeftOut (ne holds for overflowed events), and a group is too small by at most
// Events. Without it an answer would be silently too small (Q5).
type Overflow struct {
	Events  uint64 `json:"events"`
	LeftOut uint64 `json:"left_out"` // of Events, those that are in no row
	// Live is how many of Events are in the live part of an answer. Ingest decided that they overflow, and the next
	// publication decides anew (B7). A part of an answer leaves it 0.
	Live uint64 `json:"live"`
}

// Add adds what another part counted.
func (o *Overflow) Add(p Overflow) {
	o.Events += p.Events
	o.LeftOut += p.LeftOut
}

// Unsure reports whether it is unknown if the test holds for an event whose dimension overflowed. It is known that the
// event had a value.
func (t *Test) Unsure() bool { return t.Kind != Present && t.Type != catalog.Bool }
