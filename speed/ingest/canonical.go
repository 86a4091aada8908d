package ingest

import (
	"bytes"
	"encoding/binary"
	"math"

	"github.com/cespare/xxhash/v2"

	"recount/schemas/catalog"
	"recount/schemas/eventbatch"
	"recount/schemas/instant"
)

// completeRow sets the extra fields of the row and the hash of its canonical form. The package
// comment describes both.
func (d *decoder) completeRow() {
	d.undeclared = d.sortMembers(d.undeclared)
	d.extensions = d.sortMembers(d.extensions)
	d.row.extra = d.row.extra[:0]
	if len(d.undeclared)+len(d.extensions) > 0 {
		d.row.extra = d.appendExtra(d.row.extra)
	}
	b := appendPart(d.canonical[:0], d.eventType.nameBytes)
	if d.row.flags&eventbatch.FlagTimeAssigned == 0 {
		b = binary.LittleEndian.AppendUint64(append(b, 't'), uint64(d.row.time))
	}
	b = appendPart(append(b, 's'), d.attributes[attrSource])
	b = appendPart(append(b, 'u'), d.attributes[attrSubject])
	b, fields := d.appendFields(b)
	attributes := 0
	for i := range d.extensions {
		b, attributes = d.appendMember(b, attributes, &d.extensions[i])
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(fields))
	d.canonical = binary.LittleEndian.AppendUint32(b, uint32(attributes))
	d.row.hash = xxhash.Sum64(d.canonical)
	d.row.flags |= eventbatch.FlagHashOfValues
	if d.keptUndeclared {
		d.row.flags |= eventbatch.FlagUndeclaredValue
	}
}

// appendFields appends all fields of data by name, declared or not, and returns their number.
func (d *decoder) appendFields(b []byte) (out []byte, n int) {
	rest := d.undeclared
	for i := range d.row.slots {
		s := &d.row.slots[i]
		if s.state != present {
			continue
		}
		f := &d.eventType.fields[i]
		for len(rest) > 0 && string(rest[0].key) < f.name {
			b, n = d.appendMember(b, n, &rest[0])
			rest = rest[1:]
		}
		b = append(b, f.prefix...)
		b = s.appendValue(b, f.kind)
		n++
	}
	for i := range rest {
		b, n = d.appendMember(b, n, &rest[i])
	}
	return b, n
}

// appendMember appends the name and the value of an undeclared member that is not null, and counts it.
func (d *decoder) appendMember(b []byte, n int, m *member) (out []byte, count int) {
	if m.raw[0] == 'n' {
		return b, n
	}
	return d.appendRaw(appendPart(b, m.key), m.raw), n + 1
}

// appendRaw appends a value of which only the JSON text is known.
func (d *decoder) appendRaw(b, raw []byte) []byte {
	switch raw[0] {
	case '"':
		return appendStringValue(b, d.unquote(raw))
	case 't', 'f':
		return appendTruth(b, raw[0] == 't')
	case '{', '[':
		b = append(b, 'j', 0, 0, 0, 0)
		start := len(b)
		b = compact(b, raw)
		binary.LittleEndian.PutUint32(b[start-4:], uint32(len(b)-start))
		return b
	}
	s := scanner{buf: raw}
	n, _ := s.scanNumber()
	return n.canonical().append(b)
}

// unquote returns the text of a valid JSON string. It is valid until the next call.
func (d *decoder) unquote(raw []byte) []byte {
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1]
	}
	s := scanner{buf: raw, arena: d.unquoted[:0], maxArena: math.MaxInt}
	text, _ := s.scanString()
	d.unquoted = s.arena
	return text
}

// appendValue appends the value of a declared field as appendRaw would append its JSON text.
func (s *slot) appendValue(b []byte, kind catalog.FieldType) []byte {
	switch kind {
	case catalog.String:
		return appendStringValue(b, s.text)
	case catalog.Timestamp:
		return appendWord(b, 't', s.number)
	case catalog.Bool:
		return appendTruth(b, s.number == 1)
	case catalog.Int64:
		return appendWord(b, 'i', s.number)
	}
	return s.exact.append(b)
}

// appendStringValue appends a string, or the number, boolean or instant that it reads as. Files give the same text as
// one or the other, depending on what is declared.
func appendStringValue(b, text []byte) []byte {
	if len(text) == 0 {
		return appendPart(append(b, 's'), text)
	}
	switch c := text[0]; {
	case c == '0' && len(text) > 1 && text[1]-'0' <= 9: // It is no number in JSON.
	case c == '-' || c-'0' <= 9:
		s := scanner{buf: text}
		if n, ok := s.scanNumber(); ok && s.pos == len(text) {
			return n.canonical().append(b)
		}
		if len(text) > 4 && text[4] == '-' {
			if t, err := instant.Parse(text); err == nil {
				return appendWord(b, 't', t)
			}
		}
	case string(text) == "true" || string(text) == "false":
		return appendTruth(b, c == 't')
	}
	return appendPart(append(b, 's'), text)
}

func appendTruth(b []byte, truth bool) []byte {
	if truth {
		return append(b, 'b', 1)
	}
	return append(b, 'b', 0)
}

func appendWord(b []byte, form byte, word int64) []byte {
	return binary.LittleEndian.AppendUint64(append(b, form), uint64(word))
}

func appendPart(dst, part []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(dst, uint32(len(part))), part...)
}

// appendExtra appends {"attributes":{…},"data":{…}}. Names are in order, and white space, nulls
// and empty parts are left out. If both parts are empty, it appends nothing.
func (d *decoder) appendExtra(dst []byte) []byte {
	start := len(dst)
	dst = append(dst, '{')
	dst = appendMembers(dst, `"attributes":{`, d.extensions)
	if attrs := len(dst); attrs > start+1 {
		dst = append(dst, ',')
		dst = appendMembers(dst, `"data":{`, d.undeclared)
		if len(dst) == attrs+1 {
			dst = dst[:attrs]
		}
	} else {
		dst = appendMembers(dst, `"data":{`, d.undeclared)
	}
	if len(dst) == start+1 {
		return dst[:start]
	}
	return append(dst, '}')
}

func appendMembers(dst []byte, open string, members []member) []byte {
	start := len(dst)
	dst = append(dst, open...)
	empty := len(dst)
	for _, m := range members {
		if string(m.raw) == "null" {
			continue
		}
		if len(dst) > empty {
			dst = append(dst, ',')
		}
		dst = append(appendString(dst, m.key), ':')
		dst = compact(dst, m.raw)
	}
	if len(dst) == empty {
		return dst[:start]
	}
	return append(dst, '}')
}
