package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"recount/deploy/client/acklog"
	"recount/schemas/openapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const viewsAnswer = `{"views":[{"name":"v","event":"e","cell":"1m",` +
	`"dimensions":[{"name":"page","type":"string"}],"measures":[{"name":"n","kind":"count","type":"int64"}]}]}`

// fakeServer starts a server that answers like recount, and returns its address. answer handles each body of events.
func fakeServer(t testing.TB, answer func(body []byte, w http.ResponseWriter)) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/views",
		func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, viewsAnswer) })
	mux.HandleFunc("POST /v1/query",
		func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Recount-Accuracy", "{}")
			_, _ = io.WriteString(w, `{"rows":[]}`+"\n")
		})
	mux.HandleFunc("POST /v1/events", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		answer(body, w)
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}

// accept acknowledges every event.
func accept(body []byte, w http.ResponseWriter) {
	fmt.Fprintf(w, `{"accepted":%d,"rejected":[],"receipt":"AQ"}`, bytes.Count(body, []byte("\n")))
}

// run sends a load and returns its summary and acknowledgement log.
func run(t *testing.T, c Config) (*Summary, []acklog.Line) {
	t.Helper()
	var file bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, err := Run(ctx, c, Options{AckLog: &file})
	if err != nil {
		t.Fatal(err)
	}
	var lines []acklog.Line
	if err := acklog.Read(&file, func(l acklog.Line) error {
		lines = append(lines, l)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return s, lines
}

// TestEveryRequestOfTheScheduleIsSent compares the events that arrive with the summary and the acknowledgement log.
func TestEveryRequestOfTheScheduleIsSent(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	ids := map[string]int{}
	c := testConfig()
	c.URL = fakeServer(t, func(body []byte, w http.ResponseWriter) {
		mu.Lock()
		for line := range bytes.Lines(body) {
			var e struct{ ID string }
			if err := json.Unmarshal(line, &e); err != nil {
				t.Errorf("%s: %v", line, err)
			}
			ids[e.ID]++
		}
		mu.Unlock()
		accept(body, w)
	})
	c.Rate = 5000
	c.Duration = 500 * time.Millisecond
	c.Duplicates = 0.2
	c.Answers = 20
	s, lines := run(t, c)
	if s.Sent != 2500 || s.Acked != 2500 || s.Distinct != 2000 || len(ids) != 2000 || s.Missed != 0 ||
		s.Failure() != nil {
		t.Errorf("%d ids arrived, want 2000: %+v", len(ids), s.Counts)
	}
	promised := map[string]bool{}
	answers := 0
	for _, l := range lines {
		if l.Kind == acklog.Answer {
			answers++
		}
		for i := range l.Count {
			promised[acklog.ID(l.Run, l.First+i)] = true
		}
	}
	for id := range ids {
		if !promised[id] {
			t.Errorf("%s was acknowledged but is not in the acknowledgement log", id)
		}
	}
	if len(promised) != len(ids) || answers == 0 || int64(answers) != s.Queries {
		t.Errorf("%d of %d ids and %d of %d answers are in the acknowledgement log", len(promised), len(ids),
			answers, s.Queries)
	}
}

// TestLowRates checks that a load of few events is spread over its time instead of sent in one request.
func TestLowRates(t *testing.T) {
	t.Parallel()
	c := testConfig()
	c.URL = fakeServer(t, accept)
	c.Rate = 100
	c.Batch = 1000
	c.Duration = 300 * time.Millisecond
	if s, _ := run(t, c); s.Sent != 30 || s.Requests != 3 || s.Batch != 10 || s.Schedule != 0.3 || s.Took < 0.2 {
		t.Errorf("%d events in %d requests of %d for %g s, took %g s", s.Sent, s.Requests, s.Batch, s.Schedule, s.Took)
	}
	c.Rate = 3
	c.Duration = time.Second
	if s, _ := run(t, c); s.Sent != 3 || s.Requests != 3 || s.Took < 0.6 {
		t.Errorf("%d events in %d requests, took %g s", s.Sent, s.Requests, s.Took)
	}
}

// TestNoCoordinatedOmission stops the server for a while. Requests that are due in that time count with the time they
// waited, or as missed if that is longer than Patience.
func TestNoCoordinatedOmission(t *testing.T) {
	t.Parallel()
	const stall = 400 * time.Millisecond
	stalled := func(patience time.Duration) *Summary {
		var once sync.Once
		var gate sync.Mutex
		c := testConfig()
		c.URL = fakeServer(t, func(body []byte, w http.ResponseWriter) {
			gate.Lock()
			once.Do(func() { time.Sleep(stall) })
			gate.Unlock()
			accept(body, w)
		})
		c.Rate = 2000
		c.Batch = 10
		c.Duration = 300 * time.Millisecond
		c.InFlight = 4
		c.Patience = patience
		s, _ := run(t, c)
		return s
	}
	// 60 requests are due in 300 ms. Four wait in flight for the stall. The last of the others is due 105 ms before
	// the stall ends.
	if s := stalled(time.Minute); s.Late < 56 || s.Missed != 0 || s.Requests != 60 || s.Latency.Max < 350 {
		t.Errorf("patient: late %d, missed %d, sent %d requests, the longest latency is %g ms with a stall of %s",
			s.Late, s.Missed, s.Requests, s.Latency.Max, stall)
	}
	if s := stalled(100 * time.Millisecond); s.Missed < 56 || s.Requests+s.Missed != 60 {
		t.Errorf("impatient: missed %d and sent %d requests, want at least 56 missed and 60 in total", s.Missed,
			s.Requests)
	}
}

// TestRetry refuses each request once, in the ways a server does, and expects the same bytes again.
func TestRetry(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	bodies := map[string]int{}
	c := testConfig()
	c.URL = fakeServer(t, func(body []byte, w http.ResponseWriter) {
		mu.Lock()
		bodies[string(body)]++
		first := bodies[string(body)] == 1
		n := len(bodies)
		mu.Unlock()
		if !first {
			accept(body, w)
			return
		}
		w.Header().Set("Retry-After", "0")
		switch n % 3 {
		case 0:
			w.WriteHeader(http.StatusTooManyRequests)
			_, _ = io.WriteString(w, `{"code":"overloaded"}`)
		case 1:
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w,
				`{"code":"log_unavailable","accepted":19,"receipt":"",`+
					`"rejected":[{"index":3,"code":"log_unavailable"}]}`)
		case 2:
			panic(http.ErrAbortHandler) // The answer is lost.
		}
	})
	c.Rate = 2000
	c.Duration = 300 * time.Millisecond
	c.Retry = true
	s, lines := run(t, c)
	if s.Distinct != 600 || s.Retries != 30 || s.Shed429+s.Shed503+s.Lost != 30 || s.NoWait == 0 {
		t.Errorf("%+v", s.Counts)
	}
	kinds := map[acklog.Kind]int{}
	for _, l := range lines {
		kinds[l.Kind]++
		if len(l.Pending) > 0 && l.Pending[0] != l.First+3 {
			t.Errorf("pending %v of the events from number %d, want the fourth", l.Pending, l.First)
		}
	}
	if len(bodies) != 30 || kinds[acklog.Acked] != 40 || kinds[acklog.Unknown] != 10 {
		t.Errorf("got %d different bodies and lines %v, want 30, and 40 acked and 10 unknown", len(bodies), kinds)
	}
}

// TestWrongRefusals checks that a load reports a server which rejects valid events and accepts malformed events.
func TestWrongRefusals(t *testing.T) {
	t.Parallel()
	c := testConfig()
	c.Rate = 2000
	c.Duration = 100 * time.Millisecond
	c.Malformed = 0.3
	c.Duplicates = 0.3
	e := NewEvents(c, openapi.View{}, time.Now())
	want := int64(0)
	honest := atomic.Bool{}
	c.URL = fakeServer(t, func(body []byte, w http.ResponseWriter) {
		if !honest.Load() {
			fmt.Fprint(w, `{"accepted":19,"rejected":[{"index":0,"code":"invalid_json"}],"receipt":""}`)
			return
		}
		var out []string
		for k, line := range bytes.Split(bytes.TrimSuffix(body, []byte("\n")), []byte("\n")) {
			var x struct{ SpecVersion string }
			if err := json.Unmarshal(line, &x); err != nil || x.SpecVersion == "" ||
				bytes.Count(line, []byte(`"data"`)) > 1 || !bytes.Equal(line, bytes.ToValidUTF8(line, nil)) {
				out = append(out, fmt.Sprintf(`{"index":%d,"code":"invalid_json"}`, k))
			}
		}
		fmt.Fprintf(w, `{"accepted":%d,"rejected":[%s],"receipt":""}`, c.Batch-len(out), strings.Join(out, ","))
	})
	for n := range c.requests() {
		fresh, copies := e.numbers.request(n)
		for k := range int64(c.Batch) {
			i := fresh.first + k
			if k >= fresh.count {
				i = copies.first + k - fresh.count
			}
			if e.malformed(i) != (k == 0) {
				want++
			}
		}
	}
	if s, _ := run(t, c); s.Wrong != want || s.Failure() == nil {
		t.Errorf("got %d wrong outcomes, want %d; failure %v", s.Wrong, want, s.Failure())
	}
	honest.Store(true)
	if s, _ := run(t, c); s.Wrong != 0 || s.Refused == 0 || s.Failure() != nil {
		t.Errorf("an honest server: %+v, failure %v", s.Counts, s.Failure())
	}
}

// TestFailuresAreReported checks the errors for a refused key, a missing server and a missing view.
func TestFailuresAreReported(t *testing.T) {
	t.Parallel()
	c := testConfig()
	c.Rate = 2000
	c.Duration = 50 * time.Millisecond
	c.URL = fakeServer(t, func(_ []byte, w http.ResponseWriter) { w.WriteHeader(http.StatusUnauthorized) })
	if s, lines := run(t, c); s.Failure() == nil || s.Unexpected != s.Requests || len(lines) != 0 {
		t.Errorf("%+v, failure %v, lines %v", s.Counts, s.Failure(), lines)
	}
	c.URL = "http://127.0.0.1:1"
	if _, err := Run(t.Context(), c, Options{}); err == nil || !strings.Contains(err.Error(), "is a server running") {
		t.Errorf("no server: %v", err)
	}
	c.URL = fakeServer(t, accept)
	c.View = "other"
	if _, err := Run(t.Context(), c, Options{}); err == nil || !strings.Contains(err.Error(), "the server has: v") {
		t.Errorf("no such view: %v", err)
	}
}

// full is a file on a full disk.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

// TestSummaryOfAFailedRun counts what the server accepted, although the acknowledgement log could not be written.
func TestSummaryOfAFailedRun(t *testing.T) {
	t.Parallel()
	c := testConfig()
	c.Rate = 2000
	c.Duration = 50 * time.Millisecond
	c.URL = fakeServer(t, accept)
	s, err := Run(t.Context(), c, Options{AckLog: full{}})
	if !errors.Is(err, syscall.ENOSPC) || s == nil || s.Acked != 100 {
		t.Errorf("got %+v, %v", s, err)
	}
}

// TestValidate checks the error for each kind of mistake in a configuration.
func TestValidate(t *testing.T) {
	t.Parallel()
	for want, f := range map[string]func(*Config){
		"url":  func(c *Config) { c.URL = "localhost:80" },
		"rate": func(c *Config) { c.Rate = 0 },
		"rate, duration: less than one event": func(c *Config) {
			c.Rate = 0.5
			c.Duration = time.Second
		},
		"batch":      func(c *Config) { c.Batch = 0 },
		"run":        func(c *Config) { c.Run = "a b" },
		"duplicates": func(c *Config) { c.Duplicates = 0.6 },
		"malformed":  func(c *Config) { c.Malformed = -1 },
		"in-flight":  func(c *Config) { c.InFlight = 0 },
	} {
		c := testConfig()
		f(&c)
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got error %v, want one that begins with %s", err, want)
		}
	}
	if err := testConfig().Validate(); err != nil {
		t.Error(err)
	}
}

// BenchmarkCeiling measures how many events a second the generator can send to a server that does nothing, with 1,000
// events in a request. It also reports how many cores the generator and that server use.
func BenchmarkCeiling(b *testing.B) {
	c := testConfig()
	c.URL = fakeServer(b, accept)
	c.Batch = 1000
	c.Rate = 1e8
	c.Duration = time.Second
	c.Duplicates = 0.05
	c.Late = 0.05
	c.InFlight = 64
	var acked, cores float64
	for range b.N {
		s, err := Run(b.Context(), c, Options{AckLog: io.Discard})
		if err != nil {
			b.Fatal(err)
		}
		acked += float64(s.Acked) / s.Took
		cores += s.Cores
	}
	b.ReportMetric(acked/float64(b.N), "events/s")
	b.ReportMetric(cores/float64(b.N), "cores")
}
