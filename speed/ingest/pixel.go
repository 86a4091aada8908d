package ingest

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"recount/schemas/catalog"
	"recount/schemas/problem"
)

// pixel is a transparent GIF of one pixel.
var pixel = []byte("GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00" +
	",\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;")

// Pixel serves GET /v1/pixel.gif: one event, described by the query string, for mails and for pages without scripts.
// The parameters id, source, type, time and subject are attributes, and key is the sender's key. All others are fields
// of data. An event without an id gets a random one, so that each time an image is shown counts.
//
// The answer is the image, whatever became of the event, because a mail would show a broken image for any other. The
// header Recount-Rejected has the code of an event that was refused. Only a request without a valid key of scope
// collect gets no image. There is no such route without keys: any page could then count in a browser on this machine.
func (s *Server) Pixel() http.Handler { return http.HandlerFunc(s.servePixel) }

func (s *Server) servePixel(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet:
		if code := s.countPixel(w, r); code != "" {
			w.Header().Set("Recount-Rejected", string(code))
		}
	case http.MethodHead: // It shows no image.
	default:
		w.Header().Set("Allow", "GET, HEAD")
		problem.Write(w, problem.New(http.StatusMethodNotAllowed, problem.MethodNotAllowed,
			r.Method+" is not allowed here; use GET or HEAD"))
		return
	}
	h := w.Header()
	h.Set("Content-Type", "image/gif")
	h.Set("Content-Length", strconv.Itoa(len(pixel)))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	// The client may be gone. The event is stored.
	_, _ = w.Write(pixel)
}

// countPixel accepts the event of a request, or returns the code with which it is refused.
func (s *Server) countPixel(w http.ResponseWriter, r *http.Request) problem.Code {
	start := s.now()
	q := s.current().requests.Get().(*request)
	defer func() {
		q.recycle()
		q.declared.requests.Put(q)
	}()
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return problem.InvalidRequest
	}
	body := q.declared.pixelEvent(query)
	sent := r.Clone(r.Context())
	sent.Method = http.MethodPost
	sent.Header = http.Header{"Content-Type": {"application/json"}}
	sent.Body = io.NopCloser(bytes.NewReader(body))
	sent.ContentLength = int64(len(body))
	a := s.handle(w, sent, q, start)
	s.metrics.countRequest(&a, len(q.body), s.now().Sub(start))
	s.metrics.countDeadLetters(&q.deadLetters)
	switch {
	case len(a.rejected) > 0:
		return a.rejected[0].code
	case a.problem != nil:
		return a.problem.Code
	}
	return ""
}

// pixelEvent returns the event that a query string describes, as JSON. A parameter is a text, so a field of another
// type gets the value that the text spells. A text that spells none stays one, and the event is refused for it.
func (d *declared) pixelEvent(query url.Values) []byte {
	t := d.types[query.Get("type")]
	event := []byte("{")
	data := []byte("{")
	add := func(to []byte, name string, value []byte) []byte {
		if len(to) > 1 {
			to = append(to, ',')
		}
		return append(append(appendString(to, []byte(name)), ':'), value...)
	}
	for _, name := range slices.Sorted(maps.Keys(query)) {
		for _, value := range query[name] { // One that is sent twice is refused as a duplicate key.
			text := appendString(nil, []byte(value))
			switch {
			case name == "key":
			case slices.Contains(attributeNames[:attrSpecVersion], name):
				event = add(event, name, text)
			case t != nil && t.spells(name, value):
				data = add(data, name, []byte(value))
			default:
				data = add(data, name, text)
			}
		}
	}
	if len(query["id"]) == 0 {
		event = add(event, "id", appendString(nil, []byte(rand.Text())))
	}
	return append(add(event, "data", append(data, '}')), '}')
}

// spells reports whether a text is the JSON of a value that is no string and that the field takes.
func (t *eventType) spells(name, text string) bool {
	i, ok := t.byName[name]
	if !ok || !json.Valid([]byte(text)) {
		return false
	}
	switch t.fields[i].kind {
	case catalog.Int64, catalog.Float64:
		return text[0] == '-' || text[0] >= '0' && text[0] <= '9'
	case catalog.Bool:
		return text == "true" || text == "false"
	}
	return false
}
