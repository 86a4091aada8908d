package realtime

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"recount/schemas/catalog"
	"recount/schemas/eventbatch"
	"recount/schemas/position"
	"recount/schemas/query"
)

var flightType = &catalog.EventType{Name: "flight", Fields: []catalog.Field{
	{Name: "delay", Type: catalog.Int64}, {Name: "destination", Type: catalog.String},
	{Name: "distance", Type: catalog.Float64},
	{Name: "origin", Type: catalog.String}, {Name: "tail", Type: catalog.String},
}}

// flightCatalog has one view with 3 dimensions and 4 measures. The last measure is a parameter.
func flightCatalog(last catalog.Measure) *catalog.Catalog {
	return &catalog.Catalog{Bucket: time.Hour, Events: map[string]*catalog.EventType{"flight": flightType},
		Views: map[string]*catalog.View{"flights": {Name: "flights", Event: "flight", Cell: time.Minute,
			Dimensions: []string{"origin", "destination", "source"},
			Measures: []catalog.Measure{{Name: "flights", Kind: catalog.Count},
				{Name: "delays", Kind: catalog.Sum, Field: "delay"},
				{Name: "miles", Kind: catalog.Sum, Field: "distance"}, last}}}}
}

var (
	worst    = catalog.Measure{Name: "worst", Kind: catalog.Max, Field: "delay"}
	aircraft = catalog.Measure{Name: "aircraft", Kind: catalog.Distinct, Field: "tail"}
)

// flights returns a log of messages with perMessage events each. All ids are different, there are
// airports² pairs of airports, and an event's time is up to late before its append.
func flights(b testing.TB, messages, perMessage, airports int, late time.Duration) *memLog {
	r := rand.New(rand.NewPCG(1, 1))
	log := newMemLog(1)
	for m := range messages {
		var events []event
		at := testStart + int64(m)*100_000
		for i := range perMessage {
			events = append(events, event{tenant: "default", id: fmt.Sprintf("flight-%d-%d", m, i),
				time: at - r.Int64N(late.Microseconds()), fields: map[string]any{
					"origin":      fmt.Sprintf("A%02d", r.IntN(airports)),
					"destination": fmt.Sprintf("B%02d", r.IntN(airports)),
					"source":      "bench",
					"tail":        fmt.Sprintf("N%05d", r.IntN(5000)),
					"delay":       r.Int64N(100) - 10,
					"distance":    float64(r.IntN(3000)),
				}})
		}
		m := newMessage(b, flightType, at, events, 1)
		m.events = nil // A million maps would keep the garbage collector busy.
		log.append(0, m)
	}
	return log
}

func openBench(b testing.TB, c *catalog.Catalog, log *memLog) *partition {
	b.Helper()
	cfg := DefaultConfig(b.TempDir())
	start := PartitionStart{Epochs: []position.EpochStart{{Epoch: 1, Start: 1, Rule: position.DefaultCutRule()}},
		OldestKept: 1, LogNext: 1}
	v, err := Open(cfg, c, []PartitionStart{start}, log)
	if err != nil {
		b.Fatal(err)
	}
	return v.partitions[0]
}

// BenchmarkConsume measures decoding, deduplication and aggregation with 3 dimensions and 4 measures.
// Every id is new, which costs one search in the window, as a known id does.
func BenchmarkConsume(b *testing.B) {
	for _, c := range []struct {
		name       string
		last       catalog.Measure
		perMessage int
		filled     int
		airports   int
		late       time.Duration
	}{
		{"max", worst, 2000, 0, 20, time.Minute}, {"distinct", aircraft, 2000, 0, 20, time.Minute},
		{"small-messages", worst, 100, 0, 20, time.Minute}, {"max/window-5M", worst, 2000, 5_000_000, 20, time.Minute},
		{"sparse", aircraft, 2000, 0, 100, 6 * time.Hour}, // nearly every event is a row
	} {
		b.Run(c.name, func(b *testing.B) {
			log := flights(b, 400_000/c.perMessage, c.perMessage, c.airports, c.late)
			p := openBench(b, flightCatalog(c.last), log)
			fill(p.window, c.filled)
			events := 0
			b.ReportAllocs()
			for b.Loop() {
				if p.next == log.next(0) {
					b.StopTimer()
					p = openBench(b, flightCatalog(c.last), log)
					fill(p.window, c.filled)
					b.StartTimer()
				}
				if err := p.consume(log.message(0, p.next)); err != nil {
					b.Fatal(err)
				}
				events += c.perMessage
			}
			b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

func fill(w *idWindow, n int) {
	r := rand.New(rand.NewPCG(2, 2))
	for range n {
		w.claim(randomIdentity(r))
	}
}

// BenchmarkDecode measures the decoding in BenchmarkConsume, which package eventbatch does.
func BenchmarkDecode(b *testing.B) {
	log := flights(b, 1, 2000, 20, time.Minute)
	for b.Loop() {
		_, recs, err := eventbatch.Decode(log.partitions[0][0].frame)
		if err != nil {
			b.Fatal(err)
		}
		release(recs)
	}
	b.ReportMetric(2000*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkScan measures scans of 100,000 cells.
func BenchmarkScan(b *testing.B) {
	log := flights(b, 300, 2000, 80, 15*time.Minute)
	c := flightCatalog(worst)
	p := openBench(b, c, log)
	for p.next < log.next(0) {
		if err := p.consume(log.message(0, p.next)); err != nil {
			b.Fatal(err)
		}
	}
	v := &Views{partitions: []*partition{p}}
	from := time.UnixMicro(testStart).UTC().Add(-time.Hour)
	for name, q := range map[string]query.Query{
		"total": {}, "by-origin": {GroupBy: []string{"origin"}},
		"by-minute-and-origin": {GroupBy: []string{"origin"}, Granularity: "1m"},
		"one-origin": {Where: []query.Condition{{Dimension: "origin", Op: query.Eq, Value: "A07"}},
			Granularity: "1m"},
		"every-cell": {GroupBy: []string{"origin", "destination", "source"}, Granularity: "1m"},
	} {
		b.Run(name, func(b *testing.B) {
			q.View = "flights"
			q.From = from
			q.To = from.Add(3 * time.Hour)
			s, err := q.Resolve(c, "default")
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := v.Scan(b.Context(), s, []position.Offset{{Seq: 1}}); err != nil {
					b.Fatal(err)
				}
			}
			cells := float64(v.Status()[0].Groups)
			b.ReportMetric(cells, "cells")
			b.ReportMetric(b.Elapsed().Seconds()*1e9/float64(b.N)/cells, "ns/cell")
		})
	}
}

// BenchmarkSnapshot measures writing and loading a window of a million ids.
func BenchmarkSnapshot(b *testing.B) {
	const entries = 1_000_000
	p := openBench(b, flightCatalog(worst), newMemLog(1))
	fill(p.window, entries)
	p.window.marks[0].start = 0 // the segment that has the ids
	p.window.beginSegment(1)
	p.frozen = p.window.freeze()
	data := encodeSnapshot(b, p.capture())
	b.Run("write", func(b *testing.B) {
		r := rand.New(rand.NewPCG(4, 4))
		var written int64
		for b.Loop() {
			for range 500 { // as many come in 30 seconds where a million is remembered for most of a day
				p.window.claim(randomIdentity(r))
			}
			p.frozen = p.window.freeze()
			p.frozen.marks[len(p.frozen.marks)-1].first = p.window.ring.end
			snap := p.capture()
			p.snapshots.saved.next = 0
			if err := p.snapshots.write(snap); err != nil {
				b.Fatal(err)
			}
			written += p.snapshots.saved.bytes
		}
		b.ReportMetric(float64(written)/float64(b.N), "bytes/snapshot")
	})
	b.Run("load", func(b *testing.B) {
		for b.Loop() {
			s, err := readSnapshot(bytes.NewReader(data), int64(len(data)), p.plan)
			if err != nil {
				b.Fatal(err)
			}
			restoredWindow(p.cfg, time.Hour, s)
		}
		b.ReportMetric(float64(p.window.totals().bytes)/entries, "bytes/entry")
	})
}

// BenchmarkClaim measures one search in a window of 5 million ids that finds nothing.
func BenchmarkClaim(b *testing.B) {
	w := smallWindow(5_000_000, time.Hour)
	fill(w, 5_000_000)
	r := rand.New(rand.NewPCG(9, 9))
	for b.Loop() {
		w.claim(randomIdentity(r))
		w.advance(1)
	}
}
