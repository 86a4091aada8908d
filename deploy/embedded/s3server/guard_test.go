package s3server

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestReadersHaveTheirOwnSlots: requests of the key pair that may read only do not take the slots of recount itself.
func TestReadersHaveTheirOwnSlots(t *testing.T) {
	t.Parallel()
	s, err := Open(DefaultConfig(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var entered atomic.Int64
	full := make(chan struct{})
	handler := s.guard(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/own" {
			return
		}
		if entered.Add(1) == maxReaders {
			close(full)
		}
		<-ctx.Done()
	}))
	var done sync.WaitGroup
	var sent sync.WaitGroup
	for range 2 * maxInFlight {
		sent.Add(1)
		done.Go(func() {
			r := httptest.NewRequest(http.MethodGet, "/read", nil).WithContext(ctx)
			r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+s.reader.AccessKey+"/x")
			sent.Done()
			handler.ServeHTTP(httptest.NewRecorder(), r)
		})
	}
	sent.Wait()
	<-full
	own, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/own", nil).WithContext(own))
	if n := entered.Load(); n != maxReaders || own.Err() != nil {
		t.Errorf("%d requests of readers are served at once, want %d; one of recount: %v", n, maxReaders, own.Err())
	}
	cancel()
	done.Wait()
}

// TestStalledReaderIsEnded: a client that takes an answer's begin and no more gives its slot back, and one that reads
// slowly keeps it.
func TestStalledReaderIsEnded(t *testing.T) {
	t.Parallel()
	server, err := Open(DefaultConfig(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	server.stall = time.Second
	defer server.Close()
	ended := make(chan struct{}, 1)
	const size = 64 << 20
	inner := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, err := io.Copy(w, io.LimitReader(zeros{}, size))
		if err != nil {
			ended <- struct{}{}
		}
	})
	web := httptest.NewServer(server.guard(inner))
	defer web.Close()
	get := func() io.ReadCloser {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, web.URL+"/key", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+server.reader.AccessKey+"/x")
		answer, err := web.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		return answer.Body
	}
	slow := get()
	defer slow.Close()
	n := int64(0)
	for range 16 {
		took, err := io.CopyN(io.Discard, slow, size/16)
		n += took
		if err != nil {
			t.Fatalf("a slow reader got %d bytes: %v", n, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	stalled := get()
	defer stalled.Close()
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Error("the answer to a stalled reader goes on")
	}
}

// zeros is an endless body.
type zeros struct{}

// Read implements io.Reader.
func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
