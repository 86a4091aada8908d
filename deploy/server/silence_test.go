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

// silence is the silence that these tests allow. The clock of a synctest bubble stands still while a
// goroutine works, so it is exact.
const silence = 200 * time.Millisecond

// watch returns a watched connection and the connection of its peer.
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
		const answers = 4 // Together they take longer than the silence, but each comes before it ends.
		go func() {
			buf := make([]byte, 1)
			for n := 0; ; n++ {
				if _, err := peer.Read(buf); err != nil {
					return
				}
				if time.Sleep(silence * 9 / 10); n < answers {
					_, _ = peer.Write(buf) // The reader notices a missing byte.
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

// TestSilenceEndsAWrite writes to a peer that reads slowly and then stops. The write continues while
// the peer reads, and fails after it stopped.
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
		if !errors.Is(err, os.ErrDeadlineExceeded) || !strings.Contains(err.Error(), "received nothing for 200ms") ||
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

// TestStatementEnds runs a statement without a deadline of its own. It has to end when its answer does not
// begin, and when its answer stops in the middle. A Content-Length with one flipped bit has this effect:
// before the limit, a recompute and all later ones waited for ever.
func TestStatementEnds(t *testing.T) {
	t.Parallel()
	for name, begin := range map[string]func(http.ResponseWriter){
		"before its answer": func(http.ResponseWriter) {},
		"in its answer": func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "1000")
			_ = http.NewResponseController(w).Flush() // It fails only if the client is gone.
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body) // The server notices only after the body that the client left.
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
