package api

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	"recount/schemas/catalog"
	"recount/schemas/position"
	"recount/schemas/record"
)

// viewInfo describes a view to a client.
type viewInfo struct {
	Name       string          `json:"name"`
	Event      string          `json:"event"`
	Cell       string          `json:"cell"`
	Dimensions []typedName     `json:"dimensions"`
	Measures   []measureInfo   `json:"measures"`
	Fields     []catalog.Field `json:"fields"` // of the event type
	Digest     string          `json:"digest"`
	Published  bool            `json:"published"` // the newest publication holds this definition
}

type typedName struct {
	Name string            `json:"name"`
	Type catalog.FieldType `json:"type"`
}

type measureInfo struct {
	catalog.Measure
	Type catalog.FieldType `json:"type"`
}

func (a *API) viewInfo(v *catalog.View) viewInfo {
	info := viewInfo{Name: v.Name, Event: v.Event, Cell: v.Cell.String(), Digest: a.catalog.Digest(v), Dimensions: []typedName{},
		Fields: append([]catalog.Field{}, a.catalog.Events[v.Event].Fields...)}
	for _, d := range v.Dimensions {
		info.Dimensions = append(info.Dimensions, typedName{d, a.catalog.DimensionType(v, d)})
	}
	for _, m := range v.Measures {
		info.Measures = append(info.Measures, measureInfo{m, a.catalog.MeasureType(v, m)})
	}
	s := a.pubs.State()
	info.Published = s.N == 0 || s.Views[v.Name].Digest == info.Digest
	return info
}

func (a *API) listViews(w http.ResponseWriter, _ *http.Request) {
	views := []viewInfo{}
	for _, v := range a.catalog.Views {
		views = append(views, a.viewInfo(v))
	}
	slices.SortFunc(views, func(x, y viewInfo) int { return cmp.Compare(x.Name, y.Name) })
	writeJSON(w, http.StatusOK, map[string]any{"views": views})
}

func (a *API) showView(w http.ResponseWriter, r *http.Request) {
	v := a.catalog.Views[r.PathValue("name")]
	if v == nil {
		writeProblem(w, &problem{Status: http.StatusNotFound, Code: "no_such_view", Detail: "no view has this name; GET /v1/views lists them"})
		return
	}
	writeJSON(w, http.StatusOK, a.viewInfo(v))
}

// publicationInfo describes a publication to a client. Events, Duplicates and
// Conflicts are of everything below H.
type publicationInfo struct {
	N          uint64              `json:"n"`
	Created    time.Time           `json:"created"`
	H          []position.Offset   `json:"h"`
	Events     int64               `json:"events"`
	Duplicates int64               `json:"duplicates"`
	Conflicts  int64               `json:"conflicts"`
	Views      []publishedViewInfo `json:"views"`
	Code       string              `json:"code"`
	Digest     string              `json:"digest"` // SHA-256 of the record
}

type publishedViewInfo struct {
	Name    string `json:"name"`
	Digest  string `json:"digest"`
	Buckets int    `json:"buckets"`
	Rows    int64  `json:"rows"`
}

func describe(s *record.State) publicationInfo {
	p := publicationInfo{N: s.N, H: s.H, Views: []publishedViewInfo{}, Digest: s.Digest}
	if s.Publication != nil {
		p.Created, p.Events, p.Code = s.Publication.Created, s.Publication.Events, s.Publication.Code
	}
	for _, counts := range s.Types {
		for _, c := range counts {
			p.Duplicates += c.Duplicates
			p.Conflicts += c.Conflicts
		}
	}
	for name, v := range s.Views {
		info := publishedViewInfo{Name: name, Digest: v.Digest, Buckets: len(v.Buckets)}
		for _, b := range v.Buckets {
			info.Rows += b.Rows
		}
		p.Views = append(p.Views, info)
	}
	slices.SortFunc(p.Views, func(x, y publishedViewInfo) int { return cmp.Compare(x.Name, y.Name) })
	return p
}

func (a *API) listPublications(w http.ResponseWriter, r *http.Request) {
	list := []publicationInfo{}
	for _, n := range a.pubs.Kept() {
		if s, err := a.pubs.At(r.Context(), n); err == nil { // One that has just been collected is not listed.
			list = append(list, describe(s))
		}
	}
	writeJSON(w, http.StatusOK, map[string]any{"newest": a.pubs.State().N, "publications": list})
}

func (a *API) showPublication(w http.ResponseWriter, r *http.Request) {
	s, p := a.publication(r.Context(), r.PathValue("n"))
	if p != nil {
		writeProblem(w, p)
		return
	}
	writeJSON(w, http.StatusOK, describe(s))
}

// publication finds a publication by its number or the word newest.
func (a *API) publication(ctx context.Context, name string) (*record.State, *problem) {
	if name == "newest" {
		return a.pubs.State(), nil
	}
	n, err := strconv.ParseUint(name, 10, 63)
	if err != nil {
		return nil, &problem{Status: http.StatusBadRequest, Code: "invalid_publication", Detail: "a publication is named by its number, or newest"}
	}
	s, err := a.pubs.At(ctx, n)
	if err != nil {
		return nil, problemOf(err)
	}
	return s, nil
}
