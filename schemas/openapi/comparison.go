package openapi

import (
	"encoding/json"
	"time"

	"recount/schemas/query"
)

// Comparison says what changed in a view between two publications.
type Comparison struct {
	View            string              `json:"view"`
	FromPublication ComparedPublication `json:"from_publication"`
	ToPublication   ComparedPublication `json:"to_publication"`
	// Summary is about all changes together, and Days are about those of each day that has some, also where the list is
	// truncated.
	Summary ChangeSummary `json:"summary"`
	Days    []ChangedDay  `json:"days"`
	// Landed is what landed of the tenant's events of the view's type between the publications, whatever their time. It
	// is absent if the records do not say.
	Landed *TenantEvents `json:"landed,omitempty"`
	// Truncated says that the limit cut off changes.
	Truncated bool `json:"truncated"`
	// OutOfRange names the measures that are null in a listed change because a value does not fit its type.
	OutOfRange []string `json:"out_of_range,omitempty"`
	// Changes are by time and then by dimensions. The field is the last one, which package encode relies on.
	Changes []ChangedCell `json:"changes"`
}

// ComparedPublication is the range of the question in one publication.
type ComparedPublication struct {
	Publication uint64 `json:"publication"`
	// Definition is the digest of the view's definition.
	Definition string `json:"definition"`
	// Totals are the measures of the whole range.
	Totals   map[string]json.RawMessage `json:"totals"`
	Accuracy query.Accuracy             `json:"accuracy"`
}

// ChangeSummary counts changes.
type ChangeSummary struct {
	Added   int           `json:"added"`
	Changed int           `json:"changed"`
	Removed int           `json:"removed"`
	Events  ChangedEvents `json:"events"`
	Causes  []string      `json:"causes"`
}

// ChangedDay is the summary of one local day.
type ChangedDay struct {
	Day     string        `json:"day"`
	Added   int           `json:"added"`
	Changed int           `json:"changed"`
	Removed int           `json:"removed"`
	Events  ChangedEvents `json:"events"`
	Causes  []string      `json:"causes"`
}

// ChangedEvents is how many events changed cells counted in the one publication, and count in the other.
type ChangedEvents struct {
	Old uint64 `json:"old"`
	New uint64 `json:"new"`
}

// ChangedCell is a cell or group with another value. Old is nil if it is added, and New if it is removed.
type ChangedCell struct {
	Time   *time.Time                 `json:"time,omitempty"`
	Key    map[string]json.RawMessage `json:"key"`
	Change string                     `json:"change"`
	Old    map[string]json.RawMessage `json:"old,omitempty"`
	New    map[string]json.RawMessage `json:"new,omitempty"`
	Events ChangedEvents              `json:"events"`
	Causes []string                   `json:"causes"`
}
