package lake

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"recount/schemas/record"
)

// corrupting is a transport that flips one bit in the body of every GET, a different bit each
// time, and loses the answers to PUTs. It does so until no corruptions are left.
type corrupting struct {
	next http.RoundTripper
	left atomic.Int64 // corruptions that are left
	seen atomic.Int64 // GETs that were corrupted
}

// RoundTrip implements http.RoundTripper.
func (s *corrupting) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := s.next.RoundTrip(r)
	if err != nil || s.left.Load() == 0 {
		return res, err
	}
	if r.Method == http.MethodPut {
		return nil, discard(res, nil)
	}
	if r.Method != http.MethodGet || res.StatusCode != http.StatusOK {
		return res, nil
	}
	s.left.Add(-1)
	n := s.seen.Add(1)
	raw, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		return nil, err
	}
	raw[int(n*7)%len(raw)] ^= 1 << (n % 8)
	res.Body = io.NopCloser(bytes.NewReader(raw))
	return res, nil
}

// openCorrupting opens a commit log over a corrupting transport.
func openCorrupting(t *testing.T) (*CommitLog, *corrupting) {
	cfg := embeddedConfig(t)
	cfg.Attempts = 4
	cfg.Backoff = time.Millisecond
	s := &corrupting{}
	cfg = withTransport(t, cfg, func(next http.RoundTripper) http.RoundTripper {
		s.next = next
		return s
	})
	return NewCommitLog(openStore(t, cfg)), s
}

// TestCorruptReadIsRepeated: a record is never read from bytes that changed on the way, not even
// from one flipped bit.
func TestCorruptReadIsRepeated(t *testing.T) {
	t.Parallel()
	records, s := openCorrupting(t)
	key := record.CommitKey(1, 0, 1)
	body := []byte(`{"n":12345}`)
	if o, _, err := records.Create(t.Context(), key, body); o != record.Created || err != nil {
		t.Fatal(o, err)
	}
	for n := range int64(records.attempts) {
		s.left.Store(n)
		if got, err := records.Get(t.Context(), key); err != nil || !bytes.Equal(got, body) {
			t.Errorf("%d corrupt reads: got %q, %v", n, got, err)
		}
	}
	s.left.Store(1)
	if o, there, err := records.Create(t.Context(), key, []byte("another body")); o != record.Exists ||
		!bytes.Equal(there, body) {
		t.Errorf("create over another body: %v %q, %v", o, there, err)
	}
	s.left.Store(1)
	if o, _, err := records.Create(t.Context(), record.CommitKey(1, 0, 2), body); o != record.Created || err != nil {
		t.Errorf("create with its answer lost and a corrupt first read-back: %v, %v; want created", o, err)
	}
}

// TestCorruptInTheStore: a record whose stored bytes are wrong gives an error that names the key,
// after a bounded number of reads.
func TestCorruptInTheStore(t *testing.T) {
	t.Parallel()
	records, s := openCorrupting(t)
	key := record.PublicationKey(7)
	if o, _, err := records.Create(t.Context(), key, []byte("right")); o != record.Created || err != nil {
		t.Fatal(o, err)
	}
	s.left.Store(1 << 40)
	s.seen.Store(0)
	_, err := records.Get(t.Context(), key)
	if !errors.Is(err, record.ErrCorrupt) || errors.Is(err, record.ErrInvalid) || !strings.Contains(err.Error(), key) ||
		!strings.Contains(err.Error(), "restore this object from a copy of the bucket") {
		t.Errorf("got %v, want ErrCorrupt, the key and what to do", err)
	}
	if got := s.seen.Load(); got != int64(records.attempts) {
		t.Errorf("read %d times, want %d", got, records.attempts)
	}
	if o, _, err := records.Create(t.Context(), key, []byte("another body")); o != record.Unknown ||
		!errors.Is(err, record.ErrCorrupt) {
		t.Errorf("create over it: %v, %v; want an unknown outcome", o, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := records.Get(ctx, key); err == nil {
		t.Error("a cancelled read has no error")
	}
}
