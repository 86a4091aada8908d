package openapi

import (
	"encoding/json"
	"time"
)

// EventType is a declared event type as it is served.
type EventType struct {
	Name string `json:"name"`
	// Views are the names of the views over it, ascending.
	Views []string `json:"views"`
	// Declaration is in the form of PUT and of the configuration file.
	Declaration json.RawMessage `json:"declaration"`
	// Discovered says that it was declared from its first events.
	Discovered bool `json:"discovered,omitempty"`
}

// Catalog is everything that is declared.
type Catalog struct {
	Generation uint64 `json:"generation"`
	// Declarations are the sections events and views of a configuration file that declares the same.
	Declarations json.RawMessage `json:"declarations"`
	// Discovered names the event types among them that were declared from their first events.
	Discovered []string `json:"discovered,omitempty"`
}

// What becomes of a declaration.
const (
	Created    = "created"
	Changed    = "changed"
	Removed    = "removed"
	Unchanged  = "unchanged"
	Recomputed = "recomputed" // a view that computes something else, because its event type has changed
)

// What a declaration declares. Each is the name of its section in the configuration file.
const (
	EventTypes = "events"
	Views      = "views"
)

// Change is what becomes of one declaration.
type Change struct {
	Kind   string `json:"kind"`
	Name   string `json:"name"`
	Action string `json:"action"`
	// Edits lead from the declaration before to that after. There are none without both.
	Edits []Edit `json:"edits"`
	// Effects are sentences about what this means for events, answers and stored rows.
	Effects []string `json:"effects"`
}

// Edit is a part of a declaration that differs. A part that is missing is null.
type Edit struct {
	Path   string          `json:"path"` // below the declaration, such as measures.hits
	Before json.RawMessage `json:"before"`
	After  json.RawMessage `json:"after"`
}

// Changes answers a request that changes what is declared, or that only asks what it would change.
type Changes struct {
	// Generation is that of the catalog in which the declarations stand. With DryRun it is the one that they would
	// change.
	Generation uint64   `json:"generation"`
	DryRun     bool     `json:"dry_run"`
	Changes    []Change `json:"changes"`
	// Kept are declarations that only requests have changed since a file was last applied. A file leaves them as they
	// are.
	Kept []Conflict `json:"kept,omitempty"`
	// Conflicts are declarations that both a file and requests have changed since. The file wins when it is applied.
	Conflicts []Conflict `json:"conflicts,omitempty"`
	// Previews are of the views that are created, changed or recomputed. Only dry runs have them.
	Previews []Preview `json:"previews,omitempty"`
	// PreviewError says why there are no previews.
	PreviewError string `json:"preview_error,omitempty"`
}

// Conflict is a declaration that requests have changed since a file was last applied. A declaration that is missing is
// null.
type Conflict struct {
	Kind    string          `json:"kind"`
	Name    string          `json:"name"`
	Applied json.RawMessage `json:"applied"` // what the file declared when it was last applied
	File    json.RawMessage `json:"file"`
	Stored  json.RawMessage `json:"stored"`
}

// Preview is a view computed from the newest raw events.
type Preview struct {
	View string `json:"view"`
	// From and To bound the event times that were read. Both are null if there were no events.
	From *time.Time `json:"from"`
	To   *time.Time `json:"to"`
	// Objects is how many objects of the lake were read.
	Objects int `json:"objects"`
	// Events is how many events they have in this time, and Copies is how many of them are copies.
	Events int64 `json:"events"`
	Copies int64 `json:"copies"`
	// Partial says that there are more events in this time than a preview reads. It has the newest.
	Partial bool `json:"partial"`
	// Unconverted is how many events have a value that the declared type cannot hold.
	Unconverted int64 `json:"unconverted_events"`
	// Groups is how many rows the view has in this time, and Rows are the newest of them.
	Groups int          `json:"groups"`
	Rows   []PreviewRow `json:"rows"`
}

// PreviewRow has the start of a cell as time, a tenant, dimensions and measures.
type PreviewRow map[string]any
