package ingest

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
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
		d.note(CodeEventTooLarge, "the event is larger than the limit")
	}
	d.resolve()
	if d.fault == nil && len(body) > 0 && (d.attrs[attrContentType] == nil || jsonContentType(d.attrs[attrContentType])) {
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
		d.note(CodeInvalidAttribute, "ce-"+name+": must come once, percent-encoded UTF-8")
		return
	}
	if a := slices.Index(attributeNames[:attrContentType], name); a >= 0 {
		d.attrs[a] = []byte(value)
		return
	}
	if slices.Contains(attributeNames[attrContentType:], name) {
		d.note(CodeInvalidAttribute, "ce-"+name+": not allowed; the body and its Content-Type say it")
		return
	}
	// The header's name is written like a key, so that extension checks it.
	buf, pos := d.buf, d.pos
	d.buf, d.pos = appendString(nil, []byte(value)), 0
	d.extension([]byte(name))
	d.buf, d.pos = buf, pos
}
