package verify_test

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"recount/deploy/proof/external"
	"recount/deploy/server"
	"recount/deploy/verify"
	"recount/speed/eventlog"
)

// clusterConfig is the configuration of a process over external engines.
func clusterConfig(dir string, e *external.Engines) server.Config {
	cfg := config(filepath.Join(dir, "data"))
	cfg.Log.URL = e.NATS()
	cfg.Log.Durability = eventlog.Relaxed
	cfg.Log.Replicas = 1
	cfg.Log.MaxBytes = 64 << 20
	cfg.Landing.Bytes = 16 << 20
	cfg.ObjectStore.URL = e.Store()
	cfg.ObjectStore.AccessKey = external.AccessKey
	cfg.ObjectStore.SecretKey = external.SecretKey
	cfg.ClickHouse.URL = e.ClickHouse()
	return cfg
}

// TestBesideLiveCluster verifies external engines while a server uses them. At every step of the verification the
// server accepts events, publishes, trims the log, and collects what the verification has begun to judge.
func TestBesideLiveCluster(t *testing.T) {
	e := external.New(t, t.TempDir())
	e.Start()
	w := &world{cfg: clusterConfig(t.TempDir(), e)}
	w.cfg.Batch.Keep = 1 // Publications expire as soon as they can.
	w.cfg.Query.Timeout = time.Second
	c := connect(t, w.serve(t))
	n := int64(0)
	move := func() {
		err := errors.Join(c.events(t.Context(), "more", 10*n, 20), c.publish(t.Context()))
		time.Sleep(2 * w.cfg.Query.Timeout) // P3
		for _, job := range []string{"expire", "collect"} {
			_, e := c.RunJob(t.Context(), job)
			err = errors.Join(err, e)
		}
		if err != nil {
			t.Error(err)
		}
		n++
		if err := c.events(t.Context(), "tail", 10*n, 5); err != nil {
			t.Error(err)
		}
	}
	move()
	step := ""
	report, err := server.Verify(t.Context(), w.cfg, server.VerifyOptions{Options: verify.Options{
		Progress: func(p verify.Progress) {
			if p.Step != step {
				step = p.Step
				move()
			}
		}}})
	if err != nil || !report.Clean() {
		t.Fatalf("%v: %s", err, dump(report))
	}
	if n < 4 {
		t.Fatalf("the server moved %d times, want a move at every step", n)
	}
}
