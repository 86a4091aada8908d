package merge

import (
	"time"

	"recount/schemas/catalog"
	"recount/schemas/query"
)

// Answer is a finished answer in columns: element i of every column belongs to row i.
// The zero value is an answer without rows.
type Answer struct {
	Location *time.Location // of the query, for times
	Windowed bool           // rows have a time; false with granularity all
	Times    []int64        // start of each row's window in microseconds since 1970; nil unless Windowed
	Dims     []Dimension
	Measures []Measure
	HasLive  []bool // rows with a live part; nil when none has one
	Accuracy Accuracy
	rows     int
}

// Rows is the number of rows.
func (a *Answer) Rows() int { return a.rows }

// IsLive reports whether the row has a live part.
func (a *Answer) IsLive(row int) bool { return a.HasLive != nil && a.HasLive[row] }

// Dimension is a column of the groups' keys.
type Dimension struct {
	Name string
	query.Column
}

// Measure is a column of finished values. Live is empty when no row has a live part.
type Measure struct {
	Name string
	Kind catalog.MeasureKind
	Type catalog.FieldType // of the values: Int64, Float64 or Timestamp
	Value,
	Live Values
	Low, High []int64 // distinct only: bounds of the value, equal where it is exact; nil when all are
}

// Bounded reports whether the row's value carries sketch error.
func (m *Measure) Bounded(row int) bool { return m.Low != nil && m.Low[row] < m.High[row] }

// Values is a column of values: Floats for Float64, Ints otherwise. Null marks missing ones.
type Values struct {
	Ints   []int64
	Floats []float64
	Null   []bool
}

// Accuracy says which part of the log an answer covers and how (Q4). Offsets are
// sequences, one a partition; times are UTC.
type Accuracy struct {
	Publication   uint64     `json:"publication"`    // the pin; 0 before the first
	AsOf          *time.Time `json:"as_of"`          // when it was published; null before the first
	Cut           []uint64   `json:"cut"`            // H: next sequence that is not in the batch view
	Through       []uint64   `json:"through"`        // S: next sequence that is not in the answer
	PendingEvents uint64     `json:"pending_events"` // events in [H, S), before deduplication and filters
	Exact         bool       `json:"exact"`          // no row has a live part, and nothing overflowed
	Complete      bool       `json:"complete"`       // no partition is stale
	// partitions the speed layer gave nothing for, though asked
	StalePartitions []int `json:"stale_partitions"`
	// age of the newest event in the answer's live range, else of the publication; null before both
	LagMS     *int64 `json:"lag_ms"`
	Truncated bool   `json:"truncated"` // limit cut rows off
	// events whose place in the answer is not known; null when there are none
	Overflow *query.Overflow `json:"overflow"`
}
