package lake

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestProbe(t *testing.T) {
	t.Parallel()
	cfg := embedded(t)
	good := open(t, cfg)
	if err := good.Probe(t.Context()); err != nil {
		t.Errorf("the embedded store: %v", err)
	}
	// A store that ignores the header, as SeaweedFS 3.96 did.
	deaf := via(t, cfg, func(next http.RoundTripper) http.RoundTripper {
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
	if err := open(t, deaf).Probe(t.Context()); err == nil || !strings.Contains(err.Error(), "ignored If-None-Match") {
		t.Errorf("C9: a store that overwrites passed the probe: %v", err)
	}
	for info, err := range good.List(t.Context(), ProbePrefix, "") {
		t.Errorf("left behind: %+v, %v", info, err)
	}
}
