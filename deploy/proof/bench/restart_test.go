package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"
)

// BenchmarkRestart kills a server with so many events behind it and measures from the start of
// the next one until it is ready and a merged answer holds them all.
func BenchmarkRestart(b *testing.B) {
	for _, events := range []int{1_000_000, 10_000_000} {
		b.Run(fmt.Sprint(events), func(b *testing.B) {
			dir := b.TempDir()
			config := fmt.Sprintf(configuration, dense)
			p := startProcess(b, dir, config)
			for sent := 0; sent < events; sent += 1_000_000 {
				sendAll(b, p.url, bodies(1000, fmt.Sprintf("%d-", sent)), 8)
			}
			if !restarted(b, p.url, events, 2*time.Minute) {
				b.Fatal("the events were not counted")
			}
			for _, published := range []bool{false, true} {
				if published {
					landed(b, p.url, 0)
					call(b, p.url, "/v1/jobs/recompute/runs", "")
				}
				p.kill()
				began := time.Now()
				p = startProcess(b, dir, config)
				if !restarted(b, p.url, events, time.Minute) {
					b.Fatal("not all events were counted within a minute")
				}
				b.ReportMetric(time.Since(began).Seconds(),
					map[bool]string{false: "s-unpublished", true: "s-published"}[published])
			}
			p.kill()
		})
	}
}

// restarted waits until the server is ready and counts the events.
func restarted(b *testing.B, url string, events int, limit time.Duration) bool {
	const q = `{"view":"departures","measures":["flights"],"from":"2024-01-01T00:00:00Z","to":"2024-01-02T00:00:00Z"}`
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if resp, err := http.Get(url + "/readyz"); err != nil || resp.Body.Close() != nil ||
			resp.StatusCode != http.StatusOK {
			continue
		}
		resp, err := http.Post(url+"/v1/query", "application/json", bytes.NewReader([]byte(q)))
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
