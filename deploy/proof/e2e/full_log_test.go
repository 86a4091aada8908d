package e2e

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"recount/deploy/client/acklog"
)

// fullConfig has the smallest log that is allowed and publishes only when the test runs the job.
// Requests may wait so long that none is shed.
const fullConfig = `
log: {partitions: 1, max_bytes: 64MiB}
ingest: {max_wait: 1m}
landing: {cut_interval: 200ms, cut_bytes: 16MiB}
speed: {snapshot_interval: 300ms}
query: {timeout: 1s}
events:
  hit: {fields: {page: string, user: string}}
views:
  hits: {event: hit, dimensions: [page], measures: {hits: {count: {}}}}
jobs:
  recompute: {schedule: ""}
  expire: {schedule: ""}
`

const (
	largeRequest = 200      // events of a large request
	hitBytes     = 10 << 10 // random bytes of an event
	tooMany      = 20_000   // events; about a third of them fills the log
)

// TestFullLogRecovers fills the log while nothing is published, as happens when a store is away
// for long. The server refuses events with 503 and says what to do. Then the jobs run as they
// do by schedule, and the log must accept events again by itself.
func TestFullLogRecovers(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 5*patience)
	defer cancel()
	dir := t.TempDir()
	config := writeFile(t, filepath.Join(dir, "recount.yaml"), fullConfig)
	srv := start(t, dir, config, "127.0.0.1:0")
	file, err := os.Create(filepath.Join(dir, "acks.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	f := filler{url: srv.url, acks: acklog.NewWriter(file), rng: rand.NewChaCha8([32]byte{1})}

	// The newest three publications are kept, so the log cannot be trimmed past their beginning.
	// They hold so few events that trimming one of them makes no room for a request.
	for range 3 {
		if err := f.send(ctx, 1); err != nil {
			t.Fatal(err)
		}
		if err := eventually(ctx, func() error { return f.publish(ctx) }); err != nil {
			t.Fatal(err)
		}
	}
	for err = error(nil); err == nil && f.next < tooMany; {
		err = f.send(ctx, largeRequest)
	}
	if err == nil || !strings.Contains(err.Error(), "log_full") || !strings.Contains(err.Error(), "log.max_bytes") {
		t.Fatalf("request to a full log: got error %v, want code log_full and the key log.max_bytes", err)
	}
	full := f.next
	accepts := func() error {
		for _, job := range []string{"recompute", "expire"} {
			if err := runJob(ctx, srv.url, job); err != nil {
				return err
			}
		}
		return f.send(ctx, largeRequest)
	}
	for f.next < full+10*largeRequest {
		if err := eventually(ctx, accepts); err != nil {
			t.Fatalf("the log was full after %d events and is still full after %d: %v\n%s", full, f.next, err, srv.logs)
		}
	}
	if err := eventually(ctx, func() error { return f.publish(ctx) }); err != nil {
		t.Error(err)
	}
	if err := f.acks.Flush(); err != nil {
		t.Fatal(err)
	}
	srv.stop(t)
	verify := exec.CommandContext(ctx, binary, "verify", "--config", config, "--data-dir", filepath.Join(dir, "data"),
		"--ack-log", file.Name())
	verify.Dir = srv.cmd.Dir
	if out, err := verify.CombinedOutput(); err != nil {
		t.Errorf("recount verify: %v\n%s", err, out)
	}
}

// filler sends requests of random events and records the acknowledged ones.
type filler struct {
	url  string
	acks *acklog.Writer
	rng  io.Reader
	next int64 // next is the number of the next event.
}

func (f *filler) send(ctx context.Context, events int64) error {
	var body bytes.Buffer
	user := make([]byte, hitBytes)
	for i := range events {
		if _, err := io.ReadFull(f.rng, user); err != nil {
			return err
		}
		fmt.Fprintf(&body, `{"specversion":"1.0","id":%q,"source":"e2e","type":"hit","time":"2024-01-01T10:00:00Z",`+
			`"data":{"page":"/","user":%q}}`+"\n",
			acklog.ID("full", f.next+i), hex.EncodeToString(user))
	}
	if _, err := asker(ctx, f.url).SendLines(ctx, body.Bytes()); err != nil {
		return err
	}
	line := acklog.Line{Kind: acklog.Acked, Run: "full", First: f.next, Count: events}
	f.next += events
	return f.acks.Write(line)
}

// publish publishes and compares the exact count with the acknowledged events.
func (f *filler) publish(ctx context.Context) error {
	if err := runJob(ctx, f.url, "recompute"); err != nil {
		return err
	}
	a, err := query(ctx, f.url, fmt.Sprintf(hitsQuery, "exact"))
	if err == nil && (len(a.Rows) != 1 || a.Rows[0]["hits"] != float64(f.next)) {
		err = fmt.Errorf("exact answer: %v, want %d hits", a.Rows, f.next)
	}
	return err
}
