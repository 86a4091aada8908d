package deadletter

import (
	"errors"
	"time"
)

// Errors of the store. The HTTP API maps each to a problem.
var (
	ErrUnknown     = errors.New("no dead letter has this name")
	ErrExpired     = errors.New("the dead letter is no longer kept")
	ErrUnavailable = errors.New("this process does not ingest")
	ErrOverloaded  = errors.New("ingest is overloaded")
)

// Letter is a dead letter as the API shows it. Raw is left out of lists.
type Letter struct {
	Name      string    `json:"name"`
	Received  time.Time `json:"received"`
	Code      string    `json:"code"`
	Message   string    `json:"message"`
	EventType string    `json:"event_type,omitempty"`
	Source    string    `json:"source,omitempty"`
	EventID   string    `json:"event_id,omitempty"`
	EventTime string    `json:"event_time,omitempty"`
	Index     *int64    `json:"index,omitempty"` // absent for a whole request
	Bytes     int64     `json:"bytes"`
	Truncated bool      `json:"truncated"`
	Strict    bool      `json:"strict"`
	Raw       *string   `json:"raw,omitempty"`
	RawBase64 *string   `json:"raw_base64,omitempty"`

	Tenant string `json:"-"`
}

// Replayable reports whether the dead letter holds a whole event. A request that could not be
// split into events does not: no change of the configuration turns its bytes into JSON.
func (l *Letter) Replayable() bool { return l.Index != nil && !l.Truncated }

// Filter chooses dead letters. Zero fields choose all; To is not included.
type Filter struct {
	Name     string // of a single dead letter
	Code     string
	Type     string // of the rejected event
	EventID  string
	Source   *string // of the rejected event; nil chooses all
	From, To time.Time
	Cursor   string // where the previous page ended
	Limit    int
}

// Limits of a page.
const (
	DefaultLimit = 100
	MaxLimit     = 1000
)

// Page is a part of the dead letters a filter chooses, newest first. There may be more after
// it exactly if it has a cursor, also when the page itself is short or empty.
type Page struct {
	Letters []Letter `json:"dead_letters"`
	Cursor  string   `json:"cursor,omitempty"`
}

// Failure is a dead letter that was rejected again.
type Failure struct {
	Name    string `json:"name"`
	EventID string `json:"event_id,omitempty"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

// CodeNotReplayable is the code of a dead letter that does not hold a whole event.
const CodeNotReplayable = "not_replayable"

// Replay is the result of sending a page of dead letters through ingest again.
type Replay struct {
	Replayed int       `json:"replayed"` // letters tried
	Accepted int       `json:"accepted"` // durable now, or acceptable in a dry run; copies included
	Failed   []Failure `json:"failed"`
	Cursor   string    `json:"cursor,omitempty"`
	Coerced  int       `json:"coerced,omitempty"` // of the accepted, those of which a value was converted
}
