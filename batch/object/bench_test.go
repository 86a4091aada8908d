package object

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"recount/schemas/eventbatch"
	"recount/schemas/position"
)

// benchTable returns a table of n flights in messages of 8,192.
func benchTable(b testing.TB, n int) *Table {
	r := rand.New(rand.NewPCG(1, 2))
	var batches []eventbatch.Columns
	for at := 0; at < n; at += 8192 {
		batches = append(batches, flights(r, min(8192, n-at), benchStart+int64(at)*1e6))
	}
	t := NewTable(flightType.Name, 1, 1, time.Hour)
	for i, c := range batches {
		if err := t.Append(position.Offset{Epoch: 1, Seq: uint64(i + 1)}, 0, c); err != nil {
			b.Fatal(err)
		}
	}
	return t
}

func BenchmarkEncode(b *testing.B) {
	t := benchTable(b, 1<<19)
	b.ReportAllocs()
	size := 0
	for b.Loop() {
		raw, _, err := t.Encode()
		if err != nil {
			b.Fatal(err)
		}
		size = len(raw)
	}
	b.ReportMetric(float64(b.N)*float64(t.rows)/b.Elapsed().Seconds()/1e6, "Mevents/s")
	b.ReportMetric(float64(size)/float64(t.rows), "bytes/event")
}

func BenchmarkAppend(b *testing.B) {
	c := flights(rand.New(rand.NewPCG(1, 2)), 8192, benchStart)
	b.ReportAllocs()
	for b.Loop() {
		t := NewTable(flightType.Name, 1, 1, time.Hour)
		for i := range 64 {
			if err := t.Append(position.Offset{Epoch: 1, Seq: uint64(i + 1)}, 0, c); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.N)*64*8192/b.Elapsed().Seconds()/1e6, "Mevents/s")
}

func BenchmarkRead(b *testing.B) {
	raw, o, err := benchTable(b, 1<<20).Encode()
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		columns []string
	}{
		{"numbers", []string{eventbatch.ColTime, "delay"}},
		{"view", []string{eventbatch.ColTime, "delay", "origin", "destination", "tail"}},
		{"identity", []string{eventbatch.ColKey, eventbatch.ColHash, eventbatch.ColFlags, ColSeq, ColIndex}},
		{"everything", append([]string{"diverted", "fare"}, eventbatch.ColKey, eventbatch.ColTenant,
			eventbatch.ColFlags, eventbatch.ColHash,
			eventbatch.ColID, eventbatch.ColTime, eventbatch.ColSource, eventbatch.ColSubject, eventbatch.ColExtra,
			"origin", "destination", "tail", "delay")},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f, err := Open(b.Context(), o, bytes.NewReader(raw))
				if err != nil {
					b.Fatal(err)
				}
				for _, err := range f.Read(b.Context(), c.columns, 0, o.Rows) {
					if err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(b.N)*float64(o.Rows)/b.Elapsed().Seconds()/1e6, "Mrows/s")
		})
	}
}

// BenchmarkReadRange reads the 1,000 rows of one bucket, as a recompute of replayed history does.
func BenchmarkReadRange(b *testing.B) {
	raw, o, err := benchTable(b, 1<<20).Encode()
	if err != nil {
		b.Fatal(err)
	}
	f, err := Open(b.Context(), o, bytes.NewReader(raw))
	if err != nil {
		b.Fatal(err)
	}
	for i := int64(0); b.Loop(); i++ {
		from := i * 7919 % (o.Rows - 1000)
		for _, err := range f.Read(b.Context(), []string{eventbatch.ColTime, "delay", "origin"}, from, from+1000) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
}
