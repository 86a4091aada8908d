package eventfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"recount/deploy/client/eventfile/input"
	"recount/deploy/client/eventfile/table"
)

// writeFile writes a file into a folder of its own and returns its path.
func writeFile(t testing.TB, name string, content []byte) string {
	t.Helper()
	return writeFileIn(t, t.TempDir(), name, content)
}

// writeFileIn writes a file into a folder and returns its path.
func writeFileIn(t testing.TB, folder, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(folder, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// readAll returns the events of a file as compact JSON.
func readAll(t testing.TB, path string, m Mapping) ([]string, error) {
	t.Helper()
	r, err := Open(input.Local(path), m)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}()
	var out []string
	for {
		line, err := r.Next()
		if errors.Is(err, io.EOF) {
			if done, total := r.Progress(); done != total {
				t.Errorf("%s: progress at the end is %d of %d", path, done, total)
			}
			return out, nil
		}
		if err != nil {
			return out, err
		}
		if !json.Valid(line) {
			t.Fatalf("a line is not JSON: %s", line)
		}
		out = append(out, string(line))
	}
}

// idColumns returns the columns of the id, given as at most one name.
func idColumns(name string) []string {
	if name == "" {
		return nil
	}
	return []string{name}
}

func TestLines(t *testing.T) {
	t.Parallel()
	got, err := readAll(t, writeFile(t, "a.ndjson", []byte("{\"id\":\"1\"}\n\n  \r\n{\"id\":\"2\"}\r\n{\"id\":\"3\"}")),
		Mapping{})
	if diff := cmp.Diff([]string{`{"id":"1"}`, `{"id":"2"}`, `{"id":"3"}`}, got); err != nil || diff != "" {
		t.Fatal(err, diff)
	}
	long := writeFile(t, "long.ndjson", []byte("{}\n"+strings.Repeat(" ", table.MaxLine+1)))
	if _, err = readAll(t, long, Mapping{}); err == nil || !strings.Contains(err.Error(), "line 2, byte 3") {
		t.Errorf("a line that is too long: got error %v, want one that names line 2", err)
	}
}

// FuzzLines checks that every line returned is one JSON object without a line end, or a line of the file.
func FuzzLines(f *testing.F) {
	f.Add([]byte("{}\n\n {\"a\":1}\r\n"))
	f.Add([]byte("[{},\n{\"a\":1}]"))
	f.Add([]byte("{\n\"a\":1}{}"))
	f.Fuzz(func(t *testing.T, content []byte) {
		r, err := Open(input.Local(writeFile(t, "a.ndjson", content)), Mapping{})
		if err != nil {
			return // The text does not begin like JSON.
		}
		defer r.Close()
		for {
			line, err := r.Next()
			if err != nil {
				return
			}
			if len(line) == 0 || bytes.ContainsRune(line, '\n') || !json.Valid(line) && utf8.Valid(content) &&
				!bytes.Contains(content, line) {
				t.Fatalf("%q is no line of %q", line, content)
			}
		}
	})
}
