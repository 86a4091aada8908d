package s3server

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"
	"github.com/rclone/gofakes3"
	"pgregory.net/rapid"
)

// list returns the keys of all pages and, after them, the common prefixes.
func list(t testing.TB, c *s3.Client, prefix, delimiter string, page int32) []string {
	t.Helper()
	in := &s3.ListObjectsV2Input{Bucket: aws.String(bucket), Prefix: &prefix, MaxKeys: &page}
	if delimiter != "" {
		in.Delimiter = &delimiter
	}
	var keys []string
	for p := s3.NewListObjectsV2Paginator(c, in); p.HasMorePages(); {
		out, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range out.Contents {
			keys = append(keys, *o.Key)
		}
		for _, o := range out.CommonPrefixes {
			keys = append(keys, *o.Prefix)
		}
	}
	return keys
}

func TestListPages(t *testing.T) {
	t.Parallel()
	c, _ := fresh(t)
	var want []string
	for i := range 25 {
		want = append(want, fmt.Sprintf("land/p%d/%020d.json", i%2, i))
		mustPut(t, c, want[i], []byte("x"))
	}
	slices.Sort(want)
	for _, page := range []int32{1, 7, 25, 1000} {
		if diff := cmp.Diff(want, list(t, c, "land/", "", page)); diff != "" {
			t.Errorf("page of %d (-want +got):\n%s", page, diff)
		}
	}
	if diff := cmp.Diff([]string{"land/p0/", "land/p1/"}, list(t, c, "land/", "/", 1)); diff != "" {
		t.Errorf("common prefixes (-want +got):\n%s", diff)
	}
	out, err := c.ListObjectsV2(t.Context(),
		&s3.ListObjectsV2Input{Bucket: aws.String(bucket), StartAfter: &want[20], Prefix: aws.String("land/p1/")})
	if err != nil || len(out.Contents) != 4 || *out.Contents[0].Key != want[21] || *out.Contents[0].Size != 1 ||
		*out.Contents[0].ETag != etag([]byte("x")) || out.Contents[0].LastModified.IsZero() {
		t.Errorf("start after: %+v, %v", out, err)
	}
}

// TestListIsNaive compares pages of random keys with a sorted slice, in folders both
// above and below the size that is cached.
func TestListIsNaive(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		b, err := openBackend(t.TempDir(), time.Now)
		if err != nil {
			rt.Fatal(err)
		}
		if err := b.CreateBucket(t.Context(), bucket); err != nil {
			rt.Fatal(err)
		}
		part := rapid.StringMatching(`[a-cA/!~.%0]{1,6}`)
		keys := rapid.SliceOfNDistinct(part, 0, 30, rapid.ID).Draw(rt, "keys")
		for _, k := range keys {
			if _, err := b.PutObject(t.Context(), bucket, k, map[string]string{}, strings.NewReader(""),
				0); err != nil {
				rt.Fatal(err)
			}
		}
		slices.Sort(keys)
		prefix := rapid.StringMatching(`[a-cA/!.]{0,2}`).Draw(rt, "prefix")
		delimiter := rapid.SampledFrom([]string{"", "/", "!", "a"}).Draw(rt, "delimiter")
		limit := rapid.Int64Range(1, 5).Draw(rt, "limit")
		want := naive(keys, prefix, delimiter)
		got := pages(rt, b, &gofakes3.Prefix{Prefix: prefix, Delimiter: delimiter}, limit)
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatalf("(-want +got):\n%s", diff)
		}
		after := part.Draw(rt, "after")
		want = slices.DeleteFunc(naive(keys, prefix, ""), func(k string) bool { return k <= after })
		list, err := b.ListBucket(t.Context(), bucket, &gofakes3.Prefix{Prefix: prefix},
			gofakes3.ListBucketPage{Marker: after})
		if err != nil {
			rt.Fatal(err)
		}
		got = []string{}
		for _, c := range list.Contents {
			got = append(got, c.Key)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatalf("after %q (-want +got):\n%s", after, diff)
		}
	})
}

func naive(keys []string, prefix, delimiter string) []string {
	out := []string{}
	for _, k := range keys {
		rest, ok := strings.CutPrefix(k, prefix)
		if !ok {
			continue
		}
		if i := strings.Index(rest, delimiter); delimiter != "" && i >= 0 {
			k = prefix + rest[:i+len(delimiter)]
		}
		if !slices.Contains(out, k) {
			out = append(out, k)
		}
	}
	return out
}

// pages lists everything by pages, keys and common prefixes merged in byte order.
func pages(rt *rapid.T, b *backend, p *gofakes3.Prefix, limit int64) []string {
	out := []string{}
	marker := ""
	for range 100 {
		list, err := b.ListBucket(rt.Context(), bucket, p, gofakes3.ListBucketPage{Marker: marker, MaxKeys: limit})
		if err != nil {
			rt.Fatal(err)
		}
		var page []string
		for _, c := range list.Contents {
			page = append(page, c.Key)
		}
		for _, c := range list.CommonPrefixes {
			page = append(page, c.Prefix)
		}
		slices.Sort(page)
		if int64(len(page)) > limit {
			rt.Fatalf("a page of %d, asked for %d", len(page), limit)
		}
		out = append(out, page...)
		if marker = list.NextMarker; !list.IsTruncated {
			return out
		}
	}
	rt.Fatal("the pages do not end")
	return nil
}

// TestStrangeFiles: files that were edited, copied or dropped into a folder by hand are listed with the
// others and hide none of them.
func TestStrangeFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b, err := openBackend(dir, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.CreateBucket(t.Context(), bucket); err != nil {
		t.Fatal(err)
	}
	for _, k := range []string{"k/a", "k/b", "k/c"} {
		if _, err := b.PutObject(t.Context(), bucket, k, map[string]string{}, strings.NewReader("body"),
			4); err != nil {
			t.Fatal(err)
		}
	}
	folder, ok := b.bucketDir(bucket)
	if !ok {
		t.Fatal("no folder")
	}
	for name, raw := range map[string]string{"b%": "longer body", "B copy%": "body", "Notes.txt": "x", "Folder/x": "",
		"e.json/x": "", "f%/x": "", "g": "", "h.txt": "by hand"} {
		path := filepath.Join(folder, "k", name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700),
			os.WriteFile(path, []byte(raw), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	list, err := b.ListBucket(t.Context(), bucket, &gofakes3.Prefix{Prefix: "k/"}, gofakes3.ListBucketPage{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range list.Contents {
		got = append(got, fmt.Sprint(c.Key, " ", c.Size))
	}
	want := []string{"k/B copy% 4", "k/Folder/x 0", "k/Notes.txt 1", "k/a 4", "k/b 11", "k/c 4", "k/e.json/x 0",
		"k/f%/x 0", "k/g 0", "k/h.txt 7"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	o, err := b.GetObject(t.Context(), bucket, "k/b", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Contents.Close()
	if got, err := io.ReadAll(o.Contents); err != nil || string(got) != "longer body" {
		t.Errorf("read %q, %v", got, err)
	}
	for _, key := range []string{"k/Notes.txt", "k/e.json/x", "k/f%/x", "k/g"} {
		if _, err := b.GetObject(t.Context(), bucket, key, nil); !gofakes3.HasErrorCode(err, gofakes3.ErrNoSuchKey) {
			t.Errorf("%s, a file that is no object, is read: %v", key, err)
		}
	}
	if o, err := b.HeadObject(t.Context(), bucket, "k/h.txt"); err != nil || o.Size != 7 {
		t.Errorf("a file under the name of a key: %+v, %v", o, err)
	}
}

// TestLargeFolder checks that a cached folder follows what is put and deleted.
func TestLargeFolder(t *testing.T) {
	t.Parallel()
	b, err := openBackend(t.TempDir(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.CreateBucket(t.Context(), bucket); err != nil {
		t.Fatal(err)
	}
	touch := func(k string) {
		if _, err := b.PutObject(t.Context(), bucket, k, map[string]string{}, strings.NewReader(""), 0); err != nil {
			t.Fatal(err)
		}
	}
	count := func(after string) int {
		list, err := b.ListBucket(t.Context(), bucket, &gofakes3.Prefix{Prefix: "k/"},
			gofakes3.ListBucketPage{Marker: after})
		if err != nil {
			t.Fatal(err)
		}
		return len(list.Contents)
	}
	for i := range largeFolder + 10 {
		touch(fmt.Sprintf("k/%06d", i))
	}
	if got := count("k/000999"); got != 10 || len(b.listings.byDir) != 1 {
		t.Errorf("%d keys in the last page, %d folders cached; want 10 and 1", got, len(b.listings.byDir))
	}
	touch("k/000999x")
	if got := count("k/000999"); got != 11 {
		t.Errorf("%d keys after a put, want 11", got)
	}
	if _, err := b.DeleteObject(t.Context(), bucket, "k/001000"); err != nil {
		t.Fatal(err)
	}
	if got := count("k/000999"); got != 10 {
		t.Errorf("%d keys after a delete, want 10", got)
	}
}

// TestListSkipsLinks: what is neither a file nor a folder is no object, and hides no other one.
func TestListSkipsLinks(t *testing.T) {
	t.Parallel()
	b := openStore(t, carryConfig(t.TempDir()))
	if err := b.CreateBucket(t.Context(), bucket); err != nil {
		t.Fatal(err)
	}
	if _, err := b.PutObject(t.Context(), bucket, "data/k.json", nil, strings.NewReader("v"), 1); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"aside", "aside.parquet"} {
		if err := os.Symlink(t.TempDir(), filepath.Join(b.objects, bucket, "data", name)); err != nil {
			t.Fatal(err)
		}
	}
	if got := contents(t, b); len(got) != 1 {
		t.Errorf("listed are %v", got)
	}
}
