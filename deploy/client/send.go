package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"recount/schemas/problem"
)

// Rejection is an event that the server refused, and why.
type Rejection struct {
	Index      int          `json:"index"` // Index is the place of the event in its request.
	ID         string       `json:"id"`
	Code       problem.Code `json:"code"`
	Message    string       `json:"message"`
	DeadLetter string       `json:"dead_letter,omitempty"` // DeadLetter is the name of the stored event.
}

// Discovered is an event type that the server has declared, because events of a request were the first ones of it.
type Discovered struct {
	Name        string          `json:"name"`
	View        string          `json:"view"`        // View counts its events by minute.
	Declaration json.RawMessage `json:"declaration"` // Declaration is as PutEventType takes it.
}

// Result is the server's answer to a request of events. Each event of the request is either
// accepted, which means durable, or in Rejected. Receipt says where in the log the accepted
// events are.
type Result struct {
	Accepted int
	Rejected []Rejection
	Receipt  string
	// Coerced is how many of the accepted events had a value that was converted to the type of its field.
	Coerced int
	// Discovered are the event types that the request has declared, in all its repetitions.
	Discovered []Discovered
}

// Send sends events in one request. It repeats the request, as Config.Retry says, until the server
// has acknowledged it. Send sets missing ids and times in events, so the server counts each event
// once even if the caller sends the slice again.
//
// The error is nil if and only if every event has its final outcome: accepted, or rejected for
// good. With an error, the result is the last answer that named an outcome for every event, if
// there was one. In such an answer a rejection is not final if its code says RetryEvent; all
// other outcomes are. Without such an answer the outcome of every event is unknown.
func (c *Client) Send(ctx context.Context, events []Event) (Result, error) {
	var lines []byte
	for i := range events {
		events[i].complete()
		var err error
		if lines, err = events[i].append(lines); err != nil {
			return Result{}, err
		}
	}
	result, err := c.SendLines(ctx, lines)
	if err == nil {
		err = result.check(len(events))
	}
	return result, err
}

// SendLines is Send for events that are encoded already: one CloudEvent a line, each with an id. It
// does not read lines after it has returned.
func (c *Client) SendLines(ctx context.Context, lines []byte) (result Result, err error) {
	if len(lines) == 0 {
		return Result{}, nil
	}
	body, err := c.cfg.Encoding.encode(lines)
	if err != nil {
		return Result{}, err
	}
	err = c.execute(ctx, &call{
		method: http.MethodPost, path: "/v1/events", body: body, contentType: "application/x-ndjson",
		encoding: c.cfg.Encoding, accept: "application/json", policies: &c.events,
		decode: func(status int, header http.Header, raw []byte) error {
			return result.decode(status, header, raw)
		},
	})
	return result, err
}

// errAnswer is the error of an answer that does not name the outcome of the events.
var errAnswer = errors.New("the answer does not come from a recount server")

// final reports whether no rejected event may be sent again.
func (r *Result) final() bool {
	return !slices.ContainsFunc(r.Rejected, func(x Rejection) bool { return x.Code.RetryEvent() })
}

// check returns an error unless the result names an outcome for each of n events, and for no other.
func (r *Result) check(n int) error {
	wrong := r.Accepted+len(r.Rejected) != n
	for _, x := range r.Rejected {
		wrong = wrong || x.Index < 0 || x.Index >= n
	}
	if wrong {
		return fmt.Errorf("%w: it accepts %d and rejects %d of %d events", errAnswer, r.Accepted, len(r.Rejected), n)
	}
	return nil
}

// decode reads an answer. An answer without outcomes leaves the result as it is.
func (r *Result) decode(status int, header http.Header, raw []byte) error {
	var answer struct {
		Accepted *int
		Rejected []Rejection
		Receipt  string
		Coerced  int
		Code     problem.Code

		Discovered []Discovered
	}
	err := json.Unmarshal(raw, &answer)
	complete := err == nil && answer.Accepted != nil
	if complete {
		*r = Result{Accepted: *answer.Accepted, Rejected: answer.Rejected, Receipt: answer.Receipt,
			Coerced: answer.Coerced, Discovered: append(r.Discovered, answer.Discovered...)}
	}
	switch {
	case complete && r.final() && (status == http.StatusOK || answer.Code == problem.AllRejected):
		return nil
	case status == http.StatusOK:
		return fmt.Errorf("%w: %s", errAnswer, excerpt(raw))
	}
	return decodeProblem(status, header, raw)
}
