package keys

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"recount/schemas/access"
)

// Authenticate says who sent a request, or why nobody knows.
type Authenticate func(*http.Request) (access.Principal, error)

var errNoKey = errors.New("send a key as Authorization: Bearer KEY")

// Authenticate knows senders by the key in their Authorization header.
func (w *Watcher) Authenticate(r *http.Request) (access.Principal, error) {
	sent := r.Header.Values("Authorization")
	if len(sent) != 1 {
		return access.Principal{}, errNoKey
	}
	scheme, text, _ := strings.Cut(sent[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return access.Principal{}, errNoKey
	}
	return w.Find(strings.TrimSpace(text))
}

// Loopback lets everybody be the local owner, for a server without keys. A page in
// somebody's browser must not be everybody, so the request has to name the server by a
// loopback address and not by a name that was made to resolve to one.
func Loopback(r *http.Request) (access.Principal, error) {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = strings.Trim(r.Host, "[]")
	}
	if ip := net.ParseIP(host); !strings.EqualFold(host, "localhost") && (ip == nil || !ip.IsLoopback()) {
		return access.Principal{}, fmt.Errorf("without keys the server answers as 127.0.0.1, [::1] or localhost "+
			"only, not as %.80q", r.Host)
	}
	return access.Local(), nil
}

// Guard opens h to senders with one of the scopes needed, and tells it who they are.
func Guard(who Authenticate, need access.Scopes, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, err := who(r)
		switch {
		case err != nil:
			challenge := `Bearer realm="recount"`
			if !errors.Is(err, errNoKey) {
				challenge += `, error="invalid_token"`
			}
			w.Header().Set("WWW-Authenticate", challenge)
			problem(w, http.StatusUnauthorized, "unauthorized", err.Error())
		case p.Scopes&need == 0:
			w.Header().Set("WWW-Authenticate",
				fmt.Sprintf(`Bearer realm="recount", error="insufficient_scope", scope="%s"`,
					strings.Join(need.Names(), " ")))
			problem(w, http.StatusForbidden, "forbidden", fmt.Sprintf("this needs a key with the scope %s; this one "+
				"has %s", strings.Join(need.Names(), " or "), p.Scopes))
		default:
			h.ServeHTTP(w, r.WithContext(access.NewContext(r.Context(), p)))
		}
	})
}

func problem(w http.ResponseWriter, status int, code, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	// The client may be gone; there is nobody left to tell.
	_ = json.NewEncoder(w).Encode(map[string]any{"type": "about:blank", "title": http.StatusText(status),
		"status": status, "code": code, "detail": detail})
}
