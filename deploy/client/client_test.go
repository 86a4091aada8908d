package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const body = `{"id":"1"}` + "\n" + `{"id":"2"}` + "\n"

// script answers requests one after the other and remembers their bodies.
type script struct {
	answers []func(http.ResponseWriter)
	bodies  []string
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(r.Body)
	if err != nil || r.URL.Path != "/v1/events" || r.Header.Get("Content-Type") != "application/x-ndjson" {
		http.Error(w, "not what a sender sends", http.StatusNotFound)
		return
	}
	answer := s.answers[min(len(s.bodies), len(s.answers)-1)]
	s.bodies = append(s.bodies, string(raw))
	answer(w)
}

func status(code int, text string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.WriteHeader(code)
		_, _ = io.WriteString(w, text) // A client that has gone fails the test elsewhere.
	}
}

// hangUp closes the connection without an answer, as a killed server does.
func hangUp(http.ResponseWriter) { panic(http.ErrAbortHandler) }

func run(t *testing.T, ctx context.Context, s *script) (Answer, int, error) {
	t.Helper()
	srv := httptest.NewServer(s)
	defer srv.Close()
	send := New(srv.URL+"/", 1)
	retries := 0
	send.Backoff = time.Microsecond
	send.Retries = func(error) error {
		retries++
		return nil
	}
	defer send.Client.CloseIdleConnections()
	a, err := send.Send(ctx, []byte(body))
	return a, retries, err
}

// TestRetries: every answer that is not final is followed by the same body.
func TestRetries(t *testing.T) {
	t.Parallel()
	s := &script{answers: []func(http.ResponseWriter){
		status(429, `{"code":"overloaded"}`), status(503, `{"code":"log_unavailable"}`), hangUp, status(500, ""),
		status(200, "{"), status(200,
			`{"accepted":1,"rejected":[{"index":1,"id":"2","code":"unknown_type","message":"m"}],"receipt":"r"}`),
	}}
	a, retries, err := run(t, t.Context(), s)
	if err != nil || retries != 5 {
		t.Fatalf("%d retries, error %v", retries, err)
	}
	want := Answer{Accepted: 1, Rejected: []Rejected{{Index: 1, ID: "2", Code: "unknown_type", Message: "m"}},
		Receipt: "r"}
	if diff := cmp.Diff(want, a); diff != "" {
		t.Error(diff)
	}
	for i, b := range s.bodies {
		if b != body {
			t.Errorf("try %d sent %q", i, b)
		}
	}
}

func TestFinalRefusal(t *testing.T) {
	t.Parallel()
	s := &script{answers: []func(http.ResponseWriter){status(413, `{"code":"body_too_large"}`)}}
	_, retries, err := run(t, t.Context(), s)
	if !errors.Is(err, errRefused) || retries != 0 || !strings.Contains(err.Error(), "body_too_large") {
		t.Fatalf("%d retries, error %v", retries, err)
	}
}

// TestAllRejected: a request of broken events only is refused as a whole, and still
// says why each was.
func TestAllRejected(t *testing.T) {
	t.Parallel()
	s := &script{answers: []func(http.ResponseWriter){status(400,
		`{"code":"all_rejected","accepted":0,"rejected":[{"index":0,"id":"1","code":"missing_type"},{"index":1,"id":"2","code":"missing_type"}]}`)}}
	a, retries, err := run(t, t.Context(), s)
	if err != nil || retries != 0 || len(a.Rejected) != 2 {
		t.Fatalf("%+v, %d retries, error %v", a, retries, err)
	}
}

// TestRetriesEnds: who hears of the failure may have had enough.
func TestRetriesEnds(t *testing.T) {
	t.Parallel()
	s := &script{answers: []func(http.ResponseWriter){status(503, "the log is full")}}
	srv := httptest.NewServer(s)
	defer srv.Close()
	enough := errors.New("enough")
	heard := ""
	send := New(srv.URL, 1)
	send.Retries = func(err error) error {
		heard = err.Error()
		return enough
	}
	defer send.Client.CloseIdleConnections()
	if _, err := send.Send(t.Context(), []byte(body)); !errors.Is(err, enough) ||
		!strings.Contains(heard, "the log is full") {
		t.Errorf("error %v after %q", err, heard)
	}
}

// TestGivesUpWithItsContext: the error names the last failure.
func TestGivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	s := &script{}
	s.answers = []func(http.ResponseWriter){status(503, "first"), func(w http.ResponseWriter) {
		w.Header().Set("Retry-After", "3600")
		status(503, "the log is full")(w)
		time.AfterFunc(10*time.Millisecond, cancel)
	}}
	_, _, err := run(t, ctx, s)
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}
