package problem

import (
	"io"
	"net/http"
)

// LimitBody is http.MaxBytesReader for a request whose ResponseWriter may be wrapped. A body over the limit closes the
// connection after the answer, and net/http finds out only from its own ResponseWriter. Otherwise it would first wait
// for the rest of the body, and the client for its answer.
func LimitBody(w http.ResponseWriter, body io.ReadCloser, most int64) io.ReadCloser {
	for {
		wrapped, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return http.MaxBytesReader(w, body, most)
		}
		w = wrapped.Unwrap()
	}
}
