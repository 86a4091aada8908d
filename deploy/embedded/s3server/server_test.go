package s3server

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/go-cmp/cmp"
)

const bucket = "lake"

func start(t testing.TB, cfg Config) *Server {
	t.Helper()
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	return s
}

// client returns a real S3 client of the server.
func client(t testing.TB, endpoint string, c Credentials) *s3.Client {
	t.Helper()
	tr := http.DefaultTransport.(*http.Transport).Clone()
	tr.MaxIdleConnsPerHost = 64
	t.Cleanup(tr.CloseIdleConnections)
	return s3.New(s3.Options{
		BaseEndpoint: &endpoint, UsePathStyle: true, Region: "us-east-1", RetryMaxAttempts: 1,
		HTTPClient:                 &http.Client{Transport: tr},
		Credentials:                credentials.NewStaticCredentialsProvider(c.AccessKey, c.SecretKey, ""),
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired,
	})
}

// fresh returns a client of a new server with an empty bucket.
func fresh(t testing.TB) (*s3.Client, *Server) {
	t.Helper()
	s := start(t, DefaultConfig(t.TempDir()))
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	c := client(t, s.Endpoint(), s.Credentials())
	if _, err := c.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String(bucket)}); err != nil {
		t.Fatal(err)
	}
	return c, s
}

func mustPut(t testing.TB, c *s3.Client, key string, body []byte) {
	t.Helper()
	if _, err := c.PutObject(t.Context(),
		&s3.PutObjectInput{Bucket: aws.String(bucket), Key: &key, Body: bytes.NewReader(body)}); err != nil {
		t.Fatalf("put %q: %v", key, err)
	}
}

func get(t testing.TB, c *s3.Client, key, ranged string) (string, error) {
	t.Helper()
	in := &s3.GetObjectInput{Bucket: aws.String(bucket), Key: &key}
	if ranged != "" {
		in.Range = &ranged
	}
	out, err := c.GetObject(t.Context(), in)
	if err != nil {
		return "", err
	}
	defer out.Body.Close()
	raw, err := io.ReadAll(out.Body)
	return string(raw), err
}

// status returns the HTTP status an error came from, 0 if from none.
func status(err error) int {
	var r interface{ HTTPStatusCode() int }
	if errors.As(err, &r) {
		return r.HTTPStatusCode()
	}
	return 0
}

func etag(body []byte) string { return fmt.Sprintf(`"%x"`, md5.Sum(body)) }

func TestObject(t *testing.T) {
	t.Parallel()
	c, _ := fresh(t)
	body := []byte("0123456789")
	key := "data/type=A/x y+ü%2F.parquet"
	out, err := c.PutObject(t.Context(),
		&s3.PutObjectInput{Bucket: aws.String(bucket), Key: &key, Body: bytes.NewReader(body),
			ContentType: aws.String("application/x-parquet"), Metadata: map[string]string{"attempt": "7"}})
	if err != nil {
		t.Fatal(err)
	}
	if *out.ETag != etag(body) {
		t.Errorf("put: etag %s, want %s", *out.ETag, etag(body))
	}
	head, err := c.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String(bucket), Key: &key})
	if err != nil {
		t.Fatal(err)
	}
	if *head.ContentLength != 10 || *head.ETag != etag(body) || *head.ContentType != "application/x-parquet" ||
		head.Metadata["attempt"] != "7" || head.LastModified.IsZero() {
		t.Errorf("head: %+v", head)
	}
	for ranged, want := range map[string]string{
		"": "0123456789", "bytes=2-4": "234", "bytes=7-": "789", "bytes=-3": "789",
		"bytes=-99": "0123456789", "bytes=8-99": "89", "bytes=8-9223372036854775807": "89",
	} {
		if got, err := get(t, c, key, ranged); err != nil || got != want {
			t.Errorf("get %q: %q, %v; want %q", ranged, got, err, want)
		}
	}
	if _, err := get(t, c, key, "bytes=10-"); status(err) != 416 {
		t.Errorf("a range after the object: %v, want 416", err)
	}
	for range 2 {
		if _, err := c.DeleteObject(t.Context(),
			&s3.DeleteObjectInput{Bucket: aws.String(bucket), Key: &key}); err != nil {
			t.Errorf("delete, also of what is gone: %v", err)
		}
	}
	var missing *types.NoSuchKey
	if _, err := get(t, c, key, ""); !errors.As(err, &missing) {
		t.Errorf("get after delete: %v, want NoSuchKey", err)
	}
}

func TestKeysStayApart(t *testing.T) {
	t.Parallel()
	c, s := fresh(t)
	keys := []string{"a", "a/b", "a/", "a//b", "A", "a%", "a%2F", "..", "../../credentials", ".", "./a", "a/../b", "é",
		"-", "%-", "\u00ff",
		strings.Repeat("deep/", 200) + "x", strings.Repeat("n", 254), "data/type=" + strings.Repeat("Q", 128) + "/a.b",
		"data/type=" + strings.Repeat("Q", 127) + "/a.b", "data/type=" + strings.Repeat("Q", 127) + "q/a.b"}
	for _, k := range keys {
		mustPut(t, c, k, []byte(k))
	}
	for _, k := range keys {
		if got, err := get(t, c, k, ""); err != nil || got != k {
			t.Errorf("get %q: %q, %v", k, got, err)
		}
	}
	slices.Sort(keys)
	if diff := cmp.Diff(keys, list(t, c, "", "", 1000)); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
	for _, k := range []string{strings.Repeat("n", 255), strings.Repeat("x/", 513), "line\nbreak"} {
		_, err := c.PutObject(t.Context(),
			&s3.PutObjectInput{Bucket: aws.String(bucket), Key: &k, Body: strings.NewReader("")})
		if status(err) != 400 {
			t.Errorf("put %.20q: %v, want 400", k, err)
		}
	}
	var names []string
	entries, err := os.ReadDir(s.cfg.Dir)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	want := []string{"credentials", "format", "lock", "metadata", "objects", "reader-credentials", "tmp"}
	if err != nil || !slices.Equal(names, want) {
		t.Errorf("the directory holds %v, %v; want %v: a key got out", names, err, want)
	}
}

// TestCreateRace is C5 and C9: of 32 writers who create one key, one wins and the
// others learn it, through PutObject and through multipart uploads alike.
func TestCreateRace(t *testing.T) {
	t.Parallel()
	c, _ := fresh(t)
	for round := range 8 {
		key := fmt.Sprintf("land/e1/p0/%020d", round)
		var won, lost atomic.Int32
		var winner atomic.Value
		var wg sync.WaitGroup
		for i := range 32 {
			wg.Go(func() {
				body := fmt.Sprintf("writer %d", i)
				switch err := create(t, c, key, body, i%8 == 0); {
				case err == nil:
					won.Add(1)
					winner.Store(body)
				case status(err) == 412:
					lost.Add(1)
				default:
					t.Errorf("create: %v", err)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 || lost.Load() != 31 {
			t.Fatalf("%d won and %d lost, want 1 and 31", won.Load(), lost.Load())
		}
		if got, err := get(t, c, key, ""); err != nil || got != winner.Load() {
			t.Errorf("stored %q, %v; the winner wrote %q", got, err, winner.Load())
		}
	}
}

func create(t testing.TB, c *s3.Client, key, body string, multipart bool) error {
	if multipart {
		return uploadParts(t, c, key, [][]byte{[]byte(body)}, "*")
	}
	_, err := c.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(bucket), Key: &key,
		Body: strings.NewReader(body), IfNoneMatch: aws.String("*")})
	return err
}

func TestIfMatch(t *testing.T) {
	t.Parallel()
	c, _ := fresh(t)
	swap := func(key, tag, body string) error {
		_, err := c.PutObject(t.Context(),
			&s3.PutObjectInput{Bucket: aws.String(bucket), Key: &key, Body: strings.NewReader(body), IfMatch: &tag})
		return err
	}
	mustPut(t, c, "k", []byte("one"))
	if err := swap("k", etag([]byte("one")), "two"); err != nil {
		t.Error(err)
	}
	if err := swap("k", etag([]byte("one")), "three"); status(err) != 412 {
		t.Errorf("an old etag: %v, want 412", err)
	}
	if err := swap("none", etag([]byte("one")), "x"); status(err) != 404 {
		t.Errorf("no object: %v, want 404", err)
	}
	if got, _ := get(t, c, "k", ""); got != "two" {
		t.Errorf("stored %q, want two", got)
	}
}

func uploadParts(t testing.TB, c *s3.Client, key string, parts [][]byte, ifNoneMatch string) error {
	up, err := c.CreateMultipartUpload(t.Context(),
		&s3.CreateMultipartUploadInput{Bucket: aws.String(bucket), Key: &key, Metadata: map[string]string{"m": "1"}})
	if err != nil {
		return err
	}
	done := make([]types.CompletedPart, len(parts))
	for i := range parts {
		n := int32(len(parts) - i) // in any order
		out, err := c.UploadPart(t.Context(),
			&s3.UploadPartInput{Bucket: aws.String(bucket), Key: &key, UploadId: up.UploadId,
				PartNumber: &n, Body: bytes.NewReader(parts[n-1])})
		if err != nil {
			return err
		}
		done[n-1] = types.CompletedPart{PartNumber: &n, ETag: out.ETag}
	}
	in := &s3.CompleteMultipartUploadInput{Bucket: aws.String(bucket), Key: &key, UploadId: up.UploadId,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: done}}
	if ifNoneMatch != "" {
		in.IfNoneMatch = &ifNoneMatch
	}
	_, err = c.CompleteMultipartUpload(t.Context(), in)
	return err
}

func TestMultipart(t *testing.T) {
	t.Parallel()
	c, s := fresh(t)
	body := bytes.Repeat([]byte("0123456789abcdef"), 20<<20/16)
	if err := uploadParts(t, c, "big", [][]byte{body[:8<<20], body[8<<20 : 16<<20], body[16<<20:]}, ""); err != nil {
		t.Fatal(err)
	}
	if got, err := get(t, c, "big", ""); err != nil || sha256.Sum256([]byte(got)) != sha256.Sum256(body) {
		t.Errorf("got %d bytes back, %v", len(got), err)
	}
	head, err := c.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String(bucket), Key: aws.String("big")})
	if err != nil || *head.ETag != etag(body) || head.Metadata["m"] != "1" {
		t.Errorf("head: %+v, %v", head, err)
	}
	key := aws.String("aborted")
	up, err := c.CreateMultipartUpload(t.Context(),
		&s3.CreateMultipartUploadInput{Bucket: aws.String(bucket), Key: key})
	if err != nil {
		t.Fatal(err)
	}
	part := &s3.UploadPartInput{Bucket: aws.String(bucket), Key: key, UploadId: up.UploadId, PartNumber: aws.Int32(1),
		Body: strings.NewReader("x")}
	if _, err := c.UploadPart(t.Context(), part); err != nil {
		t.Fatal(err)
	}
	if _, err := c.AbortMultipartUpload(t.Context(),
		&s3.AbortMultipartUploadInput{Bucket: aws.String(bucket), Key: key, UploadId: up.UploadId}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.UploadPart(t.Context(), part); status(err) != 404 {
		t.Errorf("a part after the abort: %v, want 404", err)
	}
	if left, _ := os.ReadDir(filepath.Join(s.cfg.Dir, "tmp")); len(left) != 0 {
		t.Errorf("left in tmp: %v", left)
	}
}

func TestIdleUploadsAreReaped(t *testing.T) {
	t.Parallel()
	var now atomic.Int64
	now.Store(time.Now().UnixNano())
	b, err := openBackend(t.TempDir(), func() time.Time { return time.Unix(0, now.Load()) })
	if err != nil {
		t.Fatal(err)
	}
	if err := b.CreateBucket(t.Context(), bucket); err != nil {
		t.Fatal(err)
	}
	old, err := b.CreateMultipartUpload(t.Context(), bucket, "k", nil)
	if err != nil {
		t.Fatal(err)
	}
	now.Add(int64(uploadIdle) + 1)
	if _, err := b.CreateMultipartUpload(t.Context(), bucket, "k", nil); err != nil {
		t.Fatal(err)
	}
	if _, ok := b.uploads[old]; ok || len(b.uploads) != 1 {
		t.Errorf("%d uploads open, want only the new one", len(b.uploads))
	}
}

func TestSignature(t *testing.T) {
	t.Parallel()
	c, s := fresh(t)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	mustPut(t, c, "k", []byte("v"))
	for name, bad := range map[string]Credentials{
		"secret": {s.Credentials().AccessKey, "wrong"}, "key": {"nobody", s.Credentials().SecretKey},
	} {
		if _, err := get(t, client(t, s.Endpoint(), bad), "k", ""); status(err) != 403 {
			t.Errorf("wrong %s: %v, want 403", name, err)
		}
	}
	res, err := http.Get(s.Endpoint() + "/" + bucket + "/k")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 403 {
		t.Errorf("unsigned: %d, want 403", res.StatusCode)
	}
}

// TestReaderReadsOnly: the key pair for other programs lists and reads, and changes nothing.
func TestReaderReadsOnly(t *testing.T) {
	t.Parallel()
	c, s := fresh(t)
	mustPut(t, c, "k", []byte("v"))
	pair, file := s.Reader()
	if raw, err := os.ReadFile(file); err != nil || !strings.Contains(string(raw), pair.SecretKey) {
		t.Errorf("%s holds %d bytes, %v", file, len(raw), err)
	}
	r := client(t, s.Endpoint(), pair)
	if got, err := get(t, r, "k", ""); err != nil || got != "v" {
		t.Errorf("get: %q, %v", got, err)
	}
	if got := list(t, r, "", "", 10); len(got) != 1 {
		t.Errorf("listed %v", got)
	}
	key := aws.String("k")
	name := aws.String(bucket)
	presigned, err := s3.NewPresignClient(r).PresignPutObject(t.Context(), &s3.PutObjectInput{Bucket: name, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), "PUT", presigned.URL, strings.NewReader(""))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 403 {
		t.Errorf("a signed URL to write: %d, want 403", res.StatusCode)
	}
	_, put := r.PutObject(t.Context(), &s3.PutObjectInput{Bucket: name, Key: key, Body: strings.NewReader("x")})
	_, remove := r.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: name, Key: key})
	_, removeAll := r.DeleteObjects(t.Context(), &s3.DeleteObjectsInput{Bucket: name,
		Delete: &types.Delete{Objects: []types.ObjectIdentifier{{Key: key}}}})
	_, upload := r.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: name, Key: key})
	_, drop := r.DeleteBucket(t.Context(), &s3.DeleteBucketInput{Bucket: name})
	for i, err := range []error{put, remove, removeAll, upload, drop} {
		if status(err) != 403 {
			t.Errorf("change %d: %v, want 403", i, err)
		}
	}
	if got, err := get(t, c, "k", ""); err != nil || got != "v" {
		t.Errorf("afterwards: %q, %v", got, err)
	}
}

// TestSignedBody changes a body after it was signed.
func TestSignedBody(t *testing.T) {
	t.Parallel()
	c, s := fresh(t)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	send := func(body, mode string) int {
		req, err := http.NewRequestWithContext(t.Context(), "PUT", s.Endpoint()+"/"+bucket+"/k",
			strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Amz-Content-Sha256", mode)
		creds := aws.Credentials{AccessKeyID: s.Credentials().AccessKey, SecretAccessKey: s.Credentials().SecretKey}
		if err := v4.NewSigner().SignHTTP(t.Context(), creds, req, mode, "s3", "us-east-1", time.Now()); err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode
	}
	signed := fmt.Sprintf("%x", sha256.Sum256([]byte("signed")))
	for _, tc := range []struct {
		body, mode string
		want       int
	}{
		{"signed", signed, 200}, {"forged", signed, 400}, {"", signed, 400}, {"forged", "UNSIGNED-PAYLOAD", 200},
		{"x", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", 501},
	} {
		if got := send(tc.body, tc.mode); got != tc.want {
			t.Errorf("body %q signed as %.20s: %d, want %d", tc.body, tc.mode, got, tc.want)
		}
	}
	if got, _ := get(t, c, "k", ""); got != "forged" {
		t.Errorf("stored %q, want the body of the last good request", got)
	}
}

func TestRestart(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig(filepath.Join(t.TempDir(), "s3"))
	s := start(t, cfg)
	if _, err := Open(cfg); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("second server on one directory: %v, want an error", err)
	}
	c := client(t, s.Endpoint(), s.Credentials())
	if _, err := c.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String(bucket)}); err != nil {
		t.Fatal(err)
	}
	mustPut(t, c, "kept", []byte("v"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(filepath.Join(cfg.Dir, "credentials")); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("credentials: %v, %v; want mode 0600", st, err)
	}
	again := start(t, cfg)
	defer again.Close()
	if again.Credentials() != s.Credentials() {
		t.Error("a restart made other credentials")
	}
	if got, err := get(t, client(t, again.Endpoint(), s.Credentials()), "kept", ""); err != nil || got != "v" {
		t.Errorf("after the restart: %q, %v", got, err)
	}
}

func TestBuckets(t *testing.T) {
	t.Parallel()
	c, _ := fresh(t)
	name := aws.String(bucket)
	if _, err := c.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: name}); status(err) != 409 {
		t.Errorf("create again: %v, want 409", err)
	}
	mustPut(t, c, "a/b", nil)
	if _, err := c.DeleteBucket(t.Context(), &s3.DeleteBucketInput{Bucket: name}); status(err) != 409 {
		t.Errorf("delete a full bucket: %v, want 409", err)
	}
	out, err := c.DeleteObjects(t.Context(), &s3.DeleteObjectsInput{Bucket: name, Delete: &types.Delete{
		Objects: []types.ObjectIdentifier{{Key: aws.String("a/b")}, {Key: aws.String("never was")}}}})
	if err != nil || len(out.Deleted) != 2 || len(out.Errors) != 0 {
		t.Errorf("delete objects: %+v, %v", out, err)
	}
	if _, err := c.DeleteBucket(t.Context(), &s3.DeleteBucketInput{Bucket: name}); err != nil {
		t.Errorf("delete an empty bucket: %v", err)
	}
	if _, err := c.HeadBucket(t.Context(), &s3.HeadBucketInput{Bucket: name}); status(err) != 404 {
		t.Errorf("head after delete: %v, want 404", err)
	}
	if _, err := c.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: name}); err != nil {
		t.Error(err)
	}
	mustPut(t, c, "a/b", []byte("again"))
}

func TestBrokenDiskStopsTheServer(t *testing.T) {
	t.Parallel()
	c, s := fresh(t)
	mustPut(t, c, "k", []byte("v"))
	closed, err := os.Open(s.cfg.Dir)
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	if s.backend.sync(closed) == nil {
		t.Fatal("fsync of a closed folder succeeded")
	}
	if _, err := get(t, c, "k", ""); status(err) != 500 {
		t.Errorf("E4: after a failed fsync: %v, want 500", err)
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for _, cfg := range []Config{{}, {Dir: "x", AccessKey: "abc"}, {Dir: "x", AccessKey: "ab", SecretKey: "s"}} {
		if _, err := Open(cfg); err == nil {
			t.Errorf("%+v was accepted", cfg)
		}
	}
}

func BenchmarkPut(b *testing.B) {
	for _, size := range []int{1 << 10, 8 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			c, _ := fresh(b)
			body := bytes.Repeat([]byte{7}, size)
			b.SetBytes(int64(size))
			for i := 0; b.Loop(); i++ {
				if err := create(b, c, fmt.Sprintf("k/%09d", i), string(body), false); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkGet(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10, 8 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			c, _ := fresh(b)
			mustPut(b, c, "k.parquet", bytes.Repeat([]byte{7}, size))
			b.SetBytes(int64(size))
			for b.Loop() {
				if _, err := get(b, c, "k.parquet", ""); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkList lists 100,000 records by pages.
func BenchmarkList(b *testing.B) {
	c, s := fresh(b)
	var wg sync.WaitGroup
	for w := range 64 {
		wg.Go(func() {
			for i := w; i < 100_000; i += 64 {
				_, err := s.backend.PutObject(b.Context(), bucket, fmt.Sprintf("land/e000001/p%03d/%020d.json", i%4, i),
					map[string]string{"Content-Type": "application/octet-stream",
						"Last-Modified": time.Now().UTC().Format(http.TimeFormat)},
					bytes.NewReader(make([]byte, 1<<10)), 1<<10)
				if err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for b.Loop() {
		if n := len(list(b, c, "land/", "", 1000)); n != 100_000 {
			b.Fatal(n)
		}
	}
}

// TestRemovedFolders: another program removes a folder while the server runs. What was in it is gone, and the next
// write makes it anew.
func TestRemovedFolders(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, DefaultConfig(dir))
	defer s.Close()
	c := client(t, s.Endpoint(), s.Credentials())
	if _, err := c.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String(bucket)}); err != nil {
		t.Fatal(err)
	}
	put := func(body string) {
		t.Helper()
		mustPut(t, c, "a/b/plain.json", []byte(body))
		_, err := c.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(bucket),
			Key: aws.String("a/b/typed.json"), Body: strings.NewReader(body), ContentType: aws.String("text/" + body)})
		if err != nil {
			t.Fatal(err)
		}
	}
	put("first")
	for _, folder := range []string{"objects/lake/a/b", "objects/lake/a", "metadata/lake/a", "metadata", "tmp"} {
		if err := os.RemoveAll(filepath.Join(dir, filepath.FromSlash(folder))); err != nil {
			t.Fatal(err)
		}
		_, err := get(t, c, "a/b/plain.json", "")
		if strings.HasPrefix(folder, "objects") && status(err) != http.StatusNotFound {
			t.Errorf("without %s, a read got %v, want 404", folder, err)
		}
		put(folder)
		got, err := get(t, c, "a/b/plain.json", "")
		if err != nil || got != folder {
			t.Errorf("without %s, the next write left %q, %v", folder, got, err)
		}
		head, err := c.HeadObject(t.Context(),
			&s3.HeadObjectInput{Bucket: aws.String(bucket), Key: aws.String("a/b/typed.json")})
		if err != nil || aws.ToString(head.ContentType) != "text/"+folder {
			t.Errorf("without %s, the next write left %v, %v", folder, head, err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "metadata", bucket, "a", "b", "typed.json")); err != nil {
		t.Error(err)
	}
}
