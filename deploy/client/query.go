package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"recount/schemas/query"
)

// Format is the media type of an answer to a query.
type Format string

// The formats of an answer.
const (
	JSON    Format = "application/json"
	CSV     Format = "text/csv"
	NDJSON  Format = "application/x-ndjson"
	Arrow   Format = "application/vnd.apache.arrow.stream"
	Parquet Format = "application/vnd.apache.parquet"
)

// Summary is what an answer to a query has besides its rows.
type Summary struct {
	query.Accuracy
	// Totals is a JSON object with the measures of all groups together, if the query asks for totals.
	Totals json.RawMessage
	// Others is a JSON array of rows without dimensions, one for each window with groups that are in no row, if the
	// query asks for others.
	Others json.RawMessage
	// Next is what q.Cursor has to be for the next page of an answer in mode exact, and empty after the last one. All
	// pages are of one publication.
	Next string
}

// Query sends a query and decodes the rows of the answer into rows. That is the address of a slice
// of structs, whose JSON names are dimensions, measures and derived numbers, or of a slice of maps. A row may also
// have the members time, live, bounds and previous.
func (c *Client) Query(ctx context.Context, q *query.Query, rows any) (Summary, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return Summary{}, fmt.Errorf("encode the query: %w", err)
	}
	answer := struct {
		Rows     any             `json:"rows"`
		Totals   json.RawMessage `json:"totals"`
		Others   json.RawMessage `json:"others"`
		Next     string          `json:"next"`
		Accuracy query.Accuracy  `json:"accuracy"`
	}{Rows: rows}
	err = c.execute(ctx, &call{method: http.MethodPost, path: "/v1/query", body: body, contentType: "application/json",
		accept: string(JSON), policies: &c.reads, into: &answer})
	return Summary{answer.Accuracy, answer.Totals, answer.Others, answer.Next}, err
}

// QueryResult is the answer to one of several queries, without its rows.
type QueryResult struct {
	// Problem says why the query has no answer. It is nil otherwise.
	Problem  *Problem       `json:"problem"`
	Accuracy query.Accuracy `json:"accuracy"`
}

// QueryAll sends several queries, at most query.MaxQueries, and decodes the rows of each answer into the element of
// rows with the same index, as Query does. All are answered from one publication: the newest, or the one that AsOf of
// the first query names, which all queries must have then.
func (c *Client) QueryAll(ctx context.Context, queries []*query.Query, rows []any) ([]QueryResult, error) {
	if len(rows) != len(queries) {
		return nil, fmt.Errorf("%d queries have %d places for their rows; give one to each", len(queries), len(rows))
	}
	request := struct {
		Queries []query.Query `json:"queries"`
		AsOf    *uint64       `json:"as_of,omitempty"`
	}{}
	for i, q := range queries {
		if !samePublication(q.AsOf, queries[0].AsOf) {
			return nil, fmt.Errorf("query %d has another as_of than query 0; give all of them the same", i)
		}
		request.AsOf = q.AsOf
		request.Queries = append(request.Queries, *q)
		request.Queries[i].AsOf = nil
	}
	body, err := json.Marshal(request)
	if err != nil {
		return nil, fmt.Errorf("encode the queries: %w", err)
	}
	var answers struct {
		Answers []json.RawMessage `json:"answers"`
	}
	if err := c.execute(ctx, &call{method: http.MethodPost, path: "/v1/queries", body: body,
		contentType: "application/json", accept: string(JSON), policies: &c.reads, into: &answers}); err != nil {
		return nil, err
	}
	if len(answers.Answers) != len(queries) {
		return nil, fmt.Errorf("the server sent %d answers to %d queries", len(answers.Answers), len(queries))
	}
	results := make([]QueryResult, len(queries))
	for i, raw := range answers.Answers {
		answer := struct {
			Rows any `json:"rows"`
			*QueryResult
		}{rows[i], &results[i]}
		if err := json.Unmarshal(raw, &answer); err != nil {
			return nil, fmt.Errorf("read answer %d: %w", i, err)
		}
	}
	return results, nil
}

func samePublication(a, b *uint64) bool { return a == b || a != nil && b != nil && *a == *b }

// Answer is an answer to a query in some format. The caller reads and closes it.
type Answer struct {
	io.ReadCloser
	// Accuracy is the zero value for an SQL statement that reads no view.
	Accuracy query.Accuracy
	// Totals is a JSON object with the measures of all groups together, if the query asks for totals.
	Totals json.RawMessage
	// Next is the cursor of the next page, if there is one.
	Next string
	// Format is ClickHouse's name of the format of an SQL statement's result.
	Format string
}

// Statement is a read-only SQL statement.
type Statement struct {
	Query string `json:"query"`
	// Format is json, csv, ndjson, tsv, arrow, parquet or a name of ClickHouse's. A clause FORMAT comes first.
	Format string `json:"format,omitempty"`
	// Parameters are values of {name:Type} in the statement: strings, numbers, booleans, nil, or slices of these.
	Parameters map[string]any `json:"parameters,omitempty"`
}

// SQL runs a statement and returns its result, while it arrives.
func (c *Client) SQL(ctx context.Context, s Statement) (*Answer, error) {
	body, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode the statement: %w", err)
	}
	return c.answer(ctx, &call{method: http.MethodPost, path: "/v1/sql", body: body, contentType: "application/json",
		accept: "*/*"})
}

// QueryAs sends a query and returns the answer in a format, while it arrives.
func (c *Client) QueryAs(ctx context.Context, q *query.Query, format Format) (*Answer, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return nil, fmt.Errorf("encode the query: %w", err)
	}
	return c.answer(ctx, &call{method: http.MethodPost, path: "/v1/query", body: body,
		contentType: "application/json", accept: string(format)})
}

// maxAddress is how many bytes of parameters go into an address. Servers and proxies refuse long ones, from 8 KiB on.
const maxAddress = 4 << 10

// QueryParameters sends a query as the URL parameters of GET /v1/query. The server then gives the
// values of conditions the types of their dimensions. Long parameters are sent as a form with POST.
func (c *Client) QueryParameters(ctx context.Context, parameters url.Values, format Format) (*Answer, error) {
	if form := parameters.Encode(); len(form) > maxAddress {
		return c.answer(ctx, &call{method: http.MethodPost, path: "/v1/query", body: []byte(form),
			contentType: "application/x-www-form-urlencoded", accept: string(format)})
	}
	return c.answer(ctx, &call{method: http.MethodGet, path: "/v1/query", query: parameters, accept: string(format)})
}

func (c *Client) answer(ctx context.Context, call *call) (*Answer, error) {
	a := &Answer{}
	call.policies = &c.reads
	call.open = func(header http.Header, body io.ReadCloser) error {
		a.Format = header.Get("X-ClickHouse-Format")
		a.Next = header.Get("Recount-Next")
		a.Totals = json.RawMessage(header.Get("Recount-Totals"))
		accuracy := header.Get("Recount-Accuracy")
		if accuracy == "" && a.Format != "" {
			a.ReadCloser = body
			return nil
		}
		if err := json.Unmarshal([]byte(accuracy), &a.Accuracy); err != nil {
			_ = body.Close() // It is not read.
			return &finalError{fmt.Errorf("read the answer's accuracy: %w", err)}
		}
		a.ReadCloser = body
		return nil
	}
	if err := c.execute(ctx, call); err != nil {
		return nil, err
	}
	return a, nil
}
