package catalog

import "math"

// Overflow and OverflowInt stand in a dimension instead of a value too many: a string or an
// int64 gets only so many of them from a tenant in a day. Ingest decides which are too many and
// says so in the log, beside the value (eventbatch.ColOverflow), so both layers agree. Who sends
// one of the two as a value is counted as if it had overflowed.
const (
	Overflow    = "~overflow"
	OverflowInt = math.MinInt64
)
