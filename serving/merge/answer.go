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
	Times []int64
	Dims  []Dimension
	// Measures are those of the query, and then its derived numbers.
	Measures []Measure
	// HasLive marks the rows with a live part. It is nil when no row has one.
	HasLive  []bool
	Accuracy query.Accuracy
	// Next is the cursor of the next page. It is empty if there is none, or if the answer has no pages.
	Next string
	// Identity names all that the answer is a function of: the same identity is the same answer. It is empty if the
	// answer depends on the moment, too.
	Identity string
	// Explanation says how the query was answered. It is nil unless the query asks for it.
	Explanation *query.Explanation
	// Memory is what the answer holds until it is closed. It may be nil.
	Memory *query.Share
	// Totals has the measures of all groups together, as an answer of one row. It is nil unless the query asks for it.
	Totals *Answer
	// Others has a row for each window with groups that are in no row of this answer: the measures of these together,
	// without dimensions. It is nil unless the query asks for it.
	Others *Answer
	// Previous has the measures of the earlier range for each row, and where the answer has times, the starts of its
	// windows. It is nil unless the query compares.
	Previous *Answer
	// Missing marks the rows of Previous whose group had no events, or whose window has no earlier one.
	Missing []bool
	rows    int
}

// Close gives back the memory that the answer holds. Its columns must not be used after that.
func (a *Answer) Close() { a.Memory.Close() }

// Rows returns the number of rows.
func (a *Answer) Rows() int { return a.rows }

// IsLive reports whether the row has a live part.
func (a *Answer) IsLive(row int) bool { return a.HasLive != nil && a.HasLive[row] }

// Dimension is a column of the groups' keys.
type Dimension struct {
	Name string
	query.Column
}

// Measure is a column of finished values: of a measure, or of a derived number.
type Measure struct {
	Name string
	// Kind is empty for a derived number.
	Kind catalog.MeasureKind
	// Type is the type of the values: Int64, Float64, Timestamp or a decimal. A sum of decimals has up to
	// decimal.MaxSum digits.
	Type  catalog.FieldType
	Value Values
	// Live is empty when no row has a live part, and for a derived number.
	Live Values
	// Estimated says that values may have sketch error: those of a distinct count, of a quantile, and of a derived
	// number of a distinct count.
	Estimated bool
	// Low and High are the bounds of values. They are equal in a row whose value is exact, and empty when no row has
	// a live part, but for quantiles. Where those of a derived number are not known, they are the ends of its type, and
	// the true value may be null. A null has no bounds.
	Low, High Values
}

// IsDerived reports whether the column is a derived number.
func (m *Measure) IsDerived() bool { return m.Kind == "" }

// Bounded reports whether the row's value has sketch error.
func (m *Measure) Bounded(row int) bool {
	switch {
	case m.Low.Null == nil:
		return false
	case m.Type == catalog.Float64:
		return m.Low.Floats[row] < m.High.Floats[row]
	}
	return m.Low.Ints[row] < m.High.Ints[row]
}

// Values is a column of values: Floats for the type Float64, else Ints. Null marks missing values. A decimal is its
// number of units. That of a sum has 128 bits, of which Ints are the low half and Highs are the high one.
type Values struct {
	Ints   []int64
	Highs  []int64 // nil but for sums of decimals
	Floats []float64
	Null   []bool
}
