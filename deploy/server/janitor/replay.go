package janitor

import "recount/schemas/record"

// ReplayFrom returns the lowest boundary from which the log of a partition is complete (S2). first is
// the first message of the log.
//
// The boundary is above H of the oldest kept publication if the log was lost and continues at the
// chain's head (L5), or if it has a hole (C7). Everything below has landed or counts nowhere, so the
// real-time views can begin there. A publication pinned below then answers from the batch view alone.
// Without this rule the partition would never have a live part again.
func ReplayFrom(c *record.Chain, first uint64) uint64 {
	from := c.Head.Seq
	first = max(first, c.GivenUp())
	lower := func(boundary uint64) {
		if boundary >= first && boundary < from {
			from = boundary
		}
	}
	for _, e := range c.Epochs {
		lower(e.Start)
	}
	for _, s := range c.Segments {
		lower(s.Start)
		lower(s.End)
	}
	return from
}
