package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"
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
			if !waitUntilCounted(p.url, events, 2*time.Minute) {
				b.Fatal("not all events were counted within two minutes")
			}
			for _, published := range []bool{false, true} {
				if published {
					waitUntilLanded(b, p.url, 0)
					call(b, p.url, "/v1/jobs/recompute/runs", "")
				}
				p.kill()
				began := time.Now()
				p = startProcess(b, dir, config)
				if !waitUntilCounted(p.url, events, time.Minute) {
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
func waitUntilCounted(url string, events int, limit time.Duration) bool {
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if resp, err := http.Get(url + "/readyz"); err != nil || resp.Body.Close() != nil ||
			resp.StatusCode != http.StatusOK {
			continue
		}
		resp, err := http.Post(url+"/v1/query", "application/json", bytes.NewReader([]byte(flightsQuery)))
		if err != nil {
			continue
		}
		var a struct{ Rows []struct{ Flights int } }
		err = json.NewDecoder(resp.Body).Decode(&a)
		_ = resp.Body.Close()
		if err == nil && len(a.Rows) == 1 && a.Rows[0].Flights == events {
			return true
		}
	}
	return false
}
