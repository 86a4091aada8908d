package ingest

import (
	"encoding/base64"
	"math"
	"mime"
	"slices"
	"strings"

	"recount/schemas/catalog"
	"recount/schemas/problem"
	"recount/schemas/window"
)

// dataValue takes the data of an event whose type is known, or not declared.
func (d *decoder) dataValue() bool {
	switch d.next() {
	case '{':
		if d.typ == nil {
			return d.skip(1)
		}
		d.pos++
		return d.dataObject()
	case 'n':
		return d.literal("null")
	}
	d.note(problem.InvalidData, "data: must be a JSON object")
	return d.skip(1)
}

func (d *decoder) dataObject() bool {
	at := 0
	key, more := d.member(true)
	for ; more; key, more = d.member(false) {
		i := d.find(key, at)
		at++
		if i >= 0 {
			if !d.field(i) {
				return false
			}
			continue
		}
		d.next()
		from := d.pos
		if !d.skip(2) {
			return false
		}
		d.data = append(d.data, member{key, d.buf[from:d.pos]})
	}
	return !d.stopped
}

// find returns the declared field of the name, -1 if there is none. Events of one
// producer have their fields in one order, so the field that came at this place
// last time is tried first.
func (d *decoder) find(key []byte, at int) int {
	fields := d.typ.fields
	if at < len(fields) {
		if g := d.guess[at]; g < len(fields) && fields[g].name == string(key) {
			return g
		}
	}
	i, ok := d.typ.byName[string(key)]
	if !ok {
		return -1
	}
	if at < len(fields) {
		d.guess[at] = i
	}
	return i
}

// field takes the value of a declared field into its slot.
func (d *decoder) field(i int) bool {
	f := &d.typ.fields[i]
	s := &d.row.slots[i]
	if s.state != unset {
		d.note(problem.DuplicateKey, "data."+f.name+": comes twice")
	}
	s.state = present
	c := d.next()
	switch {
	case c == 'n':
		s.state = null
		return d.literal("null")
	case c == '"' && f.kind == catalog.String:
		var ok bool
		s.text, ok = d.str()
		return ok
	case c == '"' && f.kind == catalog.Timestamp:
		return d.timestamp(f, s)
	case c == 't' && f.kind == catalog.Bool:
		s.num = 1
		return d.literal("true")
	case c == 'f' && f.kind == catalog.Bool:
		s.num = 0
		return d.literal("false")
	case (c == '-' || c-'0' <= 9) && (f.kind == catalog.Int64 || f.kind == catalog.Float64):
		return d.numeric(f, s)
	}
	from := d.pos
	ok := d.skip(2)
	if ok {
		d.mismatch(f, d.buf[from:d.pos])
	}
	return ok
}

func (d *decoder) mismatch(f *field, raw []byte) {
	d.note(problem.InvalidField, "data."+f.name+": "+excerpt(raw)+" is not "+string(f.kind))
}

func (d *decoder) numeric(f *field, s *slot) bool {
	n, ok := d.number()
	if !ok {
		return false
	}
	fits := false
	if f.kind == catalog.Float64 {
		var v float64
		v, fits = n.float64()
		s.num = int64(math.Float64bits(v))
	} else {
		var whole bool
		s.num, whole, fits = n.int64()
		if !whole {
			d.mismatch(f, n.raw)
		}
	}
	if !fits {
		d.note(problem.NumberOutOfRange, "data."+f.name+": "+excerpt(n.raw)+" does not fit "+string(f.kind))
	}
	return true
}

// timestamp bounds a declared time like the event's own, to the years every layer can hold.
func (d *decoder) timestamp(f *field, s *slot) bool {
	b, ok := d.str()
	if !ok {
		return false
	}
	t, valid := parseTime(b)
	if !valid || t < window.MinTime || t > window.MaxTime {
		d.note(problem.InvalidField,
			"data."+f.name+": "+excerpt(b)+" is not an RFC 3339 time of the years 1970 to 2261")
	}
	s.num = t
	return true
}

// checkData refuses data that is not JSON and takes data_base64 that is.
func (d *decoder) checkData() {
	declared := d.attrs[attrContentType]
	isJSON := jsonContentType(declared)
	encoded := d.attrs[attrDataBase64]
	switch {
	case declared != nil && !isJSON:
		d.note(problem.UnsupportedData, "datacontenttype: "+excerpt(declared)+" is not JSON; recount counts fields of "+
			"JSON objects")
	case encoded == nil:
	case d.seen[attrData]:
		d.note(problem.InvalidData, "data, data_base64: an event has one of them")
	case declared == nil:
		d.note(problem.UnsupportedData,
			`data_base64: binary data is not counted; if it is JSON, set datacontenttype to "application/json"`)
	default:
		d.base64(encoded)
	}
}

// jsonContentType knows application/json, text/json and anything/*+json.
func jsonContentType(b []byte) bool {
	if string(b) == "application/json" {
		return true
	}
	media, _, err := mime.ParseMediaType(string(b))
	return err == nil && (media == "application/json" || media == "text/json" || strings.HasSuffix(media, "+json"))
}

// base64 decodes data and scans it in place of the event's bytes.
func (d *decoder) base64(encoded []byte) {
	var err error
	if d.decoded, err = base64.StdEncoding.AppendDecode(d.decoded[:0], encoded); err != nil {
		d.note(problem.InvalidData, "data_base64: is not base64")
		return
	}
	d.scanAlone(d.decoded)
}

// scanAlone scans bytes outside the input as the event's data. Faults of it refuse
// the event and not the input, so a stop is not kept.
func (d *decoder) scanAlone(data []byte) {
	buf := d.buf
	pos := d.pos
	d.buf = data
	d.pos = 0
	if d.dataValue() && d.next() != 0 || d.pos < len(d.buf) {
		d.syntax("data: there is more behind the JSON object")
	}
	if d.broken() {
		d.fault = &fault{code: problem.InvalidData, msg: "data: " + d.fault.msg}
	}
	d.buf = buf
	d.pos = pos
}

// sorted orders undeclared members by name and notes one that comes twice.
func (d *decoder) sorted(members []member) []member {
	if len(members) < 2 {
		return members
	}
	slices.SortFunc(members, func(a, b member) int { return compareBytes(a.key, b.key) })
	for i := 1; i < len(members); i++ {
		if string(members[i-1].key) == string(members[i].key) {
			d.note(problem.DuplicateKey, excerpt(members[i].key)+": comes twice")
		}
	}
	return members
}
