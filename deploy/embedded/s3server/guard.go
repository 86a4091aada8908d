package s3server

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"hash"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/rclone/gofakes3"
)

// guard sees each request before gofakes3 and adds three checks. It bounds requests, refuses
// requests that gofakes3 would misread, and compares the body with the hash that was signed.
//
// Other programs read with slots of their own and give them back if they stall, so they cannot stop recount itself.
func (s *Server) guard(next http.Handler) http.Handler {
	inFlight := make(chan struct{}, maxInFlight)
	readers := make(chan struct{}, maxReaders)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		byReader := s.namesReader(r)
		slots := inFlight
		if byReader {
			slots = readers
		}
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
		case <-r.Context().Done():
			return
		}
		control := http.NewResponseController(w)
		if byReader {
			out := &stallWriter{ResponseWriter: w, control: control, limit: s.stall}
			out.renew()
			defer out.renew() // The server writes the rest when the handler has returned.
			w = out
		} else {
			// The request before on this connection may have set a deadline. A writer of tests has none.
			_ = control.SetWriteDeadline(time.Time{})
		}
		if err := s.backend.broken(); err != nil {
			refuse(w, http.StatusInternalServerError, "InternalError", err.Error())
			return
		}
		reads := r.Method == http.MethodGet || r.Method == http.MethodHead
		if s.cfg.ReadOnly && !reads {
			refuse(w, http.StatusForbidden, "AccessDenied", "The store is open for reading only.")
			return
		}
		if !reads && byReader {
			refuse(w, http.StatusForbidden, "AccessDenied", "This access key may read only.")
			return
		}
		if why := unsupported(r); why != "" {
			refuse(w, http.StatusNotImplemented, "NotImplemented", why)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		if sum, err := hex.DecodeString(r.Header.Get("X-Amz-Content-Sha256")); err == nil && len(sum) == sha256.Size {
			if r.ContentLength == 0 && [sha256.Size]byte(sum) != sha256.Sum256(nil) {
				refuse(w, http.StatusBadRequest, "BadDigest", "The body is empty, which is not what was signed.")
				return
			}
			r.Body = &signedBody{ReadCloser: r.Body, left: r.ContentLength, want: sum, hash: sha256.New()}
		}
		next.ServeHTTP(w, r)
	})
}

// stallWriter ends an answer whose client takes nothing for too long. The deadline is renewed at each write, so a slow
// client that reads may take as long as it needs.
type stallWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	limit   time.Duration
}

// renew sets the deadline. A writer of tests has none.
func (w *stallWriter) renew() { _ = w.control.SetWriteDeadline(time.Now().Add(w.limit)) }

// Write implements io.Writer.
func (w *stallWriter) Write(p []byte) (int, error) {
	w.renew()
	return w.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (w *stallWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// namesReader reports whether a request names the access key that may read only, wherever the signature is. The secret
// of that key does not fit another one, so a request that does not name it is not signed with it.
func (s *Server) namesReader(r *http.Request) bool {
	places := append(slices.Clone(r.Header.Values("Authorization")), r.URL.RawQuery)
	for name, values := range r.URL.Query() {
		places = append(append(places, name), values...)
	}
	return s.reader.AccessKey != "" &&
		slices.ContainsFunc(places, func(p string) bool { return strings.Contains(p, s.reader.AccessKey) })
}

// unsupported names the feature of a request that gofakes3 would misread.
func unsupported(r *http.Request) string {
	switch mode := r.Header.Get("X-Amz-Content-Sha256"); {
	case strings.HasPrefix(mode, "STREAMING-") && mode != "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" &&
		mode != "STREAMING-UNSIGNED-PAYLOAD-TRAILER":
		return "The payload encoding " + mode + " would be stored with its framing."
	case strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/form-data"):
		return "Browser uploads are not served."
	}
	return ""
}

// refuse answers with an S3 error.
func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	io.WriteString(w, xml.Header+"<Error><Code>"+code+"</Code><Message>")
	xml.EscapeText(w, []byte(message)) // the client is gone if this fails
	io.WriteString(w, "</Message></Error>")
}

// signedBody fails the last read if the body is not the one that was signed. It uses the
// announced length, because gofakes3 stops there without reading an EOF.
type signedBody struct {
	io.ReadCloser
	left int64 // bytes announced and not read yet, negative if none were announced
	want []byte
	hash hash.Hash
}

// Read implements io.Reader.
func (b *signedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.hash.Write(p[:n])
	if b.left >= 0 {
		b.left -= int64(n)
	}
	if (b.left == 0 && n > 0 || err == io.EOF) && string(b.hash.Sum(nil)) != string(b.want) {
		return 0, gofakes3.ErrorMessage(gofakes3.ErrBadDigest, "The body is not the one that was signed.")
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return n, gofakes3.ErrEntityTooLarge
	}
	return n, err
}
