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

// recipient is a client that reads its answer once begin is closed. If gone is set, it leaves then.
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

// ask sends a query of a tenant.
func (s *recipient) ask(a *API, tenant, accept string) {
	principal := access.Principal{Tenant: tenant, Scopes: access.AllScopes}
	r := httptest.NewRequestWithContext(access.NewContext(context.Background(), principal), http.MethodPost,
		"/v1/query", strings.NewReader(hourly))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", accept)
	defer func() {
		if p := recover(); p != nil && !errors.Is(p.(error), http.ErrAbortHandler) {
			panic(p)
		}
	}()
	serveMux(a).ServeHTTP(s, r)
}

// TestSlowReadersHoldNoPlace has one place, and a client that does not read its answer. Another
// query still runs.
func TestSlowReadersHoldNoPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAPI(t, newLayers(), func(c *Config, _ *Parts) { c.MaxConcurrent = 1 })
		slow := newRecipient()
		go slow.ask(a, "default", "application/json")
		synctest.Wait()
		res, body := call(a, "POST", "/v1/query", hourly)
		if res.StatusCode != http.StatusOK {
			t.Errorf("a query after that of a slow reader: %s", body)
		}
		close(slow.begin)
		synctest.Wait()
		if slow.Code != http.StatusOK || slow.Body.String() != body {
			t.Errorf("the slow reader got %d %s", slow.Code, slow.Body)
		}
		checkFree(t, a)
	})
}

// TestSlowReadersOfOneTenant has answers that are too large to be held, so that their queries keep
// their places until they are read. One tenant must not get all places this way.
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
			go s.ask(a, "slow", "application/json")
		}
		synctest.Wait()
		other := newRecipient()
		close(other.begin)
		other.ask(a, "other", "application/json")
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
		checkFree(t, a)
	})
}

// TestHeldAnswersAreTheSame holds all, some or none of an answer. The client gets the same bytes.
func TestHeldAnswersAreTheSame(t *testing.T) {
	t.Parallel()
	for _, f := range formats {
		var want []byte
		for _, maxHeld := range []int64{0, heldPart, DefaultConfig().MaxHeld} {
			a := newAPI(t, newLayers(), func(c *Config, _ *Parts) { c.MaxHeld = maxHeld })
			s := newRecipient()
			close(s.begin)
			s.ask(a, "default", f.media)
			got := s.Body.Bytes()
			if want == nil {
				want = got
			}
			if s.Code != http.StatusOK || len(got) == 0 || !bytes.Equal(got, want) {
				t.Errorf("%s, at most %d bytes held: got %d %q, want %q", f.media, maxHeld, s.Code, got, want)
			}
			checkFree(t, a)
		}
	}
}

// TestHeldPieces writes answers in pieces, with room for three parts. Some answers are held
// completely, some are held until there is no more room, and some are for a client that has left.
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
				if small := want.Len() <= heldPart; small && (err != nil || s.Body.Len() > 0) {
					t.Errorf("%d pieces of %d bytes were not held: %v", pieces, size, err)
				}
				if h.flowing && err == nil && g.heldBytes() != 0 {
					t.Errorf("%d pieces of %d bytes: %d bytes are still held", pieces, size, g.heldBytes())
				}
				if e := h.send(); err == nil {
					err = e
				}
				if h.drop(); left != 1 || g.heldBytes() != 0 {
					t.Errorf("%d pieces of %d bytes: left %d times, %d bytes held", pieces, size, left, g.heldBytes())
				}
				if gone && pieces > 0 {
					if err == nil {
						t.Errorf("%d pieces of %d bytes: got no error, but the client has left", pieces, size)
					}
				} else if err != nil || !bytes.Equal(s.Body.Bytes(), want.Bytes()) {
					t.Errorf("%d pieces of %d bytes: error %v, or the client read other bytes", pieces, size, err)
				}
			}
		}
	}
}

// TestReadersWhoLeave checks that clients that leave give back their places and their memory.
func TestReadersWhoLeave(t *testing.T) {
	t.Parallel()
	for _, maxHeld := range []int64{0, DefaultConfig().MaxHeld} {
		a := newAPI(t, newLayers(), func(c *Config, _ *Parts) { c.MaxHeld = maxHeld })
		s := newRecipient()
		s.gone = true
		close(s.begin)
		s.ask(a, "default", "text/csv")
		checkFree(t, a)
	}
}

// checkFree fails the test if a place or memory was not given back.
func checkFree(t *testing.T, a *API) {
	t.Helper()
	if running, waiting := a.gate.count(); running+waiting > 0 || a.gate.heldBytes() != 0 {
		t.Errorf("not given back: %d running, %d waiting, %d bytes", running, waiting, a.gate.heldBytes())
	}
}
