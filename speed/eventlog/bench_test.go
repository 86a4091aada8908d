package eventlog_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"recount/speed/eventlog"
)

// BenchmarkAppend measures durable appends to four partitions: pipelined, as ingest appends, and
// with 64 callers that each wait for their ack.
func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{256, 64 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("pipelined/%d", size), func(b *testing.B) { benchAppend(b, size, 1, 64) })
		b.Run(fmt.Sprintf("synchronous/%d", size), func(b *testing.B) { benchAppend(b, size, 16, 1) })
	}
}

func benchAppend(b *testing.B, size, callers, window int) {
	c := eventlog.DefaultConfig(newHost(b, b.TempDir()))
	l := openLog(b, c)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	var g errgroup.Group
	for p := range c.Partitions {
		for w := range callers {
			n := b.N/(c.Partitions*callers) + 1
			g.Go(func() error { return appendWindowed(b, l, p, make([]byte, size), n, window, w) })
		}
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

// appendWindowed keeps up to window appends in flight.
func appendWindowed(b *testing.B, l *eventlog.Log, p int, frame []byte, n, window, caller int) error {
	var sent []*eventlog.Pending
	for i := range n {
		a, err := l.AppendAsync(b.Context(), p, frame, fmt.Sprintf("%d-%d", caller, i))
		if err != nil {
			return err
		}
		if sent = append(sent, a); len(sent) < window {
			continue
		}
		if _, err := sent[0].Wait(b.Context()); err != nil {
			return err
		}
		sent = sent[1:]
	}
	for _, a := range sent {
		if _, err := a.Wait(b.Context()); err != nil {
			return err
		}
	}
	return nil
}

// BenchmarkAckToReader measures the time from sending a frame to its ack, and from its ack to the
// reader that waits for it. Four partitions work at once, each with one message at a time.
func BenchmarkAckToReader(b *testing.B) {
	c := eventlog.DefaultConfig(newHost(b, b.TempDir()))
	l := openLog(b, c)
	var mu sync.Mutex
	var acks, reads []time.Duration
	var g errgroup.Group
	b.ResetTimer()
	for p := range c.Partitions {
		r := readFrom(b, l, p, 1)
		g.Go(func() error {
			for range b.N/c.Partitions + 1 {
				ack, read, err := roundTrip(b, l, r, p)
				if err != nil {
					return err
				}
				mu.Lock()
				acks = append(acks, ack)
				reads = append(reads, read)
				mu.Unlock()
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	reportQuantiles(b, "ack", acks)
	reportQuantiles(b, "ack-to-read", reads)
}

func roundTrip(b *testing.B, l *eventlog.Log, r *eventlog.Reader, p int) (ack, read time.Duration, err error) {
	start := time.Now()
	if _, err := l.Append(b.Context(), p, make([]byte, 4<<10), ""); err != nil {
		return 0, 0, err
	}
	ack = time.Since(start)
	if _, err := r.Next(b.Context()); err != nil {
		return 0, 0, err
	}
	return ack, time.Since(start) - ack, nil
}

func reportQuantiles(b *testing.B, name string, d []time.Duration) {
	slices.Sort(d)
	b.ReportMetric(float64(d[len(d)/2].Microseconds()), name+"-p50-µs")
	b.ReportMetric(float64(d[len(d)*99/100].Microseconds()), name+"-p99-µs")
}

// BenchmarkRead measures one reader that catches up on frames of 64 KiB.
func BenchmarkRead(b *testing.B) {
	const frames = 2000
	l := openLog(b, eventlog.DefaultConfig(newHost(b, b.TempDir())))
	if err := appendWindowed(b, l, 0, make([]byte, 64<<10), frames, 64, 0); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(64 << 10)
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; done += frames {
		r := readFrom(b, l, 0, 1)
		for range min(frames, b.N-done) {
			if _, err := r.Next(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
		r.Close()
	}
}
