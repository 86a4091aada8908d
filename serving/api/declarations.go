package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"recount/schemas/access"
	"recount/schemas/catalog"
	"recount/schemas/declaration"
	"recount/schemas/openapi"
	"recount/schemas/problem"
	"recount/schemas/setting"
)

// Declarations are what is declared, in generations. Generation 1 is the first.
type Declarations interface {
	// Newest returns the newest generation that any process has made.
	Newest(ctx context.Context) (n uint64, c *catalog.Catalog, err error)
	// Propose makes a generation of the catalog that change returns for the newest one. It calls change again if
	// another process was faster, and returns its error. It makes none where nothing changes.
	Propose(ctx context.Context, change func(*catalog.Catalog) (*catalog.Catalog, error)) (n uint64, err error)
	// Apply makes a generation of what a file declares. What only requests have changed since a file was last applied
	// stays, and where both have, the file wins. A dry run only says so. Mistakes are those of the result.
	Apply(ctx context.Context, file *catalog.Catalog, dry bool) (*Applied, error)
	// Preview computes views from the newest raw events.
	Preview(ctx context.Context, c *catalog.Catalog, views []*catalog.View) ([]openapi.Preview, error)
}

// Applied is the result of applying a file.
type Applied struct {
	Generation      uint64
	Before, After   *catalog.Catalog
	Kept, Conflicts []openapi.Conflict
}

// Bounds of what requests declare. A recompute takes about 50 ms for each view with new events, so that with 500 views
// it ends before the next one starts. The records of generations hold everything that is declared.
const (
	maxEventTypes  = 1000
	maxViews       = 500
	maxDeclaration = 256 << 10 // bytes of a body
	maxCatalog     = 8 << 20   // bytes of the body of a whole catalog
	maxPreviews    = 16        // views of a preview
)

// kind is what one route edits.
type kind struct {
	section string
	noun    string
	unknown problem.Code
	most    int
}

var (
	eventTypes = kind{declaration.Events, "event type", problem.UnknownEventType, maxEventTypes}
	views      = kind{declaration.Views, "view", problem.UnknownView, maxViews}
)

func (k kind) count(c *catalog.Catalog) int {
	if k.section == declaration.Views {
		return len(c.Views)
	}
	return len(c.Events)
}

func (k kind) missing() error {
	return problem.New(http.StatusNotFound, k.unknown, "no "+k.noun+" has this name")
}

func (a *API) listEventTypes(w http.ResponseWriter, r *http.Request) error {
	if _, ok := access.FromContext(r.Context()); !ok {
		return errNoPrincipal
	}
	out := []openapi.EventType{}
	c := a.parts.Catalog.Catalog()
	for name := range c.Events {
		if e := eventType(c, name); e != nil {
			out = append(out, *e)
		}
	}
	slices.SortFunc(out, func(x, y openapi.EventType) int { return strings.Compare(x.Name, y.Name) })
	return writeJSON(w, map[string]any{"event_types": out})
}

func (a *API) getEventType(w http.ResponseWriter, r *http.Request) error {
	if _, ok := access.FromContext(r.Context()); !ok {
		return errNoPrincipal
	}
	c := a.parts.Catalog.Catalog()
	e := eventType(c, r.PathValue("name"))
	if e == nil {
		return eventTypes.missing()
	}
	w.Header().Set("ETag", tagOf(c, eventTypes.section, e.Name))
	return writeJSON(w, e)
}

// eventType returns a declared event type, or nil.
func eventType(c *catalog.Catalog, name string) *openapi.EventType {
	form := declaration.FormOf(c, declaration.Events, name)
	if form == nil {
		return nil
	}
	out := &openapi.EventType{Name: name, Views: []string{}, Declaration: declaration.JSON(form),
		Discovered: c.Discovered[name]}
	for _, v := range c.ViewsOf(name) {
		out.Views = append(out.Views, v.Name)
	}
	return out
}

// tagOf returns the entity tag of a declaration, or nothing if there is none.
func tagOf(c *catalog.Catalog, section, name string) string {
	form := declaration.FormOf(c, section, name)
	if form == nil {
		return ""
	}
	return `"` + declaration.Tag(form) + `"`
}

// putDeclaration declares what the body has.
func (a *API) putDeclaration(k kind) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		form, err := readForm(w, r, maxDeclaration)
		if err != nil {
			return err
		}
		return a.gated(func(w http.ResponseWriter, r *http.Request) error { return a.edit(w, r, k, form) })(w, r)
	}
}

// remove declares something no longer.
func (a *API) remove(k kind) handler {
	return a.gated(func(w http.ResponseWriter, r *http.Request) error { return a.edit(w, r, k, nil) })
}

// edit makes a generation with a declaration, or without it if the form is nil.
func (a *API) edit(w http.ResponseWriter, r *http.Request, k kind, form *yaml.Node) error {
	dry, err := dryRun(r)
	if err != nil {
		return err
	}
	name := r.PathValue("name")
	var before, after *catalog.Catalog
	change := func(newest *catalog.Catalog) (*catalog.Catalog, error) {
		if err := k.allow(r, newest, name, form); err != nil {
			return nil, err
		}
		edited, err := declaration.Edit(newest, k.section, name, form)
		if err != nil {
			return nil, refusal(err, k.section, name)
		}
		before = newest
		after = edited
		return edited, nil
	}
	var n uint64
	if dry {
		var newest *catalog.Catalog
		if n, newest, err = a.parts.Declarations.Newest(r.Context()); err == nil {
			_, err = change(newest)
		}
	} else {
		n, err = a.parts.Declarations.Propose(r.Context(), change)
	}
	if err != nil {
		return err
	}
	if form == nil && !dry {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	if tag := tagOf(after, k.section, name); tag != "" {
		w.Header().Set("ETag", tag)
	}
	status := http.StatusOK
	if !dry && tagOf(before, k.section, name) == "" {
		status = http.StatusCreated
	}
	return writeStatus(w, status, a.changes(r.Context(), &Applied{Generation: n, Before: before, After: after}, dry))
}

// allow checks the name and the conditions of a request against the newest catalog.
func (k kind) allow(r *http.Request, c *catalog.Catalog, name string, form *yaml.Node) error {
	if k.section == declaration.Events && strings.HasPrefix(name, catalog.ReservedPrefix) {
		return &problem.Problem{Status: http.StatusUnprocessableEntity, Code: problem.InvalidDeclaration, Field: "name",
			Detail: "names that begin with " + catalog.ReservedPrefix + " are recount's own; choose another"}
	}
	tag := tagOf(c, k.section, name)
	match := strings.Join(r.Header.Values("If-Match"), ",")
	none := strings.Join(r.Header.Values("If-None-Match"), ",")
	switch {
	case match != "" && (tag == "" || !hasTag(match, tag)), none != "" && tag != "" && hasTag(none, tag):
		return problem.New(http.StatusPreconditionFailed, problem.PreconditionFailed, "the "+k.noun+" was changed "+
			"since you read it, or is there already; read it again, and then decide")
	case tag == "" && form == nil:
		return k.missing()
	case tag == "" && k.count(c) >= k.most:
		return problem.New(http.StatusConflict, problem.CatalogConflict, fmt.Sprintf("there are %d already, and "+
			"requests declare no more; remove one first", k.most))
	}
	return nil
}

// hasTag reports whether a list of entity tags has this one, or is the star for any.
func hasTag(list, tag string) bool {
	for t := range strings.SplitSeq(list, ",") {
		if t = strings.TrimSpace(t); t == "*" || t == tag {
			return true
		}
	}
	return false
}

// dryRun reads the only parameter of requests that change declarations.
func dryRun(r *http.Request) (bool, error) {
	values, err := onceEach(r.URL.RawQuery, []string{"dry_run"})
	if err != nil {
		return false, err
	}
	p := &parameters{values: values}
	return p.bool("dry_run"), p.err
}

// readForm reads a declaration in JSON or YAML.
func readForm(w http.ResponseWriter, r *http.Request, most int64) (*yaml.Node, error) {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	parse := declaration.ParseJSON
	switch {
	case err == nil && media == "application/yaml":
		parse = declaration.ParseYAML
	case err != nil || media != "application/json":
		return nil, problem.New(http.StatusUnsupportedMediaType, problem.UnsupportedMediaType,
			"send the declaration as Content-Type: application/json or application/yaml")
	}
	if e := r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return nil, problem.New(http.StatusUnsupportedMediaType, problem.UnsupportedMediaType,
			"send the declaration without Content-Encoding")
	}
	body, err := io.ReadAll(problem.LimitBody(w, r.Body, most))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, problem.New(http.StatusRequestEntityTooLarge, problem.BodyTooLarge,
			fmt.Sprintf("the body may have at most %d bytes", most))
	}
	if err != nil {
		return nil, bodyError(err)
	}
	form, err := parse(body)
	if err != nil {
		return nil, problem.New(http.StatusBadRequest, problem.InvalidRequest, err.Error())
	}
	return form, nil
}

// refusal returns the problem for mistakes in a catalog. If none of them is at the place of what the request declares,
// other declarations stand against it. An error that is no mistake is returned as it is.
func refusal(err error, place ...string) error {
	mistakes := mistakesOf(err)
	if len(mistakes) == 0 {
		return err
	}
	p := problem.New(http.StatusConflict, problem.CatalogConflict, "other declarations do not go with this change")
	for _, m := range mistakes {
		if path, inside := trimPlace(m.Path, place); inside {
			p = problem.New(http.StatusUnprocessableEntity, problem.InvalidDeclaration, shorten(m.Msg))
			p.Field = path
			break
		}
	}
	for _, m := range mistakes[:min(len(mistakes), maxReasons)] {
		p.Reasons = append(p.Reasons, shorten(m.Error()))
	}
	return p
}

// Bounds of what is repeated of a wrong declaration.
const (
	maxReasons = 50
	maxReason  = 500 // bytes
)

func shorten(text string) string {
	if len(text) <= maxReason {
		return text
	}
	return strings.ToValidUTF8(text[:maxReason], "") + "…"
}

// trimPlace returns a path without the place in which it begins.
func trimPlace(path, place []string) (string, bool) {
	if len(path) < len(place) || !slices.Equal(path[:len(place)], place) {
		return "", false
	}
	return shorten(strings.Join(path[len(place):], ".")), true
}

// mistakesOf returns the mistakes that are joined in an error, by place.
func mistakesOf(err error) []*setting.Error {
	var out []*setting.Error
	var add func(error)
	add = func(err error) {
		var joined interface{ Unwrap() []error }
		var mistake *setting.Error
		switch {
		case errors.As(err, &joined):
			for _, part := range joined.Unwrap() {
				add(part)
			}
		case errors.As(err, &mistake):
			out = append(out, mistake)
		}
	}
	add(err)
	slices.SortFunc(out, func(x, y *setting.Error) int {
		return cmp.Or(slices.Compare(x.Path, y.Path), strings.Compare(x.Msg, y.Msg))
	})
	return out
}

// changes says what has changed, or would change. A preview is given as far as there is one.
func (a *API) changes(ctx context.Context, done *Applied, dry bool) *openapi.Changes {
	out := &openapi.Changes{Generation: done.Generation, DryRun: dry, Kept: done.Kept, Conflicts: done.Conflicts,
		Changes: declaration.Changes(done.Before, done.After)}
	if !dry {
		return out
	}
	var counted []*catalog.View
	for _, c := range out.Changes {
		if v := done.After.Views[c.Name]; v != nil && c.Kind == openapi.Views && len(counted) < maxPreviews {
			counted = append(counted, v)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, a.cfg.Timeout/2)
	defer cancel()
	var err error
	if out.Previews, err = a.parts.Declarations.Preview(ctx, done.After, counted); err != nil {
		a.parts.Logger.Warn("a change of the catalog has no preview", "error", err)
		out.PreviewError = "the newest events could not be counted in time; the server's log has the reason"
	}
	return out
}

// getCatalog returns everything that is declared, as a configuration file would have it.
func (a *API) getCatalog(w http.ResponseWriter, r *http.Request) error {
	n, c, err := a.parts.Declarations.Newest(r.Context())
	if err != nil {
		return err
	}
	return writeJSON(w, openapi.Catalog{Generation: n, Declarations: declaration.JSON(declaration.OfCatalog(c)),
		Discovered: c.DiscoveredTypes()})
}

// putCatalog applies a configuration file: the body has its sections events and views.
func (a *API) putCatalog(w http.ResponseWriter, r *http.Request) error {
	form, err := readForm(w, r, maxCatalog)
	if err != nil {
		return err
	}
	return a.gated(func(w http.ResponseWriter, r *http.Request) error { return a.apply(w, r, form) })(w, r)
}

func (a *API) apply(w http.ResponseWriter, r *http.Request, form *yaml.Node) error {
	dry, err := dryRun(r)
	if err != nil {
		return err
	}
	_, c, err := a.parts.Declarations.Newest(r.Context())
	if err != nil {
		return err
	}
	file, err := declaration.ReadCatalog(c.Bucket, form)
	if err != nil {
		return refusal(err)
	}
	done, err := a.parts.Declarations.Apply(r.Context(), file, dry)
	if err != nil {
		return refusal(err, "") // The file itself is right, so what requests have declared stands against it.
	}
	return writeJSON(w, a.changes(r.Context(), done, dry))
}
