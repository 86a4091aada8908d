package ingest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow/array"

	"recount/schemas/access"
	"recount/schemas/catalog"
	"recount/schemas/deadletter"
	"recount/schemas/eventbatch"
)

var testNow = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func testCatalog() *catalog.Catalog {
	return &catalog.Catalog{Bucket: time.Hour, Events: map[string]*catalog.EventType{
		"flight.departed": {Name: "flight.departed", Fields: []catalog.Field{
			{Name: "delay", Type: catalog.Int64}, {Name: "destination", Type: catalog.String},
			{Name: "distance", Type: catalog.Float64},
			{Name: "origin", Type: catalog.String}, {Name: "tail", Type: catalog.String},
		}},
		"all": {Name: "all", Fields: []catalog.Field{
			{Name: "b", Type: catalog.Bool}, {Name: "f", Type: catalog.Float64}, {Name: "i", Type: catalog.Int64},
			{Name: "s", Type: catalog.String}, {Name: "t", Type: catalog.Timestamp},
		}},
	}}
}

// memoryLog is a log that keeps frames in memory. hook may be nil. It runs before each append
// and may refuse it.
type memoryLog struct {
	mu     sync.Mutex
	frames map[int][][]byte
	hook   func(partition int) error
}

func (l *memoryLog) Append(_ context.Context, partition int, frame []byte, _ string) (uint64, error) {
	if l.hook != nil {
		if err := l.hook(partition); err != nil {
			return 0, err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.frames == nil {
		l.frames = map[int][][]byte{}
	}
	l.frames[partition] = append(l.frames[partition], bytes.Clone(frame))
	return uint64(len(l.frames[partition])), nil
}

// stored is an event in the log. Its values have the types that JSON would give them.
type stored struct {
	ID, Type, Source, Subject, Extra, Tenant string
	Time                                     int64
	Flags                                    uint8
	Hash                                     uint64
	Fields                                   map[string]any
	Place                                    Place // Count is 1
}

// events returns all events in the log except dead letters, by id.
func (l *memoryLog) events(t testing.TB, partitions int) map[string]stored {
	t.Helper()
	out := map[string]stored{}
	for _, e := range l.all(t, partitions) {
		if e.Type == deadletter.Type {
			continue
		}
		if _, again := out[e.ID]; again {
			t.Errorf("event %s is in the log twice", e.ID)
		}
		out[e.ID] = e
	}
	return out
}

// deadLetters returns the dead letters in the log, by name.
func (l *memoryLog) deadLetters(t testing.TB, partitions int) map[string]stored {
	t.Helper()
	out := map[string]stored{}
	for _, e := range l.all(t, partitions) {
		if e.Type == deadletter.Type {
			out[deadletter.Name{Partition: e.Place.Partition, Seq: e.Place.Seq, Index: e.Place.First}.String()] = e
		}
	}
	return out
}

// all decodes everything in the log, and checks that each key and partition follows from tenant and id.
func (l *memoryLog) all(t testing.TB, partitions int) (out []stored) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for p, frames := range l.frames {
		for i, frame := range frames {
			h, recs, err := eventbatch.Decode(frame)
			if err != nil {
				t.Fatal(err)
			}
			at := 0
			for _, c := range recs {
				for row := range int(c.Rec.NumRows()) {
					e := read(c, row)
					e.Type = h.Type
					e.Place = Place{Partition: p, Seq: uint64(i + 1), First: at, Count: 1}
					if key := eventbatch.TenantSourceID.Key(e.Tenant, e.Source, e.ID); !bytes.Equal(key[:],
						c.Key.Value(row)) ||
						key.Partition(partitions) != p {
						t.Errorf("event %s: the key or the partition is wrong", e.ID)
					}
					out = append(out, e)
					at++
				}
			}
		}
	}
	return out
}

func read(c eventbatch.Columns, row int) stored {
	e := stored{ID: c.ID.Value(row), Source: c.Source.Value(row), Subject: c.Subject.Value(row),
		Extra:  c.Extra.Value(row),
		Tenant: c.Tenant.Value(row), Time: int64(c.Time.Value(row)), Flags: c.Flags.Value(row), Hash: c.Hash.Value(row),
		Fields: map[string]any{}}
	for i, f := range c.Rec.Schema().Fields()[9:] {
		switch a := c.Rec.Column(9 + i).(type) {
		case *array.Int64:
			set(e.Fields, f.Name, a.IsValid(row), func() any { return a.Value(row) })
		case *array.Float64:
			set(e.Fields, f.Name, a.IsValid(row), func() any { return a.Value(row) })
		case *array.Boolean:
			set(e.Fields, f.Name, a.IsValid(row), func() any { return a.Value(row) })
		case *array.String:
			set(e.Fields, f.Name, a.IsValid(row), func() any { return a.Value(row) })
		case *array.Timestamp:
			set(e.Fields, f.Name, a.IsValid(row), func() any { return int64(a.Value(row)) })
		}
	}
	return e
}

func set(m map[string]any, name string, valid bool, value func() any) {
	if valid {
		m[name] = value()
	}
}

// values returns the decoder's row as a map.
func values(d *decoder) map[string]any {
	out := map[string]any{}
	for i, s := range d.row.slots {
		if s.state != present {
			continue
		}
		switch f := d.eventType.fields[i]; f.kind {
		case catalog.Int64, catalog.Timestamp:
			out[f.name] = s.number
		case catalog.Float64:
			out[f.name] = math.Float64frombits(uint64(s.number))
		case catalog.Bool:
			out[f.name] = s.number == 1
		case catalog.String:
			out[f.name] = string(s.text)
		}
	}
	return out
}

// testConfig has a Wait that no test reaches: how long a processor stays busy depends on the
// machine. gate_test.go tests refusals for waiting.
func testConfig() Config {
	c := DefaultConfig()
	c.Linger = 100 * time.Microsecond
	c.Wait = time.Minute
	return c
}

// run starts a server over the log until the test ends (see start).
func run(t testing.TB, cfg Config, partitions int, log Log) *Server {
	t.Helper()
	return runWith(t, cfg, partitions, log, Options{Now: func() time.Time { return testNow }})
}

func runWith(t testing.TB, cfg Config, partitions int, log Log, opts Options) *Server {
	t.Helper()
	s, err := New(cfg, testCatalog(), partitions, log, opts)
	if err != nil {
		t.Fatal(err)
	}
	start(t, s)
	return s
}

// start runs the server until the test ends. It then checks that nothing holds memory or room
// in a queue.
func start(t testing.TB, s *Server) {
	t.Helper()
	cfg := s.cfg
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if left := s.memory.left.Load(); left != int64(cfg.Memory) {
			t.Errorf("memory budget: %d bytes were not released", int64(cfg.Memory)-left)
		}
		for _, c := range s.committers {
			if held := c.queue.held(); held != 0 {
				t.Errorf("queue: %d bytes were not released", held)
			}
		}
	})
}

type response struct {
	Status   int
	Header   http.Header
	Code     string
	Accepted int
	Rejected []struct {
		Index             int
		ID, Code, Message string
		DeadLetter        string `json:"dead_letter"`
	}
	Receipt    string
	Coerced    int
	DeadLetter string `json:"dead_letter"` // of the whole request
	Discovered []struct {
		Name, View  string
		Declaration json.RawMessage
	}
}

// codes lists the rejections as index:code, each with a space after it.
func (r response) codes() string {
	s := ""
	for _, e := range r.Rejected {
		s += fmt.Sprintf("%d:%s ", e.Index, e.Code)
	}
	return s
}

// handler returns the server's handler with a principal that may do everything.
func handler(s *Server) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.Handler().ServeHTTP(w, r.WithContext(access.NewContext(r.Context(), access.Local())))
	})
}

func post(t testing.TB, s *Server, body string, headers ...string) response {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/v1/events", bytes.NewReader([]byte(body)))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	handler(s).ServeHTTP(w, r)
	out := response{Status: w.Code, Header: w.Header()}
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		t.Fatalf("%v in %s", err, w.Body)
	}
	return out
}

func flight(i int) string {
	return fmt.Sprintf(`{"specversion":"1.0","id":"f-%09d","source":"demo","type":"flight.departed",`+
		`"time":"2001-01-01T00:%02d:00Z","subject":"ORD",`+
		`"data":{"origin":"ORD","destination":"ATL","tail":"N%d","delay":%d,"distance":607}}`, i, i%60, i%500, i%90-10)
}
