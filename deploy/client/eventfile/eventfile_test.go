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

	"github.com/google/go-cmp/cmp"
)

// writeFile writes a file into a folder of its own and returns its path.
func writeFile(t testing.TB, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// readAll returns the events of a file as compact JSON.
func readAll(t testing.TB, path string, m Mapping) ([]string, error) {
	t.Helper()
	r, err := Open(path, m)
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

func TestLines(t *testing.T) {
	t.Parallel()
	got, err := readAll(t, writeFile(t, "a.ndjson", []byte("{\"id\":\"1\"}\n\n  \r\n{\"id\":\"2\"}\r\n{\"id\":\"3\"}")),
		Mapping{})
	if diff := cmp.Diff([]string{`{"id":"1"}`, `{"id":"2"}`, `{"id":"3"}`}, got); err != nil || diff != "" {
		t.Fatal(err, diff)
	}
	long := writeFile(t, "long.ndjson", []byte("{}\n"+strings.Repeat(" ", MaxLine+1)))
	if _, err = readAll(t, long, Mapping{}); err == nil || !strings.Contains(err.Error(), "byte 3") {
		t.Errorf("a line that is too long: got error %v, want one that names byte 3", err)
	}
}

// TestRefused checks the errors for mappings, names and content that cannot be read.
func TestRefused(t *testing.T) {
	t.Parallel()
	typed := Mapping{Type: "t"}
	for name, c := range map[string]struct {
		file, content string
		m             Mapping
		want          string
	}{
		"no type":         {"a.csv", "a\n1\n", Mapping{}, "--type"},
		"kind":            {"a.xlsx", "", typed, "unknown kind of file"},
		"empty":           {"a.csv", "", typed, "empty: the first line has to name the columns"},
		"unnamed column":  {"a.csv", ",a\n0,1\n", typed, "column 1 has no name"},
		"repeated column": {"a.csv", "a,a\n0,1\n", typed, "two columns are named a"},
		"no such column": {"a.csv", "a,b\n", Mapping{Type: "t", ID: "c"},
			"--id c: no such column; the file has a, b"},
		"missing value": {"a.csv", "a,b\n1,2\n3\n", typed, "line 3"},
		"open quote":    {"a.csv", "a\n\"1\n", typed, "line"},
		"not UTF-8":     {"a.csv", "a,b\n1,2\n3,M\xfcnchen\n", typed, "line 3: column b is not UTF-8"},
		"not Parquet":   {"a.parquet", "PAR1 no PAR1", typed, "parquet"},
		"short Parquet": {"a.parquet", "PAR1", typed, "parquet"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := readAll(t, writeFile(t, c.file, []byte(c.content)), c.m)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %q and error %v; want an error that contains %q", got, err, c.want)
			}
		})
	}
}

// FuzzLines checks that every line returned is a part of the file without a line end, and that they come in order.
func FuzzLines(f *testing.F) {
	f.Add([]byte("{}\n\n {\"a\":1}\r\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := Open(writeFile(t, "a.ndjson", text), Mapping{})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for rest := text; ; {
			line, err := r.Next()
			if err != nil {
				return
			}
			start := bytes.Index(rest, line)
			if start < 0 || len(line) == 0 || bytes.ContainsRune(line, '\n') {
				t.Fatalf("%q is not a line of %q", line, text)
			}
			rest = rest[start+len(line):]
		}
	})
}
