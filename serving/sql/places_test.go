package sql

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestPlaces runs statements that the engine does not end with their contexts.
func TestPlaces(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		sessions := make(chan struct{}, 4)
		engine := Bound(func(ctx context.Context, f func(Session) error) error {
			select {
			case sessions <- struct{}{}:
			case <-ctx.Done():
				return ctx.Err()
			}
			result := make(chan error, 1)
			go func() {
				result <- f(nil)
				<-sessions
			}()
			select {
			case err := <-result:
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
		}, 3, 10*time.Second)
		const tenant = "a" // It may have two of the three places.
		// stuck runs a statement for a second that ends with free.
		stuck := func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := engine(ctx, tenant, func(Session) error {
				<-free
				return nil
			}); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("a statement that does not end: %v", err)
			}
			synctest.Wait()
		}
		ask := func() (time.Duration, error) {
			began := time.Now()
			err := engine(t.Context(), tenant, func(Session) error { return nil })
			synctest.Wait()
			return time.Since(began), err
		}
		stuck()
		if took, err := ask(); err != nil || took != 0 {
			t.Errorf("with a place: %v after %s", err, took)
		}
		stuck()
		if took, err := ask(); !errors.Is(err, ErrBusy) || took != 0 {
			t.Errorf("with no place before the engine is done: %v after %s", err, took)
		}
		if err := engine(t.Context(), "b", func(Session) error { return nil }); err != nil {
			t.Errorf("another tenant, while one has all that it may: %v", err)
		}
		if len(sessions) != 2 {
			t.Errorf("%d sessions are taken, want 2 of 4", len(sessions))
		}
		free <- struct{}{}
		synctest.Wait()
		if took, err := ask(); err != nil || took != 0 {
			t.Errorf("with a place again: %v after %s", err, took)
		}
		go func() {
			_ = engine(t.Context(), tenant, func(Session) error {
				<-free
				return nil
			})
		}()
		synctest.Wait()
		if took, err := ask(); !errors.Is(err, ErrBusy) || took != 10*time.Second {
			t.Errorf("while a statement runs that somebody waits for: %v after %s", err, took)
		}
		time.AfterFunc(3*time.Second, func() { free <- struct{}{} })
		if took, err := ask(); err != nil || took != 3*time.Second {
			t.Errorf("until a statement has ended: %v after %s", err, took)
		}
		close(free)
		synctest.Wait()
		for range 5 { // They find no session, and leave their places.
			for range cap(sessions) {
				sessions <- struct{}{}
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			err := engine(ctx, tenant, func(Session) error { return nil })
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("without a session: %v", err)
			}
			cancel()
			for range cap(sessions) {
				<-sessions
			}
		}
		if took, err := ask(); err != nil || took != 0 {
			t.Errorf("at the end: %v after %s", err, took)
		}
	})
}
