package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeServer accepts every event after it has refused the first requests with the status codes in refusals.
type fakeServer struct {
	refusals []int
	silent   bool   // silent refuses to say what is declared.
	rejects  string // rejects is what events have that are rejected.
	mu       sync.Mutex
	bodies   [][]byte
}

func (s *fakeServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasPrefix(r.URL.Path, "/v1/event-types/") && s.silent:
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `{"code":"forbidden"}`)
		return
	case r.URL.Path == "/v1/event-types/known":
		fmt.Fprint(w, `{"name":"known","views":[],"declaration":{"fields":{"page":"string","ms":"int64"}}}`)
		return
	case r.URL.Path == "/v1/event-types/seen":
		fmt.Fprint(w, `{"name":"seen","views":[],"discovered":true,`+
			`"declaration":{"fields":{"page":"string","ms":"int64"}}}`)
		return
	case strings.HasPrefix(r.URL.Path, "/v1/event-types/"):
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"code":"unknown_event_type"}`)
		return
	}
	body, err := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil && len(s.refusals) > 0 {
		w.WriteHeader(s.refusals[0])
		fmt.Fprint(w, `{"code":"overloaded"}`)
		s.refusals = s.refusals[1:]
		return
	}
	if s.rejects != "" && bytes.Contains(body, []byte(s.rejects)) { // The body has one event.
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"code":"all_rejected","accepted":0,"rejected":[{"index":0,"id":"3","code":"missing_type"}]}`)
		return
	}
	s.bodies = append(s.bodies, body)
	fmt.Fprintf(w, `{"accepted":%d}`, bytes.Count(body, []byte("\n")))
}

// lines returns how many events the server accepted.
func (s *fakeServer) lines() (n int) {
	for _, b := range s.bodies {
		n += bytes.Count(b, []byte("\n"))
	}
	return n
}

// file writes a file and returns its path.
func file(t *testing.T, path string, content []byte) string {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, content, 0o600)); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestIngest sends files to a server and checks how many events arrive and what the command prints.
func TestIngest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rows := file(t, filepath.Join(dir, "monday", "ev.csv"), []byte("page\n/\n/\n"))
	same := file(t, filepath.Join(dir, "tuesday", "ev.csv"), []byte("page\n/\n/a\n"))
	events := file(t, filepath.Join(dir, "monday", "ev.ndjson"), []byte("{}\n{}\n"))
	more := file(t, filepath.Join(dir, "tuesday", "ev.ndjson"), []byte("{}\n"))
	array := file(t, filepath.Join(dir, "array.json"), []byte("[\n{}]\n"))
	other := file(t, filepath.Join(dir, "other.json"), []byte("x,y\n1,2\n"))
	more3 := file(t, filepath.Join(dir, "more.csv"), []byte("page,ms,note\n/,7,x\n"))
	missing := file(t, filepath.Join(dir, "missing.csv"), []byte("page,ms\n/,NA\n-,8\n/a,\n"))
	local := file(t, filepath.Join(dir, "local.csv"),
		[]byte("at\n27.10.2024 02:30\n31.03.2024 02:30\n01.05.2024 10:00\n"))
	whole := file(t, filepath.Join(dir, "real.ndjson"), []byte(`{"specversion":"1.0","id":"1"}`))
	jsonRows := file(t, filepath.Join(dir, "rows.json"), []byte(`[{"page":"/","t":{"ms":7}}]`))
	cut := file(t, filepath.Join(dir, "cut.csv"), []byte("page\n/\n/\n/\n5\" pipe\n/\n"))
	upper := file(t, filepath.Join(dir, "upper.csv"), []byte("Page\n/\n"))
	number := file(t, filepath.Join(dir, "number.csv"), []byte("page,ms\n404,7\n"))
	broken := file(t, filepath.Join(dir, "broken.csv"), []byte("id,page\n1,/\n2,/\n3,/\n,/\n5,/\n"))
	settings := file(t, filepath.Join(dir, "ex.yaml"), nil)
	for name, c := range map[string]struct {
		args     []string
		refusals []int
		silent   bool
		stdin    string
		code     int
		says     string // says is a part of what is printed, standard output first.
		body     string // body is a part of what is sent.
		accepted int
	}{
		"rows": {args: []string{rows, "--type=t"}, says: "accepted 2, rejected 0\n", accepted: 2},
		"same name": {args: []string{rows, same, "--type=t"}, code: exitFailed,
			says: same + ": it has the same name as " + rows + ", which identifies its rows"},
		"same name with ids":         {args: []string{rows, same, "--type=t", "--id=page"}, accepted: 4},
		"same name with CloudEvents": {args: []string{events, more}, accepted: 3},
		"overloaded at first": {args: []string{events}, refusals: []int{429, 503}, says: "not accepted yet",
			accepted: 2},
		"refused": {args: []string{events}, refusals: []int{413}, code: exitFailed, says: "overloaded"},
		"unknown kind": {args: []string{events, settings}, code: exitUsage, says: "recount: " + settings +
			": unknown kind of file"},
		"no type": {args: []string{events, rows}, code: exitFailed, says: "recount: " + rows +
			": name the event type of its rows with --type\nnothing was sent"},
		"no column": {args: []string{rows, "--type=t", "--id=no"}, code: exitFailed, says: "recount: " +
			rows + ": line 1: --id no: no such column"},
		"mapping without a type": {args: []string{events, "--id=id"}, code: exitUsage, says: "leave them out"},
		"mapping without rows": {args: []string{whole, "--type=t"}, code: exitFailed,
			says: "hold whole CloudEvents; leave"},
		"rows of JSON": {args: []string{jsonRows, "--type=known", "--id=page", "--rename", "t.ms=ms"}, accepted: 1,
			body: `"id":"/","data":{"page":"/","ms":7}`},
		"misspelt column of JSON": {args: []string{jsonRows, "--type=t", "--rename", "t.mss=ms"}, code: exitFailed,
			says: "--rename t.mss: no such column; the file has page, t.ms\nnothing was sent"},
		"an array": {args: []string{events, array}, accepted: 3},
		"bad begin of a later file": {args: []string{events, other}, code: exitFailed, says: other +
			": the file begins with \"x\", which is no JSON object or array; give a file of rows a name that ends " +
			"with .csv, or say --format csv\nnothing was sent\n"},
		"other case": {args: []string{upper, "--type=known"}, code: exitFailed, says: upper + ": line 1: a column is " +
			"named \"Page\", and the event type known has a field page; say --rename \"Page=page\", or --ignore " +
			"\"Page\"\nnothing was sent"},
		"renamed": {args: []string{upper, "--type=known", "--rename", "Page=page"}, accepted: 1,
			body: `"data":{"page":"/"}`},
		"a column that is no field": {args: []string{more3, "--type=known"}, code: exitFailed, says: "line 1: column " +
			"note is no field of known, whose known fields are ms, page; name a field with --rename note=FIELD"},
		"an ignored column": {args: []string{more3, "--type=known", "--ignore=note"}, accepted: 1,
			body: `"data":{"page":"/","ms":7}`},
		"an extra column": {args: []string{more3, "--type=known", "--extra=keep"}, accepted: 1,
			body: `"data":{"page":"/","ms":7,"note":"x"}`},
		"an extra column of a discovered type": {args: []string{more3, "--type=seen"}, accepted: 1,
			body: `"data":{"page":"/","ms":7,"note":"x"}`},
		"an extra column that is refused": {args: []string{more3, "--type=seen", "--extra=refuse"}, code: exitFailed,
			says: "column note is no field of seen"},
		"standard input": {args: []string{"-", "--type=known", "--id=page"}, stdin: "page;ms\n/;7\n", accepted: 1,
			says: "the standard input: separated by semicolons\n", body: `"id":"/","data":{"page":"/","ms":7}`},
		"standard input without ids": {args: []string{"-", "--type=known"}, stdin: "page\n/\n", code: exitFailed,
			says: "the standard input has no name, which would be a part of the ids"},
		"missing values": {args: []string{missing, "--type=known", "--null=NA", "--null=-"}, accepted: 3,
			says: "accepted 3, rejected 0\nrows without a value, of 3: page 1, ms 2\n"},
		"missing values beside a refused row": {args: []string{"-", "--type=known", "--id=page"},
			stdin: "page;ms\n/;\n;7\n", code: exitFailed, accepted: 1, says: "rows without a value, of 1: ms 1\n"},
		"missing values that are not named": {args: []string{missing, "--type=known"}, code: exitFailed,
			says: "column ms holds numbers, and also \"NA\"; if that means a missing value, say --null " +
				"\"NA\"\nnothing"},
		"several columns of the id": {args: []string{number, "--type=known", "--id=page,ms"}, accepted: 1,
			body: `"id":"404/7"`},
		"local times": {args: []string{local, "--type=t", "--time=at", "--time-zone=Europe/Berlin",
			"--time-format=02.01.2006 15:04"}, accepted: 2, code: exitFailed, body: `"time":"2024-10-27T00:30:00Z"`,
			says: "accepted 2, rejected 1\nrejected: invalid_time 1\n1 times were shown twice"},
		"local times without a zone": {args: []string{local, "--type=t", "--time=at", "--time-format=02.01.2006 15:04"},
			code: exitFailed,
			says: "name the zone with --time-zone, such as UTC or Europe/Berlin (no row of the first 3 "},
		"too many rejections": {args: []string{broken, "--type=t", "--id=id", "--max-rejected=0"}, code: exitFailed,
			accepted: 3, says: "stopped, because more events were rejected than --max-rejected allows"},
		"a dry run": {args: []string{number, "--type=t", "--id=page", "--dry-run"}, says: number +
			" begins with\ntype  id   data.page  data.ms\n"},
		"other case of another type": {args: []string{upper, "--type=t"}, accepted: 1,
			says: "rows count at the time of"},
		"types of the server": {args: []string{number, "--type=known", "--id=page"}, accepted: 1,
			body: `"id":"404","data":{"page":"404","ms":7}}`},
		"fields unknown": {args: []string{upper, "--type=known"}, silent: true, accepted: 1,
			says: "the server does not say them"},
		"bad row": {args: []string{broken, rows, "--type=t", "--id=id", "--batch=2", "--rename=page=id2"},
			code: exitFailed,
			says: "--id id: no such column; the file has id2"},
		"a row without an id": {args: []string{broken, "--type=t", "--id=id", "--batch=2"}, code: exitFailed,
			accepted: 4,
			says: "rejected: line 5: column id is empty, but --id makes it the id; give every row an id\n" +
				"recount: rejected 1 event\n"},
		"a bad line": {args: []string{cut, rows, "--type=t", "--batch=2"}, code: exitFailed, accepted: 5,
			says: cut + ": line 5: a quotation mark at byte 2 does not begin or end a value; put the value in " +
				"quotation marks, and double those inside it (sent before it: 3 events; what you send again counts " +
				"once)\n"},
		"a refused request": {args: []string{events, more}, refusals: []int{413}, code: exitFailed,
			says: "accepted 0, rejected 0, not confirmed 2\nrecount: " + events +
				":  (status 413, code \"overloaded\")\nnot sent: " + more + "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &fakeServer{refusals: c.refusals, silent: c.silent}
			srv := httptest.NewServer(s)
			defer srv.Close()
			began := time.Now()
			code, stdout, stderr := commandWith(t, c.stdin, append([]string{"ingest", "--server", srv.URL},
				c.args...)...)
			if code != c.code || !strings.Contains(stdout+stderr, c.says) || s.lines() != c.accepted {
				t.Errorf("exit code %d and %d events, want %d, %d and output with %q:\n%s%s", code, s.lines(), c.code,
					c.accepted, c.says, stdout, stderr)
			}
			if got := string(bytes.Join(s.bodies, nil)); !strings.Contains(got, c.body) {
				t.Errorf("sent %s, want a part %s", got, c.body)
			}
			// Package progress prints nothing during the first five seconds.
			if time.Since(began) < 5*time.Second && strings.Contains(stderr, "0 accepted") {
				t.Errorf("progress was printed for a file that is sent within seconds:\n%s", stderr)
			}
		})
	}
}

// TestIngestWithoutServer checks that a command fails at once when no server listens at the address.
func TestIngestWithoutServer(t *testing.T) {
	t.Parallel()
	path := file(t, filepath.Join(t.TempDir(), "ev.ndjson"), []byte("{}\n"))
	start := time.Now()
	code, stdout, stderr := command(t, "ingest", "--server=http://127.0.0.1:1", path)
	if code != exitFailed || !strings.Contains(stderr, "is a server running? try: recount up") ||
		stdout != "accepted 0, rejected 0, not confirmed 1\n" {
		t.Errorf("exit code %d after %s:\n%s%s", code, time.Since(start), stdout, stderr)
	}
}

// TestIngestLongLines checks that a request ends at maxBody bytes, even if it has few lines.
func TestIngestLongLines(t *testing.T) {
	t.Parallel()
	line := append(bytes.Repeat([]byte(" "), 1<<20), "{}\n"...)
	line[0] = '{'
	line[len(line)-3] = ' '
	s := &fakeServer{}
	srv := httptest.NewServer(s)
	defer srv.Close()
	path := file(t, filepath.Join(t.TempDir(), "ev.ndjson"), slices.Concat(slices.Repeat([][]byte{line}, 20)...))
	if code, stdout, stderr := command(t, "ingest", "--server", srv.URL, path); code != exitOK || s.lines() != 20 {
		t.Errorf("exit code %d, %d events:\n%s%s", code, s.lines(), stdout, stderr)
	}
	for _, b := range s.bodies {
		if len(b) >= maxBody+len(line) {
			t.Errorf("a request has %d bytes, want less than %d", len(b), maxBody+len(line))
		}
	}
}
