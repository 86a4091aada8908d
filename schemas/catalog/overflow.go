package catalog

import "math"

// Overflow and OverflowInt stand in a dimension instead of a value too many: a string or an
// int64 field gets only so many of them from a tenant in a day. Ingest decides it and writes it into
// the log, so both layers count the same without knowing of it. Who sends one of them as a
// value of his own is counted as if it had overflowed.
const (
	Overflow    = "~overflow"
	OverflowInt = math.MinInt64
)
