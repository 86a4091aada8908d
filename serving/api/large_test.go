package api

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"recount/schemas/access"
	"recount/schemas/query"
)

// TestLargeBodyIsAnswered: a client that sends a body which is too large, and only then reads, gets 413. It got a
// broken pipe when the server stopped reading at the limit.
func TestLargeBodyIsAnswered(t *testing.T) {
	t.Parallel()
	routes := newAPI(t, newLayers(), nil).Routes()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		routes["/v1/query"].ServeHTTP(w, r.WithContext(access.NewContext(r.Context(), access.Principal{})))
	}))
	defer server.Close()
	conn, err := net.Dial("tcp", strings.TrimPrefix(server.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	body := bytes.Repeat([]byte(" "), 4*query.MaxBody)
	head := fmt.Sprintf("POST /v1/query HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"+
		"Content-Length: %d\r\n\r\n", len(body))
	if _, err := conn.Write(append([]byte(head), body...)); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("got %s", answer.Status)
	}
}
