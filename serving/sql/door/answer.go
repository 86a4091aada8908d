package door

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/ClickHouse/ch-go/compress"
	"github.com/klauspost/compress/zstd"
)

// writeBody writes a result, compressed as the request wants it.
func writeBody(w http.ResponseWriter, r *http.Request, body []byte) error {
	q := r.URL.Query()
	if v := q.Get("compress"); v != "" && v != "0" {
		method := compress.LZ4
		if strings.EqualFold(q.Get("network_compression_method"), "ZSTD") {
			method = compress.ZSTD
		}
		return writeBlocks(w, body, method)
	}
	if v := q.Get("enable_http_compression"); v != "" && v != "0" {
		w.Header().Add("Vary", "Accept-Encoding")
		if c := encoder(w, r.Header.Get("Accept-Encoding")); c != nil {
			_, err := c.Write(body)
			return errors.Join(err, c.Close())
		}
	}
	_, err := w.Write(body)
	return err
}

// encoder returns what compresses an answer as the client accepts, or nil.
func encoder(w http.ResponseWriter, accepted string) io.WriteCloser {
	for _, part := range strings.Split(accepted, ",") {
		encoding, weight, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.TrimSpace(weight) == "q=0" {
			continue
		}
		switch strings.TrimSpace(encoding) {
		case "zstd":
			z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
			if err != nil {
				continue
			}
			w.Header().Set("Content-Encoding", "zstd")
			return z
		case "gzip":
			w.Header().Set("Content-Encoding", "gzip")
			return gzip.NewWriter(w)
		}
	}
	return nil
}

// blockBytes is how much of a result one compressed block has.
const blockBytes = 1 << 20

// writeBlocks writes a result in ClickHouse's compressed blocks.
func writeBlocks(w http.ResponseWriter, body []byte, method compress.Method) error {
	z := compress.NewWriter(compress.LevelZero, method)
	for len(body) > 0 {
		n := min(len(body), blockBytes)
		if err := z.Compress(body[:n]); err != nil {
			return err
		}
		if _, err := w.Write(z.Data); err != nil {
			return err
		}
		body = body[n:]
	}
	return nil
}

// statuses are the HTTP statuses of errors by ClickHouse's number. Those of others are 400.
var statuses = map[int]int{
	46: http.StatusNotFound, 47: http.StatusNotFound, 60: http.StatusNotFound, 81: http.StatusNotFound,
	48: http.StatusNotImplemented, 159: http.StatusRequestTimeout, 202: http.StatusTooManyRequests,
	241: http.StatusInsufficientStorage, 372: http.StatusNotFound, 497: http.StatusForbidden,
	516: http.StatusUnauthorized, 279: http.StatusServiceUnavailable,
}

// writeException writes an error as ClickHouse does.
func writeException(w http.ResponseWriter, err error) {
	var e *Exception
	if !errors.As(err, &e) {
		panic(http.ErrAbortHandler) // The client is gone, or has a part of the result.
	}
	status := statuses[e.Code]
	if status == 0 {
		status = http.StatusBadRequest
	}
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="recount"`)
	}
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	w.Header().Set("X-Clickhouse-Exception-Code", strconv.Itoa(e.Code))
	text := strings.ReplaceAll(e.Text, "\n", " ")
	writeText(w, status, fmt.Sprintf("Code: %d. DB::Exception: %s. (%s)\n", e.Code, text, e.Name))
}
