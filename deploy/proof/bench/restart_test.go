package bench

import (
	"context"
	"fmt"
	"testing"
	"time"

	"recount/deploy/client"
)

// BenchmarkRestart kills a server whose log holds the given number of events. It measures the time
// from the start of the next server until that is ready and a merged answer counts all events.
func BenchmarkRestart(b *testing.B) {
	for _, events := range []int{1_000_000, 10_000_000} {
		b.Run(fmt.Sprint(events), func(b *testing.B) {
			dir := b.TempDir()
			config := fmt.Sprintf(configuration, dense)
			p := startProcess(b, dir, config)
			for sent := 0; sent < events; sent += 1_000_000 {
				sendAll(b, p.url, bodies(1000, fmt.Sprintf("%d-", sent)), 8)
			}
			if !waitUntilCounted(b, p.url, events, 2*time.Minute) {
				b.Fatal("not all events were counted within two minutes")
			}
			for _, published := range []bool{false, true} {
				if published {
					waitUntilLanded(b, p.url, 0)
					recompute(b, connect(b, client.Config{URL: p.url}))
				}
				p.kill()
				began := time.Now()
				p = startProcess(b, dir, config)
				if !waitUntilCounted(b, p.url, events, time.Minute) {
					b.Fatal("the restarted server did not count all events within a minute")
				}
				unit := "s-unpublished"
				if published {
					unit = "s-published"
				}
				b.ReportMetric(time.Since(began).Seconds(), unit)
			}
			p.kill()
		})
	}
}

// waitUntilCounted reports whether the server is ready and counts the events within the limit.
func waitUntilCounted(b *testing.B, url string, events int, limit time.Duration) bool {
	b.Helper()
	c := connect(b, client.Config{URL: url, Retry: client.Retry{Attempts: 1}, Breaker: client.Breaker{Failures: -1}})
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for ; ctx.Err() == nil; time.Sleep(10 * time.Millisecond) {
		if c.Ready(ctx) != nil {
			continue
		}
		var rows []struct{ Flights int }
		_, err := c.Query(ctx, parseQuery(flightsQuery), &rows)
		if err == nil && len(rows) == 1 && rows[0].Flights == events {
			return true
		}
	}
	return false
}
