package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"recount/deploy/embedded/natsserver"
	"recount/schemas/eventbatch"
	"recount/speed/eventlog"
)

// TestCorruptMessage appends a corrupt message to one partition's log while the server is down (C7).
// The server must start: the other partitions accept, count and publish events, and /readyz and
// the audit name the corrupt message. The alarm ends when an operator removes that partition's
// log.
func TestCorruptMessage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config := writeFile(t, filepath.Join(dir, "recount.yaml"), crashConfig)
	srv := start(t, dir, config, "127.0.0.1:0")
	sendHits(t, srv, 0, 1000)
	expectHits(t, srv, "exact", 1000)
	srv.stop(t)
	seq := corruptLog(t, filepath.Join(dir, "data", "log"))

	srv = start(t, dir, config, "127.0.0.1:0")
	expectHits(t, srv, "merged", 1000)
	sendHits(t, srv, 1000, 2000)
	var others int // the events of the other partitions
	for i := 1000; i < 2000; i++ {
		if eventbatch.KeyOf("default", fmt.Sprint(i)).Partition(3) != 0 {
			others++
		}
	}
	expectHits(t, srv, "merged", float64(1000+others))
	expectHits(t, srv, "exact", float64(1000+others))
	want := fmt.Sprintf("partition 0 cannot be counted: message %d: corrupt log message", seq)
	if status, body := ask(t, srv.url, "",
		operation{method: http.MethodGet, path: "/readyz"}); status != http.StatusServiceUnavailable ||
		!strings.Contains(body, want) || strings.Contains(body, "partition 1") {
		t.Errorf("/readyz: status %d, want 503 with %q: %s", status, want, body)
	}
	if err := runJob(t.Context(), srv.url, "audit"); err == nil ||
		!strings.Contains(err.Error(), "partitions [0] cannot be counted; of the others the residue is 0") {
		t.Errorf("job audit: got %v, want an error that names partition 0", err)
	}
	if _, body := ask(t, srv.url, "", operation{method: http.MethodGet, path: "/v1/audit"}); !strings.Contains(body,
		fmt.Sprintf(`"unreadable":"message %d: corrupt log message`, seq)) {
		t.Errorf("/v1/audit does not name the corrupt message: %s", body)
	}
	srv.stop(t)

	// Without an intact copy of the log, an operator can give up the events that had not landed.
	streams, err := filepath.Glob(filepath.Join(dir, "data", "log", "jetstream", "*", "streams", "*-p0"))
	if err != nil || len(streams) != 1 {
		t.Fatalf("find the stream of partition 0: got %v, %v", streams, err)
	}
	if err := os.RemoveAll(streams[0]); err != nil {
		t.Fatal(err)
	}
	srv = start(t, dir, config, "127.0.0.1:0")
	sendHits(t, srv, 2000, 2500)
	expectHits(t, srv, "exact", float64(1500+others))
	if status, body := ask(t, srv.url, "",
		operation{method: http.MethodGet, path: "/readyz"}); status != http.StatusOK {
		t.Errorf("/readyz: status %d, want 200: %s", status, body)
	}
	if err := runJob(t.Context(), srv.url, "audit"); err != nil {
		t.Errorf("job audit: %v", err)
	}
	if _, body := ask(t, srv.url, "", operation{method: http.MethodGet, path: "/v1/audit"}); !strings.Contains(body,
		fmt.Sprintf(`"voided":%d,`, 1000-others)) {
		t.Errorf("/v1/audit does not show %d voided events: %s", 1000-others, body)
	}
	srv.stop(t)
}

// corruptLog appends a message that cannot be decoded to partition 0 of a stopped server's log.
func corruptLog(t *testing.T, dir string) (seq uint64) {
	t.Helper()
	err := func() error {
		nc := natsserver.DefaultConfig(dir)
		nc.MaxStore = 1 << 40
		server, err := natsserver.Open(t.Context(), nc)
		if err != nil {
			return err
		}
		defer server.Close()
		lc := eventlog.DefaultConfig(server)
		lc.Partitions = 3
		log, err := eventlog.Open(t.Context(), lc)
		if err != nil {
			return err
		}
		defer log.Close()
		seq, err = log.Append(t.Context(), 0, []byte("RCN1 followed by bytes that are not a frame"), "")
		return err
	}()
	if err != nil {
		t.Fatal(err)
	}
	return seq
}
