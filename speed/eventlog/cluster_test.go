package eventlog_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"recount/deploy/proof/natscluster"
	"recount/speed/eventlog"
)

// clusterConfig is the configuration of a log on a cluster.
func clusterConfig(c *natscluster.Cluster) eventlog.Config {
	cfg := eventlog.DefaultConfig(nil)
	cfg.URL = c.URL()
	cfg.Partitions = 2
	cfg.MaxBytes = 64 << 20
	cfg.StartTimeout = testTimeout
	return cfg
}

// eventually repeats a check until it returns nil.
func eventually(t *testing.T, check func() error) {
	t.Helper()
	err := check()
	for end := time.Now().Add(testTimeout); err != nil && time.Now().Before(end); err = check() {
		time.Sleep(50 * time.Millisecond)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// lines is a log that a test reads while it is written.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// TestClusterWithoutQuorum opens a log while one of three servers runs, and stops two of them later. The start waits
// and says for what. A log without a quorum is not healthy, though the connection to the third server is up, and it
// is healthy again without a restart.
func TestClusterWithoutQuorum(t *testing.T) {
	t.Parallel()
	c := natscluster.New(t)
	cfg := clusterConfig(c)
	var said lines
	cfg.Logger = slog.New(slog.NewTextHandler(&said, nil))
	type opened struct {
		log *eventlog.Log
		err error
	}
	ready := make(chan opened, 1)
	go func() {
		l, err := eventlog.Open(t.Context(), cfg)
		ready <- opened{l, err}
	}()
	wait := func(words string) func() error {
		return func() error {
			if !strings.Contains(said.String(), words) {
				return fmt.Errorf("the log of a start that waits has no line with %q:\n%s", words, &said)
			}
			return nil
		}
	}
	eventually(t, wait("waiting for a connection to the log"))
	c.Start(0)
	eventually(t, wait("waiting for stream recount-p0 of the log"))
	c.Start(1, 2)
	got := <-ready
	if got.err != nil {
		t.Fatal(got.err)
	}
	l := got.log
	t.Cleanup(l.Close)
	appendN(t, l, 0, 3)
	if err := l.Healthy(testContext(t)); err != nil {
		t.Fatalf("three servers run: %v", err)
	}
	c.Stop(1, 2)
	eventually(t, func() error {
		err := l.Healthy(testContext(t))
		if !errors.Is(err, eventlog.ErrUnavailable) {
			return fmt.Errorf("two of three servers are down: got %w, want ErrUnavailable", err)
		}
		return nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if seq, err := l.Append(ctx, 0, []byte("frame"), ""); err == nil {
		t.Fatalf("message %d was acknowledged by one of three servers", seq)
	}
	c.Start(1)
	eventually(t, func() error { return l.Healthy(testContext(t)) })
	for p := range cfg.Partitions { // A new leader may need a moment until it accepts messages.
		eventually(t, func() error {
			_, err := l.Append(testContext(t), p, []byte("frame"), "")
			return err
		})
	}
}

// TestStartTimeout expects that the wait for servers ends. Its error says what was waited for, and what to do.
func TestStartTimeout(t *testing.T) {
	t.Parallel()
	cfg := clusterConfig(natscluster.New(t))
	cfg.StartTimeout = time.Second
	_, err := eventlog.Open(t.Context(), cfg)
	wantError(t, err, eventlog.ErrUnavailable)
	for _, words := range []string{"waited 1s for a connection to the log", "log.start_timeout"} {
		if !strings.Contains(err.Error(), words) {
			t.Errorf("got %v, want %q in it", err, words)
		}
	}
}
