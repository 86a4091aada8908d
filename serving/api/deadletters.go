package api

import (
	"context"
	"net/http"

	"recount/schemas/access"
	"recount/schemas/deadletter"
)

// DeadLetters are the rejected events that have landed. Each method reads those of one tenant.
type DeadLetters interface {
	List(ctx context.Context, tenant string, f deadletter.Filter) (deadletter.Page, error)
	Get(ctx context.Context, tenant, name string) (deadletter.Letter, error)
	Replay(ctx context.Context, tenant string, f deadletter.Filter, dry bool) (deadletter.Replay, error)
}

// listParameters are the parameters of a list. A replay accepts two more.
var (
	listParameters   = []string{"code", "type", "from", "to", "limit", "cursor"}
	replayParameters = append([]string{"name", "dry_run"}, listParameters...)
)

func (a *API) listDeadLetters(w http.ResponseWriter, r *http.Request) error {
	return a.deadLetters(w, r, listParameters, func(tenant string, f deadletter.Filter, _ bool) (any, error) {
		return a.parts.DeadLetters.List(r.Context(), tenant, f)
	})
}

func (a *API) getDeadLetter(w http.ResponseWriter, r *http.Request) error {
	return a.deadLetters(w, r, nil, func(tenant string, _ deadletter.Filter, _ bool) (any, error) {
		return a.parts.DeadLetters.Get(r.Context(), tenant, r.PathValue("name"))
	})
}

func (a *API) replayDeadLetters(w http.ResponseWriter, r *http.Request) error {
	return a.deadLetters(w, r, replayParameters, func(tenant string, f deadletter.Filter, dry bool) (any, error) {
		return a.parts.DeadLetters.Replay(r.Context(), tenant, f, dry)
	})
}

// deadLetters answers a request about the dead letters of the requesting tenant.
func (a *API) deadLetters(w http.ResponseWriter, r *http.Request, known []string,
	answerFor func(tenant string, f deadletter.Filter, dry bool) (any, error)) error {
	principal, ok := access.FromContext(r.Context())
	if !ok {
		return errNoPrincipal
	}
	f, dry, err := parseFilter(r.URL.RawQuery, known)
	if err != nil {
		return err
	}
	if a.parts.DeadLetters == nil {
		return deadletter.ErrUnavailable
	}
	answer, err := answerFor(principal.Tenant, f, dry)
	if err != nil {
		return err
	}
	return writeJSON(w, answer)
}

// parseFilter reads a filter from URL parameters. Each parameter may be given once.
func parseFilter(raw string, known []string) (f deadletter.Filter, dry bool, err error) {
	values, err := onceEach(raw, known)
	if err != nil {
		return f, false, err
	}
	p := &parameters{values: values}
	f = deadletter.Filter{Name: values.Get("name"), Code: values.Get("code"), Type: values.Get("type"),
		From: p.time("from"), To: p.time("to"), Limit: p.limit(deadletter.DefaultLimit, deadletter.MaxLimit),
		Cursor: values.Get("cursor")}
	dry = p.bool("dry_run")
	switch {
	case p.err != nil:
		return f, dry, p.err
	case !f.From.IsZero() && !f.To.IsZero() && !f.From.Before(f.To):
		return f, dry, invalid("to", "must be after from")
	}
	if f.Name != "" {
		if _, err := deadletter.ParseName(f.Name); err != nil {
			return f, dry, invalid("name", "%v", err)
		}
	}
	return f, dry, nil
}
