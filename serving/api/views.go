package api

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"recount/schemas/access"
	"recount/schemas/catalog"
	"recount/schemas/problem"
	"recount/schemas/record"
)

// View is a view as the API shows it.
type View struct {
	Name       string      `json:"name"`
	Event      string      `json:"event"`
	Cell       string      `json:"cell"`
	Dimensions []Dimension `json:"dimensions"`
	Measures   []Measure   `json:"measures"`
	Where      []Filter    `json:"where"`
	Digest     string      `json:"digest"`
	Published  *uint64     `json:"published"` // the newest publication, when it has a batch view of this definition
}

// Dimension is a dimension with its type.
type Dimension struct {
	Name string            `json:"name"`
	Type catalog.FieldType `json:"type"`
	Cap  *Cap              `json:"cap"` // null for a bool, without limits.cardinality, and where no events are taken in
}

// Cap bounds the values a dimension gets from the tenant in a UTC day. Beyond it they are counted as ~overflow.
type Cap struct {
	Limit      int    `json:"limit"`
	Values     int    `json:"values"`     // of this day, as the process knows that answers
	Overflowed uint64 `json:"overflowed"` // events of this day that brought one too many
}

// Measure is a measure with the type of its field.
type Measure struct {
	Name  string              `json:"name"`
	Kind  catalog.MeasureKind `json:"kind"`
	Field string              `json:"field,omitempty"`
	Type  catalog.FieldType   `json:"type"`
}

// Filter is one condition events must meet to be counted.
type Filter struct {
	Field  string           `json:"field"`
	Op     catalog.FilterOp `json:"op"`
	Values []any            `json:"values"`
}

func (a *API) listViews(w http.ResponseWriter, r *http.Request) error {
	who, ok := access.FromContext(r.Context())
	if !ok {
		return errNobody
	}
	state, err := a.newest(r)
	if err != nil {
		return err
	}
	out := []View{}
	for _, v := range a.parts.Catalog.Views {
		out = append(out, a.view(v, state, who.Tenant))
	}
	slices.SortFunc(out, func(x, y View) int { return strings.Compare(x.Name, y.Name) })
	return writeJSON(w, map[string]any{"views": out})
}

func (a *API) getView(w http.ResponseWriter, r *http.Request) error {
	who, ok := access.FromContext(r.Context())
	v := a.parts.Catalog.Views[r.PathValue("name")]
	switch {
	case !ok:
		return errNobody
	case v == nil:
		return problem.New(http.StatusNotFound, problem.UnknownView,
			"no view has this name; GET /v1/views lists them")
	}
	state, err := a.newest(r)
	if err != nil {
		return err
	}
	return writeJSON(w, a.view(v, state, who.Tenant))
}

func (a *API) view(v *catalog.View, state *record.State, tenant string) View {
	c := a.parts.Catalog
	out := View{Name: v.Name, Event: v.Event, Cell: duration(v.Cell), Dimensions: []Dimension{}, Where: []Filter{},
		Digest: c.Digest(v)}
	for _, d := range v.Dimensions {
		dim := Dimension{Name: d, Type: c.DimensionType(v, d)}
		if a.parts.Cap != nil {
			dim.Cap = a.parts.Cap(tenant, v.Event, d)
		}
		out.Dimensions = append(out.Dimensions, dim)
	}
	for _, m := range v.Measures {
		out.Measures = append(out.Measures, Measure{m.Name, m.Kind, m.Field, c.MeasureType(v, m)})
	}
	for _, f := range v.Where {
		t, _ := c.Events[v.Event].Column(f.Field)
		out.Where = append(out.Where, Filter{f.Field, f.Op, filterValues(f, t)})
	}
	if state.N > 0 && state.Views[v.Name].Digest == out.Digest {
		out.Published = &state.N
	}
	return out
}

// filterValues writes timestamps as people do.
func filterValues(f catalog.Filter, t catalog.FieldType) []any {
	out := slices.Clone(f.Values)
	for i, v := range out {
		if micros, ok := v.(int64); ok && t == catalog.Timestamp {
			out[i] = time.UnixMicro(micros).UTC()
		}
	}
	return out
}

// duration writes 1m0s as 1m.
func duration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
