package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"recount/schemas/openapi"
)

// EditOptions say under which conditions a declaration is changed. Only an edit without conditions is tried again,
// because a second try could not tell the first one's change from another's.
type EditOptions struct {
	// DryRun changes nothing. The answer says what would change, with a preview.
	DryRun bool
	// IfMatch is the entity tag that the declaration must have, such as Declared.ETag.
	IfMatch string
	// Create declares only what is not declared yet.
	Create bool
}

// Declared is the answer to an edit.
type Declared struct {
	openapi.Changes
	ETag string // of the declaration as it is now; empty if it is removed
}

// EventTypes lists the event types, by name.
func (c *Client) EventTypes(ctx context.Context) ([]openapi.EventType, error) {
	var answer struct {
		EventTypes []openapi.EventType `json:"event_types"`
	}
	err := c.get(ctx, "/v1/event-types", nil, &answer)
	return answer.EventTypes, err
}

// EventType returns one event type.
func (c *Client) EventType(ctx context.Context, name string) (e openapi.EventType, err error) {
	err = c.get(ctx, eventTypePath(name), nil, &e)
	return e, err
}

// PutEventType declares an event type, with the JSON that a configuration file has below events.NAME.
func (c *Client) PutEventType(ctx context.Context, name string, declaration []byte, o EditOptions) (Declared, error) {
	return c.edit(ctx, http.MethodPut, eventTypePath(name), declaration, o)
}

// DeleteEventType removes an event type that no view counts. The answer of a dry run says what would happen. A second
// try may say unknown_event_type, because the first one has removed it.
func (c *Client) DeleteEventType(ctx context.Context, name string, o EditOptions) (Declared, error) {
	return c.edit(ctx, http.MethodDelete, eventTypePath(name), nil, o)
}

// PutView declares a view, with the JSON that a configuration file has below views.NAME.
func (c *Client) PutView(ctx context.Context, name string, declaration []byte, o EditOptions) (Declared, error) {
	return c.edit(ctx, http.MethodPut, viewPath(name), declaration, o)
}

// DeleteView removes a view. The answer of a dry run says what would happen. A second try may say unknown_view, because
// the first one has removed it.
func (c *Client) DeleteView(ctx context.Context, name string, o EditOptions) (Declared, error) {
	return c.edit(ctx, http.MethodDelete, viewPath(name), nil, o)
}

// Catalog returns everything that is declared.
func (c *Client) Catalog(ctx context.Context) (catalog openapi.Catalog, err error) {
	err = c.get(ctx, "/v1/catalog", nil, &catalog)
	return catalog, err
}

// PutCatalog applies a configuration file: the JSON of its sections events and views. It may be repeated.
func (c *Client) PutCatalog(ctx context.Context, declarations []byte, dryRun bool) (openapi.Changes, error) {
	done, err := c.edit(ctx, http.MethodPut, "/v1/catalog", declarations, EditOptions{DryRun: dryRun})
	return done.Changes, err
}

func eventTypePath(name string) string { return "/v1/event-types/" + url.PathEscape(name) }

func viewPath(name string) string { return "/v1/views/" + url.PathEscape(name) }

func (c *Client) edit(ctx context.Context, method, path string, body []byte, o EditOptions) (done Declared, err error) {
	edit := &call{method: method, path: path, accept: "application/json", ifMatch: o.IfMatch,
		decode: func(status int, header http.Header, raw []byte) error {
			switch status {
			case http.StatusNoContent:
				return nil
			case http.StatusOK, http.StatusCreated:
			default:
				return decodeProblem(status, header, raw)
			}
			done.ETag = header.Get("ETag")
			if err := json.Unmarshal(raw, &done.Changes); err != nil {
				return &finalError{fmt.Errorf("read the answer: %w", err)}
			}
			return nil
		}}
	if method == http.MethodPut {
		edit.body = body
		edit.contentType = "application/json"
	}
	if o.DryRun {
		edit.query = url.Values{"dry_run": {"true"}}
	}
	if o.Create {
		edit.ifNoneMatch = "*"
	}
	if o.IfMatch == "" && !o.Create {
		edit.policies = &c.reads
	}
	err = c.execute(ctx, edit)
	return done, err
}
