package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"recount/deploy/client/load"
)

// overloadConfig lets requests wait for 1 ms only, so that a small load is too much.
const overloadConfig = `
log: {partitions: 2}
ingest: {max_wait: 1ms}
landing: {cut_interval: 200ms}
` + hitsByPage + `jobs:
  recompute: {schedule: ""}
`

// maxResident is far above the memory that the server needs. It is far below the memory it would
// need if it kept refused requests: the load sends 100 MB of bodies.
const maxResident = 1 << 30

// TestOverload sends more events than the server accepts. It must refuse the excess with 429 or 503
// and a Retry-After, and each acknowledged event must count once.
func TestOverload(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 5*patience)
	defer cancel()
	dir := t.TempDir()
	config := writeFile(t, filepath.Join(dir, "recount.yaml"), overloadConfig)
	srv := start(t, dir, config, "127.0.0.1:0")
	acks, err := os.Create(filepath.Join(dir, "acks.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	defer acks.Close()

	c := load.Config{
		URL: srv.url, View: "hits", Run: "overload", Seed: 1,
		Rate: 250_000, Batch: 2000, Duration: 2 * time.Second, InFlight: 64, Patience: 5 * time.Second,
		Timeout: 30 * time.Second, Drain: 30 * time.Second,
		Keys: 1000, Skew: 1.1, Values: 100_000, Late: 0.1, LateBy: time.Hour,
		Duplicates: 0.1, DuplicateAfter: 500 * time.Millisecond, Malformed: 0.01, Answers: 5,
	}
	s, err := load.Run(ctx, c, load.Options{AckLog: acks})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Failure(); err != nil {
		t.Errorf("%v\n%s", err, srv.logs)
	}
	if s.Shed429+s.Shed503 == 0 || s.NoWait > 0 || s.Lost > 0 || s.Unreachable > 0 {
		t.Errorf("want refusals with 429 or 503 and Retry-After, and an answer to every request: %+v, %s", s.Counts,
			s.Error)
	}
	check := func(mode string) func() error {
		return func() error { return compareCount(ctx, srv.url, mode, s.Distinct) }
	}
	if err := eventually(ctx, check("merged")); err != nil {
		t.Errorf("merged answer: %v", err)
	}
	publish := func() error {
		if err := runJob(ctx, srv.url, "recompute"); err != nil {
			return err
		}
		return check("exact")()
	}
	if err := eventually(ctx, publish); err != nil {
		t.Errorf("exact answer: %v", err)
	}
	if got := residentBytes(ctx, t, srv.url); got > maxResident {
		t.Errorf("the server uses %d MiB of memory, want at most %d", got>>20, maxResident>>20)
	}
	srv.stop(t)
	verify := exec.CommandContext(ctx, binary, "verify", "--config", config, "--data-dir", filepath.Join(dir, "data"),
		"--ack-log", acks.Name())
	verify.Dir = srv.cmd.Dir
	if out, err := verify.CombinedOutput(); err != nil {
		t.Errorf("recount verify: %v\n%s", err, out)
	}
}

// compareCount compares the view's total with the number of acknowledged events.
func compareCount(ctx context.Context, url, mode string, want int64) error {
	day := time.Now().UTC().Truncate(24 * time.Hour)
	a, err := query(ctx, url, fmt.Sprintf(`{"view":"hits","measures":["hits"],"from":%q,"to":%q,"mode":%q}`,
		day.AddDate(0, 0, -1).Format(time.RFC3339), day.AddDate(0, 0, 2).Format(time.RFC3339), mode))
	if err != nil {
		return err
	}
	if len(a.Rows) != 1 || a.Rows[0]["hits"] != float64(want) {
		return fmt.Errorf("the view counts %v, want the %d acknowledged events", a.Rows, want)
	}
	return nil
}

var residentMetric = regexp.MustCompile(`(?m)^process_resident_memory_bytes (\S+)$`)

func residentBytes(ctx context.Context, t *testing.T, url string) int64 {
	t.Helper()
	text, err := metrics(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	m := residentMetric.FindStringSubmatch(text)
	if m == nil {
		t.Fatal("the metrics do not show the server's residentBytes memory")
	}
	v, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return int64(v)
}
