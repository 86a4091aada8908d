package external

import (
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/ClickHouse/ch-go/compress"
)

// Gateway serves the HTTP interface of a ClickHouse server over the embedded engine. It reads
// and writes the driver's compressed blocks, which carry a checksum, as a server does.
type Gateway struct{ Engine http.RoundTripper }

// ServeHTTP implements http.Handler.
func (g Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	compressed := q.Get("compress") == "1"
	decompress := q.Get("decompress") == "1"
	q.Del("compress")
	q.Del("decompress")
	req := r.Clone(r.Context())
	req.URL.RawQuery = q.Encode()
	if decompress {
		req.Body = io.NopCloser(blocks{compress.NewReader(r.Body)})
	}
	resp, err := g.Engine.RoundTrip(req)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	for name, values := range resp.Header {
		w.Header()[name] = values
	}
	if compressed && len(body) > 0 {
		c := compress.NewWriter(compress.LevelZero, compress.LZ4)
		if err := c.Compress(body); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		body = c.Data
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(resp.StatusCode)
	_, _ = w.Write(body) // The client may have disconnected.
}

// blocks returns a plain io.EOF after the last block; the reader of ch-go wraps it.
type blocks struct{ io.Reader }

func (b blocks) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = io.EOF
	}
	return n, err
}
