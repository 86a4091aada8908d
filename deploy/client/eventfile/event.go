package eventfile

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"recount/deploy/client/eventfile/table"
)

// event builds the JSON of one row.
type event struct {
	mapping  Mapping
	identity string // identity is the file's.
	source   []byte // source is the JSON of the mapping's source, empty without one.
	row      int64
	content  []byte // content is what identify hashes.
	buffer   []byte

	// The values of the attributes, each empty when the row has none, and the members of data. All but ids are JSON.
	ids     []string // ids has one entry for each column of the id.
	time    []byte
	subject []byte
	data    []byte
}

// newEvent returns the builder of the rows of a file. Without columns of ids the source is the file's name, which is
// part of the ids that identify makes. With them there is no source: an event that two overlapping exports hold has the
// same id in both, and is one event only if its source is the same too.
func newEvent(m Mapping, identity string) event {
	e := event{mapping: m, identity: identity, ids: make([]string, len(m.ID))}
	if m.Source == "" && len(m.ID) == 0 {
		e.mapping.Source = identity
	}
	if e.mapping.Source != "" {
		e.source = appendString(nil, e.mapping.Source)
	}
	return e
}

// beginRow starts the next row.
func (e *event) beginRow() {
	e.row++
	clear(e.ids)
	e.time = e.time[:0]
	e.subject = e.subject[:0]
	e.data = e.data[:0]
	e.content = e.content[:0]
}

// hash adds a cell to what the id is made of. The id depends on what the file holds and not on how it is mapped, so
// that a row keeps its id when a flag or the declared types change. Dates of Parquet are the exception.
func (e *event) hash(c *column, cell table.Cell) {
	text := cell.Text
	if cell.Kind == table.Date && c.isInstant() { // The first versions hashed such dates in this form.
		text += "T00:00:00Z"
	}
	e.content = appendString(append(e.content, c.hashed...), text)
}

// addColumn adds a value, given as JSON and as text. A column that is an attribute stays a member of data if a field
// may have its name. The event type may declare the field, now or later, and it would be null. What is declared now
// makes no difference: otherwise the copies of a row would differ.
func (e *event) addColumn(c *column, value []byte, text string) {
	for i, name := range e.mapping.ID {
		if name == c.name {
			e.ids[i] = text
		}
	}
	if c.isSubject {
		e.subject = append(e.subject, asString(value)...)
	}
	if !c.sent {
		return
	}
	if len(e.data) > 0 {
		e.data = append(e.data, ',')
	}
	e.data = append(append(e.data, c.member...), value...)
}

// idText joins the values of the columns of the id. Values that hold the separator are escaped as in JSON pointers, so
// that different values make different ids.
func (e *event) idText() string {
	if len(e.ids) == 1 {
		return e.ids[0]
	}
	escape := strings.NewReplacer("~", "~0", "/", "~1")
	parts := slices.Clone(e.ids)
	for i, p := range parts {
		parts[i] = escape.Replace(p)
	}
	return strings.Join(parts, "/")
}

// identify makes an id of the file's name, the row's number and a hash of the row's content. The file may be sent
// again from another folder, or with rows appended, and each row counts once. The hash tells apart the rows of
// different files with the same name: with the number alone they would be dropped as duplicates. The number tells
// apart rows of equal content. For that reason an inserted row changes the ids of all rows after it; only columns of
// ids avoid that.
func (e *event) identify() string {
	h := sha256.New()
	h.Write(appendString(appendString(nil, e.mapping.Type), e.mapping.Source))
	h.Write(e.content)
	return fmt.Sprintf("%s#%d#%x", e.identity, e.row, h.Sum(nil)[:8])
}

// json returns the event, valid until the next call.
func (e *event) json() []byte {
	id := e.idText()
	if len(e.mapping.ID) == 0 {
		id = e.identify()
	}
	b := append(e.buffer[:0], `{"specversion":"1.0","type":`...)
	b = appendString(b, e.mapping.Type)
	for _, a := range []struct {
		name  string
		value []byte
	}{{"source", e.source}, {"id", appendString(nil, id)}, {"time", e.time}, {"subject", e.subject}} {
		if len(a.value) > 0 {
			b = append(append(append(append(b, `,"`...), a.name...), `":`...), a.value...)
		}
	}
	b = append(append(append(b, `,"data":{`...), e.data...), "}}"...)
	e.buffer = b
	return b
}

// asString turns a JSON scalar into a JSON string.
func asString(v []byte) []byte {
	if len(v) > 0 && v[0] == '"' {
		return v
	}
	return appendString(nil, string(v))
}

func appendString(dst []byte, s string) []byte {
	raw, err := json.Marshal(s)
	if err != nil {
		panic("eventfile: encode a string as JSON: " + err.Error())
	}
	return append(dst, raw...)
}
