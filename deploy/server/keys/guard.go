package keys

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"recount/schemas/access"
	"recount/schemas/problem"
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
			problem.Write(w, problem.New(http.StatusUnauthorized, problem.Unauthorized, err.Error()))
		case p.Scopes&need == 0:
			w.Header().Set("WWW-Authenticate",
				fmt.Sprintf(`Bearer realm="recount", error="insufficient_scope", scope="%s"`,
					strings.Join(need.Names(), " ")))
			problem.Write(w, problem.New(http.StatusForbidden, problem.Forbidden,
				fmt.Sprintf("this needs a key with the scope %s; this one has %s",
					strings.Join(need.Names(), " or "), p.Scopes)))
		default:
			h.ServeHTTP(w, r.WithContext(access.NewContext(r.Context(), p)))
		}
	})
}
