package ingest

import (
	"bytes"
	"encoding/json"
	"image/gif"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"testing"
	"time"
	"unicode/utf8"

	"recount/schemas/access"
	"recount/schemas/problem"
)

// pixelCollector may send the types of the tests of pixels.
func pixelCollector() access.Principal {
	return access.Principal{Tenant: "acme", KeyID: "k", Scopes: access.Collects,
		Collect: &access.Collect{Types: []string{"all", "flight.departed"}, Origins: []string{"*"}, Rate: 1}}
}

// showPixel asks for the image with a query string.
func showPixel(s *Server, p access.Principal, method, query string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "/v1/pixel.gif", nil)
	r.URL.RawQuery = query
	w := httptest.NewRecorder()
	s.Pixel().ServeHTTP(w, r.WithContext(access.NewContext(r.Context(), p)))
	return w
}

// TestPixel shows images and expects their events in the log. The image comes whatever became of the event.
func TestPixel(t *testing.T) {
	t.Parallel()
	log := &memoryLog{}
	s := runWith(t, testConfig(), 1, log, Options{Now: func() time.Time { return testNow }})
	const base = "key=recount_x&type=flight.departed&id="
	for _, c := range []struct{ name, query, rejected string }{
		{"texts and numbers", base + "1&source=mail&subject=s&origin=ORD&delay=-5&distance=1.5e1&tail=7&other=8", ""},
		{"a text in a number", base + "2&delay=late", "invalid_field"},
		{"a number with more after it", base + "3&delay=5,%22origin%22:1", "invalid_field"},
		{"twice", base + "4&origin=a&origin=b", "duplicate_key"},
		{"two ids", base + "5&id=6", "duplicate_key"},
		{"an empty id", base, "missing_id"},
		{"another type", "type=other&id=7", "forbidden"},
		{"no type", "id=8", "missing_type"},
		{"broken escapes", base + "9&origin=%zz", "invalid_request"},
		{"bad UTF-8", base + "10&origin=%ff", ""}, // It is replaced, as everywhere in URLs.
		{"an attribute of CloudEvents as data", base + "11&data=1&specversion=2", ""},
	} {
		w := showPixel(s, pixelCollector(), http.MethodGet, c.query)
		if got := w.Header().Get("Recount-Rejected"); w.Code != 200 || got != c.rejected {
			t.Errorf("%s: %d, rejected %q, want %q", c.name, w.Code, got, c.rejected)
		}
		if config, err := gif.DecodeConfig(w.Body); err != nil || config.Width != 1 || config.Height != 1 ||
			w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Content-Length") != "43" {
			t.Errorf("%s: no image of one pixel: %v, %v", c.name, err, w.Header())
		}
	}
	events := log.events(t, 1)
	got := events["1"]
	if len(events) != 3 || got.Source != "mail" || got.Subject != "s" || got.Extra != `{"data":{"other":"8"}}` ||
		got.Fields["delay"] != int64(-5) || got.Fields["distance"] != 15.0 || got.Fields["tail"] != "7" {
		t.Errorf("%d events, and %+v", len(events), got)
	}
}

// TestPixelWithoutID counts each time an image is shown. HEAD shows none.
func TestPixelWithoutID(t *testing.T) {
	t.Parallel()
	log := &memoryLog{}
	s := runWith(t, testConfig(), 1, log, Options{Now: func() time.Time { return testNow }})
	for _, method := range []string{http.MethodGet, http.MethodGet, http.MethodHead} {
		if w := showPixel(s, pixelCollector(), method, "type=flight.departed"); w.Code != 200 {
			t.Errorf("%s: %d", method, w.Code)
		}
	}
	if w := showPixel(s, pixelCollector(), http.MethodPost, "type=flight.departed"); w.Code != 405 {
		t.Errorf("POST: %d", w.Code)
	}
	if events := log.events(t, 1); len(events) != 2 {
		t.Errorf("%d events, want 2", len(events))
	}
}

// FuzzPixel describes events by any query string. What comes out is one JSON object, which has no value that was not
// sent.
func FuzzPixel(f *testing.F) {
	f.Add("type=flight.departed&id=1&delay=5&origin=a%22%7d")
	f.Add("type=all&id=1&b=true&data=%7b%7d&key=x&type=other")
	f.Add("type=flight.departed&delay=5%2c%22x%22:1&distance=%20 1")
	s := runWith(f, testConfig(), 1, &memoryLog{}, Options{Now: func() time.Time { return testNow }})
	f.Fuzz(func(t *testing.T, text string) {
		query, err := url.ParseQuery(text)
		if err != nil {
			return
		}
		raw := s.current().pixelEvent(query)
		var event struct {
			ID, Source, Type, Time, Subject any
			Data                            map[string]any
		}
		d := json.NewDecoder(bytes.NewReader(raw))
		if err := d.Decode(&event); err != nil || d.More() {
			t.Fatalf("%v: %s", err, raw)
		}
		for name, value := range event.Data {
			if name == "key" {
				t.Errorf("the key is in the data: %s", raw)
			}
			if s, ok := value.(string); ok && utf8.ValidString(name) && query[name] != nil &&
				!slices.Contains(bytesOf(query[name]), string([]rune(s))) {
				t.Errorf("%s: %q was not sent: %s", name, s, raw)
			}
		}
		code := showPixel(s, pixelCollector(), http.MethodGet, text).Header().Get("Recount-Rejected")
		if code == string(problem.InvalidJSON) {
			t.Errorf("the event of %q is not JSON: %s", text, raw)
		}
	})
}

// bytesOf returns texts with the runes that Go makes of bytes that are not UTF-8.
func bytesOf(texts []string) (out []string) {
	for _, s := range texts {
		out = append(out, string([]rune(s)))
	}
	return out
}
