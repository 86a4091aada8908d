package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"

	"recount/deploy/embedded/chdb"
)

const restoreConfig = `
log: {partitions: 2}
landing: {cut_interval: 200ms}
speed: {snapshot_interval: 300ms}
query: {timeout: 1s}
batch: {keep: 1}
` + hitsByPage + `jobs: {recompute: {schedule: "@every 1s"}, collect: {schedule: ""}, expire: {schedule: ""}}
`

// TestOlderParts restores each of the four stores to an older state alone, and log and lake together. Each must end in
// repair, or in a refusal that says what to do. The SQL VIEW never shows another number than queries.
func TestOlderParts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config := writeFile(t, filepath.Join(dir, "recount.yaml"), restoreConfig)
	data := filepath.Join(dir, "data")
	publish := func(from, to int) {
		srv := start(t, dir, config, "127.0.0.1:0")
		sendHits(t, srv, from, to)
		expectHits(t, srv, "merged", float64(to))
		expectHits(t, srv, "exact", float64(to))
		if err := runJob(t.Context(), srv.url, "collect"); err != nil {
			t.Fatal(err)
		}
		srv.stop(t)
	}
	publish(0, 100)
	older := filepath.Join(dir, "older")
	copyFolder(t, data, older)
	publish(100, 300)
	newer := filepath.Join(dir, "newer")
	copyFolder(t, data, newer)
	for _, c := range []struct {
		parts []string
		// refused says that nothing is answered, landed or published until the operator has chosen a remedy.
		refused bool
		// starts says that a server starts. A log that has lost its end would have to be sealed first (C10).
		starts bool
		hits   uint64 // hits are those at the end, everywhere.
	}{
		{[]string{"log"}, false, true, 300},
		{[]string{"clickhouse"}, false, true, 300},
		{[]string{"speed"}, false, true, 300},
		{[]string{"s3"}, true, true, 300},
		{[]string{"log", "s3"}, true, false, 100},
	} {
		name := strings.Join(c.parts, " and ")
		remove(t, data)
		copyFolder(t, newer, data)
		for _, part := range c.parts {
			remove(t, filepath.Join(data, part))
			copyFolder(t, filepath.Join(older, part), filepath.Join(data, part))
		}
		if c.starts {
			srv := start(t, dir, config, "127.0.0.1:0")
			err := runJob(t.Context(), srv.url, "recompute")
			refused := err != nil && strings.Contains(err.Error(), "restore publish/")
			if refused != c.refused || err != nil && !refused {
				t.Errorf("%s: recompute: %v", name, err)
			}
			if c.refused {
				expectNotReady(t, srv, "restore publish/")
				expectRefused(t, srv)
			} else {
				expectReady(t, srv)
				expectHits(t, srv, "merged", float64(c.hits))
			}
			srv.stop(t)
		} else if srv, err := launch(dir, config, "127.0.0.1:0"); err == nil ||
			!strings.Contains(err.Error(), "restore publish/") {
			t.Errorf("%s: %v, %v, want a refusal that says what to restore", name, srv, err)
		}
		if c.refused {
			if _, err := sqlHits(t, filepath.Join(data, "clickhouse")); err == nil ||
				!strings.Contains(err.Error(), "recount: ClickHouse shows publication") {
				t.Errorf("%s: SQL answers (%v), although its publication is not in the object store", name, err)
			}
			remove(t, filepath.Join(data, "clickhouse")) // It is the remedy that the error names.
			srv := start(t, dir, config, "127.0.0.1:0")
			expectHits(t, srv, "exact", float64(c.hits))
			if err := runJob(t.Context(), srv.url, "recompute"); err != nil { // It ends after the one that published.
				t.Errorf("%s: recompute: %v", name, err)
			}
			expectReady(t, srv)
			srv.stop(t)
		}
		if n, err := sqlHits(t, filepath.Join(data, "clickhouse")); n != c.hits || err != nil {
			t.Errorf("%s: SQL counts %d (%v), want %d", name, n, err, c.hits)
		}
	}
}

// sqlHits asks the SQL VIEW of a stopped server.
func sqlHits(t *testing.T, dir string) (n uint64, err error) {
	t.Helper()
	library, err := chdb.Find("")
	if err != nil {
		t.Fatal(err)
	}
	cfg := chdb.DefaultConfig(dir)
	cfg.Library = library
	e, err := chdb.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	conn, err := clickhouse.Open(e.Options())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return n, conn.QueryRow(t.Context(), "SELECT sum(hits) FROM hits").Scan(&n)
}

func copyFolder(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, dir string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
}
