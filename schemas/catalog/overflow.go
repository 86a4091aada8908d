package catalog

import "math"

// Overflow and OverflowInt replace the values of a dimension beyond the limit of distinct values of a tenant. Ingest
// decides it by day of event time and records it in the log beside the value (eventbatch.ColOverflow) for real-time
// views. The batch layer decides anew, by bucket (B7). An event that is sent with one of the two as its value is
// counted as if it had overflowed.
const (
	Overflow    = "~overflow"
	OverflowInt = math.MinInt64
)
