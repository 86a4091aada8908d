package landing

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"recount/batch/lake"
	"recount/batch/object"
	"recount/deploy/embedded/s3server"
	"recount/schemas/position"
	"recount/schemas/record"
)

// openStore returns a store on a new embedded S3 server.
func openStore(t testing.TB) *lake.Store {
	t.Helper()
	server, err := s3server.Open(s3server.DefaultConfig(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	cfg := lake.DefaultConfig("s3://recount/data?endpoint=" + server.Endpoint())
	cfg.AccessKey = server.Credentials().AccessKey
	cfg.SecretKey = server.Credentials().SecretKey
	s, err := lake.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// TestEmbeddedStore lands into the real store, twice. The second lander continues at the chain head
// that the first left.
func TestEmbeddedStore(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	w := newWorld()
	records := lake.NewCommitLog(s)
	next := testNext
	next.Rule = position.CutRule{Interval: 100 * time.Millisecond, Rows: 50, Bytes: 1 << 20}
	for round := range int64(2) {
		moved := make(chan struct{}, 1000)
		registry := prometheus.NewRegistry()
		l, err := New(Config{Registerer: registry, OnCommit: func(int) { moved <- struct{}{} }},
			[]*record.Chain{begin(t, records, 0, next)}, newNode(w, 1, 1, 0), records, s)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- l.Run(ctx) }()
		for i := range 12 {
			w.produce(t, 0, clicked, 20, time.Now().Add(-time.Duration(i)*time.Hour))
		}
		for l.Chains()[0].Events < 240*(round+1) {
			<-moved
		}
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if got, err := registry.Gather(); err != nil || len(got) == 0 {
			t.Error(got, err)
		}
		checkStored(t, s, records, l)
	}
}

// checkStored loads the chain and every object that it names from the store.
func checkStored(t *testing.T, s *lake.Store, records record.CommitLog, l *Lander) {
	t.Helper()
	c, err := LoadChain(t.Context(), records, 0)
	if err != nil || c.Head != l.Heads()[0] {
		t.Fatal(c, err)
	}
	for _, segment := range c.Segments {
		for _, o := range segment.Objects {
			raw, err := s.Get(t.Context(), o.Key)
			if err == nil {
				err = object.Verify(t.Context(), o, bytes.NewReader(raw))
			}
			if err != nil {
				t.Error(err)
			}
		}
	}
	if types, err := StoredSchemas(t.Context(), records); err != nil || len(types["clicked"]) != 1 {
		t.Error(types, err)
	}
}
