package ingest

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"recount/schemas/problem"
)

// decodeBinary decodes an event in the binary mode of CloudEvents: percent-encoded attributes
// in ce- headers, and data in the body.
func (d *decoder) decodeBinary(h http.Header, body []byte) *rejection {
	d.reset()
	size := len(body)
	for _, name := range slices.Sorted(maps.Keys(h)) {
		if attr, ok := strings.CutPrefix(name, "Ce-"); ok {
			size += len(attr) + len(h[name][0])
			d.scanHeader(strings.ToLower(attr), h[name])
		}
	}
	if media := h.Get("Content-Type"); media != "" {
		d.attributes[attrContentType] = []byte(media)
	}
	if size > d.eventBytes {
		d.rejectSize(size)
	}
	d.resolveType()
	if d.rejection == nil && len(body) > 0 &&
		(d.attributes[attrContentType] == nil || jsonContentType(d.attributes[attrContentType])) {
		d.scanAlone(body)
	}
	if d.rejection == nil {
		d.finish()
	}
	return d.rejection
}

// scanHeader reads one attribute.
func (d *decoder) scanHeader(name string, values []string) {
	value, err := url.PathUnescape(values[0])
	if len(values) > 1 || err != nil || !utf8.ValidString(value) {
		d.reject(problem.InvalidAttribute, "ce-"+name+": send it once, as percent-encoded UTF-8")
		return
	}
	if a := slices.Index(attributeNames[:attrContentType], name); a >= 0 {
		d.attributes[a] = []byte(value)
		return
	}
	if slices.Contains(attributeNames[attrContentType:], name) {
		d.reject(problem.InvalidAttribute, "ce-"+name+": leave it out; the body or its Content-Type holds it")
		return
	}
	// scanExtension reads a key and a JSON value, so it gets the header as these.
	buf := d.buf
	pos := d.pos
	d.buf = appendString(nil, []byte(value))
	d.pos = 0
	d.scanExtension([]byte(name))
	d.buf = buf
	d.pos = pos
}

// structuredForm turns a refused event of binary mode into one of structured mode, as the bytes
// of its dead letter. That event would be refused for the same reason. A body that is not
// JSON is in it as base64, so that it cannot be taken for further attributes.
func structuredForm(h http.Header, body []byte) []byte {
	out := []byte("{")
	add := func(name string, value []byte) {
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(appendString(out, []byte(name)), ':'), value...)
	}
	for _, name := range slices.Sorted(maps.Keys(h)) {
		attr, ok := strings.CutPrefix(name, "Ce-")
		for i := 0; ok && i < len(h[name]); i++ {
			value, err := url.PathUnescape(h[name][i])
			if err != nil || !utf8.ValidString(value) {
				value = h[name][i]
			}
			add(strings.ToLower(attr), appendString(nil, []byte(value)))
		}
	}
	media := h.Get("Content-Type")
	switch {
	case len(body) == 0:
	case media != "" && !jsonContentType([]byte(media)) || !json.Valid(body):
		add("data_base64", appendString(nil, []byte(base64.StdEncoding.EncodeToString(body))))
		if media == "" {
			media = "application/json"
		}
	default:
		add("data", body)
	}
	if media != "" {
		add("datacontenttype", appendString(nil, []byte(media)))
	}
	return append(out, '}')
}
