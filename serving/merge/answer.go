package merge

import (
	"time"

	"recount/schemas/catalog"
	"recount/schemas/query"
)

// Answer is a finished answer in columns: element i of each column belongs to row i.
// The zero value is an answer without rows.
type Answer struct {
	// Location is the query's time zone.
	Location *time.Location
	// Windowed says that rows have a time. It is false with granularity all.
	Windowed bool
	// Times is the start of each row's window in microseconds since 1970. It is nil unless Windowed.
	Times    []int64
	Dims     []Dimension
	Measures []Measure
	// HasLive marks the rows with a live part. It is nil when no row has one.
	HasLive  []bool
	Accuracy Accuracy
	rows     int
}

// Rows returns the number of rows.
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
	// Type is the type of the values: Int64, Float64 or Timestamp.
	Type  catalog.FieldType
	Value Values
	Live  Values
	// Low and High are the bounds of a distinct count. They are equal in a row whose value is
	// exact, and nil when no row has a live part.
	Low, High []int64
}

// Bounded reports whether the row's value has sketch error.
func (m *Measure) Bounded(row int) bool { return m.Low != nil && m.Low[row] < m.High[row] }

// Values is a column of values: Floats for the type Float64, else Ints. Null marks missing values.
type Values struct {
	Ints   []int64
	Floats []float64
	Null   []bool
}

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
	// Exact says that no row has a live part, and that no dimension overflowed.
	Exact bool `json:"exact"`
	// Complete says that no partition is stale.
	Complete bool `json:"complete"`
	// StalePartitions lists the partitions for which the speed layer was asked and gave nothing.
	StalePartitions []int `json:"stale_partitions"`
	// LagMS is the age of the newest event in the answer's live range or, without one, of the
	// publication. It is nil before the first publication and event.
	LagMS *int64 `json:"lag_ms"`
	// Truncated says that the limit cut off rows.
	Truncated bool `json:"truncated"`
	// Overflow counts the events whose place in the answer is unknown. It is nil when there are none.
	Overflow *query.Overflow `json:"overflow"`
}
