package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"recount/batch/lake"
	"recount/schemas/record"
)

// onRequestConfig publishes on request only, so that a test knows what each publication covers.
const onRequestConfig = `
log: {partitions: 2}
landing: {cut_interval: 200ms}
speed: {snapshot_interval: 300ms}
` + hitsByPage + `jobs: {recompute: {schedule: ""}, collect: {schedule: ""}, expire: {schedule: ""}}
`

// stopped is the folder of a server that can be stopped, damaged and started again.
type stopped struct {
	t      *testing.T
	dir    string
	config string
}

func newStopped(t *testing.T) stopped {
	t.Helper()
	dir := t.TempDir()
	return stopped{t, dir, writeFile(t, filepath.Join(dir, "recount.yaml"), onRequestConfig)}
}

func (s stopped) start(flags ...string) *server {
	s.t.Helper()
	return start(s.t, s.dir, s.config, "127.0.0.1:0", flags...)
}

// refuses starts the server and expects a refusal that holds every text. It returns the refusal.
func (s stopped) refuses(texts ...string) string {
	s.t.Helper()
	srv, err := launch(s.dir, s.config, "127.0.0.1:0")
	if err == nil {
		srv.kill()
		s.t.Fatalf("the server started, want a refusal that says %q", texts)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			s.t.Errorf("the refusal does not say %q: %v", text, err)
		}
	}
	return err.Error()
}

// data returns the path of a part of the server's data.
func (s stopped) data(parts ...string) string {
	return filepath.Join(append([]string{s.dir, "data"}, parts...)...)
}

// object returns the file of a key of the object store.
func (s stopped) object(key string) string {
	return s.data("s3", "objects", "recount", filepath.FromSlash(key))
}

// moveAway moves files and folders to where no server looks, and returns how to put them back.
func (s stopped) moveAway(paths ...string) (putBack func()) {
	s.t.Helper()
	away := s.t.TempDir()
	move := func(from, to string) {
		s.t.Helper()
		if err := os.MkdirAll(filepath.Dir(to), 0o750); err != nil {
			s.t.Fatal(err)
		}
		if err := os.Rename(from, to); err != nil {
			s.t.Fatal(err)
		}
	}
	for i, path := range paths {
		move(path, filepath.Join(away, fmt.Sprint(i)))
	}
	return func() {
		s.t.Helper()
		for i, path := range paths {
			move(filepath.Join(away, fmt.Sprint(i)), path)
		}
	}
}

// newest returns the newest publication and the keys of a partition's commit records.
func (s stopped) newest(partition int) (p *record.Publication, commits []string) {
	s.t.Helper()
	openLake(s.t, s.data("s3"), func(ctx context.Context, store *lake.Store) {
		records := lake.NewCommitLog(store)
		keys, err := records.List(ctx, record.PublicationPrefix)
		if err != nil || len(keys) == 0 {
			s.t.Fatalf("%d publications, %v", len(keys), err)
		}
		raw, err := records.Get(ctx, slices.Max(keys))
		if err != nil {
			s.t.Fatal(err)
		}
		if p, err = record.DecodePublication(raw); err != nil {
			s.t.Fatal(err)
		}
		all, err := records.List(ctx, "land/")
		if err != nil {
			s.t.Fatal(err)
		}
		for _, key := range all {
			if strings.Contains(key, fmt.Sprintf("/p%03d/", partition)) {
				commits = append(commits, key)
			}
		}
	})
	slices.Sort(commits)
	return p, commits
}

// lastPublished returns the keys of a partition's commit records, from the last one that is published.
func (s stopped) lastPublished(partition int) []string {
	s.t.Helper()
	p, commits := s.newest(partition)
	h := p.H[partition]
	first, _ := slices.BinarySearch(commits, record.CommitKey(h.Epoch, partition, h.Seq))
	if first < 2 {
		s.t.Fatalf("of %v only the first is below %v", commits, h)
	}
	return commits[first-1:]
}

func (s stopped) files(keys []string) (files []string) {
	for _, key := range keys {
		files = append(files, s.object(key))
	}
	return files
}

// verify checks the data of the stopped server.
func (s stopped) verify() (string, error) {
	command := exec.CommandContext(s.t.Context(), binary, "verify", "--config", s.config, "--data-dir", s.data())
	command.Dir = filepath.Join("..", "..", "..")
	out, err := command.CombinedOutput()
	return string(out), err
}

// expectNotReady waits until /readyz says every text.
func expectNotReady(t *testing.T, srv *server, texts ...string) {
	t.Helper()
	err := eventually(t.Context(), func() error {
		status, body := ask(t, srv.url, "", operation{method: http.MethodGet, path: "/readyz"})
		for _, text := range texts {
			if status != http.StatusServiceUnavailable || !strings.Contains(body, text) {
				return fmt.Errorf("/readyz: status %d, want 503 with %q: %s", status, text, body)
			}
		}
		return nil
	})
	if err != nil {
		t.Errorf("%v\n%s", err, srv.logs)
	}
}

// expectRefused checks that no query is answered.
func expectRefused(t *testing.T, srv *server) {
	t.Helper()
	for _, mode := range []string{"exact", "merged", "live"} {
		a, err := query(t.Context(), srv.url, fmt.Sprintf(hitsQuery, mode))
		if err == nil || !strings.Contains(err.Error(), "publications_unavailable") {
			t.Errorf("mode %s: %v with %+v, %v; want publications_unavailable", mode, a.Rows, a.Accuracy, err)
		}
	}
}

// landedIn returns the metric of a partition's chain head.
func landedIn(t *testing.T, srv *server, partition int) float64 {
	t.Helper()
	text, err := metrics(t.Context(), srv.url)
	if err != nil {
		t.Fatal(err)
	}
	return parseState(text)[fmt.Sprintf("recount_landing_next_sequence{partition=%q}", fmt.Sprint(partition))]
}

// TestMissingCommitRecords moves the newest published commit record of a partition and later ones away. Nothing may
// land in the partition until they are back (C10): it would fork the chain. The other partition goes on.
func TestMissingCommitRecords(t *testing.T) {
	t.Parallel()
	s := newStopped(t)
	srv := s.start()
	sendHits(t, srv, 0, 100)
	publishNow(t, srv)
	sendHits(t, srv, 100, 200)
	if err := waitUntilLanded(t.Context(), srv.url); err != nil {
		t.Fatal(err)
	}
	srv.stop(t)
	missing := s.lastPublished(0)
	putBack := s.moveAway(s.files(missing)...)

	for range 2 {
		srv = s.start()
		expectNotReady(t, srv, "partition 0", missing[0])
		before := landedIn(t, srv, 1)
		sendHits(t, srv, 200, 300)
		expectHits(t, srv, "merged", 300)
		err := eventually(t.Context(), func() error {
			if landedIn(t, srv, 1) <= before {
				return errors.New("the other partition does not land")
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		if err := runJob(t.Context(), srv.url, "recompute"); err == nil || !strings.Contains(err.Error(), missing[0]) {
			t.Errorf("recompute: %v, want an error that names %s", err, missing[0])
		}
		srv.stop(t)
		// The next start has another cut rule, for which it would seal the epoch.
		writeFile(t, s.config, strings.Replace(onRequestConfig, "200ms", "250ms", 1))
	}
	if _, commits := s.newest(0); commits[len(commits)-1] >= missing[0] {
		t.Errorf("%s was created, although %s is missing", commits[len(commits)-1], missing[0])
	}

	srv = s.start()
	expectNotReady(t, srv, missing[0])
	putBack()
	expectReady(t, srv) // It goes on without a restart.
	publishNow(t, srv)
	expectHits(t, srv, "exact", 300)
	srv.stop(t)
	s.start().stop(t) // It seals for the other cut rule.
	if out, err := s.verify(); err != nil {
		t.Errorf("verify: %v\n%s", err, out)
	}
}

// publishNow waits until everything has landed, and publishes it.
func publishNow(t *testing.T, srv *server) {
	t.Helper()
	if err := waitUntilLanded(t.Context(), srv.url); err != nil {
		t.Fatal(err)
	}
	if err := runJob(t.Context(), srv.url, "recompute"); err != nil {
		t.Fatalf("%v\n%s", err, srv.logs)
	}
}

// TestForkedChain puts a record back over the one that a program without C10 created in its place. The refusal of
// the start must say which records to move away, and their messages must land again.
func TestForkedChain(t *testing.T) {
	t.Parallel()
	s := newStopped(t)
	srv := s.start()
	sendHits(t, srv, 0, 100)
	publishNow(t, srv)
	sendHits(t, srv, 100, 200)
	if err := waitUntilLanded(t.Context(), srv.url); err != nil {
		t.Fatal(err)
	}
	srv.stop(t)
	after := s.lastPublished(0)[1:]
	forgePrevious(t, s, after[0])

	refusal := s.refuses(after[0], "move")
	if !strings.Contains(refusal, "land again") {
		t.Errorf("the refusal does not say that nothing is lost: %s", refusal)
	}
	s.moveAway(s.files(after)...)
	srv = s.start()
	expectReady(t, srv)
	sendHits(t, srv, 200, 300)
	publishNow(t, srv)
	expectHits(t, srv, "exact", 300)
	srv.stop(t)
	if out, err := s.verify(); err != nil {
		t.Errorf("verify: %v\n%s", err, out)
	}
}

// forgePrevious writes a commit record again that names another record before it.
func forgePrevious(t *testing.T, s stopped, key string) {
	t.Helper()
	openLake(t, s.data("s3"), func(ctx context.Context, store *lake.Store) {
		records := lake.NewCommitLog(store)
		raw, err := records.Get(ctx, key)
		if err != nil {
			t.Fatal(err)
		}
		c, err := record.DecodeCommit(raw)
		if err != nil {
			t.Fatal(err)
		}
		c.Previous = record.Digest([]byte("the fork"))
		if raw, err = c.Encode(); err != nil {
			t.Fatal(err)
		}
		if err := store.Delete(ctx, key); err != nil {
			t.Fatal(err)
		}
		if outcome, _, err := records.Create(ctx, key, raw); err != nil || outcome != record.Created {
			t.Fatal(outcome, err)
		}
	})
}

// TestMissingPublications moves records of publications away. ClickHouse, or a run of the job recompute, knows that
// they existed. Nothing may be answered, landed or published until they are back or given up (P2).
func TestMissingPublications(t *testing.T) {
	t.Parallel()
	s := newStopped(t)
	srv := s.start()
	sendHits(t, srv, 0, 100)
	publishNow(t, srv)
	sendHits(t, srv, 100, 200)
	publishNow(t, srv)
	srv.stop(t)
	p, _ := s.newest(0)
	newest := s.object(record.PublicationKey(p.N))
	runs := s.data("s3", "objects", "recount", "jobs", "recompute")
	whole := filepath.Join(s.dir, "whole")
	copyFolder(t, s.data(), whole)
	for _, c := range []struct {
		name    string
		away    []string
		witness string
	}{
		{"all publications", []string{s.data("s3", "objects", "recount", "publish")}, "ClickHouse"},
		{"the newest publication", []string{newest}, "ClickHouse"},
		{"the newest publication and ClickHouse", []string{newest, s.data("clickhouse")}, "jobs/recompute/"},
		{"all publications and ClickHouse", []string{s.data("s3", "objects", "recount", "publish"),
			s.data("clickhouse")}, "jobs/recompute/"},
		{"the newest publication and runs", []string{newest, runs}, "ClickHouse"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := s
			s.t = t
			remove(t, s.data())
			copyFolder(t, whole, s.data())
			putBack := s.moveAway(c.away...)
			if out, err := s.verify(); err == nil || !strings.Contains(out, "restore the records") {
				t.Errorf("verify: %v\n%s", err, out)
			}
			srv := s.start()
			expectNotReady(t, srv, c.witness, "restore publish/")
			expectRefused(t, srv)
			sendHits(t, srv, 200, 300)
			if err := runJob(t.Context(), srv.url, "recompute"); err == nil ||
				!strings.Contains(err.Error(), "restore publish/") {
				t.Errorf("recompute: %v, want an error that says what to restore", err)
			}
			srv.stop(t)
			for _, path := range c.away {
				remove(t, path) // ClickHouse was made again.
			}
			putBack()
			srv = s.start()
			expectReady(t, srv)
			publishNow(t, srv)
			expectHits(t, srv, "exact", 300)
			srv.stop(t)
			if out, err := s.verify(); err != nil {
				t.Errorf("verify: %v\n%s", err, out)
			}
		})
	}
	t.Run("lost for ever", func(t *testing.T) {
		s := s
		s.t = t
		remove(t, s.data())
		copyFolder(t, whole, s.data())
		remove(t, newest)
		srv := s.start()
		expectNotReady(t, srv, "jobs/recompute/", "clickhouse", "restore publish/")
		srv.stop(t)
		remove(t, s.data("clickhouse")) // It is what the error names.
		remove(t, runs)
		srv = s.start()
		expectReady(t, srv)
		publishNow(t, srv)
		expectHits(t, srv, "exact", 200)
		srv.stop(t)
	})
}

// TestLostStream removes the log of one partition. It is refused like a log that is missing as a whole (L8).
func TestLostStream(t *testing.T) {
	t.Parallel()
	s := newStopped(t)
	srv := s.start()
	sendHits(t, srv, 0, 100)
	publishNow(t, srv)
	srv.stop(t)
	streams, err := filepath.Glob(s.data("log", "jetstream", "*", "streams", "*"))
	if err != nil || len(streams) != 2 {
		t.Fatalf("the log has the streams %v, %v", streams, err)
	}
	slices.Sort(streams)
	putBack := s.moveAway(streams[1])
	s.refuses("partition 1", "--replace-log")
	s.refuses("partition 1", "--replace-log") // The first refusal has not claimed the new stream.
	remove(t, streams[1])
	putBack()
	srv = s.start()
	expectHits(t, srv, "merged", 100)
	srv.stop(t)

	remove(t, streams[1])
	srv = s.start("--replace-log")
	if logs := []byte(srv.logs.String()); !bytes.Contains(logs, []byte("sealing its epoch")) {
		t.Errorf("the server's log does not report the lost log:\n%s", logs)
	}
	sendHits(t, srv, 100, 200)
	publishNow(t, srv)
	expectHits(t, srv, "exact", 200)
	srv.stop(t)
	srv = s.start()
	expectReady(t, srv)
	srv.stop(t)
}
