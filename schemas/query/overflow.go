package query

import "recount/schemas/catalog"

// Overflow counts the events of a scan whose group is unknown, because a dimension that the
// scan groups by or has a condition on holds catalog.Overflow. Every other condition holds for
// them. Whether a condition on that dimension holds depends on a value that was not kept.
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

// Unsure reports whether it is unknown if the condition holds for an event whose dimension
// overflowed. It is known that the event had a value.
func (c *Condition) Unsure() bool { return c.Op != Exists && c.Type != catalog.Bool }
