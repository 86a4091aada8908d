package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"recount/deploy/client"
	"recount/deploy/proof/external"
	"recount/schemas/catalog"
	"recount/schemas/problem"
	"recount/schemas/query"
	"recount/schemas/sqlschema"
	"recount/speed/eventlog"
)

// externalConfig is the configuration of a process over external engines, which counts hits by page.
func externalConfig(t *testing.T, e *external.Engines) Config {
	t.Helper()
	cfg := bareConfig(t)
	cfg.Log.URL = e.NATS()
	cfg.Log.Durability = eventlog.Relaxed
	cfg.Log.Replicas = 1
	cfg.Log.MaxBytes = 64 << 20
	cfg.ObjectStore.URL = e.Store()
	cfg.ObjectStore.AccessKey = external.AccessKey
	cfg.ObjectStore.SecretKey = external.SecretKey
	cfg.ClickHouse.URL = e.ClickHouse()
	cfg.Landing.Interval = 50 * time.Millisecond
	cfg.Landing.Bytes = 16 << 20
	cfg.Events = map[string]*catalog.EventType{"hit": {Fields: []catalog.Field{{Name: "page", Type: catalog.String}}}}
	cfg.Views = map[string]*catalog.View{"hits": {Event: "hit", Dimensions: []string{"page"},
		Measures: []catalog.Measure{{Name: "hits", Kind: catalog.Count}}}}
	return cfg
}

// play runs a server with some roles until the test ends, and returns it with a client of it.
func play(t *testing.T, cfg Config, roles Roles) (*Server, *client.Client) {
	t.Helper()
	s, err := Open(t.Context(), cfg, Options{Roles: roles})
	if err != nil {
		t.Fatal(err)
	}
	run(t, s)
	retry := client.Retry{Attempts: 1}
	c, err := client.New(client.Config{URL: s.URL(), Retry: retry})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return s, c
}

// sendHits sends events numbered from first.
func sendHits(t *testing.T, c *client.Client, first, count int) {
	t.Helper()
	var body strings.Builder
	for i := first; i < first+count; i++ {
		fmt.Fprintf(&body, `{"specversion":"1.0","id":"%d","source":"test","type":"hit","time":"2024-01-01T10:00:00Z",`+
			`"data":{"page":"/%d"}}`+"\n", i, i%5)
	}
	if answer, err := c.SendLines(t.Context(), []byte(body.String())); err != nil || len(answer.Rejected) > 0 {
		t.Fatalf("send: %v %v", err, answer.Rejected)
	}
}

// exactHits asks the batch view for all hits.
func exactHits(ctx context.Context, c *client.Client) (hits int64, err error) {
	return hitsOf(ctx, c, "hits", query.Exact)
}

// publishes runs the job recompute until the batch view has so many hits.
func publishes(t *testing.T, jobs, asked *client.Client, want int64) {
	t.Helper()
	var got int64
	var err error
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		_, err = jobs.RunJob(t.Context(), "recompute")
		// The schedule may have started a run, whose end is as good.
		if p := (*problem.Problem)(nil); err != nil && (!errors.As(err, &p) || p.Code != problem.JobRunning) {
			t.Fatal(err)
		}
		if got, err = exactHits(t.Context(), asked); err == nil && got == want {
			return
		}
	}
	t.Fatalf("got %d exact hits and %v, want %d", got, err, want)
}

// TestLostRowsInSplitRoles loses rows of ClickHouse. Only a process without the role batch is asked, and it cannot tell
// the process that recomputes, which restores them all the same. It is not parallel: a process has one embedded
// ClickHouse.
func TestLostRowsInSplitRoles(t *testing.T) {
	e := external.New(t, t.TempDir())
	e.Start()
	cfg := externalConfig(t, e)
	front, asked := play(t, cfg, Ingest|Speed|Landing|Serving)
	cfg.DataDir = t.TempDir()
	cfg.Batch.CheckEvery = time.Millisecond
	_, jobs := play(t, cfg, Batch)
	sendHits(t, asked, 0, 100)
	publishes(t, jobs, asked, 100)
	for name, statement := range map[string]string{
		"some rows": "DELETE FROM %s WHERE page = '/1'",
		"all rows":  "TRUNCATE TABLE %s",
		"the table": "DROP TABLE %s",
	} {
		table := sqlschema.Table(front.catalog.Views["hits"], front.catalog.Digest(front.catalog.Views["hits"]))
		if err := front.engines.sql.Exec(t.Context(), fmt.Sprintf(statement, table)); err != nil {
			t.Fatal(name, err)
		}
		if n, err := exactHits(t.Context(), asked); err == nil {
			t.Fatalf("%s: %d exact hits although rows are lost", name, n)
		}
		publishes(t, jobs, asked, 100)
	}
}
