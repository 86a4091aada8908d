package ingest

import (
	"slices"

	"recount/schemas/catalog"
	"recount/schemas/conversion"
	"recount/schemas/instant"
	"recount/schemas/problem"
	"recount/schemas/window"
)

// place is where fields read a value that ingest keeps undeclared: inside of another member of data, or under a name
// that no column may have. Its value is checked and not decoded, so no stored byte depends on these fields. An event
// is refused if none of them can hold the value, as any other event is whose value does not fit. One field is enough:
// a member that is read in two types is expected to have values of both.
type place struct {
	fields  []catalog.Field
	members map[string]*place // inside of it
}

// placesOf returns the places of the fields that no column of the stored event type holds, by their member of data.
func placesOf(e, stored *catalog.EventType) map[string]*place {
	root := &place{}
	for _, f := range e.Fields {
		column := f.Column()
		isColumn := slices.ContainsFunc(stored.Fields, func(s catalog.Field) bool { return s.Name == column })
		if f.IsComputed() || isColumn {
			continue
		}
		p := root
		for _, name := range f.Members() {
			p = p.member(name)
		}
		p.fields = append(p.fields, f)
	}
	return root.members
}

// member returns the place of a member, which it makes if there is none.
func (p *place) member(name string) *place {
	if p.members == nil {
		p.members = map[string]*place{}
	}
	if p.members[name] == nil {
		p.members[name] = &place{}
	}
	return p.members[name]
}

// scanPlace reads a value as skip does, and checks it against the fields that read it or something inside of it. Most
// members have no place, which is nil.
func (d *decoder) scanPlace(p *place, depth int) bool {
	if p == nil {
		return d.skip(depth)
	}
	if d.peek() == '{' && p.members != nil {
		return d.scanMembers(p, depth+1)
	}
	start := d.pos
	if !d.skip(depth) {
		return false
	}
	d.checkPlace(p, d.buf[start:d.pos])
	return true
}

// scanMembers reads an object as skipObject does, and checks the members that fields read.
func (d *decoder) scanMembers(p *place, depth int) bool {
	if depth > d.maxDepth {
		return d.stop(problem.TooDeep, "objects and arrays are nested too deeply")
	}
	d.pos++
	base := len(d.keys)
	key, more := d.nextKey(true)
	for ; more; key, more = d.nextKey(false) {
		d.keys = append(d.keys, key)
		if !d.scanPlace(p.members[string(key)], depth) {
			return false
		}
	}
	return d.endObject(base)
}

// checkPlace refuses the event if no field at the place can hold the value. Where fields read only what is inside, the
// value lacks it, and there is nothing to hold.
func (d *decoder) checkPlace(p *place, raw []byte) {
	for i := range p.fields {
		if holds(&p.fields[i], raw) {
			return
		}
	}
	if len(p.fields) > 0 {
		d.rejectPlace(&p.fields[0], raw)
	}
}

func (d *decoder) rejectPlace(f *catalog.Field, raw []byte) {
	code := problem.InvalidField
	verdict := " is not "
	_, isDecimal := f.Type.Decimal()
	if kind := kindOfValue(raw); kind == huge || isDecimal && kind&(wholes|fractions) != 0 {
		code = problem.NumberOutOfRange
		verdict = " does not fit "
	}
	message := "data." + catalog.PathText(f.Members()) + ": " + excerptOf(raw) + verdict + string(f.Type) +
		", the type of the field " + f.Name
	d.reject(code, message+d.eventType.mismatchFix(raw))
}

// holds reports whether a field can hold a value, which is valid JSON, as readers convert it later (I7). A value that
// needs no conversion is decided here, because package conversion needs memory for each.
func holds(f *catalog.Field, raw []byte) bool {
	quoted := raw[0] == '"'
	switch f.Type {
	case catalog.String:
		if quoted {
			return true
		}
	case catalog.Bool:
		if raw[0] == 't' || raw[0] == 'f' {
			return true
		}
	case catalog.Timestamp:
		if quoted {
			t, err := instant.Parse(raw[1 : len(raw)-1])
			if err == nil && t >= window.MinTime && t <= window.MaxTime {
				return true
			}
		}
	case catalog.Int64, catalog.Float64:
		s := newValueScanner(raw)
		n, ok := s.scanNumber()
		if ok && !n.exponent && n.digits <= 15 && len(raw) <= 20 && (n.fraction == 0 || f.Type == catalog.Float64) {
			return true
		}
	}
	return conversion.Fits(*f, string(raw))
}
