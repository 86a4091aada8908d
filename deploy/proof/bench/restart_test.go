package main

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

// BenchmarkRestart kills a server whose log holds the given number of events. It measures the time
// from the start of the next server until that is ready and a merged answer counts all events.
func BenchmarkRestart(b *testing.B) {
	for _, events := range []int{1_000_000, 10_000_000} {
		b.Run(fmt.Sprint(events), func(b *testing.B) {
			shape := &shapes()[0]
			p := startTestServer(b, b.TempDir(), shape.configuration())
			count := 0
			for sent := 0; sent < events; sent += 1_000_000 {
				all, lines, err := shape.bodies(1_000_000, 1000, uint64(sent))
				must(b, err)
				send(b, p, all)
				count += lines
			}
			must(b, p.waitUntilLanded(count))
			want, err := p.total(shape)
			must(b, err)
			for _, unit := range []string{"s-unpublished", "s-published"} {
				if unit == "s-published" {
					must(b, p.recompute())
				}
				p.kill()
				began := time.Now()
				must(b, p.start())
				must(b, waitUntilCounted(p, shape, want, time.Minute))
				b.ReportMetric(time.Since(began).Seconds(), unit)
			}
			p.kill()
		})
	}
}

// total asks for the number of events.
func (s *server) total(shape *shape) (string, error) {
	raw, err := s.query(questions[0].body(shape, "merged", 0))
	if err != nil {
		return "", err
	}
	rows, err := answerOf(raw, "hits")
	if err != nil {
		return "", err
	}
	if len(rows) != 1 {
		return "", fmt.Errorf("the total has %d rows: %s", len(rows), raw)
	}
	return rows[0][0], nil
}

// waitUntilCounted waits until the server answers and counts the events.
func waitUntilCounted(s *server, shape *shape, want string, limit time.Duration) error {
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		got, err := s.total(shape)
		if err == nil && got == want {
			return nil
		}
		if time.Since(began) > limit {
			return errors.Join(fmt.Errorf("the restarted server counts %q after %s, want %s", got, limit, want), err)
		}
	}
}
