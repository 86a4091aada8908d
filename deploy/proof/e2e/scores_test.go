package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"path/filepath"
	"testing"

	"recount/deploy/client"
	"recount/schemas/openapi"
)

// scoresConfig lets the speed layer forget ids soon, so that it counts late copies (D3).
const scoresConfig = `
log: {partitions: 1}
landing: {cut_interval: 100ms}
speed: {dedup_entries: 1000}
events:
  hit: {fields: {page: string, user: string, n: int64}}
views:
  hits: {event: hit, dimensions: [page], measures: {hits: {count: {}}, n: {sum: n}, users: {distinct: user}}}
jobs: {recompute: {schedule: ""}, score: {schedule: ""}, expire: {schedule: ""}}
`

// TestScores checks that a publication grades the live answers that were given before it (A2). The
// first grade is of events that both layers count alike. The second is of copies whose ids the
// speed layer no longer remembers. Publication 1 has no grade for certain: no publication before
// it is kept, so the speed layer may evict at once what it covers (S3).
func TestScores(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 5*patience)
	defer cancel()
	dir := t.TempDir()
	srv := start(t, dir, writeFile(t, filepath.Join(dir, "recount.yaml"), scoresConfig), "127.0.0.1:0")
	const first, copies = 8000, 400
	if grade, status := fetchGrade(ctx, t, srv.url); status != http.StatusNotFound {
		t.Fatalf("status %d before the first publication, want 404: %+v", status, grade)
	}

	publishHits(ctx, t, srv.url, first-1, first)
	publishHits(ctx, t, srv.url, 0, first-1)
	grade, status := fetchGrade(ctx, t, srv.url)
	if status != http.StatusOK {
		t.Fatalf("status %d, want 200 with a grade", status)
	}
	hits := grade.Views[0].Measures[0]
	users := grade.Views[0].Measures[2]
	if grade.Publication != 2 || grade.Views[0].Groups != 1 || hits.Measure != "hits" || hits.Max != 0 ||
		grade.Views[0].Measures[1].Max != 0 {
		t.Errorf("publication 2: %+v, want counts and sums without error", grade)
	}
	if users.BoundsStated != 1 || users.BoundsHeld != 1 || users.Max == 0 || users.Max > 0.05 {
		t.Errorf("users: %+v, want an error above 0 and within the stated bounds", users)
	}

	publishHits(ctx, t, srv.url, 0, copies)
	grade, _ = fetchGrade(ctx, t, srv.url)
	if len(grade.Views) != 1 || grade.Publication != 3 ||
		math.Abs(grade.Views[0].Measures[0].Max-float64(copies)/first) > 1e-9 {
		t.Errorf("publication 3: %+v, want the hits wrong by the %d copies of %d events", grade, copies, first)
	}
}

// publishHits sends the hits [first, end) of one page, waits until both layers have them, publishes
// and grades.
func publishHits(ctx context.Context, t *testing.T, url string, first, end int) {
	t.Helper()
	var body bytes.Buffer
	for i := first; i < end; i++ {
		fmt.Fprintf(&body, `{"id":"%d","type":"hit","source":"s","time":"2024-05-01T10:00:00Z",`+
			`"data":{"page":"a","user":"u%d","n":%d}}`+"\n", i, i, i)
	}
	if _, err := sender(ctx, url).SendLines(ctx, body.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := waitForMetrics(ctx, url, state.advanced); err != nil {
		t.Fatal(err)
	}
	if err := waitUntilLanded(ctx, url); err != nil {
		t.Fatal(err)
	}
	for _, job := range []string{"recompute", "score"} {
		if err := runJob(ctx, url, job); err != nil {
			t.Fatal(err)
		}
	}
}

func fetchGrade(ctx context.Context, t *testing.T, url string) (g openapi.Scores, status int) {
	t.Helper()
	g, err := asker(ctx, url).Scores(ctx)
	var p *client.Problem
	switch {
	case errors.As(err, &p):
		return g, p.Status
	case err != nil || len(g.Views) == 0:
		t.Fatalf("grade %+v: %v", g, err)
	}
	return g, http.StatusOK
}
