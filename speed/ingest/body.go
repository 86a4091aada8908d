package ingest

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"recount/schemas/problem"
)

// contentKind is how a body holds events.
type contentKind int

const (
	kindObject contentKind = iota // one CloudEvent
	kindBatch                     // an array of CloudEvents
	kindJSON                      // either, with the leniency described in the package comment
	kindLines                     // one a line, likewise
	kindBinary                    // attributes in headers, the body is data
)

func (k contentKind) strict() bool { return k == kindObject || k == kindBatch || k == kindBinary }

func (k contentKind) expects() string {
	return [...]string{"a JSON object", "a JSON array of events", "a JSON object or array", "lines", "data"}[k]
}

var contentKinds = map[string]contentKind{
	"application/cloudevents+json":       kindObject,
	"application/cloudevents-batch+json": kindBatch,
	"application/json":                   kindJSON,
	"application/x-ndjson":               kindLines,
	"application/ndjson":                 kindLines,
}

// kindOf reads Content-Type. A request with ce- attributes is of binary mode unless
// its type is one of CloudEvents' own, as the HTTP binding says.
func kindOf(h http.Header) (contentKind, *fault) {
	if len(h["Content-Type"]) > 1 {
		return 0, unsupportedType("Content-Type: must come once")
	}
	sent := h.Get("Content-Type")
	media, params, err := mime.ParseMediaType(sent)
	charset := params["charset"]
	kind, known := contentKinds[media]
	binary := len(h["Ce-Id"])+len(h["Ce-Type"])+len(h["Ce-Specversion"]) > 0 &&
		!strings.HasPrefix(media, "application/cloudevents")
	switch {
	case charset != "" && !strings.EqualFold(charset, "utf-8"):
		return 0, unsupportedType("Content-Type: charset must be utf-8")
	case binary && (sent == "" || err == nil):
		return kindBinary, nil
	case err != nil || !known:
		return 0, unsupportedType("Content-Type: use application/cloudevents+json, application/cloudevents-batch+json, " +
			"application/x-ndjson or application/json, or CloudEvents binary mode with ce- headers")
	}
	return kind, nil
}

func unsupportedType(msg string) *fault {
	return &fault{code: problem.UnsupportedMediaType, status: http.StatusUnsupportedMediaType, msg: msg}
}

// source remembers how reading the connection ended, to tell a client that stopped
// from one that sent damaged gzip.
type source struct {
	io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err != nil {
		s.err = err
	}
	return n, err
}

// zstdWindow is the largest window accepted, the one RFC 9659 allows senders on
// the web. A request pays for it while it is being decompressed.
const zstdWindow = 8 << 20

// read fills the request's body, decompressed.
func (s *Server) read(w http.ResponseWriter, r *http.Request, q *request) *fault {
	src := &source{Reader: http.MaxBytesReader(w, r.Body, int64(s.cfg.BodyBytes))}
	var f *fault
	// One coding: a second one inside the first is how bombs get past a limit for one.
	switch coding := strings.ToLower(strings.TrimSpace(strings.Join(r.Header["Content-Encoding"], ", "))); coding {
	case "", "identity":
		f = q.readAll(src, int(min(max(r.ContentLength, 0), 1<<20)), s.cfg.BodyBytes)
	case "gzip", "x-gzip":
		f = s.readGzip(src, q)
	case "zstd":
		f = s.readZstd(src, q)
	default:
		return &fault{code: problem.UnsupportedEncoding, status: http.StatusUnsupportedMediaType,
			msg: "Content-Encoding: " + excerpt([]byte(coding)) +
				" is not supported; use gzip, zstd or none, and one alone"}
	}
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(src.err, &tooLarge):
		return bodyTooLarge(s.cfg.BodyBytes)
	case src.err != nil && src.err != io.EOF:
		return &fault{code: problem.UnreadableBody, status: http.StatusBadRequest,
			msg: "the body did not arrive whole and in time"}
	}
	return f
}

func bodyTooLarge(limit int) *fault {
	return &fault{code: problem.BodyTooLarge, status: http.StatusRequestEntityTooLarge,
		msg: fmt.Sprintf("the body is larger than %d bytes; split it", limit)}
}

func (s *Server) readGzip(src io.Reader, q *request) *fault {
	z, _ := s.gzips.Get().(*gzip.Reader)
	if z == nil {
		z = new(gzip.Reader)
	}
	defer s.gzips.Put(z)
	if err := z.Reset(src); err != nil {
		return damaged("gzip")
	}
	return q.readAll(z, 0, s.cfg.DecodedBytes)
}

func (s *Server) readZstd(src io.Reader, q *request) *fault {
	if f := q.pay(zstdWindow); f != nil {
		return f
	}
	defer func() {
		q.budget.give(q.mine, zstdWindow)
		q.paid -= zstdWindow
	}()
	z, _ := s.zstds.Get().(*zstd.Decoder)
	if z == nil {
		var err error
		if z, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(zstdWindow),
			zstd.WithDecoderLowmem(true)); err != nil {
			return damaged("zstd")
		}
	}
	defer s.zstds.Put(z)
	if err := z.Reset(src); err != nil {
		return damaged("zstd")
	}
	return q.readAll(z, 0, s.cfg.DecodedBytes)
}

func damaged(coding string) *fault {
	return &fault{code: problem.InvalidEncoding, status: http.StatusBadRequest, msg: "the body is not valid " + coding}
}

// readAll reads r to its end into the body, paying for every growth.
func (q *request) readAll(r io.Reader, hint, limit int) *fault {
	b := q.body[:0]
	defer func() { q.body = b }()
	if f := q.pay(cap(b)); f != nil {
		return f
	}
	for {
		if len(b) == cap(b) {
			size := min(max(hint+1, 2*cap(b), 4<<10), limit+1)
			if f := q.pay(size - cap(b)); f != nil {
				return f
			}
			b = append(make([]byte, 0, size), b...)
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case len(b) > limit:
			return bodyTooLarge(limit)
		case err == io.EOF:
			return nil
		case err != nil:
			return damaged("for its Content-Encoding")
		}
	}
}
