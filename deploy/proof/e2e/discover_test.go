package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"recount/deploy/embedded/chdb"
	"recount/schemas/record"
)

// firstCommands are what recount up says for a first event and its count.
var firstCommands = regexp.MustCompile(`curl (\S+) -H 'Content-Type: ([^']+)' -d '([^']+)'\n +\S+ (query [^\n]+)\n`)

// upBare runs recount up in a folder without a configuration. It returns so many lines that the server has printed.
func upBare(t *testing.T, dir string, lines int) (s *server, said string) {
	t.Helper()
	library, err := chdb.Find("")
	if err != nil {
		t.Fatal(err)
	}
	logs, err := os.Create(filepath.Join(dir, "server.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer logs.Close()
	s = &server{logs: output(logs.Name()), done: make(chan error, 1), cmd: exec.Command(binary, "up", "--listen",
		"127.0.0.1:0")}
	s.cmd.Dir = dir
	s.cmd.Env = append(os.Environ(), "RECOUNT_CLICKHOUSE_LIBRARY="+library)
	s.cmd.Stderr = logs
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(out)
	for range lines {
		line, err := reader.ReadString('\n')
		if err != nil {
			t.Errorf("%v after %q; its log:\n%s", err, said, s.logs)
			break
		}
		said += line
	}
	go func() {
		_, _ = io.Copy(io.Discard, reader)
		s.done <- s.cmd.Wait()
	}()
	t.Cleanup(s.kill)
	if found := urlLine.FindStringSubmatch(said); found != nil {
		s.url = found[1]
	}
	return s, said
}

// postTo sends events and returns the status and the answer.
func postTo(t *testing.T, url, media, body string) (int, string) {
	t.Helper()
	answer, err := http.Post(url, media, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(raw)
}

// TestFirstMinute runs recount up in an empty folder, and then what it says to run.
func TestFirstMinute(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, said := upBare(t, dir, 5)
	commands := firstCommands.FindStringSubmatch(said)
	if commands == nil {
		t.Fatalf("it says %s", said)
	}
	if status, got := postTo(t, commands[1], commands[2], commands[3]); status != http.StatusOK ||
		!strings.Contains(got, `"discovered":[{"name":"page.viewed","view":"page_viewed"`) {
		t.Errorf("the first event: status %d, %s", status, got)
	}
	if err := eventually(t.Context(), func() error {
		out, err := exec.Command(binary, strings.Fields(commands[4])...).Output()
		if err == nil && !regexp.MustCompile(`^time +count .*\n\S+Z +1 +1\n`).Match(out) {
			err = fmt.Errorf("recount %s prints %s", commands[4], out)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	s.stop(t)
	s, said = upBare(t, dir, 2)
	_, got := postTo(t, s.url+"/v1/events", "application/json", `{"id":"2","type":"page.viewed"}`)
	if strings.Contains(got, "discovered") || !strings.Contains(got, `"accepted":1`) {
		t.Errorf("after a start that says %s, the next event: %s", said, got)
	}
	s.stop(t)
}

// TestFirstCountLater sends the first event of a type, and declares a view, after a publication was made without them.
// Their counts come at once, and not with the next scheduled run, which is a minute or more away.
func TestFirstCountLater(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config := writeFile(t, filepath.Join(dir, "recount.yaml"), "jobs: {recompute: {schedule: \"0 0 29 2 *\"}}\n")
	s := start(t, dir, config, "127.0.0.1:0")
	if err := runJob(t.Context(), s.url, "recompute"); err != nil {
		t.Fatal(err)
	}
	answers := func(view string) {
		t.Helper()
		if err := eventually(t.Context(), func() error {
			out, err := exec.Command(binary, "query", view, "--server", s.url, "--format", "json").CombinedOutput()
			if err == nil && !strings.Contains(string(out), `"count":1`) {
				err = errors.New("no count of 1")
			}
			if err != nil {
				err = fmt.Errorf("%w: %s", err, out)
			}
			return err
		}); err != nil {
			t.Error(err)
		}
	}
	postTo(t, s.url+"/v1/events", "application/json", `{"id":"1","type":"page.viewed","data":{"page":"/"}}`)
	answers("page_viewed")
	postTo(t, s.url+"/v1/events", "application/json", `{"id":"1","type":"cart.filled","data":{"page":"/"}}`)
	answers("cart_filled")
	create := exec.Command(binary, "views", "create", "by_page", "--type", "page.viewed", "--by", "page",
		"--server", s.url)
	if out, err := create.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	answers("by_page")
	s.stop(t)
}

// TestDiscoverKilled kills the server as soon as a generation that declares a new type is stored, which is before the
// event is acknowledged. The client sends it again, and it counts once.
func TestDiscoverKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config := writeFile(t, filepath.Join(dir, "recount.yaml"), "jobs: {recompute: {schedule: \"\"}}\n")
	listen := reserve(t)
	unanswered := 0
	const rounds = 6
	s := start(t, dir, config, listen)
	for round := range rounds {
		event := fmt.Sprintf(`{"id":"1","type":"type%d","time":"2024-05-01T10:00:00Z","data":{"a":1}}`, round)
		generation := filepath.Join(dir, "data", "s3", "objects", "recount", record.GenerationKey(uint64(round+2)))
		acknowledged := make(chan bool, 1)
		go func() {
			answer, err := http.Post(s.url+"/v1/events", "application/json", strings.NewReader(event))
			if err == nil {
				answer.Body.Close()
			}
			acknowledged <- err == nil && answer.StatusCode == http.StatusOK
		}()
		if err := eventuallySoon(t.Context(), func() error {
			_, err := os.Stat(generation)
			return err
		}); err != nil {
			t.Fatalf("%v; the log of the server:\n%s", err, s.logs)
		}
		s.kill()
		if !<-acknowledged {
			unanswered++
		}
		s = start(t, dir, config, listen)
		if status, got := postTo(t, s.url+"/v1/events", "application/json", event); status != http.StatusOK ||
			strings.Contains(got, "discovered") {
			t.Errorf("round %d, sent again: status %d, %s", round, status, got)
		}
	}
	t.Logf("%d of %d requests were killed before their answer", unanswered, rounds)
	for round := range rounds {
		q := fmt.Sprintf(`{"view":"type%d","from":"2024-05-01T00:00:00Z","to":"2024-05-02T00:00:00Z"}`, round)
		if err := eventually(t.Context(), func() error {
			a, err := query(t.Context(), s.url, q)
			if err == nil && (len(a.Rows) != 1 || fmt.Sprint(a.Rows[0]["count"]) != "1") {
				err = fmt.Errorf("type%d: got %v", round, a.Rows)
			}
			return err
		}); err != nil {
			t.Error(err)
		}
	}
	s.stop(t)
}

// eventuallySoon is eventually without pauses.
func eventuallySoon(ctx context.Context, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := try()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return errors.Join(ctx.Err(), err)
		}
	}
}

// TestDiscoverHostile sends what discovery must bound. Nothing of it may end the process, grow the catalog beyond its
// bounds, or refuse a good event.
func TestDiscoverHostile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, dir, writeFile(t, filepath.Join(dir, "recount.yaml"),
		"discovery: {interval: 100ms, max_types: 20}\njobs: {recompute: {schedule: \"\"}}\n"), "127.0.0.1:0")
	send := func(what, body string, want int, says string) {
		t.Helper()
		status, got := postTo(t, s.url+"/v1/events", "application/x-ndjson", body)
		if status != want || !strings.Contains(got, says) {
			t.Errorf("%s: status %d, %.500s; want %d with %s", what, status, got, want, says)
		}
	}
	event := func(id int, name, data string) string {
		return fmt.Sprintf(`{"id":"%d","type":"%s","data":%s}`+"\n", id, name, data)
	}
	members := func(from, to int) string {
		var parts []string
		for i := from; i < to; i++ {
			parts = append(parts, fmt.Sprintf(`"member%d":%d`, i, i))
		}
		return "{" + strings.Join(parts, ",") + "}"
	}
	send("10,000 members in one event", event(1, "wide", members(0, 10_000)), http.StatusBadRequest, "too_many_fields")
	var wide strings.Builder
	for i := range 20 {
		wide.WriteString(event(i, "wide", members(i*500, i*500+500)))
	}
	send("10,000 members in 20 events", wide.String(), http.StatusOK, `"accepted":20`)
	send("depth 1,000", event(1, "deep", strings.Repeat(`{"a":`, 1000)+"1"+strings.Repeat("}", 1000)),
		http.StatusBadRequest, "too_deep")
	send("depth 20", event(1, "deep", strings.Repeat(`{"a":`, 20)+"1"+strings.Repeat("}", 20)), http.StatusOK,
		`"declaration":{"fields":{}}`)
	send("a name of 1 MB", event(1, "long", `{"`+strings.Repeat("x", 1<<20)+`":1}`), http.StatusBadRequest,
		"event_too_large")
	send("a name of 100 kB", event(1, "long", `{"`+strings.Repeat("x", 100<<10)+`":1,"y":2}`), http.StatusOK,
		`"declaration":{"fields":{"y":"int64"}}`)
	send("names that look alike", event(1, "alike", `{"name":1,"Name":2,"NAME ":3,"n\u0430me":4,"na\u200dme":5}`),
		http.StatusOK, `"accepted":1`)
	send("a name twice", event(1, "twice", `{"n":1,"\u006e":2}`), http.StatusBadRequest, "duplicate_key")
	var many strings.Builder
	for i := range 100_000 {
		many.WriteString(event(i, fmt.Sprint("type", i), `{"a":1}`))
	}
	send("100,000 types", many.String(), http.StatusOK, "discovery.max_types allows no further event type")
	send("a known type", event(99, "wide", `{"member1":1}`), http.StatusOK, `"accepted":1`)
	answer, err := http.Get(s.url + "/v1/catalog")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	if got := strings.Count(string(raw), `"fields":`); err != nil || got != 20 {
		t.Errorf("%d event types are declared, want 20: %v", got, err)
	}
	if got := strings.Count(string(raw), `"member`); got != 100 {
		t.Errorf("%d fields of wide are declared, want 100", got)
	}
	s.stop(t)
}
