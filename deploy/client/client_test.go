package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"recount/schemas/problem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// direct calls a handler without a connection, because a test with synctest must not wait for one.
type direct struct{ http.Handler }

func (d direct) RoundTrip(req *http.Request) (resp *http.Response, err error) {
	if req.Body == nil {
		req.Body = http.NoBody
	}
	defer req.Body.Close()
	defer func() {
		if recover() != nil { // The handler closes the connection.
			resp = nil
			err = io.ErrUnexpectedEOF
		}
	}()
	w := httptest.NewRecorder()
	d.ServeHTTP(w, req)
	if req.Context().Err() != nil {
		return nil, req.Context().Err()
	}
	return w.Result(), nil
}

// script gives its answers one after the other, and repeats the last one. It records the bodies of the requests and
// when they arrived.
type script struct {
	answers []http.HandlerFunc

	mu     sync.Mutex
	bodies []string
	times  []time.Time
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	answer := s.answers[min(len(s.bodies), len(s.answers)-1)]
	s.bodies = append(s.bodies, string(body))
	s.times = append(s.times, time.Now())
	s.mu.Unlock()
	answer(w, r)
}

// answer returns a handler that gives an answer.
func answer(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body) // If the client has gone, another check fails.
	}
}

// hangUp closes the connection without an answer, as a killed server does.
func hangUp(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// silent sends no answer before the client has gone.
func silent(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// newClient returns a client whose server is h.
func newClient(t *testing.T, h http.Handler, change func(*Config)) *Client {
	t.Helper()
	cfg := Config{URL: "http://recount.example", Transport: direct{h}, Breaker: Breaker{Failures: -1}}
	if change != nil {
		change(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const (
	twoEvents = `{"id":"1"}` + "\n" + `{"id":"2"}` + "\n"
	accepted  = `{"accepted":2,"rejected":[],"receipt":"r"}`
	outOfLoad = `{"status":503,"code":"log_unavailable","detail":"d","accepted":1,` +
		`"rejected":[{"index":0,"id":"1","code":"log_unavailable","message":"m"}],"receipt":"half"}`
)

// TestRetries checks that the same body is sent again after every answer that is not final.
func TestRetries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: []http.HandlerFunc{answer(429, `{"code":"overloaded"}`), answer(503, outOfLoad),
			answer(502, "<html>"), hangUp, answer(500, ""), answer(408, ""), answer(200, "{"), answer(200, "<html>"),
			silent, answer(200, outOfLoad),
			answer(200, `{"accepted":1,"receipt":"r",`+
				`"rejected":[{"index":1,"id":"2","code":"unknown_type","message":"m"}]}`),
		}}
		retries := 0
		c := newClient(t, s, func(cfg *Config) {
			cfg.OnRetry = func(error) error {
				retries++
				return nil
			}
		})
		got, err := c.SendLines(t.Context(), []byte(twoEvents))
		if err != nil || retries != len(s.answers)-1 {
			t.Fatalf("got %d retries and error %v", retries, err)
		}
		want := Result{Accepted: 1, Receipt: "r",
			Rejected: []Rejection{{Index: 1, ID: "2", Code: problem.UnknownType, Message: "m"}}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		for i, b := range s.bodies {
			if b != twoEvents {
				t.Errorf("try %d sent another body: %q", i, b)
			}
		}
	})
}

// TestIDsAndTimesAreMadeOnce checks that a retry repeats the ids and times that the client set, and that sending the
// slice again does so too.
func TestIDsAndTimesAreMadeOnce(t *testing.T) {
	t.Parallel()
	s := &script{answers: []http.HandlerFunc{answer(503, ""), answer(200, accepted)}}
	c := newClient(t, s, nil)
	happened := time.Date(2024, 5, 1, 10, 0, 0, 1000, time.FixedZone("", 3600))
	events := []Event{{Type: "hit", Data: map[string]int{"n": 1}},
		{ID: "mine", Source: "s", Type: "hit", Time: happened, Subject: "x",
			Extensions: map[string]any{"b": 2, "a": "1"}}}
	for range 2 {
		if _, err := c.Send(t.Context(), events); err != nil {
			t.Fatal(err)
		}
	}
	if s.bodies[0] != s.bodies[1] || s.bodies[1] != s.bodies[2] || events[0].ID == "" || events[0].Time.IsZero() {
		t.Errorf("%+v: sent %q", events, s.bodies)
	}
	lines := strings.Split(s.bodies[0], "\n")
	want := `{"specversion":"1.0","id":"mine","source":"s","type":"hit","time":"2024-05-01T09:00:00.000001Z",` +
		`"subject":"x","a":"1","b":2}`
	if diff := cmp.Diff(want, lines[1]); diff != "" || len(lines) != 3 {
		t.Error(diff)
	}
}

// TestFinalRefusals checks that a request is sent once when another try would not help.
func TestFinalRefusals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status int
		body   string
		code   problem.Code
	}{
		{413, `{"code":"body_too_large","detail":"split it","request_id":"id-1"}`, problem.BodyTooLarge},
		{401, `{"code":"unauthorized","detail":"send a key"}`, problem.Unauthorized},
		{400, `{"code":"invalid_json","detail":"not JSON"}`, problem.InvalidJSON},
		{504, `{"code":"query_timeout","detail":"ask for less"}`, problem.QueryTimeout},
		{404, "404 page not found", ""},
		{301, "", ""},
		{501, "", ""},
	} {
		s := &script{answers: []http.HandlerFunc{answer(c.status, c.body, "X-Request-Id", "id-1")}}
		_, err := newClient(t, s, nil).SendLines(t.Context(), []byte(twoEvents))
		var p *Problem
		if !errors.As(err, &p) || len(s.bodies) != 1 || p.Status != c.status || p.Code != c.code ||
			p.RequestID != "id-1" {
			t.Errorf("%d: %d tries, %+v: %v", c.status, len(s.bodies), p, err)
		}
	}
}

// TestAllRejected checks that the refusal of a request whose events are all rejected is an answer for each event.
func TestAllRejected(t *testing.T) {
	t.Parallel()
	s := &script{answers: []http.HandlerFunc{answer(400,
		`{"code":"all_rejected","accepted":0,"rejected":[{"index":0,"id":"1","code":"missing_type"},`+
			`{"index":1,"id":"2","code":"missing_type"}]}`)}}
	r, err := newClient(t, s, nil).SendLines(t.Context(), []byte(twoEvents))
	if err != nil || len(s.bodies) != 1 || len(r.Rejected) != 2 {
		t.Fatalf("%+v, %d tries, error %v", r, len(s.bodies), err)
	}
}

// TestPartialAnswerIsKept checks that the outcomes in the last answer are returned when the tries end.
func TestPartialAnswerIsKept(t *testing.T) {
	t.Parallel()
	s := &script{answers: []http.HandlerFunc{answer(503, outOfLoad), hangUp}}
	c := newClient(t, s, func(cfg *Config) { cfg.Retry.Attempts = 3 })
	r, err := c.SendLines(t.Context(), []byte(twoEvents))
	if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), "after 3 tries") || r.Accepted != 1 ||
		r.Receipt != "half" || !r.Rejected[0].Code.RetryEvent() {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestAnswerOfOtherEvents checks that an answer acknowledges nothing if it does not name an outcome for every event.
func TestAnswerOfOtherEvents(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`{"accepted":1}`, `{"accepted":3}`, accepted,
		`{"accepted":0,"rejected":[{"index":1,"id":"1","code":"missing_type"}]}`} {
		s := &script{answers: []http.HandlerFunc{answer(200, body)}}
		n := 1
		if body == `{"accepted":1}` {
			n = 2
		}
		if _, err := newClient(t, s, nil).Send(t.Context(), make([]Event, n)); !errors.Is(err, errAnswer) {
			t.Errorf("%s to %d events: %v", body, n, err)
		}
	}
}

// TestRetryAfter checks that a request is sent again soon after the time in Retry-After, and not before.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		date := time.Now().Add(2 * time.Hour).UTC().Format(http.TimeFormat)
		s := &script{answers: []http.HandlerFunc{answer(429, "", "Retry-After", "3600"),
			answer(503, "", "Retry-After", date), answer(503, "", "Retry-After", "nonsense"), answer(200, accepted)}}
		if _, err := newClient(t, s, nil).SendLines(t.Context(), []byte(twoEvents)); err != nil {
			t.Fatal(err)
		}
		for i, want := range []time.Duration{time.Hour, time.Hour, 0} {
			if got := s.times[i+1].Sub(s.times[i]); got < want-5*time.Second || got > want+DefaultMaxBackoff {
				t.Errorf("try %d was sent after %s, want %s", i+1, got, want)
			}
		}
	})
}

// TestBackoff checks that waits grow from Backoff to MaxBackoff, and that at most half of a wait is left out at random.
func TestBackoff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: []http.HandlerFunc{answer(503, "")}}
		c := newClient(t, s, func(cfg *Config) {
			cfg.Retry = Retry{Attempts: 12, Backoff: time.Second, MaxBackoff: 20 * time.Second}
		})
		if _, err := c.SendLines(t.Context(), []byte(twoEvents)); err == nil || len(s.times) != 12 {
			t.Fatalf("%d tries: %v", len(s.times), err)
		}
		for i := range 11 {
			longest := min(time.Second<<i, 20*time.Second)
			if got := s.times[i+1].Sub(s.times[i]); got < longest/2 || got > longest {
				t.Errorf("wait %d was %s, want %s to %s", i, got, longest/2, longest)
			}
		}
	})
}

// TestBreaker checks that no request is sent for Delay after several failures in a row. Then one request at a time is
// sent until one succeeds. The senders see no error, because every event is acknowledged in the end.
func TestBreaker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const failures, delay, senders = 5, time.Minute, 8
		up := time.Now().Add(10 * time.Minute)
		s := &script{answers: []http.HandlerFunc{func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Millisecond)
			if time.Now().Before(up) {
				hangUp(w, r)
			}
			answer(200, accepted)(w, r)
		}}}
		c := newClient(t, s, func(cfg *Config) { cfg.Breaker = Breaker{Failures: failures, Delay: delay} })
		var wg sync.WaitGroup
		for range senders {
			wg.Go(func() {
				if _, err := c.SendLines(t.Context(), []byte(twoEvents)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		opened := s.times[0]
		probes := 0
		for _, sent := range s.times[:len(s.times)-senders] {
			if sent.Sub(opened) > DefaultMaxBackoff { // An earlier request was in flight when the breaker opened.
				if sent.Sub(opened) < delay {
					t.Errorf("a request was sent %s after the breaker opened", sent.Sub(opened))
				}
				probes++
				opened = sent
			}
		}
		if probes < 9 || probes > 10 || time.Since(up) > delay+2*DefaultMaxBackoff {
			t.Errorf("got %d probes, and the breaker closed %s after the server was back", probes, time.Since(up))
		}
	})
}

// TestBreakerIgnoresRefusals checks that refusals, also for load, do not open the breaker.
func TestBreakerIgnoresRefusals(t *testing.T) {
	t.Parallel()
	s := &script{answers: []http.HandlerFunc{answer(429, ""), answer(429, ""), answer(400, ""), answer(400, "")}}
	c := newClient(t, s, func(cfg *Config) {
		cfg.Breaker = Breaker{Failures: 1, Delay: time.Hour}
		cfg.Retry = Retry{Attempts: 1}
	})
	for range 4 {
		if _, err := c.SendLines(t.Context(), []byte(twoEvents)); errors.Is(err, ErrOpen) {
			t.Error(err)
		}
	}
}

// TestBreakerIgnoresCancellations: callers that give up do not open the breaker. Callers whose
// deadline passes without an answer do.
func TestBreakerIgnoresCancellations(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, &script{answers: []http.HandlerFunc{silent}}, func(cfg *Config) {
			cfg.Breaker = Breaker{Failures: 3, Delay: time.Hour}
			cfg.Timeout = time.Hour
		})
		for range 10 {
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(time.Second, func() { cancel(errors.New("enough")) })
			_, err := c.SendLines(ctx, []byte(twoEvents))
			if !errors.Is(err, context.Canceled) || errors.Is(err, ErrOpen) {
				t.Fatal(err)
			}
		}
		for range 4 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, err := c.SendLines(ctx, []byte(twoEvents))
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
		}
		if s := c.events.breaker.State(); s != circuitbreaker.OpenState {
			t.Errorf("the breaker is %s", s)
		}
	})
}

// TestOpenBreakerIsNamed checks that the error of a call names the open breaker, and that Health ignores it.
func TestOpenBreakerIsNamed(t *testing.T) {
	t.Parallel()
	s := &script{answers: []http.HandlerFunc{answer(503, "the log is gone")}}
	c := newClient(t, s, func(cfg *Config) {
		cfg.Breaker = Breaker{Failures: 1, Delay: time.Hour}
		cfg.Retry = Retry{Attempts: 1}
	})
	_, _ = c.SendLines(t.Context(), []byte(twoEvents)) // The call opens the breaker.
	if _, err := c.SendLines(t.Context(), []byte(twoEvents)); !errors.Is(err, ErrOpen) || len(s.bodies) != 1 {
		t.Errorf("%d tries, %v", len(s.bodies), err)
	}
	if err := c.Health(t.Context()); err == nil || errors.Is(err, ErrOpen) || len(s.bodies) != 2 {
		t.Errorf("a call that is tried once: %d tries, %v", len(s.bodies), err)
	}
}

// TestOnRetryEndsACall checks that an error of OnRetry ends the call.
func TestOnRetryEndsACall(t *testing.T) {
	t.Parallel()
	enough := errors.New("enough")
	reported := ""
	s := &script{answers: []http.HandlerFunc{answer(503, "the log is full")}}
	c := newClient(t, s, func(cfg *Config) {
		cfg.OnRetry = func(err error) error {
			reported = err.Error()
			return enough
		}
	})
	if _, err := c.SendLines(t.Context(), []byte(twoEvents)); !errors.Is(err, enough) || len(s.bodies) != 1 ||
		!strings.Contains(reported, "the log is full") {
		t.Errorf("error %v after %q", err, reported)
	}
}

// TestContextEndsWaits checks that the context of a call ends every kind of wait. The error names the cause of the
// context and the last failure.
func TestContextEndsWaits(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answers []http.HandlerFunc
		says    string
	}{
		"Retry-After": {[]http.HandlerFunc{answer(503, "the log is full", "Retry-After", "86400")}, "the log is full"},
		"breaker":     {[]http.HandlerFunc{hangUp}, "unexpected EOF"},
		"answer":      {[]http.HandlerFunc{answer(503, "the log is full"), silent}, "the log is full"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client := newClient(t, &script{answers: c.answers}, func(cfg *Config) {
					cfg.Breaker = Breaker{Failures: 2, Delay: time.Hour}
					cfg.Timeout = time.Hour
				})
				began := time.Now()
				ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errors.New("the user has gone"))
				defer cancel()
				_, err := client.SendLines(ctx, []byte(twoEvents))
				if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(fmt.Sprint(err), c.says) ||
					!strings.Contains(err.Error(), "the user has gone") || time.Since(began) != time.Minute {
					t.Errorf("after %s: %v", time.Since(began), err)
				}
			})
		})
	}
}

// TestTimeoutOfATry checks that a request is sent again when the server does not answer within Timeout.
func TestTimeoutOfATry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: []http.HandlerFunc{silent, answer(200, accepted)}}
		var failure error
		c := newClient(t, s, func(cfg *Config) {
			cfg.Timeout = 3 * time.Second
			cfg.OnRetry = func(err error) error {
				failure = err
				return nil
			}
		})
		_, err := c.SendLines(t.Context(), []byte(twoEvents))
		if err != nil || !errors.Is(failure, errTimeout) || s.times[1].Sub(s.times[0]) < 3*time.Second {
			t.Errorf("got error %v after the failure %v", err, failure)
		}
	})
}

// TestAcknowledgedThoughTheContextEnds checks that an answer which has arrived is used although the context has ended.
func TestAcknowledgedThoughTheContextEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	s := &script{answers: []http.HandlerFunc{answer(200, accepted)}}
	c := newClient(t, nil, func(cfg *Config) { cfg.Transport = endsAfter{direct{s}, cancel} })
	if r, err := c.SendLines(ctx, []byte(twoEvents)); err != nil || r.Accepted != 2 {
		t.Errorf("%+v, %v", r, err)
	}
}

// endsAfter ends a context when the answer has arrived.
type endsAfter struct {
	http.RoundTripper
	end func()
}

func (e endsAfter) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := e.RoundTripper.RoundTrip(req)
	e.end()
	return resp, err
}

// TestBodyIsNotReadAfterwards sends a buffer and changes it, again and again, to a server that refuses without reading.
// The client must not read the buffer after a call.
func TestBodyIsNotReadAfterwards(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		answer(429, "")(w, r)
	}))
	defer srv.Close()
	c, err := New(Config{URL: srv.URL + "/", Retry: Retry{Attempts: 2}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	buffer := make([]byte, 8<<20)
	for range 20 {
		if _, err := c.SendLines(t.Context(), buffer); err == nil {
			t.Fatal("the request was accepted")
		}
		clear(buffer) // The race detector reports a read at the same time.
	}
}

// TestNew checks that a configuration which cannot work is refused.
func TestNew(t *testing.T) {
	t.Parallel()
	for _, cfg := range []Config{{}, {URL: "localhost:8080"}, {URL: "ftp://x"}, {URL: "http://"}, {URL: "http://%zz"},
		{URL: "http://x", Key: "two words"}, {URL: "http://x", Encoding: "br"}} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%+v was accepted", cfg)
		}
	}
}
