package server

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"recount/deploy/client/acklog"
	"recount/schemas/problem"
)

// TestAckLogIsNotCut sends acknowledgement logs. A log above the limit is refused, although the limit is
// between two lines. A log that arrives more slowly than other bodies may is read.
func TestAckLogIsNotCut(t *testing.T) {
	t.Parallel()
	const line = `{"kind":"acked","run":"r","first":0,"count":1}` + "\n"
	limit := int64(2 * len(line))
	cfg := DefaultHTTPConfig()
	shortBody(&cfg)
	addr, _ := listenHTTP(t, cfg, func(w http.ResponseWriter, r *http.Request) {
		if err := acklog.Read(newAckLog(w, r, limit, time.Minute), func(acklog.Line) error { return nil }); err != nil {
			problem.Write(w, ackLogProblem(err))
		}
	})
	for lines, want := range map[int]int{2: http.StatusOK, 3: http.StatusRequestEntityTooLarge} {
		resp, err := http.Post("http://"+addr, "application/x-ndjson", strings.NewReader(strings.Repeat(line, lines)))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%d lines of at most 2: status %d, want %d", lines, resp.StatusCode, want)
		}
	}
	resp, err := http.Post("http://"+addr, "application/x-ndjson",
		io.MultiReader(strings.NewReader(line), late{3 * short}, strings.NewReader(line)))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("a log whose second half arrives late: status %d", resp.StatusCode)
	}
}

// late is a reader that waits and then ends.
type late struct{ after time.Duration }

func (l late) Read([]byte) (int, error) {
	time.Sleep(l.after)
	return 0, io.EOF
}
