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

// Authenticate returns the sender of a request, or an error that says why the sender is unknown.
type Authenticate func(*http.Request) (access.Principal, error)

var (
	errNoKey      = errors.New("send a key as Authorization: Bearer KEY")
	errKeyInQuery = errors.New("only a key of scope collect may be in the query string; send this one as " +
		"Authorization: Bearer KEY, and make a new one, because query strings are written into logs")
)

// Authenticate returns the owner of the key in the Authorization header, or of a key of scope collect in the query
// string.
func (w *Watcher) Authenticate(r *http.Request) (access.Principal, error) {
	text, inQuery := sentKey(r)
	if text == "" {
		return access.Principal{}, errNoKey
	}
	p, err := w.Find(text)
	if err == nil && inQuery && p.Collect == nil {
		return access.Principal{}, errKeyInQuery
	}
	return p, err
}

// Collect returns what the key of a request may send, if its scope is collect, and else nil. The key may be revoked or
// expired: Authenticate decides that.
func (w *Watcher) Collect(r *http.Request) *access.Collect {
	text, _ := sentKey(r)
	k, _ := w.known(text)
	return k.Collect
}

// sentKey returns the text of the key that a request sends. The header comes first.
func sentKey(r *http.Request) (text string, inQuery bool) {
	sent := r.Header.Values("Authorization")
	if len(sent) == 0 && r.URL.RawQuery != "" {
		all := r.URL.Query()["key"]
		if len(all) != 1 {
			return "", false
		}
		return all[0], true
	}
	if len(sent) != 1 {
		return "", false
	}
	scheme, text, _ := strings.Cut(sent[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", false
	}
	return strings.TrimSpace(text), false
}

// Loopback authenticates every request as the local owner, for a server without keys. The request has
// to name the server by a loopback address or localhost. A web page in a browser on this machine can
// make a name of its own resolve to a loopback address, and must not become the owner with it.
func Loopback(r *http.Request) (access.Principal, error) {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = strings.Trim(r.Host, "[]")
	}
	if ip := net.ParseIP(host); !strings.EqualFold(host, "localhost") && (ip == nil || !ip.IsLoopback()) {
		return access.Principal{}, fmt.Errorf("a server without keys answers only requests to 127.0.0.1, [::1] or "+
			"localhost, not to %.80q", r.Host)
	}
	return access.Local(), nil
}

// Guard calls h for senders that have one of the needed scopes, with the sender in the request's context.
func Guard(authenticate Authenticate, need access.Scopes, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, err := authenticate(r)
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
