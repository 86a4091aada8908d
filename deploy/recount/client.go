package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// maxAnswer bounds what a client command reads of an answer, in bytes.
const maxAnswer = 1 << 30

// call sends a request and decodes the JSON answer into into. A problem answer
// becomes an error of its detail.
func call(ctx context.Context, method, url string, body []byte, into any) error {
	resp, err := request(ctx, method, url, body, "application/json")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(into); err != nil {
		return fmt.Errorf("read the answer of %s: %w", url, err)
	}
	return nil
}

// request sends a request and returns the answer if its status is 200.
func request(ctx context.Context, method, url string, body []byte, accept string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, usageError{err}
	}
	req.Header.Set("Accept", accept)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w (is a server running? try: recount up)", err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	raw, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20)) // What there is of it explains enough.
	var p struct{ Code, Field, Detail, Error string }
	if json.Unmarshal(raw, &p) == nil && p.Detail+p.Error != "" {
		if p.Field != "" {
			p.Detail = p.Field + ": " + p.Detail
		}
		return nil, fmt.Errorf("%s (status %d, code %q)", strings.TrimSpace(p.Detail+p.Error), resp.StatusCode, p.Code)
	}
	return nil, fmt.Errorf("status %d: %s", resp.StatusCode, bytes.TrimSpace(raw))
}
