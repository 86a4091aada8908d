package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"recount/schemas/access"
)

// manyRows is a query with more rows than fit into a small answer.
const manyRows = `{"view":"flights","from":"2001-01-01T00:00:00Z","to":"2001-01-02T00:00:00Z","group_by":["origin"]}`

func manyLayers() *layers {
	l := newLayers()
	for i := range 500 {
		l.events = append(l.events, flight(i%60, fmt.Sprint("airport ", i), "N1"))
	}
	l.below = len(l.events)
	return l
}

// decode returns what a client reads of an answer.
func decode(t *testing.T, encoding string, body io.Reader) []byte {
	t.Helper()
	var err error
	switch encoding {
	case "zstd":
		body, err = zstd.NewReader(body, zstd.WithDecoderConcurrency(1))
	case "gzip":
		body, err = gzip.NewReader(body)
	}
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestCompressedAnswers: large answers in every format are compressed as the client accepts, and have the same bytes,
// whether they are held or not. Encoders are used again, by several queries at once.
func TestCompressedAnswers(t *testing.T) {
	t.Parallel()
	for _, maxHeld := range []int64{0, DefaultConfig().MaxHeld} {
		a := newAPI(t, manyLayers(), func(c *Config, _ *Parts) {
			c.MaxHeld = maxHeld
			c.MaxQueued = 100
		})
		var all sync.WaitGroup
		for _, f := range formats {
			_, want := call(a, "POST", "/v1/query?format="+f.name, manyRows)
			for accepted, encoding := range map[string]string{
				"": "", "br": "", "identity": "", "gzip;q=0": "", "identity, gzip;q=0.5": "", "gzip, deflate": "gzip",
				"gzip, identity": "gzip", "gzip, zstd": "zstd", "gzip, zstd;q=0.5": "gzip", "*": "zstd",
				"*;q=0.1, zstd;q=0": "gzip",
			} {
				if f.name == "parquet" {
					encoding = ""
				}
				all.Go(func() {
					res, got := call(a, "POST", "/v1/query?format="+f.name, manyRows, "Accept-Encoding", accepted)
					if e := res.Header.Get("Content-Encoding"); e != encoding || res.StatusCode != http.StatusOK {
						t.Errorf("%s, accepted %q: %s with the encoding %q, want %q", f.name, accepted, res.Status, e,
							encoding)
						return
					}
					if string(decode(t, encoding, strings.NewReader(got))) != want || encoding != "" &&
						len(got) > len(want)/2 {
						t.Errorf("%s, accepted %q: other bytes, or %d for %d", f.name, accepted, len(got), len(want))
					}
					if length := res.Header.Get("Content-Length"); maxHeld > 0 && length != strconv.Itoa(len(got)) {
						t.Errorf("%s, accepted %q: %d bytes with Content-Length %s", f.name, accepted, len(got), length)
					}
					if vary := strings.Join(res.Header.Values("Vary"), ","); vary != "Accept-Encoding,Accept" {
						t.Errorf("%s: Vary is %s", f.name, vary)
					}
				})
			}
		}
		all.Wait()
		checkFree(t, a)
	}
}

// TestSmallAnswersArePlain: a small answer, and an error in place of a large one, are not compressed.
func TestSmallAnswersArePlain(t *testing.T) {
	t.Parallel()
	a := newAPI(t, newLayers(), nil)
	for target, body := range map[string]string{"/v1/query": hourly,
		"/v1/queries?format=json": `{"queries":[` + hourly + `]}`} {
		res, got := call(a, "POST", target, body, "Accept-Encoding", "gzip")
		if res.Header.Get("Content-Encoding") != "" || !strings.HasPrefix(got, "{") {
			t.Errorf("%s: %s is compressed", target, got)
		}
	}
	r := httptest.NewRequestWithContext(access.NewContext(context.Background(), access.Local()), "GET", "/", nil)
	r.Header.Set("Accept-Encoding", "gzip")
	w := httptest.NewRecorder()
	err := a.gated(func(w http.ResponseWriter, _ *http.Request) error {
		_, _ = w.Write(bytes.Repeat([]byte("x"), 10*smallAnswer))
		return errors.New("broken")
	})(w, r)
	if err == nil || w.Body.Len() > 0 || w.Header().Get("Content-Encoding") != "" {
		t.Errorf("got %v, %d bytes with the encoding %q", err, w.Body.Len(), w.Header().Get("Content-Encoding"))
	}
	checkFree(t, a)
}

// TestPlainAnswersRefused: who refuses plain answers gets small ones and Parquet compressed, or 406.
func TestPlainAnswersRefused(t *testing.T) {
	t.Parallel()
	a := newAPI(t, newLayers(), nil)
	for accepted, encoding := range map[string]string{"identity;q=0, gzip": "gzip", "*;q=0, zstd": "zstd",
		"identity;q=0, *": "zstd", "*;q=0, identity;q=0.1": "", "gzip": ""} {
		for _, format := range []string{"json", "parquet"} {
			_, want := call(a, "POST", "/v1/query?format="+format, hourly)
			res, got := call(a, "POST", "/v1/query?format="+format, hourly, "Accept-Encoding", accepted)
			if e := res.Header.Get("Content-Encoding"); e != encoding ||
				string(decode(t, e, strings.NewReader(got))) != want {
				t.Errorf("%s, accepted %q: %s with the encoding %q, want %q", format, accepted, res.Status, e, encoding)
			}
		}
	}
	for _, accepted := range []string{"identity;q=0", "*;q=0", "br, identity;q=0"} {
		res, body := call(a, "POST", "/v1/query", hourly, "Accept-Encoding", accepted)
		if res.StatusCode != http.StatusNotAcceptable {
			t.Errorf("accepted %q: %s %s", accepted, res.Status, body)
		}
	}
	checkFree(t, a)
}

// TestHeadOfCompressedAnswer: HEAD has the header of GET, and no body.
func TestHeadOfCompressedAnswer(t *testing.T) {
	t.Parallel()
	mux := serveMux(newAPI(t, manyLayers(), nil))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mux.ServeHTTP(w, r.WithContext(access.NewContext(r.Context(), access.Local())))
	}))
	defer s.Close()
	lengths := map[string]string{}
	for _, method := range []string{"GET", "HEAD"} {
		r, err := http.NewRequestWithContext(t.Context(), method, s.URL+"/v1/query?view=flights&group_by=origin", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept-Encoding", "zstd")
		res, err := s.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		lengths[method] = res.Header.Get("Content-Length")
		if err != nil || res.Header.Get("Content-Encoding") != "zstd" || (len(raw) == 0) != (method == "HEAD") {
			t.Errorf("%s: %v, %d bytes, encoding %q", method, err, len(raw), res.Header.Get("Content-Encoding"))
		}
		if method == "GET" && !bytes.Contains(decode(t, "zstd", bytes.NewReader(raw)), []byte(`"accuracy":`)) {
			t.Errorf("GET: another answer")
		}
	}
	if lengths["GET"] == "" || lengths["GET"] != lengths["HEAD"] {
		t.Errorf("Content-Length: %v", lengths)
	}
}
