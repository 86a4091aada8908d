package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"recount/schemas/access"
)

// recipient is a client that begins to read its answer when it likes, or breaks off then.
type recipient struct {
	*httptest.ResponseRecorder
	begin chan struct{}
	gone  bool
}

func newRecipient() *recipient {
	return &recipient{ResponseRecorder: httptest.NewRecorder(), begin: make(chan struct{})}
}

func (s *recipient) Write(p []byte) (int, error) {
	<-s.begin
	if s.gone {
		return 0, io.ErrClosedPipe
	}
	return s.ResponseRecorder.Write(p)
}

// as asks in the name of a tenant.
func (s *recipient) as(a *API, tenant, accept string) {
	who := access.Principal{Tenant: tenant, Scopes: access.AllScopes}
	r := httptest.NewRequestWithContext(access.NewContext(context.Background(), who), http.MethodPost, "/v1/query",
		strings.NewReader(hourly))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", accept)
	defer func() {
		if p := recover(); p != nil && !errors.Is(p.(error), http.ErrAbortHandler) {
			panic(p)
		}
	}()
	served(a).ServeHTTP(s, r)
}

// TestSlowReadersHoldNoPlace: with one place, a client that does not read its answer keeps nobody waiting.
func TestSlowReadersHoldNoPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAPI(t, newLayers(), func(c *Config, _ *Parts) { c.MaxConcurrent = 1 })
		slow := newRecipient()
		go slow.as(a, "default", "application/json")
		synctest.Wait()
		res, body := call(a, "POST", "/v1/query", hourly)
		if res.StatusCode != http.StatusOK {
			t.Errorf("behind a slow reader: %s", body)
		}
		close(slow.begin)
		synctest.Wait()
		if slow.Code != http.StatusOK || slow.Body.String() != body {
			t.Errorf("the slow reader got %d %s", slow.Code, slow.Body)
		}
		free(t, a)
	})
}

// TestSlowReadersOfOneTenant: what is too large to be held keeps its place until it is read, so no
// tenant may have all places.
func TestSlowReadersOfOneTenant(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAPI(t, newLayers(), func(c *Config, _ *Parts) {
			c.MaxConcurrent = 2
			c.MaxHeld = 0
			c.Fair = true
		})
		slow := []*recipient{newRecipient(), newRecipient(), newRecipient()}
		for _, s := range slow {
			go s.as(a, "slow", "application/json")
		}
		synctest.Wait()
		other := newRecipient()
		close(other.begin)
		other.as(a, "other", "application/json")
		if other.Code != http.StatusOK {
			t.Errorf("the other tenant got %d %s", other.Code, other.Body)
		}
		for _, s := range slow {
			close(s.begin)
		}
		synctest.Wait()
		for _, s := range slow {
			if s.Body.String() != other.Body.String() {
				t.Errorf("a slow reader got %d %s", s.Code, s.Body)
			}
		}
		free(t, a)
	})
}

// TestHeldAnswersAreTheSame: whether all of an answer is held, some of it or nothing, it is the same bytes.
func TestHeldAnswersAreTheSame(t *testing.T) {
	t.Parallel()
	for _, f := range formats {
		var want []byte
		for _, most := range []int64{0, heldPart, DefaultConfig().MaxHeld} {
			a := newAPI(t, newLayers(), func(c *Config, _ *Parts) { c.MaxHeld = most })
			s := newRecipient()
			close(s.begin)
			s.as(a, "default", f.media)
			got := s.Body.Bytes()
			if want == nil {
				want = got
			}
			if s.Code != http.StatusOK || len(got) == 0 || !bytes.Equal(got, want) {
				t.Errorf("%s, %d bytes held: got %d %q, want %q", f.media, most, s.Code, got, want)
			}
			free(t, a)
		}
	}
}

// TestHeldPieces writes answers piece by piece with room for three parts, and each time ends in
// another state: held whole, held until it was too much, or read by nobody.
func TestHeldPieces(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 100, heldPart, heldPart + 1} {
		for _, pieces := range []int{0, 1, 2, 3, 4, 3 * heldPart / size, 5 * heldPart / size} {
			for _, gone := range []bool{false, true} {
				g := newGate(Config{MaxConcurrent: 1, MaxHeld: 3 * heldPart})
				s := newRecipient()
				left := 0
				s.gone = gone
				close(s.begin)
				h := &held{ResponseWriter: s, gate: g, leave: func() { left++ }}
				var want bytes.Buffer
				var err error
				for i := range pieces {
					p := bytes.Repeat([]byte{byte('a' + i%26)}, size)
					want.Write(p)
					if _, e := h.Write(p); err == nil {
						err = e
					}
				}
				if whole := want.Len() <= heldPart; whole && (err != nil || s.Body.Len() > 0) {
					t.Errorf("%d pieces of %d bytes were not held: %v", pieces, size, err)
				}
				if h.flowing && err == nil && g.holding() != 0 {
					t.Errorf("%d pieces of %d bytes: %d bytes are still held", pieces, size, g.holding())
				}
				if e := h.send(); err == nil {
					err = e
				}
				if h.drop(); left != 1 || g.holding() != 0 {
					t.Errorf("%d pieces of %d bytes: left %d times, %d bytes held", pieces, size, left, g.holding())
				}
				if gone && pieces > 0 {
					if err == nil {
						t.Errorf("%d pieces of %d bytes: nobody read them, and that is no error", pieces, size)
					}
				} else if err != nil || !bytes.Equal(s.Body.Bytes(), want.Bytes()) {
					t.Errorf("%d pieces of %d bytes: %v, or they are not what was read", pieces, size, err)
				}
			}
		}
	}
}

// TestReadersWhoLeave give their places and their memory back.
func TestReadersWhoLeave(t *testing.T) {
	t.Parallel()
	for _, most := range []int64{0, DefaultConfig().MaxHeld} {
		a := newAPI(t, newLayers(), func(c *Config, _ *Parts) { c.MaxHeld = most })
		s := newRecipient()
		s.gone = true
		close(s.begin)
		s.as(a, "default", "text/csv")
		free(t, a)
	}
}

// free fails the test when a place or memory was not given back.
func free(t *testing.T, a *API) {
	t.Helper()
	if running, waiting := a.gate.count(); running+waiting > 0 || a.gate.holding() != 0 {
		t.Errorf("left over: %d running, %d waiting, %d bytes", running, waiting, a.gate.holding())
	}
}
