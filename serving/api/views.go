package api

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"recount/schemas/access"
	"recount/schemas/catalog"
	"recount/schemas/declaration"
	"recount/schemas/openapi"
	"recount/schemas/problem"
	"recount/schemas/record"
)

func (a *API) listViews(w http.ResponseWriter, r *http.Request) error {
	principal, ok := access.FromContext(r.Context())
	if !ok {
		return errNoPrincipal
	}
	state, err := a.newest(r)
	if err != nil {
		return err
	}
	out := []openapi.View{}
	c := a.parts.Catalog.Catalog()
	for _, v := range c.Views {
		out = append(out, a.view(c, v, state, principal.Tenant))
	}
	slices.SortFunc(out, func(x, y openapi.View) int { return strings.Compare(x.Name, y.Name) })
	return writeJSON(w, map[string]any{"views": out})
}

func (a *API) getView(w http.ResponseWriter, r *http.Request) error {
	principal, ok := access.FromContext(r.Context())
	c := a.parts.Catalog.Catalog()
	v := c.Views[r.PathValue("name")]
	switch {
	case !ok:
		return errNoPrincipal
	case v == nil:
		return problem.New(http.StatusNotFound, problem.UnknownView,
			"no view has this name; GET /v1/views lists them")
	}
	state, err := a.newest(r)
	if err != nil {
		return err
	}
	w.Header().Set("ETag", tagOf(c, declaration.Views, v.Name))
	return writeJSON(w, a.view(c, v, state, principal.Tenant))
}

func (a *API) view(c *catalog.Catalog, v *catalog.View, state *record.State, tenant string) openapi.View {
	out := openapi.View{Name: v.Name, Event: v.Event, Cell: duration(v.Cell), Dimensions: []openapi.Dimension{},
		Where: []openapi.Filter{}, Digest: c.Digest(v), Declaration: declaration.JSON(declaration.OfView(c, v))}
	for _, d := range v.Dimensions {
		dimension := openapi.Dimension{Name: d, Type: c.DimensionType(v, d)}
		if a.parts.Cap != nil {
			dimension.Cap = a.parts.Cap(tenant, v.Event, d)
		}
		out.Dimensions = append(out.Dimensions, dimension)
	}
	for _, m := range v.Measures {
		out.Measures = append(out.Measures, openapi.Measure{Name: m.Name, Kind: m.Kind, Field: m.Field,
			Type: c.MeasureType(v, m)})
	}
	for _, f := range v.Where {
		t, _ := c.Events[v.Event].Column(f.Field)
		out.Where = append(out.Where, openapi.FilterOf(f, t))
	}
	if state.N > 0 && state.Views[v.Name].Digest == out.Digest {
		out.Published = &state.N
		if fill := state.Views[v.Name].Fill; fill != nil {
			out.Fill = &openapi.Fill{FilledFrom: time.UnixMicro(fill.From).UTC(), BucketsLeft: fill.Buckets,
				EventsLeft: fill.Rows}
		}
	}
	return out
}

// duration formats a duration without trailing zero units: 1m instead of 1m0s.
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
