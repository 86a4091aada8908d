package collect

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestSize: the script is small as it is served, and without what is only for those who read its source.
func TestSize(t *testing.T) {
	t.Parallel()
	script := Script()
	var packed bytes.Buffer
	z, _ := gzip.NewWriterLevel(&packed, gzip.BestCompression) // The level is valid.
	_, _ = z.Write(script)
	_ = z.Close() // A buffer takes everything.
	t.Logf("%d bytes, %d with gzip", len(script), packed.Len())
	if len(script) >= 2000 || bytes.Contains(script, []byte("//\t")) || bytes.ContainsAny(script, "\t\n") ||
		!bytes.HasPrefix(script, []byte("(()=>{const")) {
		t.Errorf("%d bytes:\n%s", len(script), script)
	}
}

// TestHandler asks for the script, and whether it has changed.
func TestHandler(t *testing.T) {
	t.Parallel()
	h := Handler()
	ask := func(method, known string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "/recount.js", nil)
		if known != "" {
			r.Header.Set("If-None-Match", known)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	first := ask(http.MethodGet, "")
	tag := first.Header().Get("ETag")
	if first.Code != http.StatusOK || first.Body.String() != string(Script()) || len(tag) != 18 ||
		!strings.HasPrefix(first.Header().Get("Content-Type"), "text/javascript") {
		t.Errorf("%d %v", first.Code, first.Header())
	}
	if w := ask(http.MethodGet, tag); w.Code != http.StatusNotModified || w.Body.Len() > 0 {
		t.Errorf("the same: %d %s", w.Code, w.Body)
	}
	if w := ask(http.MethodHead, ""); w.Code != http.StatusOK || w.Body.Len() > 0 {
		t.Errorf("HEAD: %d %s", w.Code, w.Body)
	}
	if w := ask(http.MethodPost, ""); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d %s", w.Code, w.Body)
	}
}
