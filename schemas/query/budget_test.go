package query

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

const mib = 1 << 20

func grow(t *testing.T, s *Share, n int64, want error) {
	t.Helper()
	if err := s.Grow(t.Context(), n); !errors.Is(err, want) {
		t.Errorf("grow by %d MiB: got %v, want %v", n/mib, err, want)
	}
}

// TestTheOneTooManyWaits fills a budget. The next query waits until memory is given back, and is told
// ErrMemoryBusy after the longest wait.
func TestTheOneTooManyWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(1000*mib, 10*time.Second, false)
		first := b.Open("a")
		second := b.Open("a")
		grow(t, first, 900*mib, nil)
		began := time.Now()
		grow(t, second, 200*mib, ErrMemoryBusy)
		if waited := time.Since(began); waited != 10*time.Second {
			t.Errorf("the query waited %s, want 10s", waited)
		}
		grow(t, second, 50*mib, nil) // Small claims pass.
		time.AfterFunc(3*time.Second, first.Close)
		began = time.Now()
		grow(t, second, 200*mib, nil)
		if waited := time.Since(began); waited != 3*time.Second {
			t.Errorf("the query waited %s, want 3s", waited)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if err := b.Open("a").Grow(ctx, 900*mib); !errors.Is(err, context.Canceled) {
			t.Errorf("a client that left: got %v", err)
		}
		second.Close()
		if held, waiting, refused := b.Held(); held != 0 || waiting != 0 || refused != 2 || b.holders != 0 {
			t.Errorf("at the end %d bytes are held by %d, %d wait, %d were refused", held, b.holders, waiting, refused)
		}
	})
}

// TestHoldersDoNotWaitForEachOther lets two queries hold everything and want more. One is refused at
// once, so that the other goes on.
func TestHoldersDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(1000*mib, time.Hour, false)
		first := b.Open("a")
		second := b.Open("a")
		grow(t, first, 500*mib, nil)
		grow(t, second, 500*mib, nil)
		go b.Open("a").Grow(t.Context(), 500*mib) // It holds nothing, so it lets holders pass.
		synctest.Wait()
		done := make(chan error, 1)
		go func() { done <- first.Grow(t.Context(), 100*mib) }()
		synctest.Wait()
		grow(t, second, 100*mib, ErrMemoryBusy)
		second.Close()
		if err := <-done; err != nil {
			t.Errorf("the other query: %v", err)
		}
		first.Close()
	})
}

// TestShareOfTenant lets one tenant ask for everything. Another tenant finds room, and a query that can
// never have room is told so at once.
func TestShareOfTenant(t *testing.T) {
	t.Parallel()
	b := NewBudget(1000*mib, time.Millisecond, true)
	grow(t, b.Open("a"), 700*mib, nil)
	grow(t, b.Open("a"), 100*mib, ErrMemoryBusy)
	grow(t, b.Open("b"), 250*mib, nil)
	var tooMuch *TooMuchMemoryError
	if err := b.Open("c").Grow(t.Context(), 800*mib); !errors.As(err, &tooMuch) || tooMuch.Limit != 750*mib {
		t.Errorf("a query above the share of a tenant: got %v", err)
	}
	var unlimited *Share
	grow(t, unlimited, 1<<60, nil)
}

// TestShrinkGivesBack shrinks a share, so that another query fits.
func TestShrinkGivesBack(t *testing.T) {
	t.Parallel()
	b := NewBudget(100*mib, time.Millisecond, false)
	s := b.Open("a")
	grow(t, s, 100*mib, nil)
	s.Shrink(60 * mib)
	grow(t, b.Open("a"), 60*mib, nil)
	grow(t, s, 60*mib, ErrMemoryBusy)
}
