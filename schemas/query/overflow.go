package query

import "recount/schemas/catalog"

// Overflow counts the events of a scan whose place in the answer nobody knows, because a
// dimension that the scan groups by or has a condition on holds catalog.Overflow: every other condition holds
// for them, and the ones on that dimension would or would not, had its value been kept.
//
// So a count over conditions is too small by at most LeftOut and too large by at most
// Events − LeftOut (ne holds for what overflowed), and a group too small by at most
// Events. Without it an answer would be a silently smaller number (Q5).
type Overflow struct {
	Events  uint64 `json:"events"`
	LeftOut uint64 `json:"left_out"` // of Events, those that are in no row
}

// Add adds what another part counted.
func (o *Overflow) Add(p Overflow) {
	o.Events += p.Events
	o.LeftOut += p.LeftOut
}

// Unsure reports whether nobody knows if the condition holds for an event whose dimension
// overflowed. That it had a value is known.
func (c *Condition) Unsure() bool { return c.Op != Exists && c.Type != catalog.Bool }
