package server

import (
	"math"
	"net/http"
	"strconv"

	"recount/schemas/access"
)

// agreeToWebhooks answers the handshake of the CloudEvents specification "HTTP 1.1 Web Hooks for Event Delivery", with
// which a sender of webhooks asks, by OPTIONS, whether the server wants its events. It agrees with every sender that
// has a key: the guard has asked for one. Other requests go to next.
func (s *Server) agreeToWebhooks(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		origin := r.Header.Get("WebHook-Request-Origin")
		principal, ok := access.FromContext(r.Context())
		if r.Method != http.MethodOptions || origin == "" || !ok {
			next.ServeHTTP(w, r)
			return
		}
		h := w.Header()
		h.Set("Allow", "GET, POST")
		h.Set("WebHook-Allowed-Origin", origin)
		h.Set("WebHook-Allowed-Rate", s.webhookRate(principal))
		w.WriteHeader(http.StatusOK)
	})
}

// webhookRate returns how many requests a minute a sender may send, each with one event. A sender beyond it is answered
// 429 with Retry-After.
func (s *Server) webhookRate(p access.Principal) string {
	rates, ok := s.cfg.Limits.Tenants[p.Tenant]
	if !ok {
		rates = s.cfg.Limits.Default
	}
	rate := rates.Events
	if p.Collect != nil && (rate == 0 || p.Collect.Rate < rate) {
		rate = p.Collect.Rate
	}
	if rate == 0 {
		return "*"
	}
	return strconv.FormatInt(max(1, int64(math.Min(rate*60, math.MaxInt32))), 10)
}
