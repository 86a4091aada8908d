package e2e

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"testing"
)

// restartConfig writes no snapshot and publishes nothing before the test ends, so every start reads the
// whole log again.
const restartConfig = `
log: {partitions: 3}
speed: {snapshot_interval: 1h}
` + hitsByUser + `jobs:
  recompute: {schedule: ""}
  expire: {schedule: ""}
`

// TestAnswersNeverGoBackSilently kills a server and asks it all the time while it reads the log again. An
// answer that covers less than the answer before the kill must say so (Q6), and the server is ready only
// when it covers as much.
func TestAnswersNeverGoBackSilently(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 5*patience)
	defer cancel()
	dir := t.TempDir()
	config := writeFile(t, filepath.Join(dir, "recount.yaml"), restartConfig)
	srv := start(t, dir, config, "127.0.0.1:0")
	const perRequest, requests = 500, 160
	for n := range requests {
		sendHits(t, srv, n*perRequest, (n+1)*perRequest)
	}
	expectHits(t, srv, "merged", perRequest*requests)
	before, err := askHits(ctx, srv)
	if err != nil {
		t.Fatal(err)
	}

	for range 3 {
		srv.kill()
		srv = start(t, dir, config, "127.0.0.1:0")
		older := 0
		notReady := 0
		for ready := false; !ready; {
			// The server must keep what /readyz promises, so /readyz is asked first.
			status, _ := getStatus(ctx, srv.url+"/readyz")
			ready = status == http.StatusOK
			a, err := askHits(ctx, srv)
			if err != nil {
				t.Fatalf("%v\n%s", err, srv.logs)
			}
			if !ready {
				notReady++
			}
			for p, through := range a.Accuracy.Through {
				if through >= before.Accuracy.Through[p] {
					continue
				}
				older++
				if ready || a.Accuracy.Exact ||
					a.Accuracy.Complete && !slices.Contains(a.Accuracy.StalePartitions, p) {
					t.Fatalf("ready %t, rows %v, accuracy %+v, before the restart %v, %+v", ready, a.Rows, a.Accuracy,
						before.Rows, before.Accuracy)
				}
			}
		}
		t.Logf("%d times not ready, %d times a partition was older and said so", notReady, older)
	}
	expectHits(t, srv, "merged", perRequest*requests)
}

// askHits counts all hits in mode merged.
func askHits(ctx context.Context, srv *server) (answer, error) {
	return query(ctx, srv.url,
		`{"view":"hits","measures":["hits"],"from":"2024-01-01T00:00:00Z","to":"2024-01-02T00:00:00Z"}`)
}

// getStatus returns the status of a GET request.
func getStatus(ctx context.Context, url string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, fmt.Errorf("get %s: %w", url, err)
	}
	return resp.StatusCode, resp.Body.Close()
}
