package openapi

import (
	"time"

	"recount/schemas/deadletter"
)

// Explanation says what became of an event: of everything that was sent with one source and id.
type Explanation struct {
	ID     string `json:"id"`
	Source string `json:"source"`
	// Partition is the partition of the log that all copies of the event are in (L3).
	Partition int `json:"partition"`
	// Events are the event and its copies, by position. If there are more than fifty, these are the first.
	Events []ExplainedEvent `json:"events"`
	// More is how many further copies there are.
	More int `json:"more,omitempty"`
	// DeadLetters are rejections of events with this source and id, newest first, at most ten.
	DeadLetters []deadletter.Letter `json:"dead_letters"`
	// Publication is the newest one, 0 before the first.
	Publication uint64         `json:"publication"`
	Search      ExplainedScope `json:"search"`
}

// Position is the place of an event in the log, for ever.
type Position struct {
	Partition int    `json:"partition"`
	Epoch     uint32 `json:"epoch"`
	Sequence  uint64 `json:"sequence"`
	Index     int    `json:"index"`
}

// EventStatus says whether an accepted event counts.
type EventStatus string

// The statuses of an event.
const (
	EventCounted    EventStatus = "counted"     // a view counts it in the publication
	EventPending    EventStatus = "pending"     // a view counts it as of the next publication
	EventCopy       EventStatus = "copy"        // an event at a lower position counts instead
	EventNotCounted EventStatus = "not_counted" // no view counts events of the type, or their conditions exclude it
)

// ExplainedEvent is an accepted event.
type ExplainedEvent struct {
	Status       EventStatus `json:"status"`
	Type         string      `json:"type"`
	Source       string      `json:"source"`
	Time         time.Time   `json:"time"`
	TimeAssigned bool        `json:"time_assigned"`
	Position     Position    `json:"position"`
	// Accepted is when the log stored the event. It is absent if the log no longer has the message.
	Accepted time.Time `json:"accepted,omitzero"`
	// Generation is that of the catalog by which ingest decoded the event. It is absent if the log no longer has the
	// message, or if an older program wrote it.
	Generation uint64 `json:"generation,omitempty"`
	// Landed is when the event's segment was committed, and Object the Parquet object in the lake that holds it. Both
	// are absent for an event that has not landed.
	Landed time.Time `json:"landed,omitzero"`
	Object string    `json:"object,omitempty"`
	// CopyOf is the position of the event that this one is a copy of.
	CopyOf *Position `json:"copy_of,omitempty"`
	// Conflict says that the copy has another payload.
	Conflict bool            `json:"conflict"`
	Views    []ExplainedView `json:"views"`
}

// ExplainedView is what a view makes of an event that is no copy.
type ExplainedView struct {
	View   string      `json:"view"`
	Status EventStatus `json:"status"`
	// Cell is the beginning of the cell in which the view counts the event, and Dimensions are the group in it.
	Cell       time.Time      `json:"cell,omitzero"`
	Dimensions map[string]any `json:"dimensions,omitempty"`
	// Publication is the newest one, if the event counts there.
	Publication uint64 `json:"publication,omitempty"`
	// FilledFrom is from when the view is filled, if the event is before that and so is in no publication yet (B8).
	FilledFrom time.Time `json:"filled_from,omitzero"`
	// ExcludedBy are the conditions of the view that the event does not meet.
	ExcludedBy []Filter `json:"excluded_by,omitempty"`
	// Overflowed are the dimensions that count the event under the overflow value in the publication (B7).
	Overflowed []string `json:"overflowed,omitempty"`
	// OverflowUnknown says that events of the bucket overflowed, and that it is too large to say whether this did.
	OverflowUnknown bool `json:"overflow_unknown,omitempty"`
	// Lost are fields of the view whose value does not fit their declared type, and which are null for it (I7).
	Lost []string `json:"lost,omitempty"`
}

// ExplainedScope says what was searched.
type ExplainedScope struct {
	Objects  int   `json:"objects"`
	Rows     int64 `json:"rows"`
	Messages int   `json:"messages"`
	// Complete says that everything was searched in which the event can be. Otherwise Missing says what was not.
	Complete bool     `json:"complete"`
	Missing  []string `json:"missing"`
	// GivenUp are ranges of the partition's messages that an operator gave up. What was in them is not known (C7).
	GivenUp      []GivenUp `json:"given_up"`
	Milliseconds float64   `json:"milliseconds"`
}

// GivenUp is a range [From, To) of a partition's messages that an operator gave up.
type GivenUp struct {
	Partition int    `json:"partition"`
	From      uint64 `json:"from"`
	To        uint64 `json:"to"`
}

// ReceiptState says how far a message has come.
type ReceiptState string

// The states of a message.
const (
	ReceiptLogged    ReceiptState = "logged"    // it is in the log, and views count it live
	ReceiptLanded    ReceiptState = "landed"    // it is in the lake, and the next publication counts it
	ReceiptPublished ReceiptState = "published" // the newest publication counts it
	ReceiptGivenUp   ReceiptState = "given_up"  // an operator gave it up, and it counts nowhere (C7)
	// ReceiptUnknown says that the log has no such message, or that it lost its end since, and it cannot be told
	// whether the message is the one that has this sequence now.
	ReceiptUnknown ReceiptState = "unknown"
)

// Receipt says where the events of a request are.
type Receipt struct {
	Publication uint64         `json:"publication"`
	Events      int            `json:"events"`
	Places      []ReceiptPlace `json:"places"`
}

// ReceiptPlace is a message that holds events of the request: Count events, from the position on.
type ReceiptPlace struct {
	Position Position     `json:"position"`
	Count    int          `json:"count"`
	State    ReceiptState `json:"state"`
	Landed   time.Time    `json:"landed,omitzero"`
}
