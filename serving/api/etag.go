package api

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"

	"recount/schemas/query"
)

// entityTag returns the ETag of an answer with an identity (merge.Answer), or nothing if it has none. The same tag is
// the same bytes, so it is also about the program, the format and the compression.
func (a *API) entityTag(r *http.Request, identity string, f format) string {
	if identity == "" || !isRead(r) {
		return ""
	}
	coding := ""
	if c := a.chooseCoding(r); c != nil {
		coding = c.name
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q", a.parts.Version, f.name, coding, identity))
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:18]) + `"`
}

// isRead reports whether a request is one whose answers caches keep.
func isRead(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

// isNotModified reports whether the client has the answer to a query already. It pins a publication and resolves the
// query, and reads no rows. So a query that cannot be answered any longer, as of a publication that is not kept, is an
// error for this client too.
func (a *API) isNotModified(r *http.Request, q *query.Query, f format, tenant string) (tag string, is bool, err error) {
	has := strings.Join(r.Header.Values("If-None-Match"), ",")
	if has == "" || !isRead(r) {
		return "", false, nil
	}
	identity, err := a.parts.Answerer.Identity(r.Context(), q, tenant)
	if err != nil {
		return "", false, err
	}
	tag = a.entityTag(r, identity, f)
	return tag, tag != "" && hasTag(strings.ReplaceAll(has, `W/"`, `"`), tag), nil
}

// setCaching says how long an answer may be kept: not at all, or until the server is asked whether it is still the
// same.
func setCaching(h http.Header, tag string) {
	if tag == "" {
		h.Set("Cache-Control", "no-store")
		return
	}
	h.Set("Cache-Control", "private, no-cache")
	h.Set("ETag", tag)
}
