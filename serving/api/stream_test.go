package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"recount/schemas/access"
	"recount/schemas/position"
	"recount/schemas/query"
	"recount/serving/oracle"
	"recount/serving/reader"
)

const streamed60 = "/v1/stream?view=flights&from=2001-01-01T00:00:00Z&to=2001-01-01T02:00:00Z&granularity=1h"

// growing is both layers over events that are counted one after the other.
type growing struct {
	*layers
	counted atomic.Int64 // events that the real-time views have counted
	asked   atomic.Int64 // scans of the real-time views
}

func (g *growing) live() *query.LivePart {
	n := g.counted.Load()
	return &query.LivePart{Through: []position.Offset{{Seq: 3 + uint64(n)}}, Pending: uint64(n),
		Appended: start.UnixMicro()}
}

func (g *growing) scan(_ context.Context, scan *query.Scan, _ []position.Offset) (*query.LivePart, error) {
	g.asked.Add(1)
	live := g.live()
	live.Part = oracle.Part(scan, g.events[g.below:][:live.Pending], oracle.Speed)
	return live, nil
}

// streamServer serves the API over TCP. The request's tenant is that of its header, and its key is valid until revoked.
type streamServer struct {
	*httptest.Server
	*growing
	api      *API
	registry *prometheus.Registry
	revoked  atomic.Bool
}

func newStreamServer(t *testing.T, change func(*Config, *Parts)) *streamServer {
	t.Helper()
	s := &streamServer{growing: &growing{layers: newLayers()}, registry: prometheus.NewRegistry()}
	for minute := range 60 {
		s.events = append(s.events, flight(minute, "DEN", fmt.Sprint("N", minute)))
	}
	r, err := reader.New(reader.Config{Catalog: oracle.Catalog(), Publications: s.layers, Batch: batch{s.layers},
		Live: oracle.OneByOne(s.scan), Now: time.Now,
		Reach: func(*query.Scan, []position.Offset) (*query.LivePart, error) { return s.live(), nil }})
	if err != nil {
		t.Fatal(err)
	}
	s.api = newAPI(t, s.layers, func(c *Config, p *Parts) {
		p.Answerer = r
		p.Registerer = s.registry
		p.Authenticate = func(*http.Request) (access.Principal, error) {
			if s.revoked.Load() {
				return access.Principal{}, errors.New("the key was revoked")
			}
			return access.Local(), nil
		}
		if change != nil {
			change(c, p)
		}
	})
	mux := serveMux(s.api)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mux.ServeHTTP(w, r.WithContext(access.NewContext(r.Context(), access.Local())))
	}))
	t.Cleanup(s.Close)
	t.Cleanup(s.api.EndStreams)
	return s
}

// event is one server-sent event.
type event struct{ id, name, data string }

// events reads a stream.
type events struct {
	*http.Response
	lines *bufio.Reader
}

func (s *streamServer) open(t *testing.T, target string, headers ...string) *events {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return &events{res, bufio.NewReaderSize(res.Body, maxStreamed)}
}

// next returns the next event. Without one within 10 s, the test fails.
func (e *events) next(t *testing.T) (out event) {
	t.Helper()
	defer time.AfterFunc(10*time.Second, func() { _ = e.Body.Close() }).Stop()
	for {
		line, err := e.lines.ReadString('\n')
		if err != nil {
			t.Fatalf("after %+v: %v", out, err)
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch {
		case name == "" && out.name != "":
			return out
		case name == "id":
			out.id = value
		case name == "event":
			out.name = value
		case name == "data":
			out.data += value
		}
	}
}

// TestStreamHasTheAnswersOfQueries counts event after event. Each answer is that of POST /v1/query.
func TestStreamHasTheAnswersOfQueries(t *testing.T) {
	t.Parallel()
	s := newStreamServer(t, nil)
	in := s.open(t, streamed60+"&interval=100ms")
	got := http.Header{}
	for _, name := range []string{"Content-Type", "Cache-Control", "X-Accel-Buffering", "Content-Encoding"} {
		got[name] = in.Header[name]
	}
	want := http.Header{"Content-Type": {"text/event-stream"}, "Cache-Control": {"no-store, no-transform"},
		"X-Accel-Buffering": {"no"}, "Content-Encoding": nil}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	ids := map[string]bool{}
	for n := range 5 {
		e := in.next(t)
		res, body := call(s.api, "GET", strings.Replace(streamed60, "stream", "query", 1), "")
		if res.StatusCode != 200 || e.name != "answer" || withoutLag(e.data) != withoutLag(body) || ids[e.id] {
			t.Errorf("event %d: %+v\nanswer: %s", n, e, body)
		}
		ids[e.id] = true
		s.counted.Add(1)
	}
}

// withoutLag cuts the age out of an answer.
func withoutLag(answer string) string {
	before, rest, _ := strings.Cut(answer, `"lag_ms":`)
	_, after, _ := strings.Cut(rest, ",")
	return strings.TrimSpace(before + after)
}

// TestStreamAsksOnlyAfterAChange: a quiet system is not scanned, however often the query runs.
func TestStreamAsksOnlyAfterAChange(t *testing.T) {
	t.Parallel()
	s := newStreamServer(t, nil)
	in := s.open(t, streamed60+"&interval=100ms")
	first := in.next(t)
	waitFor(t, func() bool { return s.count(t, "recount_stream_rounds_total", "unchanged") >= 5 })
	if n := s.asked.Load(); n != 1 {
		t.Errorf("%d scans, want 1", n)
	}
	s.counted.Add(1)
	if second := in.next(t); second.id == first.id || s.asked.Load() != 2 {
		t.Errorf("after %v: %v, %d scans", first, second, s.asked.Load())
	}
	if n := s.count(t, "recount_stream_rounds_total", "asked"); n != 2 {
		t.Errorf("%v rounds asked, want 2", n)
	}
}

func (s *streamServer) count(t *testing.T, name, label string) float64 {
	t.Helper()
	families, err := s.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && (len(m.GetLabel()) == 0 || m.GetLabel()[0].GetValue() == label) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return 0
}

func waitFor(t *testing.T, is func() bool) {
	t.Helper()
	for range 1000 {
		if is() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("it did not happen in time")
}

// TestStreamResumes: a client that has the answer gets the next one only.
func TestStreamResumes(t *testing.T) {
	t.Parallel()
	s := newStreamServer(t, nil)
	first := s.open(t, streamed60).next(t)
	in := s.open(t, streamed60+"&interval=100ms", "Last-Event-ID", first.id) // Its header comes all the same.
	s.counted.Add(1)
	second := in.next(t)
	if second.id == first.id || !strings.Contains(second.data, `"through":[4]`) {
		t.Errorf("after %+v came %+v", first, second)
	}
	if again := s.open(t, streamed60, "Last-Event-ID", "other").next(t); again.name != "answer" {
		t.Errorf("after an unknown id came %+v", again)
	}
}

// TestStreamEnds: an error after the first answer is the last event.
func TestStreamEnds(t *testing.T) {
	t.Parallel()
	for code, end := range map[string]func(s *streamServer){
		`"status":401,"code":"unauthorized"`: func(s *streamServer) {
			s.revoked.Store(true)
			s.counted.Add(1)
		},
		`"status":503,"code":"shutting_down"`: func(s *streamServer) { s.api.EndStreams() },
	} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			s := newStreamServer(t, nil)
			in := s.open(t, streamed60+"&interval=100ms")
			in.next(t)
			end(s)
			e := in.next(t)
			rest, err := io.ReadAll(in.lines)
			if e.name != "problem" || e.id != "" || !strings.Contains(strings.ReplaceAll(e.data, " ", ""), code) ||
				len(rest) > 0 || err != nil {
				t.Errorf("got %+v, then %q, %v", e, rest, err)
			}
			waitFor(t, func() bool { return s.count(t, "recount_stream_readers", "") == 0 })
			waitFor(t, func() bool { return s.count(t, "recount_stream_queries", "") == 0 })
		})
	}
}

// TestQuietStreamOfARevokedKeyEnds: the key is checked although there is no new answer.
func TestQuietStreamOfARevokedKeyEnds(t *testing.T) {
	t.Parallel()
	s := newStreamServer(t, nil)
	in := s.open(t, streamed60)
	in.next(t)
	s.revoked.Store(true)
	if e := in.next(t); e.name != "problem" {
		t.Errorf("got %+v", e)
	}
}

// TestStreamRefuses: an error before the first answer is one of the request.
func TestStreamRefuses(t *testing.T) {
	t.Parallel()
	s := newStreamServer(t, func(c *Config, _ *Parts) { c.Stream.Readers = 1 })
	for target, want := range map[string]string{
		streamed60 + "&interval=99ms":           "400 invalid_query interval",
		streamed60 + "&interval=":               "400 invalid_query interval",
		streamed60 + "&interval=2h":             "400 invalid_query interval",
		streamed60 + "&interval=1s&interval=2s": "400 invalid_query query",
		streamed60 + "&format=csv":              "400 invalid_query query",
		streamed60 + "&explain=true":            "400 invalid_query query",
		streamed60 + "&min_through=4":           "400 invalid_query query",
		streamed60 + "&measures=none":           "400 invalid_query measures",
		"/v1/stream?view=none":                  "404 unknown_view view",
		streamed60 + "&as_of=18":                "404 unknown_publication ",
	} {
		res, body := call(s.api, "GET", target, "")
		p := decodeProblem(t, res, body)
		if got := fmt.Sprint(p.Status, " ", p.Code, " ", p.Field); got != want {
			t.Errorf("%s: got %q, want %q: %s", target, got, want, body)
		}
	}
	if res, _ := call(s.api, "GET", streamed60, "", "Accept", "text/csv"); res.StatusCode != http.StatusNotAcceptable {
		t.Errorf("Accept: text/csv: %s", res.Status)
	}
	if res, body := call(s.api, "HEAD", streamed60, ""); res.StatusCode != 200 || body != "" ||
		res.Header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("HEAD: %s %q", res.Status, body)
	}
	waitFor(t, func() bool { return s.count(t, "recount_stream_readers", "") == 0 })
	s.open(t, streamed60).next(t)
	res, body := call(s.api, "GET", streamed60, "")
	if p := decodeProblem(t, res, body); p.Status != 429 || res.Header.Get("Retry-After") == "" {
		t.Errorf("with all readers: %s", body)
	}
	s.api.EndStreams()
	res, body = call(s.api, "GET", streamed60, "")
	if p := decodeProblem(t, res, body); p.Code != "shutting_down" {
		t.Errorf("after the end: %s", body)
	}
}

// TestStreamsOfOneQueryInAnyOrder: the order of parameters makes no other query.
func TestStreamsOfOneQueryInAnyOrder(t *testing.T) {
	t.Parallel()
	s := newStreamServer(t, nil)
	parameters := strings.Split(strings.TrimPrefix(streamed60, "/v1/stream?"), "&")
	s.open(t, streamed60).next(t)
	slices.Reverse(parameters)
	s.open(t, "/v1/stream?interval=1000ms&"+strings.Join(parameters, "&")).next(t)
	readers := s.count(t, "recount_stream_readers", "")
	queries := s.count(t, "recount_stream_queries", "")
	if readers != 2 || queries != 1 {
		t.Errorf("%v readers of %v queries", readers, queries)
	}
}

// TestStreamIsTooLarge: a stream refuses an answer of which 1,000 readers could hold too many bytes.
func TestStreamIsTooLarge(t *testing.T) {
	t.Parallel()
	l := &limited{to: io.Discard, left: 10}
	if _, err := l.Write(make([]byte, 10)); err != nil {
		t.Error(err)
	}
	_, err := l.Write([]byte{1})
	if p := problemOf(fmt.Errorf("write answer: %w", err)); p.Status != 422 || p.Code != "query_too_large" {
		t.Errorf("got %v", p)
	}
}

// TestLeavingAStreamIsItsEnd: a client that closes a stream has not lost an answer, so its connection is not cut,
// whether the server finds out while it waits or while it writes.
func TestLeavingAStreamIsItsEnd(t *testing.T) {
	t.Parallel()
	for _, waiting := range []bool{true, false} {
		s := newStreamServer(t, nil)
		mux := serveMux(s.api)
		ended := make(chan any, 1)
		left := make(chan struct{})
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() { ended <- recover() }()
			ctx := r.Context()
			if !waiting {
				ctx = context.WithoutCancel(ctx)
				w = &leavable{w, left}
			}
			mux.ServeHTTP(w, r.WithContext(access.NewContext(ctx, access.Local())))
		}))
		t.Cleanup(server.Close)
		t.Cleanup(s.api.EndStreams)
		s.URL = server.URL
		in := s.open(t, streamed60+"&interval=100ms")
		in.next(t)
		close(left)
		_ = in.Body.Close()
		s.counted.Add(1)
		if got := <-ended; got != nil {
			t.Errorf("waiting %v: %v", waiting, got)
		}
	}
}

// leavable is a writer whose client has left when left is closed.
type leavable struct {
	http.ResponseWriter
	left chan struct{}
}

func (l *leavable) Unwrap() http.ResponseWriter { return l.ResponseWriter }

func (l *leavable) Write(p []byte) (int, error) {
	select {
	case <-l.left:
		return 0, io.ErrClosedPipe
	default:
		return l.ResponseWriter.Write(p)
	}
}
