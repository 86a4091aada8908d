package server

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
	"testing/synctest"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// silence is that of the bubbles of these tests, whose clock stands still while anybody works.
const silence = 200 * time.Millisecond

// watch returns a watched connection and the end of whoever it leads to.
func watch(t *testing.T, silence time.Duration) (*watched, net.Conn) {
	ours, theirs := net.Pipe()
	t.Cleanup(func() {
		if err := errors.Join(ours.Close(), theirs.Close()); err != nil {
			t.Error(err)
		}
	})
	return &watched{Conn: ours, silence: silence}, theirs
}

func TestSilenceEndsAConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, peer := watch(t, silence)
		const answers = 4 // Longer in all than the silence, and never silent for it.
		go func() {
			buf := make([]byte, 1)
			for n := 0; ; n++ {
				if _, err := peer.Read(buf); err != nil {
					return
				}
				if time.Sleep(silence * 9 / 10); n < answers {
					_, _ = peer.Write(buf) // The other side sees what is missing.
				}
			}
		}()
		buf := make([]byte, 1)
		for range answers {
			if _, err := c.Write(buf); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Read(buf); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := c.Write(buf); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, err := c.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) ||
			!strings.Contains(err.Error(), "sent nothing for 200ms") || time.Since(began) != silence {
			t.Errorf("reading from a connection that is half open for %s: %v", time.Since(began), err)
		}
	})
}

// TestSilenceEndsAWrite: a link that is slow takes all, and one that stops is given up.
func TestSilenceEndsAWrite(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, peer := watch(t, silence)
		go func() {
			for range 16 {
				time.Sleep(silence * 9 / 10)
				if _, err := io.CopyN(io.Discard, peer, 64<<10); err != nil {
					t.Error(err)
				}
			}
		}()
		n, err := c.Write(make([]byte, 64<<20))
		if !errors.Is(err, os.ErrDeadlineExceeded) || !strings.Contains(err.Error(), "took nothing for 200ms") ||
			n != 1<<20 {
			t.Errorf("writing to a connection that stalls: %d bytes, %v", n, err)
		}
	})
}

func TestSilenceKeepsTheUsersDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, _ := watch(t, time.Hour)
		if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) ||
			strings.Contains(err.Error(), "nothing for") {
			t.Errorf("got %v, want the user's own deadline", err)
		}
	})
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
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
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
