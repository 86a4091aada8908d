package verify_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"recount/batch/lake"
	"recount/deploy/proof/external"
	"recount/deploy/verify"
)

// TestClusterBackup plays the steps that OPERATIONS.md gives for external engines: a backup, and its restore after the
// system has gone on. The restored system answers as before and verify finds nothing. Without ClickHouse it misses the
// rows of older publications only, as soon as one was published.
func TestClusterBackup(t *testing.T) {
	t.Run("with ClickHouse", func(t *testing.T) { playBackup(t, false) })
	t.Run("without ClickHouse", func(t *testing.T) { playBackup(t, true) })
}

func playBackup(t *testing.T, withoutClickHouse bool) {
	e := external.New(t, t.TempDir())
	e.Start()
	w := &world{cfg: clusterConfig(t.TempDir(), e), dir: t.TempDir()}
	url, stop := w.start(t)
	var acks bytes.Buffer
	c, err := newAckClient(url, &acks)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if err := errors.Join(c.run(t.Context()), c.log.Flush()); err != nil {
		t.Fatal(err)
	}
	w.acks = bytes.Clone(acks.Bytes())
	stop()

	bucket := w.download(t)
	e.Stop()
	copies := t.TempDir()
	for _, engine := range []string{"nats", "clickhouse"} {
		copyFolder(t, e.Dir(engine), filepath.Join(copies, engine))
	}
	e.Start()
	url, stop = w.start(t)
	later := connect(t, url)
	if err := errors.Join(later.events(t.Context(), "later", 0, 100), later.publish(t.Context())); err != nil {
		t.Fatal(err)
	}
	stop()

	w.upload(t, bucket)
	e.Stop()
	for _, engine := range []string{"nats", "clickhouse"} {
		remove(t, e.Dir(engine))
		if engine == "nats" || !withoutClickHouse {
			copyFolder(t, filepath.Join(copies, engine), e.Dir(engine))
		}
	}
	remove(t, w.cfg.DataDir)
	e.Start()
	if report := w.verify(t); !withoutClickHouse && !report.Clean() || report.Check(verify.V7).Examined == 0 {
		t.Fatalf("restored: %s", dump(report))
	}
	again := connect(t, w.serve(t))
	run, err := again.RunJob(t.Context(), "recompute")
	if err := errors.Join(err, again.ask(t.Context())); err != nil {
		t.Fatal(err)
	}
	report := w.verify(t)
	for _, f := range report.Findings {
		if !withoutClickHouse || f.Check != verify.V9 || f.Where.Publication >= run.Publication {
			t.Fatalf("restored and published: %s", dump(report))
		}
	}
}

// bucket opens the object store of a cluster.
func (w *world) bucket(t *testing.T) *lake.Store {
	t.Helper()
	s, err := lake.Open(t.Context(), w.cfg.ObjectStore)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// download copies every object of the bucket.
func (w *world) download(t *testing.T) map[string][]byte {
	t.Helper()
	s := w.bucket(t)
	objects := map[string][]byte{}
	for info, err := range s.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		if objects[info.Key], err = s.Get(t.Context(), info.Key); err != nil {
			t.Fatal(err)
		}
	}
	return objects
}

// upload makes the bucket hold the given objects and no others.
func (w *world) upload(t *testing.T, objects map[string][]byte) {
	t.Helper()
	s := w.bucket(t)
	var keys []string
	for info, err := range s.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	err := s.Delete(t.Context(), keys...)
	for key, body := range objects {
		err = errors.Join(err, s.Put(t.Context(), key, bytes.NewReader(body), int64(len(body))))
	}
	if err != nil {
		t.Fatal(err)
	}
}

func copyFolder(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, dir string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
}
