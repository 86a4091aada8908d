package problem

import (
	"crypto/rand"
	"net/http"
)

// RequestIDHeader is the header that carries a request's id, in requests and in answers.
const RequestIDHeader = "X-Request-Id"

// maxRequestID bounds the id that a caller may choose, in bytes.
const maxRequestID = 128

// Identify gives every answer of next the header X-Request-Id: the caller's id if it is
// printable ASCII of at most 128 bytes, otherwise a new one.
func Identify(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get(RequestIDHeader)
		if len(r.Header.Values(RequestIDHeader)) != 1 || !validRequestID(id) {
			id = newRequestID()
		}
		w.Header().Set(RequestIDHeader, id)
		next.ServeHTTP(w, r)
	})
}

// RequestID returns the id of the request that w answers. It is empty when Identify did not run.
func RequestID(w http.ResponseWriter) string { return w.Header().Get(RequestIDHeader) }

// validRequestID refuses what could break a log line or a header.
func validRequestID(id string) bool {
	for _, c := range []byte(id) {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return id != "" && len(id) <= maxRequestID
}

// newRequestID returns 26 letters and digits with 130 random bits.
func newRequestID() string { return rand.Text() }
