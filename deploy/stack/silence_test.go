package stack

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"recount/deploy/faultproxy"
)

// proxied returns a watched connection to a server that sends back what it gets.
func proxied(t *testing.T, silence time.Duration) (*watched, *faultproxy.Proxy) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); c.Close() }()
		}
	}()
	p, err := faultproxy.Listen(l.Addr().String(), 1)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(conn.Close(), p.Close(), l.Close()); err != nil {
			t.Error(err)
		}
	})
	return &watched{Conn: conn, silence: silence}, p
}

func TestSilenceEndsAConnection(t *testing.T) {
	t.Parallel()
	c, p := proxied(t, 200*time.Millisecond)
	buf := make([]byte, 1)
	for range 4 { // Longer in all than the silence, and never silent for it.
		if _, err := c.Write(buf); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(buf); err != nil {
			t.Fatal(err)
		}
		time.Sleep(80 * time.Millisecond)
	}
	p.HalfOpen()
	if _, err := c.Write(buf); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) || !strings.Contains(err.Error(), "sent nothing for 200ms") {
		t.Errorf("reading from a connection that is half open: %v", err)
	}
}

func TestSilenceEndsAWrite(t *testing.T) {
	t.Parallel()
	c, p := proxied(t, 200*time.Millisecond)
	p.Set(faultproxy.Faults{Up: faultproxy.Direction{Stall: true}})
	n, err := c.Write(make([]byte, 64<<20))
	if !errors.Is(err, os.ErrDeadlineExceeded) || !strings.Contains(err.Error(), "took nothing for 200ms") || n == 0 {
		t.Errorf("writing to a connection that stalls: %d bytes, %v", n, err)
	}
}

func TestSilenceKeepsTheUsersDeadline(t *testing.T) {
	t.Parallel()
	c, _ := proxied(t, time.Hour)
	if err := c.SetDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || strings.Contains(err.Error(), "nothing for") {
		t.Errorf("got %v, want the user's own deadline", err)
	}
}

// TestStatementEnds: a statement without a deadline of its own ends when its answer does
// not begin, and when it breaks off. A Content-Length with one flipped bit does the latter,
// and for ever kept a recompute waiting, and with it every later one.
func TestStatementEnds(t *testing.T) {
	t.Parallel()
	for name, begin := range map[string]func(http.ResponseWriter){
		"before its answer": func(http.ResponseWriter) {},
		"in its answer": func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "1000")
			_ = http.NewResponseController(w).Flush() // The client is there.
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body) // Only then does the server notice that the client left.
				begin(w)
				<-r.Context().Done()
			}))
			t.Cleanup(server.Close)
			opts, err := clickhouse.ParseDSN(server.URL + "/default?read_timeout=300ms")
			if err != nil {
				t.Fatal(err)
			}
			opts.Compression = &clickhouse.Compression{Method: clickhouse.CompressionLZ4}
			boundSilence(opts, time.Hour)
			conn, err := clickhouse.Open(opts)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Close() })
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			if err := conn.Exec(ctx, "SELECT 1"); err == nil || ctx.Err() != nil {
				t.Errorf("got %v, want an end after the silence", err)
			}
		})
	}
}

func TestSilenceIsAtLeastAQuery(t *testing.T) {
	t.Parallel()
	for query, want := range map[time.Duration]time.Duration{time.Second: clickhouseSilence, time.Minute: time.Minute} {
		opts := &clickhouse.Options{Protocol: clickhouse.HTTP}
		if boundSilence(opts, query); opts.ReadTimeout != want {
			t.Errorf("queries of %s: silent for %s, want %s", query, opts.ReadTimeout, want)
		}
	}
}
