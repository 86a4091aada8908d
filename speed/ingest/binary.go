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

// decodeBinary decodes an event in the binary mode of CloudEvents: attributes in ce- headers, which
// headerValue decodes, and data in the body.
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
	value, ok := headerValue(values[0])
	if len(values) > 1 || !ok {
		d.reject(problem.InvalidAttribute, "ce-"+name+": send it once, as percent-encoded UTF-8, and close a "+
			"value that begins with a double quote with one")
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

// headerValue decodes the value of a ce- header as the HTTP binding of CloudEvents demands in 3.1.3.2:
// it unquotes a quoted string of RFC 7230, and then decodes percent-encoding once.
func headerValue(sent string) (string, bool) {
	if strings.HasPrefix(sent, `"`) {
		var ok bool
		if sent, ok = unquote(sent[1:]); !ok {
			return "", false
		}
	}
	value, err := url.PathUnescape(sent)
	return value, err == nil && utf8.ValidString(value)
}

// unquote returns the content of a quoted string whose opening quote is cut off. It reports false
// unless the closing quote is the last byte.
func unquote(rest string) (string, bool) {
	var out strings.Builder
	for i := 0; i < len(rest); i++ {
		switch rest[i] {
		case '"':
			return out.String(), i == len(rest)-1
		case '\\':
			i++
			if i == len(rest) {
				return "", false
			}
		}
		out.WriteByte(rest[i])
	}
	return "", false
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
			value, ok := headerValue(h[name][i])
			if !ok {
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
