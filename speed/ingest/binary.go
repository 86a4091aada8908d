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

// binary takes an event of CloudEvents' binary mode: attributes in ce- headers,
// percent-encoded, and the data in the body.
func (d *decoder) binary(h http.Header, body []byte) *fault {
	d.reset()
	size := len(body)
	for _, name := range slices.Sorted(maps.Keys(h)) {
		if attr, ok := strings.CutPrefix(name, "Ce-"); ok {
			size += len(attr) + len(h[name][0])
			d.header(strings.ToLower(attr), h[name])
		}
	}
	if media := h.Get("Content-Type"); media != "" {
		d.attrs[attrContentType] = []byte(media)
	}
	if size > d.eventBytes {
		d.note(problem.EventTooLarge, "the event is larger than the limit")
	}
	d.resolve()
	if d.fault == nil && len(body) > 0 &&
		(d.attrs[attrContentType] == nil || jsonContentType(d.attrs[attrContentType])) {
		d.scanAlone(body)
	}
	if d.fault == nil {
		d.finish()
	}
	return d.fault
}

// header takes one attribute.
func (d *decoder) header(name string, values []string) {
	value, err := url.PathUnescape(values[0])
	if len(values) > 1 || err != nil || !utf8.ValidString(value) {
		d.note(problem.InvalidAttribute, "ce-"+name+": must come once, percent-encoded UTF-8")
		return
	}
	if a := slices.Index(attributeNames[:attrContentType], name); a >= 0 {
		d.attrs[a] = []byte(value)
		return
	}
	if slices.Contains(attributeNames[attrContentType:], name) {
		d.note(problem.InvalidAttribute, "ce-"+name+": not allowed; the body and its Content-Type say it")
		return
	}
	// The header's name is written like a key, so that extension checks it.
	buf := d.buf
	pos := d.pos
	d.buf = appendString(nil, []byte(value))
	d.pos = 0
	d.extension([]byte(name))
	d.buf = buf
	d.pos = pos
}

// inOnePiece is a refused event of binary mode as an event of structured mode, for keeping:
// it would be refused for the same reason. A body that is not JSON goes into it as base64,
// so that it cannot pass for further attributes.
func inOnePiece(h http.Header, body []byte) []byte {
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
