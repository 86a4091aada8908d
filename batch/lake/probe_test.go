package lake

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestProbe is C9: the embedded store passes the probe, and a store that overwrites does not.
func TestProbe(t *testing.T) {
	t.Parallel()
	cfg := embeddedConfig(t)
	good := openStore(t, cfg)
	if err := good.Probe(t.Context()); err != nil {
		t.Errorf("the embedded store: %v", err)
	}
	// A store that ignores the header, as SeaweedFS 3.96 did.
	overwriting := withTransport(t, cfg, func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.Header.Get("If-None-Match") == "" {
				return next.RoundTrip(r)
			}
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return nil, err
			}
			_, key, _ := strings.Cut(r.URL.Path, "/recount/data/")
			return answer(r, http.StatusOK), good.Put(r.Context(), key, bytes.NewReader(body), int64(len(body)))
		})
	})
	err := openStore(t, overwriting).Probe(t.Context())
	if err == nil || !strings.Contains(err.Error(), "ignored If-None-Match") {
		t.Errorf("probe of a store that overwrites: %v, want an error about If-None-Match", err)
	}
	for info, err := range good.List(t.Context(), ProbePrefix, "") {
		t.Errorf("the probe left a key: %+v, %v", info, err)
	}
}
