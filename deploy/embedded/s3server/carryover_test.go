package s3server

import (
	"bytes"
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
	for steps := 0; ; steps++ {
		cfg := carryConfig(t.TempDir())
		want := makeFirst(t, cfg.Dir)
		done := true
		for _, limit := range []int{steps, 2} {
			if !stopAfter(t, cfg, limit) {
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
	stone, err := firstPath(filepath.Join(cfg.Dir, firstFolder, bucket), tombstone.Key)
	if err != nil {
		t.Fatal(err)
	}
	if raw, err := os.ReadFile(stone); err == nil && bytes.Equal(raw, tombstone.Body) {
		return
	}
	s, err := openFirst(stone)
	if err != nil {
		t.Fatalf("after %d steps an older program finds no record: %v", steps, err)
	}
	defer s.File.Close()
	if s.MD5 == nil || s.Size != int64(len(firstObjects[tombstone.Key])) {
		t.Errorf("after %d steps an older program finds a changed record of %d bytes", steps, s.Size)
	}
	for key := range firstObjects {
		path, err := objectPath(filepath.Join(cfg.Dir, objectsFolder, bucket), key)
		if err != nil {
			t.Fatal(err)
		}
		if key != tombstone.Key && exists(path) {
			t.Errorf("after %d steps %s has moved, and an older program starts", steps, key)
		}
	}
}

// stopAfter carries a directory over until a number of changes are made.
func stopAfter(t *testing.T, cfg Config, steps int) (stopped bool) {
	t.Helper()
	killed := errors.New("killed")
	c := newCarrier(cfg)
	c.changed = func() error {
		if steps--; steps < 0 {
			return killed
		}
		return nil
	}
	err := c.run()
	if err != nil && !errors.Is(err, killed) {
		t.Fatal(err)
	}
	return err != nil
}

// TestCarryOverAfterAnOlderProgramRanAgain: until the tombstone is there, an older program may store more after a start
// that was ended, and replace its record. The next start carries that over, too.
func TestCarryOverAfterAnOlderProgramRanAgain(t *testing.T) {
	t.Parallel()
	for steps := 0; ; steps++ {
		cfg := carryConfig(t.TempDir())
		want := makeFirst(t, cfg.Dir)
		if !stopAfter(t, cfg, steps) {
			t.Fatal("the carry-over ended without a tombstone")
		}
		if there, err := hasTombstone(cfg); err != nil {
			t.Fatal(err)
		} else if there {
			if steps < 3 {
				t.Errorf("the tombstone is there after %d steps", steps)
			}
			return
		}
		at := time.Date(2026, 11, 1, 2, 3, 4, 0, time.UTC)
		for key, body := range map[string]string{"land/later.json": "later", tombstone.Key: "another record\n"} {
			sum := md5.Sum([]byte(body))
			raw, err := appendTail([]byte(body), int64(len(body)),
				firstMetadata{Key: key, MD5: hex.EncodeToString(sum[:])})
			if err != nil {
				t.Fatal(err)
			}
			writeFirst(t, cfg.Dir, key, raw)
			want[key] = fmt.Sprintf("%x %x %s %s %s", body, sum, defaultType, "", at.Format(time.RFC3339))
		}
		if diff := cmp.Diff(want, contents(t, openStore(t, cfg))); diff != "" {
			t.Fatalf("after %d steps (-want +got):\n%s", steps, diff)
		}
	}
}

// TestCarryOverLeavesNoObject: a directory is not called carried over while objects of format 1 are left in it.
func TestCarryOverLeavesNoObject(t *testing.T) {
	t.Parallel()
	cfg := carryConfig(t.TempDir())
	want := makeFirst(t, cfg.Dir)
	if !stopAfter(t, cfg, 6) {
		t.Fatal("the carry-over has six steps only")
	}
	if there, err := hasTombstone(cfg); err != nil || !there {
		t.Fatalf("after six steps there is no tombstone: %v", err)
	}
	writeFirst(t, cfg.Dir, "land/late.json", []byte("late"))
	late := filepath.Join(cfg.Dir, firstFolder, bucket, "land", "late.json%")
	for range 2 {
		if err := openFormat(cfg); err == nil || !strings.Contains(err.Error(), late) {
			t.Errorf("got %v, want an error that names %s", err, late)
		}
	}
	if exists(filepath.Join(cfg.Dir, formatFile)) {
		t.Error("the directory is called carried over")
	}
	if err := os.Remove(late); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, contents(t, openStore(t, cfg))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestCarryOverRefusesLinks: what could not be renamed is refused before anything has changed.
func TestCarryOverRefusesLinks(t *testing.T) {
	t.Parallel()
	for _, link := range []string{"", bucket, bucket + "/land", bucket + "/a%"} {
		cfg := carryConfig(t.TempDir())
		want := makeFirst(t, cfg.Dir)
		path := filepath.Join(cfg.Dir, firstFolder, link)
		elsewhere := filepath.Join(t.TempDir(), "elsewhere")
		if err := errors.Join(os.Rename(path, elsewhere), os.Symlink(elsewhere, path)); err != nil {
			t.Fatal(err)
		}
		err := openFormat(cfg)
		if err == nil || !strings.Contains(err.Error(), path+" is a symbolic link: move") {
			t.Errorf("%q is a link: %v", link, err)
		}
		if exists(filepath.Join(cfg.Dir, planFile)) || exists(filepath.Join(cfg.Dir, objectsFolder)) {
			t.Errorf("%q is a link: the directory has changed", link)
		}
		if err := errors.Join(os.Remove(path), os.Rename(elsewhere, path)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, contents(t, openStore(t, cfg))); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

// TestSameFileSystem needs a second file system, which most Linux machines have in memory.
func TestSameFileSystem(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := sameFileSystem(filepath.Join(dir, "tmp"), dir); err != nil {
		t.Error(err)
	}
	other, err := os.MkdirTemp("/dev/shm", "recount-")
	if err != nil {
		t.Skip("there is no other file system: ", err)
	}
	t.Cleanup(func() { os.RemoveAll(other) })
	if err := os.Mkdir(filepath.Join(dir, "tmp"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := sameFileSystem(filepath.Join(dir, "tmp"), other); err == nil || !strings.Contains(err.Error(), other) {
		t.Errorf("got %v, want an error that names %s", err, other)
	}
}

// TestLostObjects: the tombstone tells that a directory without objects and format file is not one of format 1.
func TestLostObjects(t *testing.T) {
	t.Parallel()
	cfg := carryConfig(t.TempDir())
	openStore(t, cfg)
	if err := errors.Join(os.RemoveAll(filepath.Join(cfg.Dir, objectsFolder)),
		os.Remove(filepath.Join(cfg.Dir, formatFile))); err != nil {
		t.Fatal(err)
	}
	_, reader := openReader(cfg)
	for _, err := range []error{openFormat(cfg), reader} {
		if err == nil || !strings.Contains(err.Error(), "objects is missing") {
			t.Errorf("got %v, want that objects is missing", err)
		}
	}
}

// TestTombstoneIsNoOtherObject: what an older program wrote in place of the tombstone is not taken for it.
func TestTombstoneIsNoOtherObject(t *testing.T) {
	t.Parallel()
	cfg := carryConfig(t.TempDir())
	openStore(t, cfg)
	writeFirst(t, cfg.Dir, tombstone.Key, []byte("another record"))
	if err := openFormat(cfg); err == nil || !strings.Contains(err.Error(), "holds something else") {
		t.Errorf("got %v, want that the file holds something else", err)
	}
}

// TestCarryOverAfterPowerFailure has files that kept the new name and lost the new length, which the plan has.
func TestCarryOverAfterPowerFailure(t *testing.T) {
	t.Parallel()
	cfg := carryConfig(t.TempDir())
	want := makeFirst(t, cfg.Dir)
	if err := newCarrier(cfg).run(); err != nil {
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
