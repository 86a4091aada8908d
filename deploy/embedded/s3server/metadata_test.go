package s3server

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rclone/gofakes3"
)

func bucketIn(t *testing.T, dir string) *backend {
	t.Helper()
	b, err := openBackend(dir, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.CreateBucket(t.Context(), bucket); err != nil {
		t.Fatal(err)
	}
	return b
}

func putObject(t *testing.T, b *backend, key, body string, headers map[string]string) {
	t.Helper()
	if _, err := b.PutObject(t.Context(), bucket, key, headers, strings.NewReader(body), int64(len(body))); err != nil {
		t.Fatal(err)
	}
}

func mustHead(t *testing.T, b *backend, key string) *gofakes3.Object {
	t.Helper()
	o, err := b.HeadObject(t.Context(), bucket, key)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// TestMetadataGolden freezes the bytes of a metadata file.
func TestMetadataGolden(t *testing.T) {
	t.Parallel()
	raw, err := encodeMetadata(metadataFile{Versions: []version{
		{Size: 3, Modified: 1764500000123456789, MD5: "00ff", Headers: map[string]string{"Content-Type": "x"}},
		{Size: 70000, Modified: 1, MD5: "01"}}})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"versions":[{"size":3,"modified":1764500000123456789,"md5":"00ff","headers":{"Content-Type":"x"}},` +
		`{"size":70000,"modified":1,"md5":"01"}]}` + "\n" +
		`{"sha256":"1c07a34eda07532f5e2250fe5698b0efacbdcbc8a58ac13441942e4676d43e6d"}` + "\n"
	if diff := cmp.Diff(want, string(raw)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	large := map[string]string{"X-Amz-Meta-A": strings.Repeat("a", maxMetadata)}
	_, err = encodeMetadata(metadataFile{Versions: []version{{Headers: large}}})
	if err == nil || !strings.Contains(err.Error(), "at most 65536") {
		t.Errorf("got %v, want an error that says how large metadata may be", err)
	}
}

// TestPlainFiles: an object is its bytes under its own key, and only what the bytes do not say costs a second file.
func TestPlainFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := bucketIn(t, dir)
	large := strings.Repeat("x", smallBody+1)
	for _, c := range []struct {
		key, body string
		headers   map[string]string
		metadata  bool
	}{
		{"land/1.json", "record", map[string]string{"Content-Type": defaultType}, false},
		{"data/type=a.b/x.parquet", large, nil, true},
		{"notes.txt", "n", map[string]string{"Content-Type": "text/plain"}, true},
	} {
		putObject(t, b, c.key, c.body, c.headers)
		raw, err := os.ReadFile(filepath.Join(dir, objectsFolder, bucket, filepath.FromSlash(c.key)))
		if err != nil || string(raw) != c.body {
			t.Errorf("%s: %d bytes, %v", c.key, len(raw), err)
		}
		if got := exists(filepath.Join(dir, metadataFolder, bucket, filepath.FromSlash(c.key))); got != c.metadata {
			t.Errorf("%s has a metadata file: %t, want %t", c.key, got, c.metadata)
		}
	}
	putObject(t, b, "notes.txt", "n", nil)
	if got := mustHead(t, b, "notes.txt").Metadata["Content-Type"]; got != defaultType {
		t.Errorf("replaced without headers: content type %s", got)
	}
	if _, err := b.DeleteObject(t.Context(), bucket, "data/type=a.b/x.parquet"); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(dir, metadataFolder, bucket, "*", "*", "*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left are %v, %v", left, err)
	}
}

// TestMetadataIsRebuilt loses, cuts, flips and copies files: sizes, ETags and bodies stay, and headers as long as their
// file does.
func TestMetadataIsRebuilt(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("row ", smallBody)
	for _, body := range []string{"small", large} {
		dir := t.TempDir()
		b := bucketIn(t, dir)
		putObject(t, b, "k.txt", body, map[string]string{"Content-Type": "text/plain", "X-Amz-Meta-A": "1"})
		object := filepath.Join(dir, objectsFolder, bucket, "k.txt")
		metadata := filepath.Join(dir, metadataFolder, bucket, "k.txt")
		want := mustHead(t, b, "k.txt")
		whole, err := os.ReadFile(metadata)
		if err != nil {
			t.Fatal(err)
		}
		set := func(raw []byte) func() error { return func() error { return os.WriteFile(metadata, raw, 0o600) } }
		for name, c := range map[string]struct {
			damage func() error
			kept   bool // the headers are
		}{
			"lost":         {func() error { return os.Remove(metadata) }, false},
			"cut":          {set(whole[:len(whole)/2]), false},
			"empty":        {set(nil), false},
			"flipped":      {set(bytes.Replace(whole, []byte("plain"), []byte("plaim"), 1)), false},
			"later":        {func() error { return os.Chtimes(object, time.Time{}, time.Now().Add(time.Hour)) }, true},
			"archived":     {func() error { return os.Chtimes(object, time.Time{}, time.Unix(1700000000, 0)) }, true},
			"of a replace": {set(bytes.Replace(whole, []byte(`"md5":"`), []byte(`"md5":"f`), 1)), false},
		} {
			if err := errors.Join(set(whole)(), c.damage()); err != nil {
				t.Fatal(err)
			}
			for range 2 { // The first one writes the file again.
				list, err := b.ListBucket(t.Context(), bucket, nil, gofakes3.ListBucketPage{})
				if err != nil || list.Contents[0].ETag != etag([]byte(body)) || list.Contents[0].Size != want.Size {
					t.Errorf("%s: listed %+v, %v", name, list.Contents[0], err)
				}
				got := mustHead(t, b, "k.txt")
				kept := got.Metadata["X-Amz-Meta-A"] == "1" && got.Metadata["Content-Type"] == "text/plain"
				if got.Size != want.Size || !bytes.Equal(got.Hash, want.Hash) || kept != c.kept {
					t.Errorf("%s: %+v, want %+v", name, got, want)
				}
			}
			if again, _ := os.ReadFile(metadata); len(body) > smallBody && bytes.Equal(again, whole) {
				t.Errorf("%s: the metadata file was not written again", name)
			}
		}
	}
}

// TestReplaceIsOneStep ends a server between the two renames of a replacement: the object has the old body with the old
// headers.
func TestReplaceIsOneStep(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := bucketIn(t, dir)
	putObject(t, b, "k.txt", "old", map[string]string{"X-Amz-Meta-A": "old"})
	path := filepath.Join(dir, objectsFolder, bucket, "k.txt")
	next, err := b.spoolObject(strings.NewReader("new"), 3)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.announce(path, newVersion(next, map[string]string{"X-Amz-Meta-A": "new"})); err != nil {
		t.Fatal(err)
	}
	again, err := openBackend(dir, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if got := mustHead(t, again, "k.txt"); got.Metadata["X-Amz-Meta-A"] != "old" || got.Size != 3 {
		t.Errorf("got %+v", got)
	}
	putObject(t, again, "k.txt", "new", map[string]string{"X-Amz-Meta-A": "new"})
	if got := mustHead(t, again, "k.txt"); got.Metadata["X-Amz-Meta-A"] != "new" {
		t.Errorf("got %+v", got)
	}
}

// TestReaderWritesNothing: a read-only server over a copy with other times finds everything and changes no file.
func TestReaderWritesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := bucketIn(t, dir)
	body := strings.Repeat("x", smallBody+1)
	putObject(t, b, "k.txt", body, map[string]string{"X-Amz-Meta-A": "1"})
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(filepath.Join(dir, objectsFolder, bucket, "k.txt"), later, later); err != nil {
		t.Fatal(err)
	}
	metadata := filepath.Join(dir, metadataFolder, bucket, "k.txt")
	before, err := os.ReadFile(metadata)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := newReader(dir, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	o, err := reader.HeadObject(context.Background(), bucket, "k.txt")
	if err != nil || o.Metadata["X-Amz-Meta-A"] != "1" || o.Size != int64(len(body)) {
		t.Errorf("got %+v, %v", o, err)
	}
	if after, err := os.ReadFile(metadata); err != nil || !bytes.Equal(before, after) {
		t.Errorf("a reader wrote the metadata file: %v", err)
	}
}
