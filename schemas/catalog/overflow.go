package catalog

import "math"

// Overflow and OverflowInt replace the values of a dimension beyond the limit of distinct values of a tenant. Ingest
// decides it by day of event time and records it in the log beside the value (eventbatch.ColOverflow) for real-time
// views. The batch layer decides anew, by bucket (B7). Ingest rejects an event that is sent with one of the two in a
// dimension, because nothing could tell it from a value beyond the limit. One from before that, or from before its
// field was a dimension, is counted as if it had overflowed.
const (
	Overflow    = "~overflow"
	OverflowInt = math.MinInt64
)
