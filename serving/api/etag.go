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

// knownTags returns the entity tags of the answers that the client has. It is empty for a request without any.
func knownTags(r *http.Request) string {
	if !isRead(r) {
		return ""
	}
	return strings.ReplaceAll(strings.Join(r.Header.Values("If-None-Match"), ","), `W/"`, `"`)
}

// isNotModified reports whether the client has the answer to a query already. It pins a publication and resolves the
// query, and reads no rows. Only the tag itself says so, because somebody has got an answer with it. The star for any
// answer says nothing yet: there may be none, because it would be too large, for example. So a query that cannot be
// answered any longer, as of a publication that is not kept, is an error for this client too.
func (a *API) isNotModified(r *http.Request, q *query.Query, f format, tenant string) (tag string, is bool, err error) {
	known := knownTags(r)
	if !strings.Contains(known, `"`) {
		return "", false, nil
	}
	identity, err := a.parts.Answerer.Identity(r.Context(), q, tenant)
	if err != nil {
		return "", false, err
	}
	tag = a.entityTag(r, identity, f)
	return tag, tag != "" && hasTag(strings.ReplaceAll(known, "*", ""), tag), nil
}

// writeNotModified sends the status 304, which stands for the answer that the client has.
func writeNotModified(w http.ResponseWriter, tag string) {
	w.Header().Add("Vary", "Accept")
	setCaching(w.Header(), tag)
	w.WriteHeader(http.StatusNotModified)
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
