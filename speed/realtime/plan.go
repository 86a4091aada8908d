package realtime

import (
	"fmt"
	"maps"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"

	"recount/schemas/catalog"
	"recount/schemas/eventbatch"
	"recount/schemas/query"
)

// plan is the catalog in the order that segments and snapshots use: the event types that have views,
// by name, and in each type the dimension columns and the views, by name. Views of one type
// share the dictionaries of their dimensions.
type plan struct {
	types []*typePlan
	views map[string]*viewPlan
}

// typePlan is the plan of one event type.
type typePlan struct {
	name       string
	number     int               // index in plan.types
	dimensions []query.Dimension // dimension i has dictionary i+1; dictionary 0 holds the tenants
	columns    []query.Dimension // every column that the views read
	views      []*viewPlan
}

// viewPlan is the plan of one view.
type viewPlan struct {
	view         *catalog.View
	digest       string
	eventType    *typePlan
	number       int   // index in eventType.views
	dictionaries []int // for each dimension of the view, the number of its dictionary
	measureTypes []catalog.FieldType
}

func newPlan(c *catalog.Catalog) *plan {
	p := &plan{views: map[string]*viewPlan{}}
	for _, name := range slices.Sorted(maps.Keys(c.Events)) {
		if views := c.ViewsOf(name); len(views) > 0 {
			p.types = append(p.types, p.newType(c, name, views))
		}
	}
	return p
}

func (p *plan) newType(c *catalog.Catalog, name string, views []*catalog.View) *typePlan {
	t := &typePlan{name: name, number: len(p.types)}
	t.dimensions = columnsByName(c.Events[name], views, func(v *catalog.View) []string { return v.Dimensions })
	t.columns = columnsByName(c.Events[name], views, (*catalog.View).Columns)
	for i, v := range views {
		planned := &viewPlan{view: v, digest: c.Digest(v), eventType: t, number: i}
		for _, name := range v.Dimensions {
			i := slices.IndexFunc(t.dimensions, func(d query.Dimension) bool { return d.Name == name })
			planned.dictionaries = append(planned.dictionaries, 1+i)
		}
		for _, m := range v.Measures {
			planned.measureTypes = append(planned.measureTypes, c.MeasureType(v, m))
		}
		t.views = append(t.views, planned)
		p.views[v.Name] = planned
	}
	return t
}

// columnsByName returns the columns that names returns for the views, sorted by name, each once.
func columnsByName(e *catalog.EventType, views []*catalog.View, names func(*catalog.View) []string) []query.Dimension {
	set := map[string]bool{}
	for _, v := range views {
		for _, name := range names(v) {
			set[name] = true
		}
	}
	var out []query.Dimension
	for _, name := range slices.Sorted(maps.Keys(set)) {
		t, _ := e.Column(name)
		out = append(out, query.Dimension{Name: name, Type: t})
	}
	return out
}

// findType returns the plan of an event type, or nil if no view uses the type.
func (p *plan) findType(name string) *typePlan {
	for _, t := range p.types {
		if t.name == name {
			return t
		}
	}
	return nil
}

// checkColumns refuses a batch in which a column that the views read does not have its declared type.
// If the column were read as null instead, answers would be silently smaller (Q5).
func (t *typePlan) checkColumns(c eventbatch.Columns) error {
	for _, col := range t.columns {
		got := c.Field(col.Name)
		if got != nil && !arrow.TypeEqual(got.DataType(), eventbatch.ArrowType(col.Type)) {
			return fmt.Errorf("%w: column %s of event type %s is %s, but it is declared as %s",
				eventbatch.ErrCorrupt, col.Name, t.name, got.DataType(), col.Type)
		}
	}
	return nil
}
