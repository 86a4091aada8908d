package ingest

import (
	"fmt"
	"strings"
	"time"

	"recount/schemas/eventbatch"
	"recount/schemas/problem"
)

const (
	// MaxID is the longest event id in bytes.
	MaxID = 200
	// MaxAttribute is the longest source, subject or other attribute in bytes.
	MaxAttribute = 1024
)

// attribute is a CloudEvents attribute that recount gives a meaning.
type attribute int

const (
	attrID attribute = iota
	attrSource
	attrType
	attrTime
	attrSubject
	attrSpecVersion
	attrContentType
	attrData
	attrDataBase64
	attributes
)

var attributeNames = [attributes]string{"id", "source", "type", "time", "subject", "specversion", "datacontenttype",
	"data", "data_base64"}

// attribute takes the member of the event with this key.
func (d *decoder) attribute(key []byte) bool {
	switch string(key) {
	case "id":
		return d.text(attrID)
	case "source":
		return d.text(attrSource)
	case "type":
		ok := d.text(attrType)
		d.resolve()
		return ok
	case "time":
		return d.text(attrTime)
	case "subject":
		return d.text(attrSubject)
	case "specversion":
		return d.text(attrSpecVersion)
	case "datacontenttype":
		return d.text(attrContentType)
	case "data_base64":
		return d.text(attrDataBase64)
	case "data":
		d.once(attrData)
		if d.typ == nil {
			d.next()
			d.dataAt = d.pos
			return d.skip(1)
		}
		return d.dataValue()
	}
	return d.extension(key)
}

// once notes an attribute that comes twice.
func (d *decoder) once(a attribute) {
	if d.seen[a] {
		d.note(problem.DuplicateKey, "the attribute "+attributeNames[a]+" comes twice")
	}
	d.seen[a] = true
}

// text takes an attribute that is a string or null; null is missing.
func (d *decoder) text(a attribute) bool {
	d.once(a)
	switch d.next() {
	case '"':
		var ok bool
		d.attrs[a], ok = d.str()
		return ok
	case 'n':
		return d.literal("null")
	}
	d.note(problem.InvalidAttribute, attributeNames[a]+": must be a string")
	return d.skip(1)
}

// resolve finds the event type, mostly the one of the event before.
func (d *decoder) resolve() {
	d.typ = d.types[string(d.attrs[attrType])]
	if d.typ == nil {
		return
	}
	d.row.slots = d.row.slots[:len(d.typ.fields)]
	clear(d.row.slots)
}

// extension takes an attribute recount has no meaning for. It is kept.
func (d *decoder) extension(key []byte) bool {
	for _, c := range key {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			d.note(problem.InvalidAttribute, excerpt(key)+": an attribute's name has lower-case letters and digits "+
				"only; put other fields in data")
			return d.skip(1)
		}
	}
	c := d.next()
	if c == '{' || c == '[' || len(key) == 0 {
		d.note(problem.InvalidAttribute, excerpt(key)+": an attribute is a string, a number or a boolean; put other "+
			"values in data")
		return d.skip(1)
	}
	from := d.pos
	ok := d.skip(1)
	d.extends = append(d.extends, member{key, d.buf[from:d.pos]})
	return ok
}

// checkAttributes refuses what CloudEvents or the limits forbid.
func (d *decoder) checkAttributes() {
	id := d.attrs[attrID]
	source := d.attrs[attrSource]
	switch version := string(d.attrs[attrSpecVersion]); {
	case len(id) == 0:
		d.note(problem.MissingID, "id: is missing; give every event its own, and the same one when sending it again")
	case len(id) > MaxID:
		d.note(problem.IDTooLong, fmt.Sprintf("id: %d bytes; at most %d", len(id), MaxID))
	case version != "1.0" && (d.strict || d.attrs[attrSpecVersion] != nil):
		d.note(problem.InvalidSpecVersion, `specversion: must be "1.0"`)
	case len(d.attrs[attrType]) == 0:
		d.note(problem.MissingType, "type: is missing")
	case d.typ == nil:
		d.note(problem.UnknownType,
			"type: "+excerpt(d.attrs[attrType])+" is not declared under events in the configuration")
	case d.strict && len(source) == 0:
		d.note(problem.MissingSource, "source: is missing; CloudEvents requires it")
	case len(source) > MaxAttribute || len(d.attrs[attrSubject]) > MaxAttribute:
		d.note(problem.InvalidAttribute, fmt.Sprintf("source, subject: at most %d bytes", MaxAttribute))
	}
}

// setTime reads the time or assigns the server's (D1).
func (d *decoder) setTime() {
	text := d.attrs[attrTime]
	if text == nil {
		d.row.time = d.now
		d.row.flags = eventbatch.FlagTimeAssigned
		return
	}
	t, ok := parseTime(text)
	switch {
	case !ok:
		d.note(problem.InvalidTime, "time: "+excerpt(text)+" is not an RFC 3339 time such as 2001-01-01T00:01:00Z")
	case t < d.oldest:
		d.note(problem.TimeTooOld, "time: "+excerpt(text)+" is before "+format(d.oldest)+", the oldest accepted")
	case t > d.newest:
		d.note(problem.TimeInFuture, "time: "+excerpt(text)+" is after "+format(d.newest)+", the newest accepted")
	}
	d.row.time = t
	d.row.flags = 0
}

func format(micros int64) string { return time.UnixMicro(micros).UTC().Format(time.RFC3339) }

// id is what is known of the event's id, for an answer.
func (d *decoder) id() string {
	b := d.attrs[attrID]
	return strings.ToValidUTF8(string(b[:min(len(b), MaxID)]), "\uFFFD")
}
