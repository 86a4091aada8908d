package lake

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"recount/schemas/record"
)

// TestReadAt compares random reads of objects of many sizes with a bytes.Reader.
func TestReadAt(t *testing.T) {
	t.Parallel()
	s := openStore(t, embeddedConfig(t))
	body := make([]byte, 5<<20)
	rand.NewChaCha8([32]byte{1}).Read(body)
	for _, size := range []int64{0, 1, tailWindow, tailWindow + 1, readWindow + tailWindow, 5 << 20} {
		if err := s.Put(t.Context(), "k", bytes.NewReader(body), size); err != nil {
			t.Fatal(err)
		}
		o, err := s.Open(t.Context(), "k")
		if err != nil {
			t.Fatal(err)
		}
		if o.size != size {
			t.Errorf("size %d, want %d", o.size, size)
		}
		want := bytes.NewReader(body[:size])
		rapid.Check(t, func(rt *rapid.T) {
			off := rapid.Int64Range(0, size+10).Draw(rt, "off")
			n := rapid.OneOf(rapid.IntRange(0, 100), rapid.IntRange(0, 2*readWindow)).Draw(rt, "n")
			a := make([]byte, n)
			b := make([]byte, n)
			gotN, gotErr := o.ReadAt(a, off)
			wantN, wantErr := want.ReadAt(b, off)
			if n == 0 {
				wantErr = nil // At the end bytes.Reader returns EOF even to a read of no bytes.
			}
			if gotN != wantN || !errors.Is(wantErr, gotErr) || !bytes.Equal(a, b) {
				rt.Fatalf("read %d at %d: %d, %v; want %d, %v", n, off, gotN, gotErr, wantN, wantErr)
			}
			if len(o.windows) > maxWindows {
				rt.Fatalf("%d windows kept", len(o.windows))
			}
		})
		if _, err := o.ReadAt(make([]byte, 1), -1); err == nil {
			t.Error("a negative offset was read")
		}
	}
}

// TestReadsCoalesce reads 8 MiB in small steps from several goroutines at once, as a Parquet reader reads
// columns, and counts requests.
func TestReadsCoalesce(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	cfg := withTransport(t, embeddedConfig(t), func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.Header.Get("Range") != "" {
				requests.Add(1)
			}
			return next.RoundTrip(r)
		})
	})
	s := openStore(t, cfg)
	const size = 8 << 20
	body := make([]byte, size)
	rand.NewChaCha8([32]byte{1}).Read(body)
	if err := s.Put(t.Context(), "k", bytes.NewReader(body), size); err != nil {
		t.Fatal(err)
	}
	o, err := s.Open(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for column := range int64(4) {
		wg.Go(func() {
			r := io.NewSectionReader(o, column*size/4, size/4)
			got, err := io.ReadAll(io.LimitReader(r, size)) // in steps of 512 bytes and more
			if err != nil || !bytes.Equal(got, body[column*size/4:(column+1)*size/4]) {
				t.Errorf("column %d: %d bytes, %v", column, len(got), err)
			}
		})
	}
	wg.Wait()
	if n := requests.Load(); n > 16 {
		t.Errorf("%d requests for 8 windows and the tail, want at most 16", n)
	}
}

// TestReplacedObject: a read of an object that was replaced or deleted since Open is an error.
func TestReplacedObject(t *testing.T) {
	t.Parallel()
	s := openStore(t, embeddedConfig(t))
	fill := func(b byte) {
		if err := s.Put(t.Context(), "k", bytes.NewReader(bytes.Repeat([]byte{b}, 1<<20)), 1<<20); err != nil {
			t.Fatal(err)
		}
	}
	fill(1)
	o, err := s.Open(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	fill(2)
	if _, err := o.ReadAt(make([]byte, 10), 0); statusOf(err) != 412 {
		t.Errorf("read of a replaced object: %v, want 412", err)
	}
	if err := s.Delete(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	if _, err := o.ReadAt(make([]byte, 10), 0); !errors.Is(err, record.ErrNotFound) {
		t.Errorf("read of a deleted object: %v, want record.ErrNotFound", err)
	}
}

func BenchmarkReadAt(b *testing.B) {
	s := openStore(b, embeddedConfig(b))
	const size = 16 << 20
	if err := s.Put(b.Context(), "k", bytes.NewReader(make([]byte, size)), size); err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 8<<10)
	b.SetBytes(size)
	for b.Loop() {
		o, err := s.Open(b.Context(), "k")
		if err != nil {
			b.Fatal(err)
		}
		for off := int64(0); off < size; off += int64(len(buf)) {
			if _, err := o.ReadAt(buf, off); err != nil {
				b.Fatal(err)
			}
		}
	}
}
