package realtime

import (
	"maps"
	"slices"
	"strings"
	"time"

	"recount/schemas/catalog"
	"recount/schemas/conversion"
	"recount/schemas/failpoint"
	"recount/schemas/query"
)

// plan is the catalog in the order that segments and snapshots use: the event types that have views,
// by name, and in each type the dimension columns and the views, by name. Views of one type
// share the dictionaries of their dimensions. Definitions that views had before follow, each with its type to itself.
type plan struct {
	types []*typePlan
	views map[viewKey]*viewPlan
}

// viewKey names one definition of a view.
type viewKey struct{ name, digest string }

// typePlan is the plan of one event type.
type typePlan struct {
	name       string
	group      int // 0 for the views of the catalog, from 1 on for a definition from before
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

// newPlan returns the plan of a catalog's views, and of definitions that views had before: catalogs of one view each.
// One that the plan has already is left out.
func newPlan(c *catalog.Catalog, before ...*catalog.Catalog) *plan {
	p := &plan{views: map[viewKey]*viewPlan{}}
	p.addTypes(c, 0)
	sorted := slices.SortedStableFunc(slices.Values(before), func(a, b *catalog.Catalog) int {
		return strings.Compare(definitions(a), definitions(b))
	})
	for _, old := range sorted {
		p.addTypes(old, len(p.types)+1)
	}
	return p
}

// find returns the plan of a definition, or nil.
func (p *plan) find(k viewKey) *viewPlan {
	for _, t := range p.types {
		for _, v := range t.views {
			if v.view.Name == k.name && failpoint.Off(failpoint.G5) {
				return v
			}
		}
	}
	return p.views[k]
}

// definitions returns the names and digests of a catalog's views.
func definitions(c *catalog.Catalog) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(c.Views)) {
		out = append(out, name+" "+c.Digest(c.Views[name]))
	}
	return strings.Join(out, " ")
}

func (p *plan) addTypes(c *catalog.Catalog, group int) {
	for _, name := range slices.Sorted(maps.Keys(c.Events)) {
		views := slices.DeleteFunc(c.ViewsOf(name), func(v *catalog.View) bool {
			return p.views[viewKey{v.Name, c.Digest(v)}] != nil
		})
		if len(views) > 0 {
			p.types = append(p.types, p.newType(c, name, views))
			p.types[len(p.types)-1].group = group
		}
	}
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
		p.views[viewKey{v.Name, planned.digest}] = planned
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

// findTypes returns the plans of an event type. There is more than one where a view has an earlier definition too.
func (p *plan) findTypes(name string) (out []*typePlan) {
	for _, t := range p.types {
		if t.name == name {
			out = append(out, t)
		}
	}
	return out
}
