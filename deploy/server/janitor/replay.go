package janitor

import "recount/schemas/record"

// ReplayFrom is the lowest boundary from which the log of a partition is whole (S2), first
// being the first message it has. It lies above H of the oldest kept publication where the
// log was lost and goes on at the chain head (L5). What lies before has landed, so the
// real-time views begin there, and a publication pinned below answers from the batch view
// alone, instead of the partition never having a live part again.
func ReplayFrom(c *record.Chain, first uint64) uint64 {
	from := c.Head.Seq
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
