package ingest

import (
	"encoding/base64"
	"errors"
	"math"
	"mime"
	"slices"
	"strings"

	"recount/schemas/catalog"
	"recount/schemas/decimal"
	"recount/schemas/instant"
	"recount/schemas/problem"
	"recount/schemas/window"
)

// scanData reads the data of an event, whose type has been read and may be undeclared.
func (d *decoder) scanData() bool {
	switch d.peek() {
	case '{':
		if d.eventType == nil {
			return d.skip(1)
		}
		d.pos++
		return d.scanDataObject()
	case 'n':
		return d.scanLiteral("null")
	}
	d.reject(problem.InvalidData, "data: it must be a JSON object")
	return d.skip(1)
}

func (d *decoder) scanDataObject() bool {
	place := 0
	key, more := d.nextKey(true)
	for ; more; key, more = d.nextKey(false) {
		i := d.findField(key, place)
		place++
		if i >= 0 {
			if !d.scanField(i) {
				return false
			}
			continue
		}
		d.peek()
		start := d.pos
		if !d.scanPlace(d.eventType.places[string(key)], 2) {
			return false
		}
		d.undeclared = append(d.undeclared, member{key, d.buf[start:d.pos]})
	}
	return !d.stopped
}

// findField returns the index of the declared field, or -1 if there is none. The events of a
// producer have their fields in the same order, so the field that came at this place of the
// last event is tried first.
func (d *decoder) findField(key []byte, place int) int {
	fields := d.eventType.fields
	if place < len(fields) {
		if last := d.fieldOrder[place]; last < len(fields) && fields[last].name == string(key) {
			return last
		}
	}
	i, ok := d.eventType.byName[string(key)]
	if !ok {
		return -1
	}
	if place < len(fields) {
		d.fieldOrder[place] = i
	}
	return i
}

// scanField reads the value of a declared field into its slot.
func (d *decoder) scanField(i int) bool {
	f := &d.eventType.fields[i]
	s := &d.row.slots[i]
	if s.state != unset {
		d.reject(problem.DuplicateKey, "data."+f.name+": it appears twice")
	}
	s.state = present
	c := d.peek()
	switch {
	case c == 'n':
		s.state = null
		return d.scanLiteral("null")
	case c == '"' && f.kind == catalog.String:
		var ok bool
		s.text, ok = d.scanString()
		return ok
	case c == '"' && f.kind == catalog.Timestamp:
		return d.scanTimestamp(f, s)
	case c == '"' && f.decimal != nil:
		return d.scanDecimalText(f, s)
	case c == '"' && f.coerce && f.kind.IsNumber():
		return d.scanNumericText(f, s)
	case (c == '-' || c-'0' <= 9) && f.coerce && f.kind == catalog.String:
		return d.scanTextOfNumber(f, s)
	case c == 't' && f.kind == catalog.Bool:
		s.number = 1
		return d.scanLiteral("true")
	case c == 'f' && f.kind == catalog.Bool:
		s.number = 0
		return d.scanLiteral("false")
	case (c == '-' || c-'0' <= 9) && (f.kind == catalog.Int64 || f.kind == catalog.Float64):
		return d.scanNumeric(f, s)
	case (c == '-' || c-'0' <= 9) && f.decimal != nil:
		n, ok := d.scanNumber()
		if ok {
			d.setDecimal(f, s, n.raw, n.raw)
			s.exact = n.canonical()
		}
		return ok
	}
	start := d.pos
	ok := d.skip(2)
	if ok && !d.keepNull(f, s, d.buf[start:d.pos]) {
		d.rejectMismatch(f, d.buf[start:d.pos])
	}
	return ok
}

// keepNull keeps a value of another type than the declared one among the undeclared fields if its text means null. So
// the event is not rejected, and the value is still there when the declaration changes.
func (d *decoder) keepNull(f *field, s *slot, raw []byte) bool {
	if len(f.nulls) == 0 || raw[0] == '{' || raw[0] == '[' {
		return false
	}
	text := raw
	if raw[0] == '"' {
		text = d.unquote(raw)
	}
	if !slices.Contains(f.nulls, unsafeString(text)) {
		return false
	}
	d.keepUndeclared(f, s, raw)
	return true
}

// keepUndeclared keeps the value of a declared field as it was sent.
func (d *decoder) keepUndeclared(f *field, s *slot, raw []byte) {
	s.state = null
	d.keptUndeclared = true
	d.undeclared = append(d.undeclared, member{f.prefix[4:], raw})
}

func (d *decoder) rejectMismatch(f *field, raw []byte) {
	fix := d.eventType.mismatchFix(raw)
	if fix == "" {
		fix = f.coerceFix(raw)
	}
	d.reject(problem.InvalidField, "data."+f.name+": "+excerptOf(raw)+" is not "+string(f.kind)+fix)
}

func (d *decoder) scanNumeric(f *field, s *slot) bool {
	n, ok := d.scanNumber()
	if ok {
		d.setNumeric(f, s, &n, n.raw)
	}
	return ok
}

// setNumeric sets an int64 or a float64. raw is the number as it was sent.
func (d *decoder) setNumeric(f *field, s *slot, n *number, raw []byte) {
	fits := false
	whole := true
	if f.kind == catalog.Float64 {
		var v float64
		v, fits = n.float64()
		s.number = int64(math.Float64bits(v))
		s.exact = n.canonical()
	} else {
		s.number, whole, fits = n.int64()
	}
	switch {
	case whole && fits || d.keepNull(f, s, raw):
	case !whole:
		d.rejectMismatch(f, raw)
	default:
		d.reject(problem.NumberOutOfRange, "data."+f.name+": "+excerptOf(raw)+" does not fit "+string(f.kind)+
			d.eventType.mismatchFix(raw))
	}
}

// scanDecimalText reads a decimal that was sent as a string.
func (d *decoder) scanDecimalText(f *field, s *slot) bool {
	start := d.pos
	text, ok := d.scanString()
	if !ok {
		return false
	}
	d.setDecimal(f, s, text, d.buf[start:d.pos])
	digits := scanner{buf: text}
	if n, ok := digits.scanNumber(); ok {
		s.exact = n.canonical() // The same as if it had been sent as a number.
	}
	s.coerced = f.coerce && s.state == present
	return true
}

// setDecimal sets the number that a text spells. raw is the text as it was sent.
func (d *decoder) setDecimal(f *field, s *slot, text, raw []byte) {
	units, err := decimal.Parse(text, *f.decimal)
	s.number = units
	if err == nil || d.keepNull(f, s, raw) {
		return
	}
	if errors.Is(err, decimal.ErrSyntax) {
		d.rejectMismatch(f, raw)
		return
	}
	d.reject(problem.NumberOutOfRange, "data."+f.name+": "+excerptOf(raw)+" does not fit "+string(f.kind)+": "+
		err.Error()+"; nothing is rounded: send fewer digits, or declare the field with more")
}

// scanTimestamp reads a declared time. It has the bounds of an event's time: the years that
// every layer can store.
func (d *decoder) scanTimestamp(f *field, s *slot) bool {
	start := d.pos
	b, ok := d.scanString()
	if !ok {
		return false
	}
	t, err := instant.Parse(b)
	if (err != nil || t < window.MinTime || t > window.MaxTime) && d.keepNull(f, s, d.buf[start:d.pos]) {
		return true
	}
	switch {
	case err != nil:
		d.reject(problem.InvalidField, "data."+f.name+": "+excerpt(b)+" "+err.Error()+
			d.eventType.mismatchFix(d.buf[start:d.pos]))
	case t < window.MinTime || t > window.MaxTime:
		d.reject(problem.InvalidField, "data."+f.name+": "+excerpt(b)+" is not in the years 1970 to 2261")
	}
	s.number = t
	return true
}

// checkData refuses data that is not JSON, and decodes data_base64 that is.
func (d *decoder) checkData() {
	declared := d.attributes[attrContentType]
	isJSON := jsonContentType(declared)
	encoded := d.attributes[attrDataBase64]
	switch {
	case declared != nil && !isJSON:
		d.reject(problem.UnsupportedData, "datacontenttype: "+excerpt(declared)+" is not JSON; recount counts fields "+
			"of JSON objects")
	case encoded == nil:
	case d.seen[attrData]:
		d.reject(problem.InvalidData, "data, data_base64: an event may have only one of the two")
	case declared == nil:
		d.reject(problem.UnsupportedData,
			`data_base64: binary data cannot be counted; if it is JSON, set datacontenttype to "application/json"`)
	default:
		d.scanBase64(encoded)
	}
}

// jsonContentType reports whether a type is application/json, text/json or any type that ends with +json.
func jsonContentType(b []byte) bool {
	if string(b) == "application/json" {
		return true
	}
	media, _, err := mime.ParseMediaType(string(b))
	return err == nil && (media == "application/json" || media == "text/json" || strings.HasSuffix(media, "+json"))
}

// scanBase64 decodes data_base64 and scans it as the event's data.
func (d *decoder) scanBase64(encoded []byte) {
	var err error
	if d.decoded, err = base64.StdEncoding.AppendDecode(d.decoded[:0], encoded); err != nil {
		d.reject(problem.InvalidData, "data_base64: it is not valid base64")
		return
	}
	d.scanAlone(d.decoded)
}

// scanAlone scans bytes that are not part of the input as the event's data. A syntax error in
// them refuses the event, and not the input.
func (d *decoder) scanAlone(data []byte) {
	buf := d.buf
	pos := d.pos
	d.buf = data
	d.pos = 0
	if d.scanData() && !d.atEnd() {
		d.malformed("there is more after the JSON object")
	}
	if d.broken() {
		d.rejection = &rejection{problem.InvalidData, "data: " + d.rejection.message}
	}
	d.buf = buf
	d.pos = pos
}

// sortMembers orders undeclared members by name, and refuses the event if a name appears twice.
func (d *decoder) sortMembers(members []member) []member {
	if len(members) < 2 {
		return members
	}
	slices.SortFunc(members, func(a, b member) int { return compareBytes(a.key, b.key) })
	for i := 1; i < len(members); i++ {
		if string(members[i-1].key) == string(members[i].key) {
			d.reject(problem.DuplicateKey, excerpt(members[i].key)+": it appears twice")
		}
	}
	return members
}
