package s3server

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rclone/gofakes3"
)

var tombstone = Tombstone{Bucket: bucket, Key: "installation.json", Body: []byte("refuse\n")}

// firstObjects are the objects of the directories of format 1 in these tests.
var firstObjects = map[string]string{
	"installation.json":                                     "the first record\n",
	"land/e000001/p000/00000000000000000001.json":           "a record",
	"data/type=hit/landed=2026-11-01/e1-p0-1-9-ABC.parquet": strings.Repeat("rows ", 9_000),
	"a": "file", "a/b": "and folder", "a/": "", "A": "upper case", "..": "dots", "é": "é", "empty": "",
}

// makeFirst writes a directory of format 1 and returns what it has to look like afterwards.
func makeFirst(t *testing.T, dir string) map[string]string {
	t.Helper()
	at := time.Date(2026, 11, 1, 2, 3, 4, 0, time.UTC)
	want := map[string]string{}
	for key, body := range firstObjects {
		sum := md5.Sum([]byte(body))
		headers := map[string]string{"Content-Type": defaultType, "Last-Modified": at.Format(http.TimeFormat)}
		if key == "a/b" {
			headers["X-Amz-Meta-Who"] = "<me>"
			headers["Content-Type"] = "text/plain"
		}
		raw, err := appendTail([]byte(body), int64(len(body)),
			firstMetadata{Key: key, MD5: hex.EncodeToString(sum[:]), Meta: headers})
		if err != nil {
			t.Fatal(err)
		}
		writeFirst(t, dir, key, raw)
		want[key] = fmt.Sprintf("%x %x %s %s %s", body, sum, headers["Content-Type"], headers["X-Amz-Meta-Who"],
			at.Format(time.RFC3339))
	}
	// An object whose body is an object file itself, and one that a disk has damaged.
	inner, err := appendTail([]byte("in"), 2, firstMetadata{Key: "in", MD5: "00"})
	if err != nil {
		t.Fatal(err)
	}
	sum := md5.Sum(inner)
	outer, err := appendTail(slices.Clone(inner), int64(len(inner)),
		firstMetadata{Key: "nested", MD5: hex.EncodeToString(sum[:])})
	if err != nil {
		t.Fatal(err)
	}
	writeFirst(t, dir, "nested", outer)
	writeFirst(t, dir, "damaged", outer[:len(outer)-1])
	for key, body := range map[string][]byte{"nested": inner, "damaged": outer[:len(outer)-1]} {
		want[key] = fmt.Sprintf("%x %x %s %s %s", body, md5.Sum(body), defaultType, "", at.Format(time.RFC3339))
	}
	if err := os.MkdirAll(filepath.Join(dir, firstFolder, "empty-bucket"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, firstFolder, bucket, "Notes.txt"), []byte("by hand"), 0o600); err != nil {
		t.Fatal(err)
	}
	return want
}

func writeFirst(t *testing.T, dir, key string, raw []byte) {
	t.Helper()
	path, err := firstPath(filepath.Join(dir, firstFolder, bucket), key)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 1, 2, 3, 4, 0, time.UTC)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, raw, 0o600),
		os.Chtimes(path, at, at)); err != nil {
		t.Fatal(err)
	}
}

// contents returns every object that a listing has, as GET and the listing describe it.
func contents(t *testing.T, b *backend) map[string]string {
	t.Helper()
	list, err := b.ListBucket(t.Context(), bucket, nil, gofakes3.ListBucketPage{})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, c := range list.Contents {
		o, err := b.GetObject(t.Context(), bucket, c.Key, nil)
		if gofakes3.HasErrorCode(err, gofakes3.ErrNoSuchKey) {
			continue // a file that a person put there
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(o.Contents)
		if err := errors.Join(err, o.Contents.Close()); err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("%q", hex.EncodeToString(o.Hash)); c.ETag != want && c.ETag != "\"\"" {
			t.Errorf("%s: the listing has the ETag %s, and GET %s", c.Key, c.ETag, want)
		}
		got[c.Key] = fmt.Sprintf("%x %x %s %s %s", body, o.Hash, o.Metadata["Content-Type"],
			o.Metadata["X-Amz-Meta-Who"], c.LastModified.Format(time.RFC3339))
	}
	return got
}

func openStore(t *testing.T, cfg Config) *backend {
	t.Helper()
	if err := openFormat(cfg); err != nil {
		t.Fatal(err)
	}
	b, err := openBackend(cfg.Dir, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func carryConfig(dir string) Config {
	return Config{Dir: dir, Tombstone: tombstone, Logger: slog.New(slog.DiscardHandler), Now: time.Now}
}

// TestCarryOver: a directory of format 1 has the same objects afterwards, as plain files, and a second start changes
// nothing. A reader reads it before and after.
func TestCarryOver(t *testing.T) {
	t.Parallel()
	cfg := carryConfig(t.TempDir())
	want := makeFirst(t, cfg.Dir)
	before, err := newReader(cfg.Dir, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	read := contents(t, before)
	maps.DeleteFunc(read, func(key, _ string) bool { return key == "nested" || key == "damaged" })
	for key, got := range read {
		if got != want[key] {
			t.Errorf("before: %s is %s, want %s", key, got, want[key])
		}
	}
	if len(read) != len(firstObjects) {
		t.Errorf("before: %d objects, want %d", len(read), len(firstObjects))
	}
	for range 2 {
		if diff := cmp.Diff(want, contents(t, openStore(t, cfg))); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	for key, body := range firstObjects {
		path, err := objectPath(filepath.Join(cfg.Dir, objectsFolder, bucket), key)
		if err != nil {
			t.Fatal(err)
		}
		if raw, err := os.ReadFile(path); err != nil || string(raw) != body {
			t.Errorf("%s holds %d bytes, %v; want %d", path, len(raw), err, len(body))
		}
	}
	if _, err := os.Stat(filepath.Join(cfg.Dir, objectsFolder, "empty-bucket")); err != nil {
		t.Error(err)
	}
	var left []string
	err = filepath.WalkDir(filepath.Join(cfg.Dir, firstFolder), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			left = append(left, filepath.Base(path))
		}
		return err
	})
	if want := []string{"Notes.txt", "installation.json%"}; err != nil || !slices.Equal(left, want) {
		t.Errorf("left are %v, %v; want %v", left, err, want)
	}
	entries, err := os.ReadDir(filepath.Join(cfg.Dir, "tmp"))
	if err != nil || len(entries) != 0 || exists(filepath.Join(cfg.Dir, planFile)) {
		t.Errorf("the plan is left, or in tmp: %v", entries)
	}
}

// TestCarryOverIsKilled ends a carry-over before each of its changes, and then once more before a later one. The next
// start completes it, and meanwhile a reader refuses, and an older program finds the tombstone once anything has moved.
func TestCarryOverIsKilled(t *testing.T) {
	t.Parallel()
	killed := errors.New("killed")
	for steps := 0; ; steps++ {
		cfg := carryConfig(t.TempDir())
		want := makeFirst(t, cfg.Dir)
		done := true
		for _, limit := range []int{steps, 2} {
			left := limit
			c := &carrier{cfg: cfg, from: filepath.Join(cfg.Dir, firstFolder), to: newBackend(cfg.Dir, cfg.Now)}
			c.changed = func() error {
				if left--; left < 0 {
					return killed
				}
				return nil
			}
			if err := c.run(); err != nil && !errors.Is(err, killed) {
				t.Fatalf("after %d steps: %v", steps, err)
			} else if err == nil {
				continue
			}
			done = false
			checkInterrupted(t, cfg, steps)
		}
		if diff := cmp.Diff(want, contents(t, openStore(t, cfg))); diff != "" {
			t.Fatalf("killed after %d steps (-want +got):\n%s", steps, diff)
		}
		if done {
			if steps < 2*len(firstObjects) {
				t.Errorf("a carry-over of %d objects has %d steps only", len(firstObjects), steps)
			}
			return
		}
	}
}

func checkInterrupted(t *testing.T, cfg Config, steps int) {
	t.Helper()
	if !exists(filepath.Join(cfg.Dir, planFile)) {
		return // Nothing has changed yet.
	}
	if _, err := newReader(cfg.Dir, time.Now); err == nil || !strings.Contains(err.Error(), "start the server once") {
		t.Errorf("after %d steps a reader: %v", steps, err)
	}
	moved := false
	for key := range firstObjects {
		path, err := objectPath(filepath.Join(cfg.Dir, objectsFolder, bucket), key)
		if err != nil {
			t.Fatal(err)
		}
		moved = moved || key != tombstone.Key && exists(path)
	}
	stone, _ := firstPath(filepath.Join(cfg.Dir, firstFolder, bucket), tombstone.Key)
	if raw, err := os.ReadFile(stone); moved && (err != nil || string(raw) != string(tombstone.Body)) {
		t.Errorf("after %d steps an older program finds %q, %v", steps, raw, err)
	}
}

// TestCarryOverAfterPowerFailure has files that kept the new name and lost the new length, which the plan has.
func TestCarryOverAfterPowerFailure(t *testing.T) {
	t.Parallel()
	cfg := carryConfig(t.TempDir())
	want := makeFirst(t, cfg.Dir)
	if err := carryOver(cfg); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"A", "nested", tombstone.Key} {
		path, err := objectPath(filepath.Join(cfg.Dir, objectsFolder, bucket), key)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(path)
		if err := errors.Join(err, os.WriteFile(path, append(raw, "metadata and footer"...), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(want, contents(t, openStore(t, cfg))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestCarryOverSparesHardLinks: a backup by hard links keeps its bytes.
func TestCarryOverSparesHardLinks(t *testing.T) {
	t.Parallel()
	cfg := carryConfig(t.TempDir())
	want := makeFirst(t, cfg.Dir)
	path, err := firstPath(filepath.Join(cfg.Dir, firstFolder, bucket), "a/b")
	if err != nil {
		t.Fatal(err)
	}
	backup := filepath.Join(t.TempDir(), "backup")
	raw, err := os.ReadFile(path)
	if err := errors.Join(err, os.Link(path, backup)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, contents(t, openStore(t, cfg))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if kept, err := os.ReadFile(backup); err != nil || string(kept) != string(raw) {
		t.Errorf("the backup holds %d bytes, %v; want %d", len(kept), err, len(raw))
	}
}

// TestFormat: a directory of a later format is refused, a lost format file is written again, and an empty directory
// gets the tombstone.
func TestFormat(t *testing.T) {
	t.Parallel()
	cfg := carryConfig(t.TempDir())
	b := openStore(t, cfg)
	if err := b.CreateBucket(t.Context(), bucket); err != nil {
		t.Fatal(err)
	}
	if _, err := b.PutObject(t.Context(), bucket, "k.json", nil, strings.NewReader("v"), 1); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(cfg.Dir, formatFile)
	raw, err := os.ReadFile(file)
	if want := "{\"format\":2}\n"; err != nil || string(raw) != want {
		t.Errorf("the format file holds %q, %v; want %q", raw, err, want)
	}
	stone := filepath.Join(cfg.Dir, firstFolder, bucket, "installation.json%")
	if raw, err := os.ReadFile(stone); err != nil || string(raw) != string(tombstone.Body) {
		t.Errorf("the tombstone holds %q, %v", raw, err)
	}
	if err := errors.Join(os.Remove(file), os.Remove(stone)); err != nil {
		t.Fatal(err)
	}
	if got := contents(t, openStore(t, cfg)); len(got) != 1 || !exists(file) || !exists(stone) {
		t.Errorf("without its format file: %v", got)
	}
	for content, want := range map[string]string{"{\"format\":3}": "use the version of recount", "x": "write {"} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, reader := newReader(cfg.Dir, nil)
		for _, err := range []error{openFormat(cfg), reader} {
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), file) {
				t.Errorf("format %s: %v, want %q", content, err, want)
			}
		}
	}
}

// TestFirstGoldenDirectory carries over a directory that the last program of format 1 wrote.
func TestFirstGoldenDirectory(t *testing.T) {
	t.Parallel()
	cfg := carryConfig(t.TempDir())
	if err := os.CopyFS(cfg.Dir, os.DirFS("testdata/format1")); err != nil {
		t.Fatal(err)
	}
	old, err := newReader(cfg.Dir, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	want := contents(t, old)
	got := contents(t, openStore(t, cfg))
	if diff := cmp.Diff(want, got); diff != "" || len(got) != 4 {
		t.Errorf("%d objects (-old +new):\n%s", len(got), diff)
	}
	head, err := openStore(t, cfg).HeadObject(context.Background(), bucket, "a/b")
	if err != nil || head.Metadata["X-Amz-Meta-Attempt"] != "7" || head.Metadata["Content-Type"] != "text/csv" {
		t.Errorf("a/b is %+v, %v", head, err)
	}
}
