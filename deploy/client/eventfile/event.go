package eventfile

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"

	"recount/schemas/catalog"
)

// event builds the JSON of one row.
type event struct {
	mapping Mapping
	file    string          // file is the file's name without folders.
	fields  map[string]bool // fields has the columns of attributes, and whether a field may have their name.
	source  []byte          // source is the JSON of the mapping's source, empty without one.
	row     int64
	content []byte // content is what identify hashes.
	buffer  []byte

	// The JSON values of the attributes, each empty when the row has none, and the members of data.
	id      []byte
	time    []byte
	subject []byte
	data    []byte
}

// newEvent returns the builder of the rows of a file. Without a column of ids the source is the file's name, which is
// part of the ids that identify makes. With one there is no source: an event that two overlapping exports hold has the
// same id in both, and is one event only if its source is the same too.
func newEvent(m Mapping, file string) event {
	e := event{mapping: m, file: file, fields: map[string]bool{}}
	for _, column := range []string{m.ID, m.Time, m.Subject} {
		e.fields[column] = catalog.FieldName(column)
	}
	if m.Source == "" && m.ID == "" {
		e.mapping.Source = file
	}
	if e.mapping.Source != "" {
		e.source = appendString(nil, e.mapping.Source)
	}
	return e
}

// beginRow starts the next row.
func (e *event) beginRow() {
	e.row++
	e.id = e.id[:0]
	e.time = e.time[:0]
	e.subject = e.subject[:0]
	e.data = e.data[:0]
	e.content = e.content[:0]
}

// addColumn adds a column's value, given as JSON. A column that is an attribute stays a member of data if a field may
// have its name. The event type may declare the field, now or later, and it would be null. What is declared now makes
// no difference: otherwise the copies of a row would differ.
func (e *event) addColumn(column string, value []byte) {
	if e.mapping.ID == "" { // Numbers are hashed as text, so that an id does not depend on the declared types.
		e.content = append(appendString(e.content, column), asString(value)...)
	}
	attribute := false
	if column == e.mapping.ID {
		attribute = true
		e.id = append(e.id, asString(value)...)
	}
	if column == e.mapping.Time {
		attribute = true
		e.time = append(e.time, value...)
	}
	if column == e.mapping.Subject {
		attribute = true
		e.subject = append(e.subject, asString(value)...)
	}
	if attribute && !e.fields[column] {
		return
	}
	if len(e.data) > 0 {
		e.data = append(e.data, ',')
	}
	e.data = append(appendString(e.data, column), ':')
	e.data = append(e.data, value...)
}

// check fails when the row has no value in the column of the id or of the time.
func (e *event) check() error {
	switch {
	case e.mapping.ID != "" && len(e.id) == 0:
		return fmt.Errorf("column %s is empty, but --id makes it the id; give every row an id", e.mapping.ID)
	case e.mapping.Time != "" && len(e.time) == 0:
		return fmt.Errorf("column %s is empty, and without a time the row would count now; fill in the time, or "+
			"remove the row", e.mapping.Time)
	}
	return nil
}

// identify makes an id of the file's name, the row's number and a hash of the row's content. The file may be sent
// again from another folder, or with rows appended, and each row counts once. The hash tells apart the rows of
// different files with the same name: with the number alone they would be dropped as duplicates. The number tells
// apart rows of equal content. For that reason an inserted row changes the ids of all rows after it; only a column
// of ids avoids that.
func (e *event) identify() {
	h := sha256.New()
	h.Write(appendString(appendString(nil, e.mapping.Type), e.mapping.Source))
	h.Write(e.content)
	e.id = appendString(e.id, fmt.Sprintf("%s#%d#%x", e.file, e.row, h.Sum(nil)[:8]))
}

// json returns the event, valid until the next call.
func (e *event) json() []byte {
	if e.mapping.ID == "" {
		e.identify()
	}
	b := append(e.buffer[:0], `{"specversion":"1.0","type":`...)
	b = appendString(b, e.mapping.Type)
	for _, a := range []struct {
		name  string
		value []byte
	}{{"source", e.source}, {"id", e.id}, {"time", e.time}, {"subject", e.subject}} {
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
