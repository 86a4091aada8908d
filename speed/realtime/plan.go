package realtime

import (
	"maps"
	"slices"
	"time"

	"recount/schemas/catalog"
	"recount/schemas/conversion"
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
	bucket     time.Duration
	number     int               // index in plan.types
	dimensions []query.Dimension // dimension i has dictionary i+1; dictionary 0 holds the tenants
	fields     conversion.Fields // the declared fields that the views read
	views      []*viewPlan
}

// viewPlan is the plan of one view.
type viewPlan struct {
	view         *catalog.View
	digest       string
	eventType    *typePlan
	number       int      // index in eventType.views
	columns      []string // that the view reads
	dictionaries []int    // for each dimension of the view, the number of its dictionary
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
	t := &typePlan{name: name, bucket: c.Bucket, number: len(p.types)}
	t.dimensions = dimensionsOf(c.Events[name], views)
	var columns []string
	for i, v := range views {
		planned := &viewPlan{view: v, digest: c.Digest(v), eventType: t, number: i, columns: v.Columns()}
		columns = append(columns, planned.columns...)
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
	t.fields = conversion.FieldsOf(c.Events[name], columns)
	return t
}

// dimensionsOf returns the dimensions of the views, sorted by name, each once.
func dimensionsOf(e *catalog.EventType, views []*catalog.View) (out []query.Dimension) {
	set := map[string]bool{}
	for _, v := range views {
		for _, name := range v.Dimensions {
			set[name] = true
		}
	}
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
