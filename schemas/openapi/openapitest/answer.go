// Package openapitest compares answers with the OpenAPI document. Tests that talk to a server send their requests
// through Transport, so that each answer they get is checked besides what they are about.
package openapitest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"sync"

	"recount/schemas/openapi"
	"recount/schemas/problem"
)

// node is an object of the document.
type node = map[string]any

var document = sync.OnceValue(func() (d node) {
	v, err := decode(openapi.Document())
	if err != nil {
		panic(err) // The document is a part of the program.
	}
	return v.(node)
})

// Check returns an error if the document does not have such an answer to a request: its status, its content type, its
// headers and each member of its body. body is nil where none is sent.
func Check(method, path string, status int, header http.Header, body []byte) error {
	response, err := responseTo(method, path, status)
	if err != nil {
		return err
	}
	for name, h := range object(response, "headers") {
		if resolve(h)["required"] == true && header.Get(name) == "" {
			return fmt.Errorf("the header %s is missing", name)
		}
	}
	if method == http.MethodHead {
		return nil
	}
	content := object(response, "content")
	if len(content) == 0 {
		if len(body) > 0 {
			return fmt.Errorf("status %d has a body: %.200s", status, body)
		}
		return nil
	}
	media, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		return fmt.Errorf("content type %q: %w", header.Get("Content-Type"), err)
	}
	form, ok := content[media].(node)
	if !ok {
		return fmt.Errorf("status %d has the content type %s, which is not in the document", status, media)
	}
	if media != "application/json" && !strings.HasSuffix(media, "+json") {
		return nil
	}
	v, err := decode(body)
	if err != nil {
		return fmt.Errorf("the body is not JSON: %w", err)
	}
	return CheckValue(object(form, "schema"), v)
}

// decode reads JSON and keeps the digits of numbers.
func decode(body []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	err = d.Decode(&v)
	return v, err
}

// responseTo returns the response object of the document for a request and a status. A request that no operation is
// for has to be refused.
func responseTo(method, path string, status int) (node, error) {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	op := object(pathItem(path), strings.ToLower(method))
	if op == nil {
		if status < http.StatusBadRequest {
			return nil, fmt.Errorf("%s %s has status %d and is not in the document", method, path, status)
		}
		return refusal(), nil
	}
	response, ok := object(op, "responses")[fmt.Sprint(status)]
	if !ok {
		return nil, fmt.Errorf("%s %s has status %d, which is not in the document", method, path, status)
	}
	return resolve(response), nil
}

// refusal is the answer to a request that no operation is for.
func refusal() node {
	schema := node{"$ref": "#/components/schemas/Problem"}
	return node{"content": node{problem.ContentType: node{"schema": schema}}}
}

// pathItem returns the item whose template fits the path, or nil. Of several, the one with the most fixed parts fits.
func pathItem(path string) (best node) {
	parts := strings.Split(path, "/")
	most := -1
	for template, item := range object(document(), "paths") {
		fixed := 0
		want := strings.Split(template, "/")
		fits := len(want) == len(parts)
		for i := 0; fits && i < len(want); i++ {
			switch {
			case want[i] == parts[i]:
				fixed++
			case !strings.HasPrefix(want[i], "{"):
				fits = false
			}
		}
		if fits && fixed > most {
			best, _ = item.(node)
			most = fixed
		}
	}
	return best
}

// resolve follows references.
func resolve(v any) node {
	n, _ := v.(node)
	for {
		ref, ok := n["$ref"].(string)
		if !ok {
			return n
		}
		n = document()
		for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
			n = object(n, part)
		}
	}
}

// object returns a member that is an object, or nil.
func object(n node, name string) node {
	child, _ := n[name].(node)
	return child
}

// Transport sends requests with next and checks the answers of recount servers. An answer that differs from the
// document is an error of the request, so it fails the test that sent it.
func Transport(next http.RoundTripper) http.RoundTripper { return transport{next} }

type transport struct{ next http.RoundTripper }

// checked are the content types whose bodies are checked. Other bodies may be streams, and are passed on as they come.
var checked = []string{"application/json", problem.ContentType}

// RoundTrip implements http.RoundTripper.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := t.next.RoundTrip(r)
	if err != nil || answer.Header.Get(problem.RequestIDHeader) == "" || pathItem(r.URL.EscapedPath()) == nil &&
		answer.StatusCode < http.StatusBadRequest {
		return answer, err // It is not recount's, such as that of a proxy, or a page for people, such as profiles.
	}
	var body []byte
	if slices.Contains(checked, answer.Header.Get("Content-Type")) && r.Method != http.MethodHead {
		body, err = io.ReadAll(answer.Body)
		_ = answer.Body.Close() // It was read, or err says why not.
		answer.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), failing{err}))
		if err != nil {
			return answer, nil // The caller sees what came, and then the error.
		}
	}
	if err := Check(r.Method, r.URL.EscapedPath(), answer.StatusCode, answer.Header, body); err != nil {
		return nil, fmt.Errorf("the answer to %s %s differs from /openapi.json: %w", r.Method, r.URL.Path, err)
	}
	return answer, nil
}

// CloseIdleConnections closes those of the transport below.
func (t transport) CloseIdleConnections() {
	if c, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// failing is a reader that returns an error, or the end.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) {
	if f.err == nil {
		return 0, io.EOF
	}
	return 0, f.err
}
