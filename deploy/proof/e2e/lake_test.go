package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"recount/batch/lake"
	"recount/deploy/embedded/s3server"
)

// TestAnotherToolReadsTheLake checks that DuckDB reads the committed files as a Hive-partitioned
// dataset and counts the acknowledged events.
func TestAnotherToolReadsTheLake(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("node is not installed; this test runs DuckDB in it")
	}
	dir := t.TempDir()
	srv := start(t, dir, writeFile(t, filepath.Join(dir, "recount.yaml"), crashConfig), "127.0.0.1:0")
	const events, perRequest = 5000, 500
	for i := 0; i < events; i += perRequest {
		var body strings.Builder
		for j := i; j < i+perRequest; j++ {
			fmt.Fprintf(&body, `{"specversion":"1.0","id":"%d","source":"lake","type":"hit",`+
				`"time":"2024-01-01T00:%02d:00Z","data":{"page":"/","ms":1,"unknown":[%d]}}`+"\n", j, j%60, j)
		}
		if _, err := sender(t.Context(), srv.url).SendLines(t.Context(), []byte(body.String())); err != nil {
			t.Fatal(err)
		}
	}
	err := eventually(t.Context(), func() error {
		a, err := query(t.Context(), srv.url,
			`{"view":"hits","from":"2024-01-01T00:00:00Z","to":"2024-01-02T00:00:00Z","mode":"exact"}`)
		if err == nil && (len(a.Rows) == 0 || a.Rows[0]["hits"].(float64) != events) {
			err = fmt.Errorf("exact answer: %v, want %d hits", a.Rows, events)
		}
		return err
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, srv.logs)
	}
	srv.stop(t)

	copied := copyLake(t, filepath.Join(dir, "data", "s3"))
	out, err := exec.Command("node", "duckdb.mjs", copied).CombinedOutput()
	if err != nil {
		t.Fatalf("DuckDB: %v\n%s", err, out)
	}
	var rows []map[string]any
	if err := json.Unmarshal(out, &rows); err != nil {
		t.Fatalf("DuckDB printed no JSON: %s", out)
	}
	got := fmt.Sprint(rows)
	want := fmt.Sprintf("[map[days:1 events:%d first:2024-01-01 00:00:00+00 ids:%d ms:%d type:hit]]", events, events,
		events)
	if got != want {
		t.Errorf("DuckDB counts %s, want %s", got, want)
	}
}

// TestLostObjectIsRebuilt deletes a landed object that is not published yet (C8). The next
// recompute must write it again from the log.
func TestLostObjectIsRebuilt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config := writeFile(t, filepath.Join(dir, "recount.yaml"), strings.Replace(crashConfig, `"@every 1s"`, `""`, 1))
	srv := start(t, dir, config, "127.0.0.1:0")
	sendHits(t, srv, 0, 1000)
	if err := waitUntilLanded(t.Context(), srv.url); err != nil {
		t.Fatal(err)
	}
	srv.stop(t)
	openLake(t, filepath.Join(dir, "data", "s3"), func(ctx context.Context, store *lake.Store) {
		for info, err := range store.List(ctx, "data/", "") {
			if err != nil {
				t.Fatal(err)
			}
			if err := store.Delete(ctx, info.Key); err != nil {
				t.Fatal(err)
			}
			return
		}
		t.Fatal("the lake is empty")
	})
	srv = start(t, dir, config, "127.0.0.1:0")
	if err := runJob(t.Context(), srv.url, "recompute"); err != nil {
		t.Fatalf("%v\n%s", err, srv.logs)
	}
	expectHits(t, srv, "exact", 1000)
	srv.stop(t)
}

// TestLongestTypesLand sends events of the longest type names. Escaped, they are too long for a file name. They must
// land and count, and the lake must list the keys that every other store has.
func TestLongestTypesLand(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	types := []string{strings.Repeat("A", 128), strings.Repeat("A", 127) + "a"}
	srv := start(t, dir, writeFile(t, filepath.Join(dir, "recount.yaml"), "landing: {cut_interval: 100ms}\n"+
		"events: {"+types[0]+": {fields: {page: string}}, "+types[1]+": {fields: {page: string}}}\n"+
		"views: {one: {event: "+types[0]+", measures: {n: {count: {}}}}, two: {event: "+types[1]+
		", measures: {n: {count: {}}}}}\n"+
		"jobs: {recompute: {schedule: \"\"}, collect: {schedule: \"\"}, expire: {schedule: \"\"}}\n"), "127.0.0.1:0")
	for _, name := range types {
		status, said := postTo(t, srv.url+"/v1/events", "application/json", fmt.Sprintf(
			`{"id":"1","source":"s","type":"%s","time":"2024-01-01T10:00:00Z","data":{"page":"/"}}`, name))
		if status != http.StatusOK {
			t.Fatalf("status %d, %s", status, said)
		}
	}
	publishNow(t, srv)
	for _, view := range []string{"one", "two"} {
		a, err := query(t.Context(), srv.url,
			`{"view":"`+view+`","from":"2024-01-01T00:00:00Z","to":"2024-01-02T00:00:00Z","mode":"exact"}`)
		if err != nil || len(a.Rows) != 1 || fmt.Sprint(a.Rows[0]["n"]) != "1" {
			t.Errorf("the exact answer of %s is %v, %v", view, a.Rows, err)
		}
		status, said := postTo(t, srv.url+"/v1/sql", "text/plain", "SELECT sum(n) FROM "+view+" FORMAT CSV")
		if status != http.StatusOK || said != "1\n" {
			t.Errorf("SQL of %s: status %d, %s", view, status, said)
		}
	}
	for _, name := range types { // The Iceberg tables follow the publication.
		hint, err := s3server.ObjectFile(filepath.Join(dir, "data", "s3"), "recount",
			"iceberg/type="+name+"/metadata/version-hint.text")
		if err == nil {
			err = eventually(t.Context(), func() error {
				_, err := os.Stat(hint)
				return err
			})
		}
		if err != nil {
			t.Error(err)
		}
	}
	srv.stop(t)
	openLake(t, filepath.Join(dir, "data", "s3"), func(ctx context.Context, store *lake.Store) {
		for _, name := range types {
			for _, prefix := range []string{"data/type=", "schema/type=", "iceberg/type="} {
				found := 0
				for info, err := range store.List(ctx, prefix+name+"/", "") {
					if err == nil {
						_, err = store.Get(ctx, info.Key)
					}
					if err != nil {
						t.Fatal(err)
					}
					found++
				}
				if found == 0 {
					t.Errorf("no object below %s%s", prefix, name)
				}
			}
		}
	})
}

// openLake calls f with the object store of a stopped server.
func openLake(t *testing.T, s3dir string, f func(context.Context, *lake.Store)) {
	t.Helper()
	ctx := context.Background()
	server, err := s3server.Open(s3server.DefaultConfig(s3dir))
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	cfg := lake.DefaultConfig("")
	cfg.Endpoint = server.Endpoint()
	cfg.Bucket = "recount"
	cfg.PathStyle = true
	cfg.AccessKey = server.Credentials().AccessKey
	cfg.SecretKey = server.Credentials().SecretKey
	store, err := lake.Open(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	f(ctx, store)
}

// copyLake copies the objects of a stopped server's lake into plain files.
func copyLake(t *testing.T, s3dir string) string {
	t.Helper()
	folder := t.TempDir()
	openLake(t, s3dir, func(ctx context.Context, store *lake.Store) {
		for info, err := range store.List(ctx, "data/", "") {
			if err != nil {
				t.Fatal(err)
			}
			raw, err := store.Get(ctx, info.Key)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(folder, filepath.FromSlash(info.Key))
			if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, raw, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	})
	return folder
}
