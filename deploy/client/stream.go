package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"recount/schemas/query"
)

// StreamedAnswer is one answer of a stream.
type StreamedAnswer struct {
	// ID names the answer. A later stream that begins with it leaves out an answer that is still the same.
	ID string `json:"-"`
	// Rows is a JSON list of objects with the dimensions, measures and derived numbers of each row.
	Rows json.RawMessage `json:"rows"`
	// Totals is a JSON object with the measures of all groups together, if the query asks for totals.
	Totals   json.RawMessage `json:"totals"`
	Accuracy query.Accuracy  `json:"accuracy"`
}

// Stream calls each with the answer to a query, and again whenever it is another one, until ctx ends, each returns an
// error, or the stream breaks. The parameters are those of GET /v1/stream, and lastID is empty or the ID of an answer
// that the caller has. The error is never nil: it is that of each or ctx, a *Problem with which the server ended the
// stream, or io.ErrUnexpectedEOF. The caller may call Stream again, with the last ID. If each is slow, it gets the
// newest answers and not those before them.
func (c *Client) Stream(ctx context.Context, parameters url.Values, lastID string,
	each func(*StreamedAnswer) error) error {
	var body io.ReadCloser
	if err := c.execute(ctx, &call{method: http.MethodGet, path: "/v1/stream", query: parameters,
		accept: "text/event-stream", lastEventID: lastID, policies: &c.reads,
		open: func(_ http.Header, b io.ReadCloser) error {
			body = b
			return nil
		}}); err != nil {
		return err
	}
	defer body.Close()
	err := readStream(bufio.NewReader(body), each)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// readStream reads events until there is an error.
func readStream(in *bufio.Reader, each func(*StreamedAnswer) error) error {
	var id, name string
	for {
		line, err := in.ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read the stream: %w", err)
		}
		if err != nil {
			return fmt.Errorf("read the stream: %w", io.ErrUnexpectedEOF)
		}
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch {
		case field == "id":
			id = value
		case field == "event":
			name = value
		case field == "data" && name == "problem":
			p := &Problem{}
			if err := json.Unmarshal([]byte(value), p); err != nil {
				return fmt.Errorf("read the problem of the stream: %w", err)
			}
			return p
		case field == "data" && name == "answer":
			a := &StreamedAnswer{ID: id}
			if err := json.Unmarshal([]byte(value), a); err != nil {
				return fmt.Errorf("read an answer of the stream: %w", err)
			}
			if err := each(a); err != nil {
				return err
			}
		}
	}
}
