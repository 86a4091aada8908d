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
	kindJSON                      // an object or an array; source and specversion may be missing
	kindLines                     // an object per line; source and specversion may be missing
	kindBinary                    // attributes in headers, data in the body
)

// strict reports whether CloudEvents' own content types require a source and a specversion.
func (k contentKind) strict() bool { return k == kindObject || k == kindBatch || k == kindBinary }

func (k contentKind) expected() string {
	return [...]string{"a JSON object", "a JSON array of events", "a JSON object or array", "lines", "data"}[k]
}

var contentKinds = map[string]contentKind{
	"application/cloudevents+json":       kindObject,
	"application/cloudevents-batch+json": kindBatch,
	"application/json":                   kindJSON,
	"application/x-ndjson":               kindLines,
	"application/ndjson":                 kindLines,
}

// kindOf reads Content-Type. A request with ce- headers is of binary mode unless its type is
// one of CloudEvents' own, as the HTTP binding says. With a key of scope collect, text/plain and no
// type at all are JSON: these are what a page can send without a question to the server first.
// Other keys need a type that a page cannot send so.
func kindOf(h http.Header, collect bool) (contentKind, *problem.Problem) {
	if len(h["Content-Type"]) > 1 {
		return 0, unsupportedType("send the header once")
	}
	sent := h.Get("Content-Type")
	media := sent
	charset := ""
	kind, known := contentKinds[media]
	var err error
	if !known { // Most senders write it just so.
		var params map[string]string
		media, params, err = mime.ParseMediaType(sent)
		charset = params["charset"]
		kind, known = contentKinds[media]
	}
	binary := len(h["Ce-Id"])+len(h["Ce-Type"])+len(h["Ce-Specversion"]) > 0 &&
		!strings.HasPrefix(media, "application/cloudevents")
	switch {
	case charset != "" && !strings.EqualFold(charset, "utf-8"):
		return 0, unsupportedType("the charset must be utf-8")
	case binary && (sent == "" || err == nil):
		return kindBinary, nil
	case collect && (media == "text/plain" || sent == ""):
		return kindJSON, nil
	case err != nil || !known:
		return 0, unsupportedType("use application/cloudevents+json, application/cloudevents-batch+json, " +
			"application/x-ndjson or application/json, or CloudEvents binary mode with ce- headers")
	}
	return kind, nil
}

func unsupportedType(message string) *problem.Problem {
	return problem.New(http.StatusUnsupportedMediaType, problem.UnsupportedMediaType, "Content-Type: "+message)
}

// bodyReader remembers the error with which a body broke off. It tells a client that stopped
// sending from one that sent damaged gzip.
type bodyReader struct {
	io.Reader
	err error // nil after io.EOF
}

func (b *bodyReader) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
}

// zstdWindow is the largest window that is accepted. RFC 9659 allows senders on the web no
// larger one. A request pays for it while it is decompressed.
const zstdWindow = 8 << 20

// readBody reads and decompresses the request's body.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request, q *request) *problem.Problem {
	src := &bodyReader{Reader: problem.LimitBody(w, r.Body, int64(q.bodyBytes))}
	var p *problem.Problem
	// One coding at most: with a second one inside the first, a bomb gets past a limit for one.
	switch coding := strings.ToLower(strings.TrimSpace(strings.Join(r.Header["Content-Encoding"], ", "))); coding {
	case "", "identity":
		p = q.readAll(src, int(min(max(r.ContentLength, 0), 1<<20)), q.bodyBytes)
	case "gzip", "x-gzip":
		p = s.readGzip(src, q)
	case "zstd":
		p = s.readZstd(src, q)
	default:
		return problem.New(http.StatusUnsupportedMediaType, problem.UnsupportedEncoding, "Content-Encoding: "+
			excerpt([]byte(coding))+" is not supported; use one of gzip and zstd, or none")
	}
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(src.err, &tooLarge):
		return bodyTooLarge(q.bodyBytes)
	case src.err != nil:
		return problem.New(http.StatusBadRequest, problem.UnreadableBody,
			"the connection ended, or was too slow, before the whole body arrived")
	}
	return p
}

func bodyTooLarge(limit int) *problem.Problem {
	return problem.New(http.StatusRequestEntityTooLarge, problem.BodyTooLarge,
		fmt.Sprintf("the body is larger than %d bytes; split it", limit))
}

func (s *Server) readGzip(src io.Reader, q *request) *problem.Problem {
	z, _ := s.gzips.Get().(*gzip.Reader)
	if z == nil {
		z = new(gzip.Reader)
	}
	defer s.gzips.Put(z)
	if err := z.Reset(src); err != nil {
		return invalidEncoding("gzip")
	}
	return q.readAll(z, 0, q.decodedBytes)
}

func (s *Server) readZstd(src io.Reader, q *request) *problem.Problem {
	if p := q.pay(zstdWindow); p != nil {
		return p
	}
	defer func() {
		q.budget.release(q.held, zstdWindow)
		q.paid -= zstdWindow
	}()
	z, _ := s.zstds.Get().(*zstd.Decoder)
	if z == nil {
		var err error
		if z, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(zstdWindow),
			zstd.WithDecoderLowmem(true)); err != nil {
			return invalidEncoding("zstd")
		}
	}
	defer s.zstds.Put(z)
	if err := z.Reset(src); err != nil {
		return invalidEncoding("zstd")
	}
	return q.readAll(z, 0, q.decodedBytes)
}

func invalidEncoding(coding string) *problem.Problem {
	return problem.New(http.StatusBadRequest, problem.InvalidEncoding, "the body is not valid "+coding)
}

// readAll reads r to its end into the body, and pays for each growth. hint is the size that
// the body is expected to have, or 0.
func (q *request) readAll(r io.Reader, hint, limit int) *problem.Problem {
	b := q.body[:0]
	defer func() { q.body = b }()
	if p := q.pay(cap(b)); p != nil {
		return p
	}
	for {
		if len(b) == cap(b) {
			size := min(max(hint+1, 2*cap(b), 4<<10), limit+1)
			if p := q.pay(size - cap(b)); p != nil {
				return p
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
			return invalidEncoding("for its Content-Encoding")
		}
	}
}
