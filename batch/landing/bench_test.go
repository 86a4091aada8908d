package landing

import (
	"context"
	"testing"
	"time"

	"recount/batch/object"
	"recount/schemas/position"
	"recount/schemas/record"
)

// BenchmarkLand lands a million events from messages of 2,000 events each: from decoding a message to
// verifying the object. The log and the store need no time.
func BenchmarkLand(b *testing.B) {
	const messages, each = 500, 2000
	w := newWorld()
	for range messages {
		w.produce(b, 0, clicked, each, time.Now())
	}
	next := testNext
	next.Rule = position.CutRule{Interval: time.Hour, Rows: 250_000, Bytes: 1 << 30}
	encoder := new(object.Encoder)
	b.ReportAllocs()
	for b.Loop() {
		w.Bodies = nil
		w.objects = map[string][]byte{}
		n := newNode(w, 1, 1, 0)
		n.near = true
		ctx, cancel := context.WithCancel(b.Context())
		l, err := New(Config{Encode: encoder.Encode}, []*record.Chain{begin(b, w, 0, next)}, n, n, store{n})
		if err != nil {
			b.Fatal(err)
		}
		l.partitions[0].cfg.OnCommit = func(int) {
			if l.Heads()[0].Seq > 3*messages/4 { // The last segment stays open.
				cancel()
			}
		}
		if err := l.Run(ctx); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*messages*each*3/4/b.Elapsed().Seconds(), "events/s")
}
