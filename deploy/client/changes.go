package client

import (
	"context"
	"io"
	"net/http"
	"net/url"

	"recount/schemas/openapi"
)

// Changes says what changed in a view between two publications. The parameters are those of GET /v1/changes.
func (c *Client) Changes(ctx context.Context, parameters url.Values) (answer openapi.Comparison, err error) {
	err = c.get(ctx, "/v1/changes", parameters, &answer)
	return answer, err
}

// ChangesAs is Changes in a format, JSON or CSV, while it arrives. The caller closes the answer.
func (c *Client) ChangesAs(ctx context.Context, parameters url.Values, format Format) (answer io.ReadCloser,
	err error) {
	err = c.execute(ctx, &call{method: http.MethodGet, path: "/v1/changes", query: parameters, accept: string(format),
		policies: &c.reads, open: func(_ http.Header, body io.ReadCloser) error {
			answer = body
			return nil
		}})
	return answer, err
}
