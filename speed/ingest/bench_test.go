package ingest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"recount/schemas/catalog"
	"recount/schemas/eventbatch"
)

func flights(n int) string {
	lines := make([]string, n)
	for i := range lines {
		lines[i] = flight(i)
	}
	return strings.Join(lines, "\n") + "\n"
}

// BenchmarkDecode decodes requests of 1,000 flights into columns of four partitions, on one core.
func BenchmarkDecode(b *testing.B) {
	b.Run("uncapped", func(b *testing.B) { benchmarkDecode(b, 0) })
	b.Run("capped", func(b *testing.B) { benchmarkDecode(b, 1_000_000) })
}

func benchmarkDecode(b *testing.B, values int) {
	cfg := DefaultConfig()
	cfg.Values = values
	s, err := New(cfg, cappedCatalog(), 4, nil, Options{})
	if err != nil {
		b.Fatal(err)
	}
	const events = 1000
	body := []byte(flights(events))
	q := s.newRequest(s.current())
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		q.body = body
		q.decoder.setTenant("acme", s.caps.setsOf("acme", testNow.UnixMicro()))
		if p := q.pay(baseCost + len(body)); p != nil {
			b.Fatal(p)
		}
		if p := q.decode(kindLines, nil, testNow); p != nil || len(q.rejected) > 0 {
			b.Fatal(p, q.rejected)
		}
		q.recycle()
	}
	b.ReportMetric(float64(events)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkDecodeInside decodes events whose values stand inside of another member. Those of fields are checked.
func BenchmarkDecodeInside(b *testing.B) {
	fields := []catalog.Field{{Name: "id", Type: catalog.Int64, Path: []string{"user", "id"}},
		{Name: "plan", Type: catalog.String, Path: []string{"user", "plan"}},
		{Name: "since", Type: catalog.Timestamp, Path: []string{"user", "since"}},
		{Name: "spent", Type: catalog.Float64, Path: []string{"user", "spent"}}}
	for name, n := range map[string]int{"undeclared": 0, "declared": len(fields)} {
		b.Run(name, func(b *testing.B) {
			types, most := compileTypes(&catalog.Catalog{Events: map[string]*catalog.EventType{"t": {Name: "t",
				Fields: fields[:n]}}}, nil)
			d := newDecoder(DefaultConfig(), types, most)
			event := []byte(`{"id":"4711","source":"shop","type":"t","time":"2026-11-23T09:00:00Z",` +
				`"data":{"page":"/buy","user":{"id":12345,"plan":"free","since":"2024-05-01T10:00:00Z",` +
				`"spent":12.75,"tags":["a","b"]}}}`)
			b.ReportAllocs()
			for b.Loop() {
				d.start(event, false, testNow)
				if refused := d.decode(); refused != nil {
					b.Fatal(refused)
				}
			}
		})
	}
}

// fourChunks returns a chunk that stands for each of four requests of 250 flights.
func fourChunks(b *testing.B) []*chunk {
	b.Helper()
	s, err := New(DefaultConfig(), testCatalog(), 1, nil, Options{})
	if err != nil {
		b.Fatal(err)
	}
	q := s.newRequest(s.current())
	q.body = []byte(flights(250))
	q.decoder.setTenant("acme", nil)
	if p := q.pay(1 << 20); p != nil {
		b.Fatal(p)
	}
	if p := q.decode(kindLines, nil, testNow); p != nil {
		b.Fatal(p)
	}
	c := q.chunks[0]
	return []*chunk{c, c, c, c}
}

// BenchmarkEncode gathers the chunks of four requests into one message.
func BenchmarkEncode(b *testing.B) {
	chunks := fourChunks(b)
	f := chunks[0].eventType.frames.Get().(*frame)
	b.ReportAllocs()
	size := 0
	for b.Loop() {
		message, err := f.encode(chunks, 1)
		if err != nil {
			b.Fatal(err)
		}
		size = len(message)
	}
	b.ReportMetric(1000*float64(b.N)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(size)/1000, "B/event")
}

// BenchmarkDecodeFrame decodes that message, as each reader of the log does.
func BenchmarkDecodeFrame(b *testing.B) {
	chunks := fourChunks(b)
	message, err := chunks[0].eventType.frames.Get().(*frame).encode(chunks, 1)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		_, recs, err := eventbatch.Decode(message)
		if err != nil {
			b.Fatal(err)
		}
		for _, r := range recs {
			r.Rec.Release()
		}
	}
	b.ReportMetric(1000*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// noLog is a log that confirms everything and keeps nothing.
type noLog struct{}

func (noLog) Append(context.Context, int, []byte, string) (uint64, error) { return 1, nil }

// discard is a ResponseWriter that keeps only the status.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(s int)           { d.status = s }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }

// BenchmarkHandler sends requests of 1,000 flights from 16 clients per core through everything
// except the network and the log.
func BenchmarkHandler(b *testing.B) {
	s := run(b, DefaultConfig(), 4, noLog{})
	const events = 1000
	body := flights(events)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	b.SetParallelism(16)
	h := handler(s)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r := httptest.NewRequest(http.MethodPost, "/v1/events", strings.NewReader(body))
			r.Header.Set("Content-Type", "application/x-ndjson")
			w := &discard{header: http.Header{}}
			h.ServeHTTP(w, r)
			if w.status != http.StatusOK {
				b.Errorf("status %d", w.status)
			}
		}
	})
	b.ReportMetric(events*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
