package ingest

import (
	"fmt"
	"strings"
	"time"

	"recount/schemas/eventbatch"
	"recount/schemas/instant"
	"recount/schemas/problem"
)

const (
	// MaxID is the largest length of an event id, in bytes.
	MaxID = 200
	// MaxAttribute is the largest length of a source or subject, in bytes.
	MaxAttribute = 1024
)

// attribute is a CloudEvents attribute that has a meaning for recount.
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
	attributeCount
)

var attributeNames = [attributeCount]string{"id", "source", "type", "time", "subject", "specversion", "datacontenttype",
	"data", "data_base64"}

// scanAttribute reads the member of the event that has this key.
func (d *decoder) scanAttribute(key []byte) bool {
	switch string(key) {
	case "id":
		return d.scanText(attrID)
	case "source":
		return d.scanText(attrSource)
	case "type":
		ok := d.scanText(attrType)
		d.resolveType()
		return ok
	case "time":
		return d.scanText(attrTime)
	case "subject":
		return d.scanText(attrSubject)
	case "specversion":
		return d.scanText(attrSpecVersion)
	case "datacontenttype":
		return d.scanText(attrContentType)
	case "data_base64":
		return d.scanText(attrDataBase64)
	case "data":
		d.checkOnce(attrData)
		if d.eventType == nil {
			d.peek()
			d.dataStart = d.pos
			return d.skip(1)
		}
		return d.scanData()
	}
	return d.scanExtension(key)
}

// checkOnce refuses an attribute that appears twice.
func (d *decoder) checkOnce(a attribute) {
	if d.seen[a] {
		d.reject(problem.DuplicateKey, "the attribute "+attributeNames[a]+" appears twice")
	}
	d.seen[a] = true
}

// scanText reads an attribute that is a string or null. Null means that it is missing.
func (d *decoder) scanText(a attribute) bool {
	d.checkOnce(a)
	switch d.peek() {
	case '"':
		var ok bool
		d.attributes[a], ok = d.scanString()
		return ok
	case 'n':
		return d.scanLiteral("null")
	}
	d.reject(problem.InvalidAttribute, attributeNames[a]+": it must be a string")
	return d.skip(1)
}

// resolveType finds the event type, and clears the slots of its fields. The events of a request mostly have one type,
// so that of the last event is tried first.
func (d *decoder) resolveType() {
	d.eventType = d.lastType
	if name := d.attributes[attrType]; d.lastType == nil || string(name) != d.lastType.name {
		d.eventType = d.types[string(name)]
	}
	if d.eventType == nil && (d.room > 0 || len(d.candidates) > 0) {
		d.eventType = d.candidate(d.attributes[attrType])
	}
	if d.eventType == nil {
		return
	}
	d.lastType = d.eventType
	d.row.slots = d.row.slots[:len(d.eventType.fields)]
	clear(d.row.slots)
}

// scanExtension keeps an attribute that has no meaning for recount.
func (d *decoder) scanExtension(key []byte) bool {
	for _, c := range key {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			d.reject(problem.InvalidAttribute, excerpt(key)+": the name of an attribute has only lower-case letters "+
				"and digits; put other fields in data")
			return d.skip(1)
		}
	}
	c := d.peek()
	if c == '{' || c == '[' || len(key) == 0 {
		d.reject(problem.InvalidAttribute, excerpt(key)+": an attribute is a string, a number or a boolean; put other "+
			"values in data")
		return d.skip(1)
	}
	start := d.pos
	ok := d.skip(1)
	d.extensions = append(d.extensions, member{key, d.buf[start:d.pos]})
	return ok
}

// checkAttributes refuses attributes that CloudEvents or the limits do not allow.
func (d *decoder) checkAttributes() {
	id := d.attributes[attrID]
	source := d.attributes[attrSource]
	switch version := string(d.attributes[attrSpecVersion]); {
	case len(id) == 0:
		d.reject(problem.MissingID, "id: it is "+d.lack(attrID)+"; give every event an id of its own, and send it "+
			"again with the same id")
	case len(id) > MaxID:
		d.reject(problem.IDTooLong, fmt.Sprintf("id: it has %d bytes; use at most %d", len(id), MaxID))
	case version != "1.0" && (d.strict || d.attributes[attrSpecVersion] != nil):
		d.reject(problem.InvalidSpecVersion, `specversion: it must be "1.0"`)
	case len(d.attributes[attrType]) == 0:
		d.reject(problem.MissingType, "type: it is "+d.lack(attrType)+"; use an event type that is declared under "+
			"events")
	case d.collect != nil && !d.collect.AllowsType(string(d.attributes[attrType])):
		d.reject(problem.Forbidden, "type: the key does not allow to send "+excerpt(d.attributes[attrType])+
			"; recount keys create --type names what it allows")
	case d.eventType == nil:
		d.reject(problem.UnknownType, d.unknownType())
	case d.strict && len(source) == 0:
		d.reject(problem.MissingSource, "source: it is "+d.lack(attrSource)+"; CloudEvents requires it")
	case len(source) > MaxAttribute || len(d.attributes[attrSubject]) > MaxAttribute:
		d.reject(problem.InvalidAttribute, fmt.Sprintf("source, subject: use at most %d bytes for each", MaxAttribute))
	}
}

// lack says why an attribute counts as missing. A sender looks for the three mistakes in different places.
func (d *decoder) lack(a attribute) string {
	switch {
	case d.attributes[a] != nil:
		return "empty"
	case d.seen[a]:
		return "null"
	}
	return "missing"
}

// setTime reads the time of the event, or assigns that of the server (D1).
func (d *decoder) setTime() {
	text := d.attributes[attrTime]
	if text == nil {
		d.row.time = d.now
		d.row.flags = eventbatch.FlagTimeAssigned
		return
	}
	t, err := instant.Parse(text)
	switch {
	case err != nil:
		d.reject(problem.InvalidTime, "time: "+excerpt(text)+" "+err.Error())
	case t < d.oldest:
		d.reject(problem.TimeTooOld, "time: "+excerpt(text)+" is before "+formatTime(d.oldest)+", the oldest accepted")
	case t > d.newest:
		d.reject(problem.TimeInFuture, "time: "+excerpt(text)+" is after "+formatTime(d.newest)+", the newest accepted")
	}
	d.row.time = t
	d.row.flags = 0
}

func formatTime(micros int64) string { return time.UnixMicro(micros).UTC().Format(time.RFC3339) }

// eventID returns as much of the event's id as was read, for an answer.
func (d *decoder) eventID() string {
	b := d.attributes[attrID]
	return strings.ToValidUTF8(string(b[:min(len(b), MaxID)]), "\uFFFD")
}
