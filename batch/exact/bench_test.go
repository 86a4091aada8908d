package exact

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
)

// manyEvents makes n events in position order, within two hours. 2 % are copies and some have
// assigned times. Each message holds message events.
func manyEvents(n, message int) []event {
	r := rand.New(rand.NewPCG(1, 2))
	carriers := make([]string, 300)
	for i := range carriers {
		carriers[i] = fmt.Sprintf("carrier %d", i)
	}
	events := make([]event, n)
	for i := range events {
		s := &carriers[r.IntN(len(carriers))]
		v := r.Int64N(40)
		f := float64(r.IntN(1000))
		flag := r.IntN(2) == 0
		at := 60*minute + r.Int64N(60*minute)
		if i%10 == 0 {
			at -= 60 * minute
		}
		events[i] = event{tenant: "default", id: fmt.Sprint(i - boolIndex(r.IntN(50) == 0)*min(i, r.IntN(5000))),
			assigned: i%7 == 0, hash: uint64(r.IntN(2)), time: at, seq: int64(i/message + 1),
			index: int32(i % message), s: s, i: &v, f: &f, b: &flag, t: &v}
	}
	return events
}

func boolIndex(b bool) int { return int(boolInt(b)) }

// BenchmarkRun recomputes a million events in memory. Most of the time goes into memFile, which
// builds its arrays again for every read, so the figure is a lower bound.
func BenchmarkRun(b *testing.B) {
	c := testCatalog()
	l := land(manyEvents(1_000_000, 4096), 4, 250_000, 16<<10)
	in := Input{Catalog: c, Type: "e", Objects: l.objects, Buckets: l.buckets(),
		Targets: []Target{{c.Views["narrow"], l.buckets()}}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Run(context.Background(), DefaultConfig(), l.open, in,
			func(*Block) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*1e6/b.Elapsed().Seconds(), "events/s")
}
