package lake

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"recount/schemas/record"
)

// TestStore stores, reads, describes and deletes an object, and looks for the metrics.
func TestStore(t *testing.T) {
	t.Parallel()
	cfg := embeddedConfig(t)
	reg := prometheus.NewRegistry()
	cfg.Registerer = reg
	s := openStore(t, cfg)
	ctx := t.Context()
	body := []byte("0123456789")
	if err := s.Put(ctx, "data/a b", bytes.NewReader(body), 10); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Get(ctx, "data/a b"); err != nil || !bytes.Equal(got, body) {
		t.Errorf("get: %q, %v", got, err)
	}
	info, err := s.Head(ctx, "data/a b")
	if err != nil || info.Size != 10 || info.ETag == "" || info.Modified.IsZero() {
		t.Errorf("head: %+v, %v", info, err)
	}
	if err := s.Delete(ctx, "data/a b", "never was"); err != nil {
		t.Errorf("delete: %v", err)
	}
	for op, f := range map[string]func() error{
		"get": func() error {
			_, err := s.Get(ctx, "data/a b")
			return err
		},
		"head": func() error {
			_, err := s.Head(ctx, "data/a b")
			return err
		},
		"open": func() error {
			_, err := s.Open(ctx, "data/a b")
			return err
		},
	} {
		if err := f(); !errors.Is(err, record.ErrNotFound) {
			t.Errorf("%s after delete: %v, want record.ErrNotFound", op, err)
		}
	}
	families, err := reg.Gather()
	if err != nil || len(families) != 3 {
		t.Errorf("%d metric families, %v; want 3", len(families), err)
	}
}

// TestGetLimit: Get refuses an object above Config.MaxGet.
func TestGetLimit(t *testing.T) {
	t.Parallel()
	cfg := embeddedConfig(t)
	cfg.MaxGet = 4
	s := openStore(t, cfg)
	for n, want := range map[int]error{4: nil, 5: ErrTooLarge} {
		if err := s.Put(t.Context(), "k", bytes.NewReader(make([]byte, n)), int64(n)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Get(t.Context(), "k"); !errors.Is(err, want) {
			t.Errorf("get of %d bytes: %v, want %v", n, err, want)
		}
	}
}

// TestList lists more than a page, from several places, and ends early.
func TestList(t *testing.T) {
	t.Parallel()
	s := openStore(t, embeddedConfig(t))
	var want []string
	for i := range 1005 {
		key := fmt.Sprintf("l/%04d", i)
		if err := s.Put(t.Context(), key, strings.NewReader(""), 0); err != nil {
			t.Fatal(err)
		}
		want = append(want, key)
	}
	for after, want := range map[string][]string{"": want, "l/0002": want[3:], "l/1004": nil} {
		var got []string
		for info, err := range s.List(t.Context(), "l/", after) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, info.Key)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("after %q (-want +got):\n%s", after, diff)
		}
	}
	for range s.List(t.Context(), "l/", "") {
		break
	}
}

// TestParts uploads an object that is too large for one PutObject, from a file. Replies to parts and to the
// completion are lost.
func TestParts(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	cfg := withTransport(t, embeddedConfig(t), func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			res, err := next.RoundTrip(r)
			if err == nil && r.URL.Query().Has("uploadId") && calls.Add(1)%2 == 0 {
				return nil, discard(res, nil)
			}
			return res, err
		})
	})
	s := openStore(t, cfg)
	const size = maxSinglePut + 5<<20 + 3
	path := filepath.Join(t.TempDir(), "body")
	want := make([]byte, size)
	rng := rand.NewChaCha8([32]byte{1})
	rng.Read(want)
	if err := os.WriteFile(path, want, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := s.Put(t.Context(), "big", f, size); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Get(t.Context(), "big"); err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %d bytes back, %v", len(got), err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), "short", f, size+1<<20); err == nil {
		t.Error("put of a body that is shorter than its size: no error")
	}
	if _, err := s.Head(t.Context(), "short"); !errors.Is(err, record.ErrNotFound) {
		t.Errorf("head of the object with the short body: %v, want record.ErrNotFound", err)
	}
}

// TestPartSize: parts are whole MiB, large enough, and not too many.
func TestPartSize(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{1, 64 << 20, 160_000 << 20, 160_000<<20 + 1, 5 << 40} {
		step := partSize(size)
		if step < minPart || step%(1<<20) != 0 || (size+step-1)/step > maxParts {
			t.Errorf("%d bytes are uploaded in parts of %d", size, step)
		}
	}
}

// TestBodyBreaksOff: Get and ReadAt try again after a body that breaks off.
func TestBodyBreaksOff(t *testing.T) {
	t.Parallel()
	var gets atomic.Int32
	cfg := withTransport(t, embeddedConfig(t), func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			res, err := next.RoundTrip(r)
			if err == nil && r.Method == http.MethodGet && gets.Add(1)%3 != 0 {
				res.Body = struct {
					io.Reader
					io.Closer
				}{io.LimitReader(res.Body, 5), res.Body}
			}
			return res, err
		})
	})
	s := openStore(t, cfg)
	if err := s.Put(t.Context(), "k", strings.NewReader("0123456789"), 10); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Get(t.Context(), "k"); err != nil || string(got) != "0123456789" {
		t.Errorf("get: %q, %v", got, err)
	}
	o, err := s.Open(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 10)
	if n, err := o.ReadAt(got, 0); n != 10 || err != nil || string(got) != "0123456789" {
		t.Errorf("read: %q, %v", got[:n], err)
	}
}

// TestMissingBucket: Open reports a missing bucket and a wrong secret.
func TestMissingBucket(t *testing.T) {
	t.Parallel()
	cfg := embeddedConfig(t)
	cfg, err := cfg.resolve()
	if err != nil {
		t.Fatal(err)
	}
	cfg.URL = ""
	cfg.CreateBucket = false
	if _, err := Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("open: %v, want an error that names the bucket", err)
	}
	cfg.SecretKey = "wrong"
	if _, err := Open(t.Context(), cfg); err == nil || statusOf(err) != 403 {
		t.Errorf("open with a wrong secret: %v, want 403", err)
	}
}

func BenchmarkPutGet(b *testing.B) {
	s := openStore(b, embeddedConfig(b))
	body := make([]byte, 8<<20)
	rand.NewChaCha8([32]byte{1}).Read(body)
	b.Run("put", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		for b.Loop() {
			if err := s.Put(b.Context(), "k", bytes.NewReader(body), int64(len(body))); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("get", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		for b.Loop() {
			if _, err := s.Get(b.Context(), "k"); err != nil {
				b.Fatal(err)
			}
		}
	})
}
