package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"recount/batch/lake"
	"recount/schemas/deadletter"
	"recount/schemas/failpoint"
)

const deadLettersConfig = `
landing: {cut_interval: 100ms}
dead_letters: {keep: 72h}
events:
  page.viewed: {fields: {page: string}}
views:
  page_views: {event: page.viewed, dimensions: [page], measures: {views: {count: {}}}}
  refused: {event: recount.dead_letter, measures: {letters: {count: {}}}}
jobs:
  recompute: {schedule: ""}
  collect: {schedule: ""}
  expire: {schedule: ""}
  audit: {schedule: ""}
  recheck: {schedule: ""}
`

// TestDeadLetters follows the rejected events of two tenants. Neither tenant can list, show or
// replay those of the other. After the schema is fixed, several replays at the same time count
// each event once. When the clock has passed dead_letters.keep, their objects are deleted, and
// no other objects. A view over dead letters keeps its numbers. When it is changed afterwards, it has only what is
// left, and answers say how many events retention removed. Verify has no objection.
func TestDeadLetters(t *testing.T) {
	t.Parallel()
	w := newDeadLetterWorld(t)
	w.start(deadLettersConfig)
	for _, key := range []string{w.acme, w.rival} {
		w.send(key, "page.viewed", 5)
		w.send(key, "page.clicked", 3)
	}
	w.waitUntilLanded()
	acme := w.list(w.acme)
	rival := w.list(w.rival)
	if len(acme) != 3 || len(rival) != 3 {
		t.Fatalf("acme sees %d dead letters and rival %d, want 3 each", len(acme), len(rival))
	}
	for i, name := range rival {
		if slices.Contains(acme, name) {
			t.Errorf("both tenants list dead letter %s", name)
		}
		if status, code := w.ask(w.acme, http.MethodGet, "/v1/dead-letters/"+name); status != http.StatusNotFound ||
			code != "unknown_dead_letter" {
			t.Errorf("show another tenant's dead letter: status %d %s, want 404 unknown_dead_letter", status, code)
		}
		if status, _ := w.ask(w.acme, http.MethodPost,
			"/v1/dead-letters/replays?name="+name); status != http.StatusNotFound {
			t.Errorf("replay another tenant's dead letter: status %d, want 404", status)
		}
		if status, _ := w.ask(w.acme, http.MethodGet, "/v1/dead-letters/"+acme[i]); status != http.StatusOK {
			t.Errorf("show the tenant's own dead letter: status %d, want 200", status)
		}
	}

	w.srv.stop(t)
	w.start(strings.Replace(deadLettersConfig, "views:", "  page.clicked: {fields: {page: string}}\nviews:\n  clicks: "+
		"{event: page.clicked, measures: {clicks: {count: {}}}}", 1))
	var replays sync.WaitGroup
	for range 4 {
		replays.Go(func() { w.ask(w.acme, http.MethodPost, "/v1/dead-letters/replays") })
	}
	replays.Wait()
	w.publish()
	w.expectCount(w.acme, "clicks", 3)
	w.expectCount(w.rival, "clicks", 0)

	w.setClock(77 * time.Hour)
	w.publish()
	before := w.objects()
	if err := runJob(w.admin, w.srv.url, "expire"); err != nil {
		t.Fatal(err)
	}
	text, err := metrics(w.admin, w.srv.url)
	if err != nil || !strings.Contains(text, "recount_dead_letters_retired_total 6\n") ||
		!strings.Contains(text, "recount_dead_letters_stored 0\n") {
		t.Errorf("metrics: want 6 dead letters retired and 0 stored; error %v", err)
	}
	after := w.objects()
	gone := slices.DeleteFunc(slices.Clone(before), func(key string) bool { return slices.Contains(after, key) })
	if len(gone) == 0 || slices.ContainsFunc(gone,
		func(key string) bool { return !strings.Contains(key, "type="+deadletter.Type) }) ||
		slices.ContainsFunc(after, func(key string) bool { return strings.Contains(key, "type="+deadletter.Type) }) {
		t.Errorf("want exactly the dead letters' objects deleted; deleted %v, left %v", gone, after)
	}
	for _, key := range []string{w.acme, w.rival} {
		w.expectCount(key, "page_views", 5)
		if left := w.list(key); len(left) != 0 {
			t.Errorf("expired dead letters are still listed: %v", left)
		}
	}
	if status, code := w.ask(w.acme, http.MethodGet, "/v1/dead-letters/"+acme[0]); status != http.StatusGone ||
		code != "expired_dead_letter" {
		t.Errorf("show an expired dead letter: status %d %s, want 410 expired_dead_letter", status, code)
	}
	for _, key := range []string{w.acme, w.rival} {
		w.expectRefused(key, 3, 0)
	}
	w.send(w.acme, "page.closed", 2)
	w.srv.stop(t)
	w.start(strings.Replace(deadLettersConfig, "letters: {count: {}}", "letters: {count: {}}, all: {count: {}}", 1))
	w.publish()
	w.expectRefused(w.acme, 2, 3)
	w.expectRefused(w.rival, 0, 3)
	if err := runJob(w.admin, w.srv.url, "audit"); err != nil {
		t.Errorf("audit: %v", err)
	}
	w.srv.stop(t)
	verify := exec.Command(w.program, "verify", "--config", w.config, "--data-dir", filepath.Join(w.dir, "data"))
	verify.Dir = filepath.Join("..", "..", "..")
	if out, err := verify.CombinedOutput(); err != nil {
		t.Errorf("verify: %v\n%s", err, out)
	}
}

// deadLetterWorld is a server with a clock that the test sets, and the keys of two tenants and
// of the operators.
type deadLetterWorld struct {
	t                 *testing.T
	dir, program      string
	config, clockFile string
	srv               *server
	acme, rival       string
	admin             context.Context
}

func newDeadLetterWorld(t *testing.T) *deadLetterWorld {
	t.Helper()
	w := &deadLetterWorld{t: t, dir: t.TempDir(), program: buildWithFailpoints(t)}
	w.clockFile = filepath.Join(w.dir, "clock")
	w.setClock(0)
	create := func(tenant, scope string) string {
		out, err := exec.Command(binary, "keys", "create", "--keys-file", filepath.Join(w.dir, "keys.json"), "--tenant",
			tenant, "--scope", scope).Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	w.acme = create("acme", "ingest,query")
	w.rival = create("rival", "ingest,query")
	w.admin = withKey(t.Context(), create("ops", "admin"))
	return w
}

// buildWithFailpoints builds the program with a clock that a test can set.
func buildWithFailpoints(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "recount")
	build := exec.Command("go", "build", "-tags", "failpoints", "-o", program, "recount/deploy/recount")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build recount with failpoints: %v\n%s", err, out)
	}
	return program
}

func (w *deadLetterWorld) start(config string) {
	w.t.Helper()
	w.config = writeFile(w.t, filepath.Join(w.dir, "recount.yaml"), config)
	srv, err := launchAs(w.program, []string{failpoint.ClockEnv + "=" + w.clockFile}, w.dir, w.config, "127.0.0.1:0",
		"--auth.keys-file", filepath.Join(w.dir, "keys.json"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(srv.kill)
	w.srv = srv
}

// setClock sets how far the server's clock is ahead.
func (w *deadLetterWorld) setClock(ahead time.Duration) {
	w.t.Helper()
	if err := os.WriteFile(w.clockFile, []byte(ahead.String()), 0o600); err != nil {
		w.t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond) // The server reads the file every 20 ms.
}

func (w *deadLetterWorld) send(key, eventType string, n int) {
	w.t.Helper()
	ctx := withKey(w.t.Context(), key)
	var body strings.Builder
	for i := range n {
		fmt.Fprintf(&body, `{"id":"%s-%d","type":"%s","source":"x","time":"2024-05-01T10:00:00Z",`+
			`"data":{"page":"/"}}`+"\n", eventType, i, eventType)
	}
	a, err := sender(ctx, w.srv.url).SendLines(ctx, []byte(body.String()))
	if err != nil || a.Accepted+len(a.Rejected) != n {
		w.t.Fatal(a, err)
	}
}

func (w *deadLetterWorld) waitUntilLanded() {
	w.t.Helper()
	if err := waitUntilLanded(w.admin, w.srv.url); err != nil {
		w.t.Fatal(err)
	}
}

func (w *deadLetterWorld) publish() {
	w.t.Helper()
	w.waitUntilLanded()
	if err := runJob(w.admin, w.srv.url, "recompute"); err != nil {
		w.t.Fatal(err)
	}
}

func (w *deadLetterWorld) list(key string) (names []string) {
	w.t.Helper()
	ctx := withKey(w.t.Context(), key)
	page, err := asker(ctx, w.srv.url).DeadLetters(ctx, deadletter.Filter{})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, l := range page.Letters {
		names = append(names, l.Name)
	}
	return names
}

func (w *deadLetterWorld) ask(key, method, path string) (status int, code string) {
	status, raw := w.fetch(key, method, path)
	var problem struct{ Code string }
	_ = json.Unmarshal(raw, &problem) // A successful answer has no code.
	return status, problem.Code
}

func (w *deadLetterWorld) fetch(key, method, path string) (int, []byte) {
	req, err := http.NewRequestWithContext(withKey(w.t.Context(), key), method, w.srv.url+path, nil)
	if err != nil {
		w.t.Error(err)
		return 0, nil
	}
	authorize(req)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Error(err)
		return 0, nil
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Error(err)
	}
	return resp.StatusCode, raw
}

func (w *deadLetterWorld) expectCount(key, view string, want int) {
	w.t.Helper()
	a, err := query(withKey(w.t.Context(), key), w.srv.url,
		fmt.Sprintf(`{"view":%q,"from":"2024-05-01T00:00:00Z","to":"2024-05-02T00:00:00Z","mode":"exact"}`, view))
	if err != nil {
		w.t.Fatal(err)
	}
	got := 0
	for _, row := range a.Rows {
		for _, v := range row {
			got += int(v.(float64))
		}
	}
	if got != want {
		w.t.Errorf("view %s: got count %d, want %d", view, got, want)
	}
}

// expectRefused checks how many dead letters the view over them counts, and how many it says that it lacks. The latter
// is a bound, and more if dead letters of one object are in two hours.
func (w *deadLetterWorld) expectRefused(key string, counted, retired int) {
	w.t.Helper()
	a, err := query(withKey(w.t.Context(), key), w.srv.url,
		`{"view":"refused","from":"2020-01-01T00:00:00Z","to":"2100-01-01T00:00:00Z","measures":["letters"],`+
			`"mode":"exact"}`)
	if err != nil {
		w.t.Fatal(err)
	}
	got := 0
	for _, row := range a.Rows {
		got += int(row["letters"].(float64))
	}
	said := int(a.Accuracy.Retired)
	if got != counted || said < retired || said > 2*retired || a.Accuracy.Exact != (retired == 0) {
		w.t.Errorf("view refused: got count %d, %+v; want %d, and %d retired", got, a.Accuracy, counted, retired)
	}
}

// objects stops the server, lists the keys of the lake's data and starts the server again.
func (w *deadLetterWorld) objects() (keys []string) {
	w.t.Helper()
	w.srv.stop(w.t)
	openLake(w.t, filepath.Join(w.dir, "data", "s3"), func(ctx context.Context, store *lake.Store) {
		for info, err := range store.List(ctx, "data/", "") {
			if err != nil {
				w.t.Fatal(err)
			}
			keys = append(keys, info.Key)
		}
	})
	raw, err := os.ReadFile(w.config)
	if err != nil {
		w.t.Fatal(err)
	}
	w.start(string(raw))
	return keys
}
