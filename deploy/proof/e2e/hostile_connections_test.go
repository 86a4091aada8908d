package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// connectionAttacks hold connections open instead of sending much. The server bounds the memory
// and time they cost, and serves normal clients meanwhile.
var connectionAttacks = []struct {
	name   string
	memory int // memory is the most MiB by which the process may grow.
	attack func(t *testing.T, h *victim)
}{
	{"10,000 idle connections", 400, idleConnections},
	{"slowloris: headers that never end", 96, slowHeaders},
	{"slow bodies of events", 128, slowEvents},
	{"slow bodies of queries", 128, slowQueries},
	{"clients that read no answer", 512, neverRead},
	{"connections that reset at once", 96, resetAtOnce},
}

// open opens n connections that send the text. They are closed when the test ends.
func (h *victim) open(t *testing.T, n int, text string) []net.Conn {
	t.Helper()
	conns := make([]net.Conn, n)
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for i := w; i < n; i += 16 {
				c, err := net.Dial("tcp", h.addr)
				if err != nil {
					t.Error(err)
					return
				}
				_ = c.SetDeadline(time.Now().Add(patience))
				_, _ = io.WriteString(c, text) // The server may refuse it; the test decides later.
				conns[i] = c
			}
		})
	}
	wg.Wait()
	t.Cleanup(func() {
		for _, c := range conns {
			if c != nil {
				_ = c.Close()
			}
		}
	})
	if t.Failed() {
		t.FailNow()
	}
	return conns
}

// waitUntilClosed waits until the server has closed every connection. It returns how many got an
// answer that begins with want.
func waitUntilClosed(t *testing.T, conns []net.Conn, want string) int {
	t.Helper()
	n := 0
	for _, c := range conns {
		raw, err := io.ReadAll(c)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal("the server did not close a connection on which nothing more was sent")
		}
		if strings.HasPrefix(string(raw), want) {
			n++
		}
	}
	return n
}

// idleConnections opens more connections than the server keeps. The server closes those that were
// idle longest, so normal clients are served all the time.
func idleConnections(t *testing.T, h *victim) {
	const n = 10_000
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil || files.Cur < n+500 {
		t.Skipf("the limit of open files is %d, too low for %d connections (ulimit -n)", files.Cur, n)
	}
	h.open(t, n/2, "")
	h.stillWorks(t)
	h.open(t, n/2, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
	h.stillWorks(t)
	text, err := metrics(t.Context(), h.url)
	if err != nil {
		t.Fatal(err)
	}
	var open, limit float64
	for name, value := range parseState(text) {
		switch family, _, _ := strings.Cut(name, "{"); family {
		case "recount_http_connections":
			open = max(open, value)
		case "recount_http_connections_limit":
			limit = value
		}
	}
	if open < 1000 || open > limit {
		t.Errorf("the metrics show %v open connections and the limit %v", open, limit)
	}
}

// slowHeaders begins requests and never ends their headers.
func slowHeaders(t *testing.T, h *victim) {
	conns := h.open(t, 1000, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: "+strings.Repeat("a", 20<<10))
	h.stillWorks(t)
	waitUntilClosed(t, conns, "")
}

// slowEvents sends half of each body, plain and as corrupt gzip. The server also reads the rest of
// a corrupt body, to use the connection again, and that must not take longer.
func slowEvents(t *testing.T, h *victim) {
	const head = "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: " +
		"application/x-ndjson\r\nContent-Length: 100000\r\n"
	plain := h.open(t, 200, head+"\r\n"+strings.Repeat(" ", 50_000))
	gzip := h.open(t, 200, head+"Content-Encoding: gzip\r\n\r\n"+strings.Repeat(" ", 50_000))
	never := h.open(t, 200, head+"Expect: 100-continue\r\n\r\n")
	h.stillWorks(t)
	if n := waitUntilClosed(t, plain, "HTTP/1.1 400"); n != len(plain) {
		t.Errorf("%d of %d slow bodies were answered 400, want all", n, len(plain))
	}
	waitUntilClosed(t, gzip, "")
	waitUntilClosed(t, never, "")
}

// slowQueries holds large bodies. The server has room for few of them; small bodies need no room.
func slowQueries(t *testing.T, h *victim) {
	conns := h.open(t, 200, "POST /v1/query HTTP/1.1\r\nHost: localhost\r\nContent-Type: "+
		"application/json\r\nContent-Length: 4000000\r\n\r\n{"+strings.Repeat(" ", 100_000))
	h.stillWorks(t)
	if n := waitUntilClosed(t, conns, "HTTP/1.1 4"); n != len(conns) {
		t.Errorf("%d of %d slow bodies were answered 400 or 429, want all", n, len(conns))
	}
}

// neverRead asks for large answers and reads none of them. The server gives up on them.
func neverRead(t *testing.T, h *victim) {
	rejected := request("POST", "/v1/events", gzipped(strings.Repeat("{}\n", 20_000)), ndjson, "Content-Encoding: gzip")
	large := request("POST", "/v1/query",
		`{"view":"hits","from":"2024-01-01T00:00:00Z","to":"2024-03-01T00:00:00Z","granularity":"1m",`+
			`"fill":true,"limit":1000000}`, plainJSON)
	h.open(t, 12, string(rejected))
	h.open(t, 6, string(large))
	err := eventually(t.Context(), func() error {
		text, err := metrics(t.Context(), h.url)
		if err != nil {
			return err
		}
		s := parseState(text)
		held := s["recount_ingest_memory_bytes"]
		running := s["recount_query_running"]
		if held+running > 0 {
			return fmt.Errorf("the server still holds %v bytes of events and %v queries for clients that never read",
				held, running)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// resetAtOnce opens connections, sends a request on each and resets it at once, as a rapid reset
// attack does with streams.
func resetAtOnce(t *testing.T, h *victim) {
	for range 20 {
		for _, c := range h.open(t, 50,
			string(request("POST", "/v1/query",
				`{"view":"hits","from":"2024-01-01T00:00:00Z","to":"2024-01-02T00:00:00Z"}`, plainJSON))) {
			_ = c.(*net.TCPConn).SetLinger(0)
			_ = c.Close()
		}
	}
}
