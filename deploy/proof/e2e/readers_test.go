package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"recount/schemas/openapi"
)

// TestOtherProgramsReadTheLake reads the lake of a running server with every client of deploy/proof/readers that is
// installed: as plain files, over the S3 address, and as an Iceberg table, also as of an earlier publication. The files
// of the second half have columns more, because fields were declared between them.
func TestOtherProgramsReadTheLake(t *testing.T) {
	t.Parallel()
	python := os.Getenv("RECOUNT_READERS_PYTHON")
	if python == "" {
		t.Skip("RECOUNT_READERS_PYTHON names no Python with the clients of deploy/proof/readers/requirements.txt")
	}
	dir := t.TempDir()
	address := reserve(t)
	const events = 2000
	send := func(srv *server, first int) {
		var lines strings.Builder
		for i := first; i < first+events; i++ {
			fmt.Fprintf(&lines, `{"specversion":"1.0","id":"%d","source":"e2e","type":"hit",`+
				`"time":"2024-01-01T10:%02d:00.%06dZ","data":{"page":"/é","user":"u","ms":%d,"kind":"k",`+
				`"price":"-%d.05","at":"1970-01-01T00:00:00.000001Z","ok":%v,"x":%d.5}}`+"\n",
				i, i%60, i, i, i, i%2 == 0, i)
		}
		if _, err := sender(t.Context(), srv.url).SendLines(t.Context(), []byte(lines.String())); err != nil {
			t.Fatal(err)
		}
		publishNow(t, srv)
	}
	srv := start(t, dir, writeFile(t, filepath.Join(dir, "first.yaml"), crashConfig), "127.0.0.1:0")
	send(srv, 0)
	earlier := newestPublication(t, srv)
	if _, err := asker(t.Context(), srv.url).PinPublication(t.Context(), earlier); err != nil {
		t.Fatal(err)
	}
	srv.stop(t)
	changed := strings.Replace(crashConfig, "ms: int64}",
		`ms: int64, kind: string, price: "decimal(12, 2)", at: timestamp, ok: bool, x: float64}`, 1)
	srv = start(t, dir, writeFile(t, filepath.Join(dir, "second.yaml"), changed), "127.0.0.1:0",
		"--object-store.listen", address)
	send(srv, events)

	credentials := filepath.Join(dir, "data", "s3", "reader-credentials")
	out := runReaders(t, python, "readers.py", filepath.Join(dir, "data", "s3", "objects", "recount"), "hit", "kind",
		"http://"+address, credentials)
	row := regexp.MustCompile(fmt.Sprintf(`\| (folder|S3) \| %d \| %d \| %d \| \d \|`, 2*events, 2*events, events))
	if rows := len(row.FindAllString(out, -1)); rows < 2 || rows != strings.Count(out, "\n| ") {
		t.Errorf("every client must find %d ids, in the folder and over S3:\n%s", 2*events, out)
	}

	waitForTables(t, srv)
	out = runReaders(t, python, "tables.py", "hit", "http://"+address, credentials, fmt.Sprint(earlier))
	row = regexp.MustCompile(fmt.Sprintf(`\| (newest \| %d|as of %d \| %d) \| \d+ \| equal \|`, 2*events, earlier,
		rowsOf(t, srv, earlier)))
	if rows := len(row.FindAllString(out, -1)); rows < 2 || rows != strings.Count(out, "\n| ") {
		t.Errorf("every client must find the rows of each publication in the table:\n%s", out)
	}
	srv.stop(t)
}

// runReaders runs a script of deploy/proof/readers, and returns the table that it prints.
func runReaders(t *testing.T, python, script string, args ...string) string {
	t.Helper()
	readers := exec.CommandContext(t.Context(), python, append([]string{"-B",
		filepath.Join("..", "readers", script)}, args...)...)
	var messages strings.Builder
	readers.Stderr = &messages
	out, err := readers.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 3 {
		t.Skip("no client is installed in " + python)
	}
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", script, err, out, &messages)
	}
	t.Logf("\n%s", out)
	return string(out)
}

// newestPublication returns the number of the newest publication.
func newestPublication(t *testing.T, srv *server) (n uint64) {
	t.Helper()
	all, err := asker(t.Context(), srv.url).Publications(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		n = max(n, p.N)
	}
	return n
}

// rowsOf returns the rows of the objects of hits that a publication counts.
func rowsOf(t *testing.T, srv *server, n uint64) (rows int64) {
	t.Helper()
	resp, err := http.Get(fmt.Sprintf("%s/v1/publications/%d?objects=hit", srv.url, n))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var p openapi.Publication
	if err := json.NewDecoder(resp.Body).Decode(&p); err != nil {
		t.Fatal(err)
	}
	for _, o := range p.Objects {
		rows += o.Rows
	}
	return rows
}

// waitForTables waits until the Iceberg tables have the newest publication.
func waitForTables(t *testing.T, srv *server) {
	t.Helper()
	newest := newestPublication(t, srv)
	if err := eventually(t.Context(), func() error {
		text, err := metrics(t.Context(), srv.url)
		if err != nil {
			return err
		}
		found := regexp.MustCompile(`(?m)^recount_iceberg_publication (\d+)$`).FindStringSubmatch(text)
		if found == nil {
			return errors.New("no metric says which publication the tables have")
		}
		if n, err := strconv.ParseUint(found[1], 10, 64); err != nil || n < newest {
			return fmt.Errorf("the tables have publication %s, want %d", found[1], newest)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
