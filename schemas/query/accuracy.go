package query

import (
	"slices"
	"time"

	"recount/schemas/position"
)

// Accuracy says which part of the log an answer covers, and how exact it is (Q4). Cut and
// Through hold one sequence for each partition. Times are UTC.
type Accuracy struct {
	// Publication is the pinned publication, or 0 before the first.
	Publication uint64 `json:"publication"`
	// AsOf is when the publication was created. It is nil before the first.
	AsOf *time.Time `json:"as_of"`
	// Cut is H: the next sequence that is not in the batch view.
	Cut []uint64 `json:"cut"`
	// Through is S: the next sequence that is not in the answer.
	Through []uint64 `json:"through"`
	// PendingEvents is how many events are in [H, S), before deduplication and filters.
	PendingEvents uint64 `json:"pending_events"`
	// Exact says that no row has a live part, that no dimension overflowed, that every value could be
	// converted, that retention removed no event that should count, that the view is filled, and that nothing is
	// missing that the server knows to be acknowledged.
	Exact bool `json:"exact"`
	// Complete says that the view is filled, that no partition is stale, and that nothing is missing that the server
	// knows to be acknowledged: what the log held when the server started, and what it has accepted since. Mode exact
	// asks for the publication alone, so its answers are complete where the view is filled.
	Complete bool `json:"complete"`
	// StalePartitions lists the partitions for which the speed layer was asked and gave nothing, or gave
	// a part that lags the log by more than speed.max_lag.
	StalePartitions []int `json:"stale_partitions"`
	// LagMS is the age of the newest event in the answer's live range or, without one, of the
	// publication. It is nil before the first publication and event, and in mode exact, whose answers do not change.
	LagMS *int64 `json:"lag_ms"`
	// Range is what the answer covers. It is nil if the query names the same range in RFC 3339.
	Range *Range `json:"range,omitempty"`
	// PreviousRange is the earlier range that the answer is compared with. It is nil without compare.
	PreviousRange *Range `json:"previous_range,omitempty"`
	// LiveIncluded says whether the answer has what came after the publication, as far as Through. It is nil unless the
	// query has as_of: the answer is the same for ever if it is false.
	LiveIncluded *bool `json:"live_included,omitempty"`
	// Truncated says that the limit cut off rows.
	Truncated bool `json:"truncated"`
	// Holes are the messages below Cut that an operator gave up, because the log had lost them (C7). Their
	// events were acknowledged, and count nowhere unless they were sent again. It is empty in mode live.
	Holes []position.Hole `json:"holes,omitempty"`
	// Overflow counts the events whose place in the answer is unknown. It is nil when there are none.
	Overflow *Overflow `json:"overflow"`
	// FilledFrom is from when the view is filled, if the answer reaches back before that: the publication does not
	// count earlier events yet (B8). It is nil otherwise, and in mode live.
	FilledFrom *time.Time `json:"filled_from,omitempty"`
	// Unconverted counts the events, in the buckets that the answer touches, with a value that was sent while its field
	// was declared otherwise, and that does not fit the field's present type. Such a value counts as missing. Zero is
	// left out.
	Unconverted uint64 `json:"unconverted_events,omitempty"`
	// Retired counts the events, in the buckets that the answer touches, that the view lacks because retention had
	// removed them, or others of their buckets, when it was computed. It is an upper bound: it includes copies, events
	// that the view's filter excludes, and events of other tenants where the records do not tell them apart. Zero is
	// left out.
	Retired uint64 `json:"retired_events,omitempty"`
	// OutOfRange names the values that are null because they do not fit their type. It is empty otherwise.
	OutOfRange []OutOfRange `json:"out_of_range,omitempty"`
	// TotalsOutOfRange names the measures that are null in the totals because they do not fit their type.
	TotalsOutOfRange []string `json:"totals_out_of_range,omitempty"`
	// OthersOutOfRange names the values of the others that are null because they do not fit their type.
	OthersOutOfRange []OutOfRange `json:"others_out_of_range,omitempty"`
	// PreviousOutOfRange names the values of the earlier range that are null because they do not fit their type.
	PreviousOutOfRange []OutOfRange `json:"previous_out_of_range,omitempty"`
}

// OutOfRange says in which rows of an answer a measure is null because its value does not fit its type:
// a sum of integers that is no int64, or a sum or average beyond the range of float64. In a row with a
// live part, it may be the live value.
type OutOfRange struct {
	Measure string `json:"measure"`
	// Count is how many rows there are.
	Count int `json:"count"`
	// Rows are the first of them, at most MaxOutOfRange. The first row of the answer is row 0.
	Rows []int `json:"rows"`
}

// MaxOutOfRange is how many rows of a measure an answer names.
const MaxOutOfRange = 100

// NewOutOfRange names rows of an answer, which may be in any order.
func NewOutOfRange(measure string, rows []int) OutOfRange {
	slices.Sort(rows)
	return OutOfRange{measure, len(rows), rows[:min(len(rows), MaxOutOfRange)]}
}
