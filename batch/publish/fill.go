package publish

import (
	"maps"
	"math"
	"slices"
	"strings"

	"recount/schemas/catalog"
	"recount/schemas/failpoint"
	"recount/schemas/record"
)

// A view that is new or was redefined is filled in steps, the newest buckets first (B8). Every publication computes
// what is dirty, and one step. So a run takes a step longer than without it, however long the history is.

const (
	// stepRows is the largest number of rows in the steps of one publication. A single bucket may have more.
	stepRows = 4 << 20
	// stepRowBytes is how much of Config.Memory a row of a step takes, by estimate. With the default of 2 GiB, the
	// memory allows as many rows as stepRows.
	stepRowBytes = 512
)

// stepRows returns how many rows the steps of one publication may have.
func (c Config) stepRows() int64 {
	if c.StepRows > 0 {
		return c.StepRows
	}
	return max(min(stepRows, c.Memory/stepRowBytes), 1)
}

// isSteppedView reports whether a view is filled in steps. Rows of the same definition that an earlier program
// published answer until they are replaced, all in one publication: a step would take right answers away. So are the
// views of the types that recount defines: these have few events, and objects of them may be retired between two steps.
func (pl *plan) isSteppedView(c *catalog.Catalog, v *catalog.View) bool {
	old, published := pl.previous.Views[v.Name]
	if strings.HasPrefix(v.Event, catalog.ReservedPrefix) {
		return false
	}
	return !published || old.Fill != nil || !c.Names(v, old.Digest)
}

// filledFrom returns the lowest bucket that the newest publication has filled of a view that is filled in steps.
func (pl *plan) filledFrom(view string) int64 {
	if fill := pl.previous.Views[view].Fill; fill != nil && !pl.full[view] {
		return fill.From
	}
	return math.MaxInt64
}

// addSteps decides how far down the publication fills the views that are filled in steps. Types share the rows evenly,
// so that none waits for another.
func (pl *plan) addSteps(c *catalog.Catalog, types map[string]*landed, rows int64) {
	stepped := map[string][]*catalog.View{}
	for _, v := range c.Views {
		if pl.isSteppedView(c, v) && types[v.Event] != nil {
			stepped[v.Event] = append(stepped[v.Event], v)
		}
	}
	for name, views := range stepped {
		pl.addStep(views, types[name], max(rows/int64(len(stepped)), 1))
	}
}

// addStep takes the newest buckets that a view of the type lacks, up to so many rows, and at least one. A bucket is
// taken for all views that lack it, so they share its rows. A view that is ahead waits for the others.
func (pl *plan) addStep(views []*catalog.View, t *landed, rows int64) {
	from := map[string]int64{}
	for _, v := range views {
		from[v.Name] = pl.filledFrom(v.Name)
	}
	var taken int64
	for _, b := range slices.Backward(slices.Sorted(maps.Keys(t.all))) {
		lacking := slices.DeleteFunc(slices.Clone(views), func(v *catalog.View) bool { return from[v.Name] <= b })
		if len(lacking) == 0 {
			continue
		}
		if taken > 0 && taken+t.rows[b] > rows {
			break
		}
		taken += t.rows[b]
		for _, v := range lacking {
			from[v.Name] = b
		}
	}
	for _, v := range views {
		pl.steps[v.Name] = step{from: from[v.Name], to: pl.filledFrom(v.Name)}
		fill := &record.Fill{From: from[v.Name]}
		for b, n := range t.rows {
			if b < fill.From {
				fill.Buckets++
				fill.Rows += n
			}
		}
		if fill.Buckets > 0 && !failpoint.Off(failpoint.B8) {
			pl.fills[v.Name] = fill
		}
	}
}

// step is the buckets [from, to) that a publication adds to a view.
type step struct{ from, to int64 }

// addTo returns the buckets to compute of a view: those of the step, and the dirty ones from it on. What is dirty
// before it is computed when a later step takes it.
func (s step) addTo(dirty []int64, t *landed) []int64 {
	var taken []int64
	for b := range t.all {
		if b >= s.from && b < s.to {
			taken = append(taken, b)
		}
	}
	return union(taken, slices.DeleteFunc(slices.Clone(dirty), func(b int64) bool { return b < s.from }))
}
