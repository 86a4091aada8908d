package catalog

import "math"

// Overflow and OverflowInt replace the value of a dimension beyond the limit of distinct values
// that a tenant may send for a day of event time. Ingest decides which values are beyond the limit and records
// it in the log beside the value (eventbatch.ColOverflow), so both layers agree. An event that
// is sent with one of the two as its value is counted as if it had overflowed.
const (
	Overflow    = "~overflow"
	OverflowInt = math.MinInt64
)
