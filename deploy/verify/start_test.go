package verify_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"recount/deploy/server"
	"recount/deploy/verify"
)

// damaged is a kind of damage to a file or a folder below data_dir.
type damaged struct {
	path string // pattern; the last match is damaged
	kind string
}

const (
	streams = "log/jetstream/*/streams/"
	bucket  = "s3/objects/recount/"
)

// startFaults are the kinds of damage to the kinds of file that a start reads, and what a start does then: "refuse",
// "seal", "stop" a partition with an alarm, or "" for nothing that loses. What loses nothing is planted together.
var startFaults = []struct {
	then string
	what []damaged
}{
	{"", []damaged{{"speed", "missing"}, {streams + "*p0/meta.inf", "cut"}, {"clickhouse", "missing"}}},
	{"", []damaged{{"speed", "older"}, {streams + "*p1/meta.inf", "flipped"}, {"clickhouse", "older"}}},
	{"", []damaged{{"speed/high-water.json", "missing"}, {"speed/p000-*.snap", "cut"}, {"speed/p001-*.ids", "cut"},
		{streams + "*p0/msgs/index.db", "flipped"}}},
	{"", []damaged{{"speed/high-water.json", "older"}, {"speed/p000-*.snap", "flipped"},
		{"speed/p001-*.ids", "missing"}, {streams + "*p0/meta.sum", "missing"}}},
	{"", []damaged{{"speed/p000-*.snap", "foreign"}, {"speed/p001-*.snap", "foreign"},
		{streams + "*p1/msgs/index.db", "missing"}}},
	{"refuse", []damaged{{"speed", "foreign"}}},
	{"refuse", []damaged{{"speed/high-water.json", "flipped"}}},
	{"refuse", []damaged{{"log", "foreign"}}},
	{"refuse", []damaged{{"log", "missing"}}},
	{"seal", []damaged{{"log", "older"}}},
	{"stop", []damaged{{streams + "*p0/msgs/*.blk", "cut"}}},
	{"stop", []damaged{{streams + "*p0/msgs/*.blk", "missing"}}},
	{"refuse", []damaged{{"s3", "foreign"}}},
	{"refuse", []damaged{{"s3", "missing"}}},
	{"stop", []damaged{{"s3", "older"}}},
	{"refuse", []damaged{{bucket + "installation.json*", "missing"}}},
	{"refuse", []damaged{{bucket + "land/e000000/p000/*", "missing"}}},
	{"stop", []damaged{{bucket + "land/e000001/p000/*", "missing"}}},
	{"refuse", []damaged{{bucket + "land/e000001/p000/*", "missing"}, {"log", "older"}}},
	{"refuse", []damaged{{bucket + "publish/0*", "flipped"}}},
	{"refuse", []damaged{{bucket + "catalog/0*", "missing"}}},
	{"refuse", []damaged{{"clickhouse", "foreign"}}},
}

// TestStartFaults damages each kind of file that a start reads. Verify must find that a start would refuse, or give
// something up, exactly where a start does (V12), and what stops a partition. The cases run one after the other,
// because a process has one embedded ClickHouse.
func TestStartFaults(t *testing.T) {
	older := shared.copied(t)
	newer := shared.copied(t)
	newer.grow(t)
	foreign, err := build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	name := strings.NewReplacer("/", "_", "*", "", "{", "", "}", "") // It becomes part of data_dir.
	for _, c := range startFaults {
		t.Run(name.Replace(fmt.Sprint(c.what)), func(t *testing.T) {
			w := newer.copied(t)
			for _, d := range c.what {
				w.damage(t, d, map[string]*world{"older": older, "foreign": foreign})
			}
			report, failed := server.Verify(t.Context(), w.cfg, server.VerifyOptions{Scratch: w.dir})
			foreseen := ""
			for _, f := range report.Findings {
				if f.Check == verify.V12 {
					foreseen = map[bool]string{true: "refuse", false: "seal"}[strings.Contains(f.What, "be refused")]
				}
			}
			logged, refused := w.tryStart(t)
			done := ""
			switch {
			case refused != nil:
				done = "refuse"
			case strings.Contains(logged, "sealing its epoch"):
				done = "seal"
			}
			switch {
			case c.then == "stop":
				if done != "" || foreseen != "" || len(report.Findings) == 0 {
					t.Errorf("a start is to go on, and verify to find why a partition does not")
				}
			case done != c.then || foreseen != done && failed == nil || failed != nil && refused == nil:
				t.Errorf("a start does %q, verify foresees %q, want %q", done, foreseen, c.then)
			}
			if t.Failed() || testing.Verbose() {
				t.Logf("verify: %v %s\nstart: %v", failed, summary(report), refused)
			}
		})
	}
}

// grow lets a server accept, land and publish more, and leaves events in the log.
func (w *world) grow(t *testing.T) {
	t.Helper()
	url, stop := w.start(t)
	c := connect(t, url)
	for i := range int64(3) {
		if err := c.events(t.Context(), "grown", 30*i, 30); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.publish(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := range int64(3) {
		if err := c.events(t.Context(), "waiting", 30*i, 30); err != nil {
			t.Fatal(err)
		}
	}
	stop()
}

// damage plants the damage.
func (w *world) damage(t *testing.T, d damaged, others map[string]*world) {
	t.Helper()
	one := func(w *world) string {
		found, err := filepath.Glob(filepath.Join(w.cfg.DataDir, d.path))
		if err != nil || len(found) == 0 {
			t.Fatalf("no file matches %s: %v", d.path, err)
		}
		slices.Sort(found)
		return found[len(found)-1]
	}
	path := one(w)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if d.kind == "missing" || info.IsDir() {
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
	}
	other := others[d.kind]
	switch {
	case d.kind == "missing":
	case info.IsDir():
		if err := os.CopyFS(path, os.DirFS(one(other))); err != nil {
			t.Fatal(err)
		}
	case other != nil:
		rewrite(t, one(other), path, func(raw []byte) []byte { return raw })
	case d.kind == "cut":
		rewrite(t, path, path, func(raw []byte) []byte { return raw[:len(raw)/2] })
	case d.kind == "flipped":
		rewrite(t, path, path, func(raw []byte) []byte {
			raw[len(raw)/2] ^= 1
			return raw
		})
	}
}

// tryStart starts a server and stops it. It returns what the start has logged, and why it was refused.
func (w *world) tryStart(t *testing.T) (logged string, refused error) {
	t.Helper()
	var log bytes.Buffer
	ctx, stop := context.WithCancel(t.Context())
	s, err := server.Open(ctx, w.cfg, server.Options{Roles: server.AllRoles,
		Logger: slog.New(slog.NewTextHandler(&log, nil))})
	stop()
	if err != nil {
		return log.String(), err
	}
	if err := s.Run(ctx); err != nil {
		t.Error(err)
	}
	return log.String(), nil
}
