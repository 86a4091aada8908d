package e2e

import (
	"bufio"
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

var (
	configExample = regexp.MustCompile("(?s)```yaml\n(.*?)```")
	// apiExample is a request and the answer after it: the request, the status and the answer's body.
	apiExample = regexp.MustCompile("(?s)```http\n((?:GET|POST|PUT|DELETE) .*?)\n```\n\n```http\n" +
		"HTTP/1.1 (\\d+) (.*?)```")
	// madeName is a name that is another one in each run: of a dead letter, or of positions in the log.
	madeName = regexp.MustCompile(`"(?:dead_letter|receipt)": ?"([^"]+)"`)
)

// TestAPIExamples sends the requests of serving/API.md to a server with the configuration of that
// page. Each must get the status that the page shows. The page must name all codes of problems.
func TestAPIExamples(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(filepath.Join("..", "..", "..", "serving", "API.md"))
	if err != nil {
		t.Fatal(err)
	}
	page := string(raw)
	for _, code := range problem.Codes {
		if !strings.Contains(page, "`"+string(code)+"`") {
			t.Errorf("the page lacks the code %s", code)
		}
	}
	if blocks := strings.Count(page, "```http"); blocks != 2*len(apiExample.FindAllString(page, -1)) {
		t.Fatalf("%d blocks are no pairs of a request and an answer", blocks)
	}
	before, rest, found := strings.Cut(page, undeclaredExamples)
	undeclared, after, ended := strings.Cut(rest, "\n### ")
	if !found || !ended {
		t.Fatalf("the page lacks %s", undeclaredExamples)
	}
	playExamples(t, before+after, configExample.FindStringSubmatch(page)[1])
	playExamples(t, undeclared, "")
}

// undeclaredExamples begins the examples for a server without a configuration.
const undeclaredExamples = "\n### What happens to an unknown event type?"

// playExamples sends the requests of a text to a server with the configuration.
func playExamples(t *testing.T, text, configuration string) {
	t.Helper()
	examples := apiExample.FindAllStringSubmatch(text, -1)
	if len(examples) == 0 {
		t.Fatal("no examples")
	}
	dir := t.TempDir()
	s := start(t, dir, writeFile(t, filepath.Join(dir, "recount.yaml"), configuration), "127.0.0.1:0")
	var names []string // the made names on the page, each with the name in this run
	for _, e := range examples {
		request := strings.NewReplacer(names...).Replace(e[1])
		var body string
		if err := eventually(t.Context(), func() (err error) { // Events may have to land first.
			body, err = sendExample(s.url, request, e[2])
			return err
		}); err != nil {
			t.Errorf("%s\n%v", request, err)
		}
		got := madeName.FindAllStringSubmatch(body, -1)
		for i, shown := range madeName.FindAllStringSubmatch(e[3], -1) {
			if i < len(got) {
				names = append(names, shown[1], got[i][1])
			}
		}
	}
	s.stop(t)
}

// sendExample sends a request and returns the answer's body, or an error if it has another status.
func sendExample(url, text, status string) (string, error) {
	head, body, _ := strings.Cut(text, "\n\n")
	line, header, _ := strings.Cut(head, "\n")
	text = fmt.Sprintf("%s HTTP/1.1\nContent-Length: %d\n%s\n\n%s", line, len(body), header, body)
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(strings.Replace(text, "\n\n\n", "\n\n", 1))))
	if err != nil {
		return "", err
	}
	r.RequestURI = ""
	r.URL.Scheme, r.URL.Host, _ = strings.Cut(url, "://")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	if answer.Header.Get("Content-Type") == "text/event-stream" {
		first, _, err := nextEvent(bufio.NewReader(answer.Body)) // The stream has no end.
		return first, err
	}
	raw, err := io.ReadAll(answer.Body)
	if err == nil && (fmt.Sprint(answer.StatusCode) != status || strings.Contains(string(raw), "has landed;")) {
		err = fmt.Errorf("got %s, want %s: %s", answer.Status, status, raw)
	}
	return string(raw), err
}
