package changes

import (
	"slices"
	"time"

	"recount/schemas/query"
	"recount/schemas/record"
	"recount/schemas/window"
	"recount/serving/merge"
)

// Question asks what changed in a view.
type Question struct {
	// Query has the view, the range, the conditions and the columns. Without a granularity its windows are the cells of
	// the view, and without measures it has those that both definitions have.
	query.Query
	// Ungrouped says that an empty Query.GroupBy is meant so. Otherwise the groups are then by all dimensions that both
	// definitions have.
	Ungrouped bool
	// FromPublication is the old one and ToPublication the new one, which is the newest if it is 0.
	FromPublication, ToPublication uint64
}

// MaxLimit is how many changes an answer may list.
const MaxLimit = 100_000

// Answer says what changed in a view between two publications.
type Answer struct {
	View     string
	Location *time.Location
	// Windowed says that changes have a time, and Dims and Measures are the names of their other columns.
	Windowed       bool
	Dims, Measures []string
	Old, New       Total
	// Sum is all changes together, and Days are those of each day that has some. A cell is of the local day in which
	// its window begins.
	Sum  Tally
	Days []Day
	// Landed is what landed of the tenant's events of the type meanwhile, whatever their time. It is nil if the records
	// do not say.
	Landed *record.Account
	// Listed are the first changes, by time and then by dimensions.
	Listed []Listed
	// Truncated says that there are more changes than are listed. The sums are those of all.
	Truncated bool
	// OutOfRange names the measures that are null in a listed change because a value does not fit its type.
	OutOfRange []string
	// Memory is what the answer holds until it is closed. It may be nil.
	Memory *query.Share
}

// Total is the question's range in one publication, as a query as of it answers it.
type Total struct {
	Publication uint64
	Digest      string // of the view's definition
	Answer      *merge.Answer
}

// Listed is a part of the list.
type Listed struct {
	*merge.Comparison
	Shown  []merge.Compared // the listed groups
	Causes []Causes         // of each listed group
}

// Tally counts changes.
type Tally struct {
	Added, Changed, Removed int
	// Old and New are the events that the changed cells counted and count.
	Old, New uint64
	Causes   Causes
}

// Day is the changes of one local day.
type Day struct {
	Date string // such as 2024-05-01
	Tally
}

// Close gives back the memory that the answer holds.
func (a *Answer) Close() {
	for _, t := range []*Total{&a.Old, &a.New} {
		if t.Answer != nil {
			t.Answer.Close()
		}
	}
	a.Memory.Close()
}

// Rows returns how many changes are listed.
func (a *Answer) Rows() (n int) {
	for _, l := range a.Listed {
		n += l.Listed
	}
	return n
}

// Add adds a comparison of the windows, which follow those that were added before.
func (a *Answer) Add(c *merge.Comparison, w window.Windows, causes func(from, to int64) Causes) {
	listed := Listed{Comparison: c, Causes: make([]Causes, c.Listed)}
	last := int32(-1)
	var why Causes
	var date string
	for i, g := range c.Groups {
		if g.Window != last {
			last = g.Window
			from, to := w.Span(int(g.Window))
			why = causes(from, to)
			date = time.UnixMicro(from).In(a.Location).Format(time.DateOnly)
		}
		if n := len(a.Days); n == 0 || a.Days[n-1].Date != date {
			a.Days = append(a.Days, Day{Date: date})
		}
		a.Sum.add(g, why)
		a.Days[len(a.Days)-1].add(g, why)
		if i < c.Listed {
			listed.Causes[i] = why
		}
	}
	a.Truncated = a.Truncated || len(c.Groups) > c.Listed
	for _, name := range c.OutOfRange {
		if !slices.Contains(a.OutOfRange, name) {
			a.OutOfRange = append(a.OutOfRange, name)
		}
	}
	listed.Shown = slices.Clone(c.Groups[:c.Listed])
	if c.Groups = nil; c.Listed > 0 {
		a.Listed = append(a.Listed, listed)
	}
}

func (t *Tally) add(g merge.Compared, causes Causes) {
	switch {
	case !g.InOld:
		t.Added++
	case !g.InNew:
		t.Removed++
	default:
		t.Changed++
	}
	t.Old += g.Old
	t.New += g.New
	t.Causes |= causes
}
