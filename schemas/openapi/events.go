package openapi

import (
	"encoding/json"
	"time"
)

// EventPage is a part of the events of one type, the newest first. There may be more after it exactly if it has a
// cursor, also when the page itself is short or empty.
type EventPage struct {
	Events []StoredEvent `json:"events"`
	Cursor string        `json:"cursor,omitempty"`
	// SearchedTo says how far the pages have come: what was stored later was searched. It is absent after the last
	// event, and where the time is not known.
	SearchedTo time.Time `json:"searched_to,omitzero"`
	// Publication is the newest one, 0 before the first.
	Publication uint64 `json:"publication"`
	// Missing names what cannot be read and is not listed.
	Missing []string `json:"missing,omitempty"`
}

// StoredEvent is an accepted event, and how far it has come.
type StoredEvent struct {
	// Event is the event in the structured mode of CloudEvents.
	Event    map[string]json.RawMessage `json:"event"`
	StoredAt StoredAt                   `json:"stored_at"`
	State    ReceiptState               `json:"state"` // logged, landed or published
	// Landed is when the event's segment was committed. It is absent for an event that has not landed.
	Landed time.Time `json:"landed,omitzero"`
	// TimeAssigned says that the event came without a time and got the server's.
	TimeAssigned bool `json:"time_assigned,omitempty"`
	// Copy says that the event is a copy of one that stands below it in the same page. Other copies are not found out
	// here: that needs all events of the bucket.
	Copy bool `json:"copy,omitempty"`
}

// StoredAt is the place of an event in the log, for ever.
type StoredAt struct {
	Position
	// Time is when the log stored the event. It is absent if the log no longer has the message.
	Time time.Time `json:"time,omitzero"`
}
