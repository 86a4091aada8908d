package server

import (
	"fmt"
	"io/fs"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"recount/schemas/durable"
	"recount/schemas/eventbatch"
	"recount/schemas/record"
)

// finding returns the finding of a check, or an empty one.
func finding(findings []Finding, check string) (found Finding) {
	for _, f := range findings {
		if f.Check == check {
			return f
		}
	}
	return Finding{}
}

// writeStores writes what a diagnosis reads of embedded stores: the record of the lake, and the metadata of a stream.
func writeStores(t *testing.T, dir, lake, stream string) {
	t.Helper()
	i := record.Installation{ID: lake, Identity: eventbatch.TenantSourceID, Partitions: 1, Bucket: time.Hour, Log: "L",
		Versions: record.Versions{Records: record.CurrentFormat, Frames: eventbatch.Version}, Created: time.Now().UTC()}
	raw, err := i.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"lock": "77",
		"s3/objects/recount/" + record.InstallationKey: string(record.WithDigest(raw)),
		"log/jetstream/$G/streams/recount-p0/meta.inf": fmt.Sprintf(
			`{"name":"recount-p0","metadata":{"recount_installation":%q,"recount_log":"L"}}`, stream),
	} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDiagnose covers the folder of a stopped and of a running server, stores that do not belong together, and ports.
func TestDiagnose(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	cfg.DataDir = filepath.Join(t.TempDir(), "data")
	cfg.Listen = "127.0.0.1:0"
	expect := func(step, check string, level Level, says string) {
		t.Helper()
		if f := finding(Diagnose(t.Context(), cfg), check); f.Level != level || !strings.Contains(f.Result, says) ||
			(f.Level == Failure) != (f.Fix != "") && f.Level != Warning {
			t.Errorf("%s: got %+v, want %s %s", step, f, level, says)
		}
	}
	expect("no folder", "data_dir", Fine, "does not exist yet")
	expect("no folder", "stores", Fine, "no store belongs to an installation yet")
	expect("no folder", "listen", Fine, "is free")
	if _, err := os.Stat(cfg.DataDir); err == nil {
		t.Error("the folder was made")
	}
	writeStores(t, cfg.DataDir, "A", "A")
	before := listFiles(t, cfg.DataDir)
	expect("stopped", "data_dir", Fine, "no server uses")
	expect("stopped", "stores", Fine, "installation A: the object store in "+cfg.DataDir)
	lock, err := durable.Lock(filepath.Join(cfg.DataDir, lockName), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	expect("running", "data_dir", Fine, "process 77 uses")
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	cfg.Listen = busy.Addr().String()
	expect("running", "listen", Fine, "is in use, as is data_dir: by the same process or by another")
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	expect("another program", "listen", Failure, "address already in use")
	writeStores(t, cfg.DataDir, "A", "B")
	expect("another log", "stores", Failure, "belongs to installation A with log L, and stream recount-p0 to B")
	if after := listFiles(t, cfg.DataDir); after != before {
		t.Errorf("files before: %s, and after: %s", before, after)
	}
	if err := os.Chmod(cfg.DataDir, 0o705); err != nil {
		t.Fatal(err)
	}
	expect("open to all", "data_dir", Warning, "every user of this machine can enter")
	cfg.DataDir = filepath.Join(cfg.DataDir, "lock")
	expect("a file", "data_dir", Failure, "is no folder")
}

// TestDiagnoseParts takes parts of a stopped server's folder away, cuts and changes their files, and expects a failure
// that names each. Nothing is changed.
func TestDiagnoseParts(t *testing.T) {
	t.Parallel()
	const blocks = "log/jetstream/$G/streams/recount-p1/msgs/"
	const stream0 = "log/jetstream/$G/streams/recount-p0"
	for name, c := range map[string]struct {
		damage func(t *testing.T, dir string)
		check  string
		level  Level
		says   string
	}{
		"nothing": {func(*testing.T, string) {}, "log", Fine,
			"the messages of 2 streams follow one another; recount verify reads what is in them"},
		"no damage":      {func(*testing.T, string) {}, "object store", Fine, "object files are whole"},
		"an empty block": {cut(blocks+"1.blk", 1<<30), "log", Failure, "partition 1 ends with message 0, and had"},
		"no s3":          {remove("s3"), "object store", Failure, "its records are gone"},
		"no log":         {remove("log"), "log", Failure, "it has 0 of the streams of 2 partitions"},
		"one stream":     {remove(stream0), "log", Failure, "it has 1 of the streams"},
		"no metadata":    {remove(stream0 + "/meta.inf"), "log", Warning, "stream recount-p0: meta.inf: stat"},
		"cut metadata":   {cut(stream0+"/meta.inf", 9), "log", Warning, "stream recount-p0: meta.inf: unexpected end"},
		"no blocks":      {remove(blocks), "log", Failure, "no such file"},
		"no block":       {remove(blocks + "1.blk"), "log", Failure, "partition 1 ends with message 0, and had"},
		"no clickhouse":  {remove("clickhouse"), "clickhouse", Warning, "the folder is gone"},
		"a cut end":      {cut(blocks+"1.blk", 3), "log", Warning, "ends with"},
		"a cut block":    {cut(blocks+"1.blk", 6000), "log", Failure, "partition 1 ends with message"},
		"a corrupt mark": {cut("speed/high-water.json", 3), "speed", Warning, "high-water.json is damaged"},
		"a cut object": {func(t *testing.T, dir string) {
			found, err := filepath.Glob(filepath.Join(dir, "s3/buckets/recount/publish/*%"))
			if err != nil || len(found) == 0 {
				t.Fatalf("no publication: %v", err)
			}
			cut(strings.TrimPrefix(found[0], dir), 1)(t, dir)
		}, "object store", Failure, "1 of"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := DefaultConfig()
			dir := t.TempDir()
			unpack(t, "testdata/installation0.tar.gz", dir)
			cfg.DataDir = filepath.Join(dir, "data")
			cfg.Listen = "127.0.0.1:0"
			c.damage(t, cfg.DataDir)
			before := listFiles(t, dir)
			findings := Diagnose(t.Context(), cfg)
			if f := finding(findings, c.check); f.Level != c.level || !strings.Contains(f.Result, c.says) ||
				(f.Fix == "") != (c.level == Fine) {
				t.Errorf("got %+v, want %s %s", f, c.level, c.says)
			}
			for _, f := range findings {
				stored := slices.Contains([]string{"stores", "object store", "log", "clickhouse"}, f.Check)
				if f.Level == Failure && f.Check != c.check && stored {
					t.Errorf("got %+v too", f)
				}
			}
			if after := listFiles(t, dir); after != before {
				t.Errorf("files before: %s, and after: %s", before, after)
			}
		})
	}
}

// TestDiagnoseLost takes records away that something refers to, and expects one failure that names them. It is not
// parallel: a process has one embedded ClickHouse.
func TestDiagnoseLost(t *testing.T) {
	for _, published := range []bool{true, false} {
		cfg := countedConfig(t)
		cfg.Log.Partitions = 1
		made := cfg.DataDir
		lost := loseGeneration(t, cfg, published)
		const bucket = "s3/objects/recount/"
		by := "a message of partition 0"
		beside := "none"
		if published {
			by = "publication "
			beside = "log" // Its messages name the generation too.
		}
		for name, c := range map[string]struct {
			damage func(t *testing.T, dir string)
			check  string
			says   []string
		}{
			"generation":   {remove(beside), "catalog", []string{by, "generation 2", "--replace-catalog"}},
			"installation": {remove(bucket + "installation.json"), "object store", []string{"json is gone"}},
			"land":         {remove(bucket + "land"), "object store", []string{"the folder land", "is gone"}},
			"objects":      {remove("s3/objects"), "object store", []string{"its records are gone"}},
			"nothing": {func(t *testing.T, dir string) {
				t.Helper()
				path := filepath.Join(dir, bucket, record.GenerationKey(2))
				if err := os.WriteFile(path, lost, 0o600); err != nil {
					t.Fatal(err)
				}
			}, "", nil},
		} {
			cfg.DataDir = filepath.Join(t.TempDir(), "data")
			if err := os.CopyFS(cfg.DataDir, os.DirFS(made)); err != nil {
				t.Fatal(err)
			}
			c.damage(t, cfg.DataDir)
			findings := Diagnose(t.Context(), cfg)
			for _, f := range findings {
				stored := f.Check == "catalog" || f.Check == "object store"
				if stored && f.Check != c.check && f.Level != Fine {
					t.Errorf("%s, published %t: got %+v", name, published, f)
				}
			}
			f := finding(findings, c.check)
			for _, want := range c.says {
				if f.Level != Failure || f.Fix == "" || !strings.Contains(f.Result, want) {
					t.Errorf("%s, published %t: got %+v, want %s", name, published, f, want)
				}
			}
		}
	}
}

func remove(name string) func(t *testing.T, dir string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		if err := os.RemoveAll(filepath.Join(dir, filepath.FromSlash(name))); err != nil {
			t.Fatal(err)
		}
	}
}

// cut cuts bytes off the end of a file.
func cut(name string, n int64) func(t *testing.T, dir string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		path := filepath.Join(dir, filepath.FromSlash(name))
		info, err := os.Stat(path)
		if err == nil {
			err = os.Truncate(path, max(0, info.Size()-n))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func listFiles(t *testing.T, dir string) string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		names = append(names, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, " ")
}

// TestMemoryLimit reads the limits of both versions of control groups, also that of a group above.
func TestMemoryLimit(t *testing.T) {
	t.Parallel()
	const machine = "of the machine"
	const group = "of the control group"
	const own = "proc/self/cgroup"
	const v1 = "sys/fs/cgroup/memory/"
	for name, c := range map[string]struct {
		files map[string]string
		want  int64
		place string
	}{
		"nothing":   {nil, 0, ""},
		"no group":  {map[string]string{"proc/meminfo": "MemTotal:  4 kB\n"}, 4096, machine},
		"no limit":  {map[string]string{own: "0::/a\n", "sys/fs/cgroup/a/memory.max": "max\n"}, 4096, machine},
		"version 2": {map[string]string{own: "0::/a/b\n", "sys/fs/cgroup/a/memory.max": "99\n"}, 99, group},
		"version 1": {map[string]string{own: "3:cpu:/x\n4:memory:/a\n",
			v1 + "a/memory.limit_in_bytes": "98\n"}, 98, group},
		"v1 without": {map[string]string{own: "4:memory:/\n",
			v1 + "memory.limit_in_bytes": fmt.Sprint(int64(math.MaxInt64 - 4095))}, 4096, machine},
	} {
		root := t.TempDir()
		if c.files != nil && c.files["proc/meminfo"] == "" {
			c.files["proc/meminfo"] = "MemFree: 1 kB\nMemTotal:  4 kB\n"
		}
		for file, content := range c.files {
			path := filepath.Join(root, file)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got, place := memoryLimit(root); got != c.want || place != c.place {
			t.Errorf("%s: got %d %s, want %d %s", name, got, place, c.want, c.place)
		}
	}
}
