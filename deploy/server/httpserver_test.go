package server

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// short is a timeout that a test can wait for. A test shortens only one timeout of the server: on a
// machine that stands still for so long, all short timeouts would end.
const short = 100 * time.Millisecond

func shortHeader(c *HTTPConfig) { c.HeaderTimeout = short }
func shortWrite(c *HTTPConfig)  { c.WriteTimeout = 10 * short } // The status has to be sent before it ends.

// shortBody logs requests too: the deadline has to reach the connection through what notes the answer.
func shortBody(c *HTTPConfig) {
	c.BodyTimeout = short
	c.AccessLog = 1
}

// listenHTTP serves a handler as a Server does and returns its address.
func listenHTTP(t *testing.T, cfg HTTPConfig, handler http.HandlerFunc) (addr string, reg *prometheus.Registry) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	reg = prometheus.NewRegistry()
	srv := newServer(cfg, "public", handler, ownOrigin(), slog.New(slog.DiscardHandler))
	done := make(chan error, 1)
	go func() { done <- srv.Serve(limitConnections(l, cfg, reg)) }()
	t.Cleanup(func() {
		_ = srv.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return l.Addr().String(), reg
}

// dial opens a connection and sends a text.
func dial(t *testing.T, addr, text string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	return c
}

// answerOn reads one answer.
func answerOn(t *testing.T, c net.Conn) (status int, body string) {
	t.Helper()
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(raw)
}

func value(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if m := f.GetMetric()[0]; f.GetName() == name {
			return m.GetGauge().GetValue() + m.GetCounter().GetValue() // A metric is one of them.
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

const get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

func ok(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }

// TestIdleConnectionsMakeRoom fills the server with connections that sent nothing, sent part of a
// header, or wait after an answer. Each new client is served, and the longest idle connection is closed.
func TestIdleConnectionsMakeRoom(t *testing.T) {
	t.Parallel()
	cfg := DefaultHTTPConfig()
	cfg.MaxConnections = 3
	addr, reg := listenHTTP(t, cfg, ok)
	silent := dial(t, addr, "")
	slow := dial(t, addr, "GET / HTT")
	rested := dial(t, addr, get)
	for _, c := range []net.Conn{rested, dial(t, addr, get), dial(t, addr, get)} {
		if status, body := answerOn(t, c); status != http.StatusOK || body != "ok" {
			t.Fatalf("got %d %s", status, body)
		}
	}
	for _, c := range []net.Conn{silent, slow} {
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("the connection that waited longest is open")
		}
	}
	if _, err := io.WriteString(rested, get); err != nil {
		t.Error(err)
	}
	if status, _ := answerOn(t, rested); status != http.StatusOK {
		t.Errorf("got %d on the connection that was kept", status)
	}
	open := value(t, reg, "recount_http_connections")
	evicted := value(t, reg, "recount_http_connections_evicted_total")
	if open != 3 || evicted != 2 {
		t.Errorf("%v open, %v evicted", open, evicted)
	}
}

// TestBusyConnectionsAreKept fills the server with requests that it is answering. A new client gets 503,
// and is served later.
func TestBusyConnectionsAreKept(t *testing.T) {
	t.Parallel()
	cfg := DefaultHTTPConfig()
	cfg.MaxConnections = 2
	reached := make(chan struct{}, 2)
	release := make(chan struct{})
	addr, reg := listenHTTP(t, cfg,
		func(w http.ResponseWriter, r *http.Request) {
			reached <- struct{}{}
			<-release
			ok(w, r)
		})
	busy := []net.Conn{dial(t, addr, get), dial(t, addr, get)}
	<-reached
	<-reached
	if status, body := answerOn(t, dial(t, addr, get)); status != http.StatusServiceUnavailable ||
		!strings.Contains(body, `"code":"too_many_connections"`) {
		t.Errorf("got %d %s", status, body)
	}
	close(release)
	for _, c := range busy {
		if status, _ := answerOn(t, c); status != http.StatusOK {
			t.Errorf("got %d", status)
		}
	}
	// A client has its answer a moment before the server counts the connection as idle.
	answered := 1.0
	for status := 0; status != http.StatusOK && answered < 1000; answered++ {
		if status, _ = answerOn(t, dial(t, addr, get)); status == http.StatusOK {
			break
		}
	}
	if refused := value(t, reg, "recount_http_connections_refused_total"); answered == 1000 || refused != answered {
		t.Errorf("%v connections refused, %v answered with 503", refused, answered)
	}
}

// TestSlowClients lists the ways in which a client can be slow, and expects each to end.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("x", 32<<20) // More than the kernel's buffers of a connection.
	readAll := func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	}
	for _, c := range []struct {
		name, sent string
		cut        func(*HTTPConfig) // shortens the timeout that ends it
		handler    http.HandlerFunc
		status     int // 0: the connection is closed without an answer
	}{
		{"nothing", "", shortHeader, ok, 0},
		{"half a header", "GET / HTTP/1.1\r\nHost:", shortHeader, ok, 0},
		{"half a body", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf", shortBody, readAll,
			http.StatusBadRequest},
		{"half a chunk", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhalf", shortBody,
			readAll, http.StatusBadRequest},
		{"half a body that nobody wants", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf", shortBody, ok,
			http.StatusOK},
		{"no body after 100 Continue", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\nExpect: " +
			"100-continue\r\n\r\n", shortBody, readAll, http.StatusContinue},
		{"reads nothing", get, shortWrite,
			func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, large) }, http.StatusOK},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			left := make(chan struct{})
			cfg := DefaultHTTPConfig()
			c.cut(&cfg)
			addr, _ := listenHTTP(t, cfg, func(w http.ResponseWriter, r *http.Request) {
				c.handler(w, r)
				close(left)
			})
			conn := dial(t, addr, c.sent)
			if c.status != 0 {
				<-left // The handler returns, although the client does nothing.
			}
			raw, _ := io.ReadAll(conn)
			if want := fmt.Sprintf("HTTP/1.1 %d", c.status); c.status != 0 && !strings.HasPrefix(string(raw), want) ||
				len(raw) >= len(large) || c.status == 0 && len(raw) > 0 {
				t.Errorf("got %.60q, want %s", raw, want)
			}
		})
	}
}

// TestBodyDeadlineEndsWithTheBody answers long after the body timeout.
func TestBodyDeadlineEndsWithTheBody(t *testing.T) {
	t.Parallel()
	cfg := DefaultHTTPConfig()
	shortBody(&cfg)
	addr, _ := listenHTTP(t, cfg, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		time.Sleep(2 * short)
		if r.Context().Err() != nil {
			http.Error(w, "the request was cut short", http.StatusInternalServerError)
		}
	})
	conn := dial(t, addr, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody")
	if status, body := answerOn(t, conn); status != http.StatusOK {
		t.Errorf("got %d %s", status, body)
	}
	if _, err := io.WriteString(conn, strings.Replace(get, "GET", "DELETE", 1)); err != nil {
		t.Error(err)
	}
	if status, _ := answerOn(t, conn); status != http.StatusOK {
		t.Errorf("got %d on the same connection", status)
	}
}

// TestDamagedBodiesEndTheConnection sends a body with broken framing and then a request, which must
// not be answered.
func TestDamagedBodiesEndTheConnection(t *testing.T) {
	t.Parallel()
	addr, _ := listenHTTP(t, DefaultHTTPConfig(), func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err != nil {
			w.WriteHeader(http.StatusBadRequest)
		}
	})
	const head = "POST / HTTP/1.1\r\nHost: x\r\n"
	for _, sent := range []string{
		head + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX: " + strings.Repeat("x", 5000) + "\r\n\r\n" + get,
		head + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}garbage\r\n0\r\n\r\n" + get,
		head + "Transfer-Encoding: chunked\r\n\r\nz\r\n" + get,
	} {
		conn := dial(t, addr, sent)
		raw, _ := io.ReadAll(conn) // It may be reset after the answer.
		if n := strings.Count(string(raw), "HTTP/1.1 "); n != 1 || !strings.Contains(string(raw), "HTTP/1.1 400 ") {
			t.Errorf("%.80q: got %d answers: %q", sent, n, raw)
		}
	}
}

// TestFront lists requests that pass the front and requests that it refuses.
func TestFront(t *testing.T) {
	t.Parallel()
	addr, _ := listenHTTP(t, DefaultHTTPConfig(), ok)
	for _, c := range []struct {
		name, sent string
		status     int
		code       string // empty where the handler or net/http answers
	}{
		{"well", get, 200, ""},
		{"slash at the end", "GET /v1/ HTTP/1.1\r\nHost: x\r\n\r\n", 200, ""},
		{"encoded slash", "GET /v1/events/a%2F..%2Fb HTTP/1.1\r\nHost: x\r\n\r\n", 200, ""},
		{"empty part", "GET //v1 HTTP/1.1\r\nHost: x\r\n\r\n", 404, "not_found"},
		{"dotted part", "GET /v1/../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", 404, "not_found"},
		{"proxy", "GET http://other/ HTTP/1.1\r\nHost: x\r\n\r\n", 200, ""},
		{"connect", "CONNECT other:80 HTTP/1.1\r\nHost: other:80\r\n\r\n", 400, "invalid_request"},
		{"asterisk", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 400, "invalid_request"},
		{"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "http_version_not_supported"},
		{"h2c upgrade is ignored", "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: " +
			"h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", 200, ""},
		{"HTTP/3", "GET / HTTP/3.0\r\nHost: x\r\n\r\n", 505, ""},
		{"another origin", "POST / HTTP/1.1\r\nHost: x\r\nOrigin: http://evil.example\r\nContent-Length: 0\r\n\r\n",
			403, "cross_origin"},
		{"another site", "POST / HTTP/1.1\r\nHost: x\r\nSec-Fetch-Site: cross-site\r\nContent-Length: 0\r\n\r\n", 403,
			"cross_origin"},
		{"the same origin", "POST / HTTP/1.1\r\nHost: x\r\nOrigin: http://x\r\nContent-Length: 0\r\n\r\n", 200, ""},
	} {
		status, body := answerOn(t, dial(t, addr, c.sent))
		if status != c.status || c.code != "" && (!strings.Contains(body, `"code":"`+c.code+`"`) ||
			!strings.Contains(body, `"request_id":"`)) {
			t.Errorf("%s: got %d %s, want %d %s", c.name, status, body, c.status, c.code)
		}
	}
}

// TestTakenDoorsAreNamedInOrder asks for two addresses that another program has.
func TestTakenDoorsAreNamedInOrder(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := &Config{Listen: l.Addr().String(), Admin: AdminConfig{Listen: l.Addr().String()}}
	for range 20 {
		got := fmt.Sprint(c.checkDoors())
		first := strings.Index(got, "--listen")
		if first < 0 || strings.Index(got, "--admin.listen") < first {
			t.Fatalf("got %s, want listen named before admin.listen", got)
		}
	}
}
