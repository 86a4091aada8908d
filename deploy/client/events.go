package client

import (
	"context"
	"net/url"
	"strings"
	"time"

	"recount/schemas/openapi"
)

// Explain returns what became of an event of the key's tenant, and of its copies. A time of the event makes the search
// faster: only the buckets around it are searched. The zero time searches all.
func (c *Client) Explain(ctx context.Context, source, id string, at time.Time) (e openapi.Explanation, err error) {
	v := url.Values{}
	if source != "" {
		v.Set("source", source)
	}
	if !at.IsZero() {
		v.Set("time", formatTime(at))
	}
	// A path of only dots would lead to another resource.
	escaped := strings.ReplaceAll(url.PathEscape(id), ".", "%2E")
	err = c.get(ctx, "/v1/events/"+escaped, v, &e)
	return e, err
}

// Receipt returns how far the events of a receipt have come. The result of a send has the receipt.
func (c *Client) Receipt(ctx context.Context, receipt string) (r openapi.Receipt, err error) {
	err = c.get(ctx, "/v1/receipts/"+url.PathEscape(receipt), nil, &r)
	return r, err
}

// Events returns a page of the events of a type that the key's tenant sent, the newest first. The parameters are those
// of GET /v1/events.
func (c *Client) Events(ctx context.Context, parameters url.Values) (p openapi.EventPage, err error) {
	err = c.get(ctx, "/v1/events", parameters, &p)
	return p, err
}
