package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

// serverFlag names the server a client command talks to, and the key it shows there.
type serverFlag struct {
	Server string `default:"http://127.0.0.1:8080" env:"RECOUNT_SERVER" help:"Address of the server."`
	keyFlag
}

// keyFlag finds the API key, the same way in every command that shows one. A key is no flag
// itself: everybody on a machine can read the arguments of its processes.
type keyFlag struct {
	KeyFile string `env:"RECOUNT_KEY_FILE" help:"File with the API key; without it RECOUNT_KEY has the key, if the server wants one."`
}

// maxKey bounds what is read of a key file, in bytes.
const maxKey = 1024

// key is the API key to show; empty when there is none.
func (f keyFlag) key() (string, error) {
	text := os.Getenv("RECOUNT_KEY")
	if f.KeyFile != "" {
		file, err := os.Open(f.KeyFile)
		if err != nil {
			return "", fmt.Errorf("--key-file: %w", err)
		}
		defer file.Close()
		raw, err := io.ReadAll(io.LimitReader(file, maxKey))
		if err != nil {
			return "", fmt.Errorf("--key-file: %w", err)
		}
		text = string(raw)
	}
	text = strings.TrimSpace(text)
	if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", usageError{errors.New("the API key holds characters that no key has; is it the right file?")}
	}
	return text, nil
}

// instant is a time of the command line.
type instant struct{ time.Time }

// UnmarshalText reads RFC 3339.
func (i *instant) UnmarshalText(text []byte) (err error) {
	if i.Time, err = time.Parse(time.RFC3339, string(text)); err != nil {
		return fmt.Errorf("%q is no time; write RFC 3339, such as 2024-05-01T00:00:00Z", text)
	}
	return nil
}

// maxAnswer bounds what a client command reads of an answer, in bytes.
const maxAnswer = 1 << 30

// call sends a request and decodes the JSON answer into into. A problem answer
// becomes an error of its detail.
func (f serverFlag) call(ctx context.Context, method, path string, body []byte, into any) error {
	resp, err := f.request(ctx, method, path, body, "application/json")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(into); err != nil {
		return fmt.Errorf("read the answer of %s: %w", path, err)
	}
	return nil
}

// request sends a request with JSON, or nothing, and returns the answer if its status is 200.
func (f serverFlag) request(ctx context.Context, method, path string, body []byte,
	accept string) (*http.Response, error) {
	contentType := ""
	if body != nil {
		contentType = "application/json"
	}
	return f.send(ctx, method, path, bytes.NewReader(body), contentType, accept)
}

// send is request with a body of any type and size.
func (f serverFlag) send(ctx context.Context, method, path string, body io.Reader, contentType,
	accept string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(f.Server, "/")+path, body)
	if err != nil {
		return nil, usageError{err}
	}
	key, err := f.key()
	if err != nil {
		return nil, err
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	req.Header.Set("Accept", accept)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, noServer(err)
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

// noServer adds what to do about a request that reached nobody.
func noServer(err error) error { return fmt.Errorf("%w (is a server running? try: recount up)", err) }
