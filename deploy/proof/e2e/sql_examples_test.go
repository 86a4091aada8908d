package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"recount/schemas/problem"
)

// fence is a block of code of a page, with its language.
var fence = regexp.MustCompile("(?s)```(\\w+)\n(.*?)```")

// TestSQLExamples runs serving/SQL.md from top to bottom: it sends the events, publishes those of the first block, and
// compares the result of each statement with the block after it.
func TestSQLExamples(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(filepath.Join("..", "..", "..", "serving", "SQL.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := fence.FindAllStringSubmatch(string(raw), -1)
	dir := t.TempDir()
	var s *server
	published := false
	statements := 0
	for i, b := range blocks {
		language := b[1]
		text := b[2]
		switch language {
		case "yaml":
			s = start(t, dir, writeFile(t, filepath.Join(dir, "recount.yaml"), text), "127.0.0.1:0")
		case "ndjson":
			s.mustSend(t, text)
			if !published {
				s.mustPublish(t, strings.Count(text, "\n"))
				published = true
			}
		case "sql", "http":
			statements++
			want := blocks[i+1]
			if want[1] != "text" {
				t.Fatalf("no result after %s", text)
			}
			compareResult(t, s, language, text, want[2])
		}
	}
	if statements < 10 {
		t.Errorf("only %d statements", statements)
	}
	s.stop(t)
}

// mustSend sends lines of events.
func (s *server) mustSend(t *testing.T, lines string) {
	t.Helper()
	body, err := sendExample(s.url, "POST /v1/events\nContent-Type: application/x-ndjson\n\n"+lines, "200")
	if err != nil {
		t.Fatal(body, err)
	}
}

// mustPublish runs the job recompute until a publication has so many events.
func (s *server) mustPublish(t *testing.T, events int) {
	t.Helper()
	err := eventually(t.Context(), func() error {
		body, err := sendExample(s.url, "POST /v1/jobs/recompute/runs\nContent-Type: application/json\n\n", "200")
		var run struct{ Message string }
		if err == nil {
			err = json.Unmarshal([]byte(body), &run)
		}
		if err == nil && !strings.HasPrefix(run.Message, fmt.Sprintf("%d events", events)) {
			err = errors.New(body)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// compareResult sends a statement, or a request with one, and compares the answer with the page.
func compareResult(t *testing.T, s *server, language, text, want string) {
	t.Helper()
	request := "POST /v1/sql\nContent-Type: text/plain\nAccept: text/csv\n\n" + text
	if language == "http" {
		request = text
	}
	status, code, isProblem := strings.Cut(strings.TrimSpace(want), " ")
	if !isProblem || len(status) != 3 {
		got, err := sendExample(s.url, request, "200")
		if err != nil || got != want {
			t.Errorf("%s\ngot  %s\nwant %s%v", text, got, want, err)
		}
		return
	}
	answer, err := http.Post(s.url+"/v1/sql", "text/plain", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	var p problem.Problem
	if err = errors.Join(err, json.Unmarshal(body, &p)); err != nil || fmt.Sprint(p.Status) != status ||
		string(p.Code) != code {
		t.Errorf("%s\ngot %s, want %s", text, body, want)
	}
}
