package api

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"recount/schemas/openapi"
	"recount/schemas/problem"
	"recount/schemas/query"
	"recount/schemas/record"
	"recount/serving/reader"
)

// maxPublications bounds the list. Only a few publications are kept (P3), unless many are pinned.
const maxPublications = 1000

func (a *API) newest(r *http.Request) (*record.State, error) {
	state, err := a.parts.Publications.Newest(r.Context())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", reader.ErrPublications, err)
	}
	return state, nil
}

// listPublications lists the kept publications, the newest first.
func (a *API) listPublications(w http.ResponseWriter, r *http.Request) error {
	kept := slices.Clone(a.parts.Publications.Kept())
	slices.Sort(kept)
	slices.Reverse(kept)
	out := []openapi.Publication{}
	for _, n := range kept[:min(len(kept), maxPublications)] {
		state, err := a.parts.Publications.StateAt(r.Context(), n)
		if errors.Is(err, query.ErrCollected) {
			continue
		}
		if err != nil {
			return fmt.Errorf("%w: %w", reader.ErrPublications, err)
		}
		out = append(out, a.publication(state, false, false))
	}
	return writeJSON(w, map[string]any{"publications": out})
}

func (a *API) getPublication(w http.ResponseWriter, r *http.Request) error {
	n, err := publicationNumber(r)
	if err != nil {
		return err
	}
	buckets := r.URL.Query().Get("buckets")
	if buckets != "" && buckets != "true" && buckets != "false" {
		return &problem.Problem{Status: http.StatusBadRequest, Code: problem.InvalidRequest,
			Detail: "buckets must be true or false", Field: "buckets"}
	}
	state, err := a.parts.Publications.StateAt(r.Context(), n)
	if errors.Is(err, query.ErrCollected) || errors.Is(err, query.ErrNoPublication) {
		return err
	}
	if err != nil {
		return fmt.Errorf("%w: %w", reader.ErrPublications, err)
	}
	out := a.publication(state, true, buckets == "true")
	if eventType := r.URL.Query().Get("objects"); eventType != "" {
		if out.Objects, err = a.objects(r, state, eventType); err != nil {
			return err
		}
	}
	return writeJSON(w, out)
}

// objects lists the objects of an event type that count in a publication. The list of a known type may be empty.
func (a *API) objects(r *http.Request, s *record.State, eventType string) ([]openapi.PublicationObject, error) {
	objects, err := a.parts.Publications.Objects(r.Context(), s, eventType)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", reader.ErrPublications, err)
	}
	_, published := s.Types[eventType]
	if len(objects) == 0 && !published && a.parts.Catalog.Catalog().Events[eventType] == nil {
		return nil, &problem.Problem{Status: http.StatusNotFound, Code: problem.UnknownEventType,
			Detail: fmt.Sprintf("no event type has the name %.80q", eventType), Field: "objects"}
	}
	out := make([]openapi.PublicationObject, 0, len(objects))
	for _, o := range objects {
		out = append(out, openapi.PublicationObject{Key: o.Key, Size: o.Size, SHA256: o.SHA256, Rows: o.Rows})
	}
	return out, nil
}

// pinPublication keeps a publication for ever. Repeating the request changes nothing.
func (a *API) pinPublication(w http.ResponseWriter, r *http.Request) error {
	n, err := publicationNumber(r)
	if err != nil {
		return err
	}
	err = a.parts.Publications.Pin(r.Context(), n)
	var state *record.State
	if err == nil {
		state, err = a.parts.Publications.StateAt(r.Context(), n)
	}
	if errors.Is(err, query.ErrCollected) || errors.Is(err, query.ErrNoPublication) {
		return err
	}
	if err != nil {
		return fmt.Errorf("%w: %w", reader.ErrPublications, err)
	}
	return writeJSON(w, a.publication(state, true, false))
}

// publicationNumber returns the number of the publication in the request's path.
func publicationNumber(r *http.Request) (uint64, error) {
	n, err := strconv.ParseUint(r.PathValue("n"), 10, 64)
	if err != nil {
		return 0, &problem.Problem{Status: http.StatusBadRequest, Code: problem.InvalidRequest,
			Detail: "the path must have the number of a publication", Field: "n"}
	}
	return n, nil
}

// publication returns a publication for a list. With details, it lists tenants too, and with buckets, buckets.
func (a *API) publication(s *record.State, details, buckets bool) openapi.Publication {
	_, pinned := slices.BinarySearch(a.parts.Publications.Pinned(), s.N)
	out := openapi.Publication{N: s.N, Pinned: pinned, Digest: s.Digest, Cut: []uint64{}, Epochs: []uint32{},
		Views: map[string]openapi.PublicationView{}, Types: map[string]openapi.PublicationType{}}
	if p := s.Publication; p != nil {
		out.Created = p.Created.UTC()
		out.Previous = p.Previous
		out.Events = p.Events
		out.Code = p.Code
	}
	for _, h := range s.H {
		out.Cut = append(out.Cut, h.Seq)
		out.Epochs = append(out.Epochs, h.Epoch)
	}
	for name, v := range s.Views {
		view := openapi.PublicationView{Digest: v.Digest, Buckets: len(v.Buckets)}
		if v.Fill != nil {
			view.FilledFrom = time.UnixMicro(v.Fill.From).UTC()
		}
		for _, b := range v.Buckets {
			view.Rows += b.Rows
		}
		if buckets {
			view.List = v.Buckets
		}
		out.Views[name] = view
	}
	for name, counts := range s.Types {
		eventType := openapi.PublicationType{Buckets: len(counts)}
		for _, b := range counts {
			eventType.Events += b.Rows
			eventType.Duplicates += b.Duplicates
			eventType.Conflicts += b.Conflicts
		}
		if details {
			eventType.Tenants = tenantEvents(s.Ledgers[name])
		}
		if buckets {
			eventType.List = counts
		}
		out.Types[name] = eventType
	}
	return out
}

func tenantEvents(l record.Ledger) map[string]openapi.TenantEvents {
	out := map[string]openapi.TenantEvents{}
	for tenant, accounts := range l.Tenants {
		sum := record.Sum(accounts)
		out[tenant] = openapi.TenantEvents{Events: sum.Rows, Duplicates: sum.Duplicates, Conflicts: sum.Conflicts}
	}
	return out
}
