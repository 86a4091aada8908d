package client

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Event is a CloudEvent.
type Event struct {
	// ID identifies the event, together with its source and the tenant of the key. The client
	// draws an id if it is empty.
	ID string
	// Source is the system that the event is from. It may be empty.
	Source string
	// Type is a type that the server's configuration declares.
	Type string
	// Time is when the event happened. The client sets the current time if it is zero, because
	// every try has to send the same time.
	Time time.Time
	// Subject is what the event is about. It may be empty.
	Subject string
	// Data holds the declared fields. Its JSON must be an object.
	Data any
	// Extensions are further attributes by name: strings, numbers and bools.
	Extensions map[string]any
}

// attributes are the attributes of an event as the server reads them.
type attributes struct {
	SpecVersion string     `json:"specversion"`
	ID          string     `json:"id"`
	Source      string     `json:"source,omitempty"`
	Type        string     `json:"type"`
	Time        *time.Time `json:"time,omitempty"`
	Subject     string     `json:"subject,omitempty"`
	Data        any        `json:"data,omitempty"`
}

// complete draws a missing id and sets a missing time.
func (e *Event) complete() {
	if e.ID == "" {
		e.ID = rand.Text()
	}
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
}

// append appends the event as one line of JSON.
func (e *Event) append(dst []byte) ([]byte, error) {
	happened := e.Time.UTC()
	raw, err := json.Marshal(attributes{"1.0", e.ID, e.Source, e.Type, &happened, e.Subject, e.Data})
	if err != nil {
		return dst, fmt.Errorf("event %q: %w", e.ID, err)
	}
	dst = append(dst, raw[:len(raw)-1]...)
	for _, name := range slices.Sorted(maps.Keys(e.Extensions)) {
		value, err := json.Marshal(e.Extensions[name])
		if err != nil {
			return dst, fmt.Errorf("event %q: extension %s: %w", e.ID, name, err)
		}
		dst = append(append(append(dst, ',', '"'), name...), '"', ':')
		dst = append(dst, value...)
	}
	return append(dst, '}', '\n'), nil
}
