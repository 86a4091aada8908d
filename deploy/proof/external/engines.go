// Package external runs on loopback what a cluster has outside of recount: a NATS server, an object store and
// ClickHouse. They are the embedded engines, each with an address, because tests may not depend on installed servers.
package external

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"recount/deploy/embedded/chdb"
	"recount/deploy/embedded/natsserver"
	"recount/deploy/embedded/s3server"
	"recount/deploy/proof/loopback"
)

// The keys of the object store, as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
const (
	AccessKey = "external-key"
	SecretKey = "external-secret"
)

// Engines are three engines that keep their addresses while they are stopped. A process can run one at a time,
// because libchdb serves one folder.
type Engines struct {
	t       testing.TB
	dir     string
	listen  map[string]string // by engine
	closers []func() error    // of the engines that run, in the order of their start
}

// New returns engines that do not run yet. Their data is below dir. They are stopped when the test ends.
func New(t testing.TB, dir string) *Engines {
	t.Helper()
	e := &Engines{t: t, dir: dir, listen: map[string]string{}}
	for _, name := range []string{"nats", "s3", "clickhouse"} {
		address, release, err := loopback.Reserve()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = release() })
		e.listen[name] = address
	}
	t.Cleanup(e.Stop)
	return e
}

// Dir is the folder of an engine: nats, s3 or clickhouse. A stopped engine may be copied and replaced.
func (e *Engines) Dir(engine string) string { return filepath.Join(e.dir, engine) }

// NATS is the address for log.url. The server is on its own, so log.durability is relaxed and log.replicas is 1.
func (e *Engines) NATS() string { return "nats://" + e.listen["nats"] }

// Store is the address for object_store.url.
func (e *Engines) Store() string {
	return "s3://recount/lake?region=us-east-1&path_style=true&endpoint=http://" + e.listen["s3"]
}

// ClickHouse is the address for clickhouse.url.
func (e *Engines) ClickHouse() string { return "http://" + e.listen["clickhouse"] + "/recount" }

// Start starts all engines.
func (e *Engines) Start() {
	e.t.Helper()
	for _, start := range []func() error{e.startNATS, e.startS3, e.startClickHouse} {
		if err := start(); err != nil {
			e.t.Fatal(err)
		}
	}
}

// Stop stops the engines that run.
func (e *Engines) Stop() {
	for i := len(e.closers) - 1; i >= 0; i-- {
		if err := e.closers[i](); err != nil {
			e.t.Error(err)
		}
	}
	e.closers = nil
}

func (e *Engines) startNATS() error {
	c := natsserver.DefaultConfig(e.Dir("nats"))
	c.Listen = e.listen["nats"]
	c.MaxStore = 1 << 30
	s, err := natsserver.Open(context.Background(), c)
	if err != nil {
		return err
	}
	e.closers = append(e.closers, func() error {
		s.Close()
		return nil
	})
	return nil
}

func (e *Engines) startS3() error {
	c := s3server.DefaultConfig(e.Dir("s3"))
	c.Listen = e.listen["s3"]
	c.AccessKey = AccessKey
	c.SecretKey = SecretKey
	s, err := s3server.Open(c)
	if err != nil {
		return err
	}
	e.closers = append(e.closers, s.Close)
	return s.Start()
}

func (e *Engines) startClickHouse() error {
	engine, err := chdb.Open(context.Background(), chdb.DefaultConfig(e.Dir("clickhouse")))
	if err != nil {
		return err
	}
	e.closers = append(e.closers, engine.Close)
	l, err := net.Listen("tcp", e.listen["clickhouse"])
	if err != nil {
		return err
	}
	server := &http.Server{Handler: Gateway{engine.Transport()}, ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	e.closers = append(e.closers, func() error {
		err := server.Close()
		if e := <-ended; !errors.Is(e, http.ErrServerClosed) {
			err = errors.Join(err, fmt.Errorf("serve ClickHouse: %w", e))
		}
		return err
	})
	return nil
}
