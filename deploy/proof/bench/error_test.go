package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"recount/deploy/client"
	"recount/schemas/query"
)

const errorConfig = `
landing: {cut_interval: 1s}
events: {hit: {fields: {page: string, user: string, ms: int64}}}
views:
  hits:
    event: hit
    dimensions: [page]
    cell: 1h
    measures:
      {n: {count: {}}, total: {sum: ms}, least: {min: ms}, most: {max: ms}, mean: {avg: ms}, users: {distinct: user}}
jobs: {recompute: {schedule: ""}, collect: {schedule: ""}, expire: {schedule: ""}}
`

// group holds the six measures of a group and the stated bounds of its distinct count.
type group struct {
	Page                               string
	N, Total, Least, Most, Mean, Users float64
	Bounds                             struct{ Users []float64 }
}

// BenchmarkSpeedError measures the error of the speed layer against the batch layer over the same
// messages. Every round has its own day of event time. It is queried live before its publication
// and exactly after it.
func BenchmarkSpeedError(b *testing.B) {
	const rounds, groups, perRound = 6, 100, 400_000
	p := startTestServer(b, b.TempDir(), errorConfig)
	defer p.kill()
	errs := map[string][]float64{}
	stated := 0
	held := 0
	sketched := 0
	for round := range rounds {
		day := time.Date(2024, 1, 1+round, 0, 0, 0, 0, time.UTC)
		send(b, p, hitBodies(round, groups, perRound, day))
		live := waitForLive(b, p.url, day, perRound)
		must(b, p.waitUntilLanded((round+1)*perRound))
		must(b, p.recompute())
		exact := measures(b, p.url, day, "exact")
		if len(live) != len(exact) || len(live) != groups {
			b.Fatalf("got %d groups live and %d exact, want %d", len(live), len(exact), groups)
		}
		for page, e := range exact {
			l := live[page]
			for name, v := range map[string][2]float64{"n": {l.N, e.N}, "total": {l.Total, e.Total},
				"least": {l.Least, e.Least},
				"most":  {l.Most, e.Most}, "mean": {l.Mean, e.Mean}, "users": {l.Users, e.Users}} {
				errs[name] = append(errs[name], math.Abs(v[0]-v[1])/max(1, math.Abs(v[1])))
			}
			if e.Users > 1024 {
				sketched++
			}
			if len(l.Bounds.Users) == 2 {
				stated++
				if l.Bounds.Users[0] <= e.Users && e.Users <= l.Bounds.Users[1] {
					held++
				}
			} else if l.Users != e.Users {
				b.Errorf("page %s: %g users live without bounds, but %g exactly", page, l.Users, e.Users)
			}
		}
	}
	fmt.Printf("%d samples of each measure, %d with more than 1,024 distinct values\n%8s %10s %10s %10s\n",
		len(errs["n"]), sketched, "measure", "p50", "p99", "max")
	for _, name := range []string{"n", "total", "least", "most", "mean", "users"} {
		v := errs[name]
		slices.Sort(v)
		fmt.Printf("%8s %9.4f%% %9.4f%% %9.4f%%\n", name, 100*v[len(v)/2], 100*v[len(v)*99/100], 100*v[len(v)-1])
	}
	fmt.Printf("bounds stated %d times, held %d times\n", stated, held)
	b.ReportMetric(float64(held)/float64(max(1, stated)), "coverage")
	b.ReportMetric(100*errs["users"][len(errs["users"])*99/100], "distinct-p99-%")
}

// hitBodies encodes the events of a round: pages with a skew, and about one user in three comes again.
func hitBodies(round, groups, n int, day time.Time) [][]byte {
	rng := rand.New(rand.NewPCG(uint64(round), 3))
	zipf := rand.NewZipf(rng, 1.1, 20, uint64(groups-1))
	var out [][]byte
	for i := 0; i < n; i += 1000 {
		var body []byte
		for j := i; j < i+1000; j++ {
			page := zipf.Uint64()
			if j < groups {
				page = uint64(j) // Every page occurs.
			}
			body = fmt.Appendf(body,
				`{"specversion":"1.0","id":"%d-%d","source":"b","type":"hit","time":%q,`+
					`"data":{"page":"p%d","user":"u%d","ms":%d}}`+"\n",
				round, j, day.Add(time.Duration(rng.IntN(86400))*time.Second).Format(time.RFC3339), page, rng.IntN(n),
				rng.IntN(100_000))
		}
		out = append(out, body)
	}
	return out
}

// waitForLive waits until the live answer counts n events, and returns it by page.
func waitForLive(b *testing.B, url string, day time.Time, n float64) map[string]group {
	b.Helper()
	for range 600 {
		live := measures(b, url, day, "live")
		sum := 0.0
		for _, g := range live {
			sum += g.N
		}
		if sum == n {
			return live
		}
		time.Sleep(50 * time.Millisecond)
	}
	b.Fatalf("the live answer did not reach %g events in time", n)
	return nil
}

// measures queries the measures of a day by page.
func measures(b *testing.B, url string, day time.Time, mode query.Mode) map[string]group {
	b.Helper()
	q := &query.Query{View: "hits", From: day, To: day.AddDate(0, 0, 1), GroupBy: []string{"page"}, Mode: mode}
	var rows []group
	if _, err := connect(b, client.Config{URL: url}).Query(context.Background(), q, &rows); err != nil {
		b.Fatal(err)
	}
	out := map[string]group{}
	for _, g := range rows {
		out[g.Page] = g
	}
	return out
}
