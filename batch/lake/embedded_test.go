package lake

import (
	"net/http"
	"testing"
	"time"

	"go.uber.org/goleak"

	"recount/deploy/embedded/s3server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// embeddedConfig returns the configuration of a new embedded server, with quick retries.
func embeddedConfig(t testing.TB) Config {
	t.Helper()
	server, err := s3server.Open(s3server.DefaultConfig(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	cfg := DefaultConfig("s3://recount/data?endpoint=" + server.Endpoint())
	cfg.AccessKey = server.Credentials().AccessKey
	cfg.SecretKey = server.Credentials().SecretKey
	cfg.Backoff = 5 * time.Millisecond
	return cfg
}

// openStore opens a store until the test ends.
func openStore(t testing.TB, cfg Config) *Store {
	t.Helper()
	s, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// withTransport returns the configuration with a transport that wraps a real one.
func withTransport(t testing.TB, cfg Config, wrap func(http.RoundTripper) http.RoundTripper) Config {
	inner := newTransport()
	t.Cleanup(inner.CloseIdleConnections)
	cfg.Transport = wrap(inner)
	return cfg
}

// roundTrip is an http.RoundTripper.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
