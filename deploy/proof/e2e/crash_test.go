package e2e

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"recount/deploy/client"
	"recount/schemas/openapi/openapitest"
)

var (
	kills     = flag.Int("kills", 30, "how often TestCrash kills the server")
	crashSeed = flag.Uint64("crash-seed", 0, "seed of TestCrash; 0 draws one")
)

// hitsByPage and hitsByUser declare the type and the view of hitsQuery.
const (
	hitsByPage = hitsDeclared + "    dimensions: [page]\n" + hitsMeasures
	hitsByUser = hitsDeclared + "    dimensions: [user]\n" + hitsMeasures

	hitsDeclared = "events:\n  hit: {fields: {page: string, user: string, ms: int64}}\n" +
		"views:\n  hits:\n    event: hit\n"
	hitsMeasures = "    measures: {hits: {count: {}}, ms: {sum: ms}, users: {distinct: user}}\n"
)

// crashConfig makes cuts, snapshots and jobs happen often, so that a kill meets all of them.
const crashConfig = `
log: {partitions: 3}
landing: {cut_interval: 200ms, cut_rows: 5000}
speed: {snapshot_interval: 300ms}
` + hitsByPage + `jobs:
  recompute: {schedule: "@every 1s"}
  collect: {schedule: "@every 3s"}
  expire: {schedule: "@every 1s"}
`

const hitsQuery = `{"view":"hits","from":"2024-01-01T00:00:00Z","to":"2024-01-03T00:00:00Z",` +
	`"group_by":["page"],"mode":%q}`

// TestCrash kills a real server at random moments while a client sends each request with the
// same ids until it is acknowledged. In the end every acknowledged event counts once, in exact
// and in merged answers.
func TestCrash(t *testing.T) {
	if testing.Short() {
		t.Skip("kills and restarts a server 30 times; skipped with -short")
	}
	seed := *crashSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("reproduce with -crash-seed=%d (the machine's timing still differs)", seed)
	dir := t.TempDir()
	config := writeFile(t, filepath.Join(dir, "recount.yaml"), crashConfig)
	listen := reserve(t)
	srv := start(t, dir, config, listen)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	load, err := newCrashLoad(seed, "http://"+listen)
	if err != nil {
		t.Fatal(err)
	}
	defer load.sender.Close()
	load.start(ctx)

	rng := rand.New(rand.NewPCG(seed, 2))
	var slowest time.Duration
	for range *kills {
		time.Sleep(time.Duration(rng.IntN(900)+100) * time.Millisecond)
		srv.kill()
		began := time.Now()
		srv = start(t, dir, config, listen)
		err := eventually(ctx, func() error {
			_, err := query(ctx, srv.url, fmt.Sprintf(hitsQuery, "exact"))
			return err
		})
		if err != nil {
			t.Fatalf("the restarted server answers no query: %v\n%s", err, srv.logs)
		}
		slowest = max(slowest, time.Since(began))
	}
	if err := load.stop(); err != nil {
		t.Fatalf("the client: %v\n%s", err, srv.logs)
	}
	want := load.truth()
	check := func(mode string) func() error {
		return func() error { return load.compare(ctx, srv.url, mode, want) }
	}
	if err := eventually(ctx, check("merged")); err != nil {
		t.Errorf("merged answer: %v\n%s", err, srv.logs)
	}
	if err := eventually(ctx, check("exact")); err != nil {
		t.Errorf("exact answer: %v\n%s", err, srv.logs)
	}
	if err := check("merged")(); err != nil {
		t.Errorf("merged answer after everything was published: %v", err)
	}
	t.Logf("%d kills, %d acknowledged events, %d requests sent again, slowest restart %s", *kills, load.acked.Load(),
		load.retries.Load(), slowest.Round(time.Millisecond))
	srv.stop(t)
}

// crashLoad is a client with several connections that sends every event until it is acknowledged.
type crashLoad struct {
	sender  *client.Client
	seed    uint64
	finish  atomic.Bool
	acked   atomic.Int64
	retries atomic.Int64
	wg      sync.WaitGroup

	mu    sync.Mutex
	hits  map[string]int64 // hits, ms and users are by page.
	ms    map[string]int64
	users map[string]map[string]bool
	err   error
}

func newCrashLoad(seed uint64, url string) (l *crashLoad, err error) {
	l = &crashLoad{seed: seed, hits: map[string]int64{}, ms: map[string]int64{}, users: map[string]map[string]bool{}}
	l.sender, err = client.New(client.Config{URL: url, Timeout: 5 * time.Second,
		Transport: openapitest.Transport(http.DefaultTransport), OnRetry: func(error) error {
			l.retries.Add(1)
			return nil
		}})
	return l, err
}

func (l *crashLoad) start(ctx context.Context) {
	for worker := range 4 {
		l.wg.Go(func() {
			rng := rand.New(rand.NewPCG(l.seed, uint64(worker)+10))
			for n := 0; !l.finish.Load() && ctx.Err() == nil; n++ {
				if err := l.batch(ctx, rng, worker, n); err != nil {
					l.mu.Lock()
					l.err = err
					l.mu.Unlock()
					return
				}
				time.Sleep(time.Duration(rng.IntN(20)) * time.Millisecond)
			}
		})
	}
}

// batch sends up to 200 new events and copies of some, until they are acknowledged.
func (l *crashLoad) batch(ctx context.Context, rng *rand.Rand, worker, n int) error {
	var body []byte
	type event struct {
		page, user string
		ms         int64
	}
	var events []event
	for i := range 1 + rng.IntN(200) {
		e := event{fmt.Sprintf("/p%d", rng.IntN(20)), fmt.Sprintf("u%d", rng.IntN(500)), rng.Int64N(1000)}
		at := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(rng.IntN(48*3600)) * time.Second)
		line := fmt.Sprintf(`{"specversion":"1.0","id":"%d-%d-%d","source":"crash","type":"hit","time":%q,`+
			`"data":{"page":%q,"user":%q,"ms":%d}}`+"\n",
			worker, n, i, at.Format(time.RFC3339), e.page, e.user, e.ms)
		body = append(body, line...)
		events = append(events, e)
		if rng.IntN(20) == 0 {
			body = append(body, line...)
		}
	}
	answer, err := l.sender.SendLines(ctx, body)
	if err != nil {
		return err
	}
	if len(answer.Rejected) > 0 {
		return fmt.Errorf("the server rejected an event: %+v", answer.Rejected[0])
	}
	l.acked.Add(int64(len(events)))
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range events {
		l.hits[e.page]++
		l.ms[e.page] += e.ms
		if l.users[e.page] == nil {
			l.users[e.page] = map[string]bool{}
		}
		l.users[e.page][e.user] = true
	}
	return nil
}

// stop waits until the open requests are acknowledged.
func (l *crashLoad) stop() error {
	l.finish.Store(true)
	l.wg.Wait()
	return l.err
}

// truth returns the right answer: hits, milliseconds and users of each page.
func (l *crashLoad) truth() map[string][3]int64 {
	out := map[string][3]int64{}
	for page, n := range l.hits {
		out[page] = [3]int64{n, l.ms[page], int64(len(l.users[page]))}
	}
	return out
}

func (l *crashLoad) compare(ctx context.Context, url, mode string, want map[string][3]int64) error {
	a, err := query(ctx, url, fmt.Sprintf(hitsQuery, mode))
	if err != nil {
		return err
	}
	got := map[string][3]int64{}
	for _, r := range a.Rows {
		got[r["page"].(string)] = [3]int64{int64(r["hits"].(float64)), int64(r["ms"].(float64)),
			int64(r["users"].(float64))}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		return fmt.Errorf("publication %d, %d events pending, stale partitions %v:\n%s", a.Accuracy.Publication,
			a.Accuracy.PendingEvents, a.Accuracy.StalePartitions, diff)
	}
	return nil
}
