package server

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"recount/deploy/server/quota"
	"recount/schemas/access"
)

// TestWebhookHandshake asks as a sender of webhooks does, with keys of several rates and without a key.
func TestWebhookHandshake(t *testing.T) {
	t.Parallel()
	s := &Server{cfg: Config{Limits: quota.Config{Tenants: map[string]quota.Rates{"slow": {Events: 0.001},
		"paced": {Events: 10}}}}}
	h := s.agreeToWebhooks(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTeapot)
	}))
	collect := &access.Collect{Rate: 5}
	for _, c := range []struct {
		name, method, origin string
		principal            access.Principal
		status               int
		rate                 string
	}{
		{"no limit", "OPTIONS", "events.example.com", access.Principal{Tenant: "acme"}, 200, "*"},
		{"a limit", "OPTIONS", "events.example.com", access.Principal{Tenant: "paced"}, 200, "600"},
		{"a low limit", "OPTIONS", "events.example.com", access.Principal{Tenant: "slow"}, 200, "1"},
		{"collect", "OPTIONS", "events.example.com", access.Principal{Tenant: "acme", Collect: collect}, 200, "300"},
		{"collect below", "OPTIONS", "e", access.Principal{Tenant: "slow", Collect: collect}, 200, "1"},
		{"no principal", "OPTIONS", "events.example.com", access.Principal{}, 418, ""},
		{"no webhook", "OPTIONS", "", access.Principal{Tenant: "acme"}, 418, ""},
		{"a delivery", "POST", "events.example.com", access.Principal{Tenant: "acme"}, 418, ""},
	} {
		r := httptest.NewRequest(c.method, "/v1/events", nil)
		r.Header.Set("WebHook-Request-Origin", c.origin)
		r.Header.Set("WebHook-Request-Rate", "120")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r.WithContext(access.NewContext(r.Context(), c.principal)))
		agreed := ""
		if c.rate != "" {
			agreed = c.origin
		}
		if w.Code != c.status || w.Header().Get("WebHook-Allowed-Rate") != c.rate ||
			w.Header().Get("WebHook-Allowed-Origin") != agreed {
			t.Errorf("%s: %d %v", c.name, w.Code, w.Header())
		}
	}
}
