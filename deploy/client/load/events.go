package load

import (
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"recount/schemas/catalog"
	"recount/schemas/decimal"
	"recount/schemas/openapi"
)

// The purposes of the random bits of an event. Field k has the purpose forField+k.
const (
	forMalformed = iota
	forLate
	forLateBy
	forField
)

// otherKeys is how many values each dimension after the first has.
const otherKeys = 10

// maxNumber limits the numbers that are summed to 0 to 999, for floats in eighths. Sums of millions of such floats are
// exact in any order.
const maxNumber = 1000

// field is one field of the events.
type field struct {
	name   []byte // name is the JSON key with its colon.
	kind   catalog.FieldType
	values uint64 // values is how many values the field has.
	first  bool   // first means the first dimension, whose keys are skewed.
}

// Events makes the events of a run. It is safe for concurrent use.
type Events struct {
	cfg     Config
	numbers numbers
	keys    zipf
	start   time.Time     // start is the start of the schedule.
	step    time.Duration // step is the difference between the times of neighbouring events.

	head       []byte // head is the text before the id.
	middle     []byte // middle is the text between the id and the time.
	fields     []field
	attributes []field // attributes are source and subject, if the view uses them.
}

// NewEvents returns the events of a run that begins at start and fits the view.
func NewEvents(c Config, v openapi.View, start time.Time) *Events {
	e := &Events{cfg: c, keys: newZipf(c.Keys, c.Skew), start: start}
	lag := max(1, int64(c.DuplicateAfter/max(1, c.interval())))
	e.numbers = numbers{batch: int64(c.Batch), duplicates: c.Duplicates, lag: lag}
	e.step = time.Duration(float64(time.Second) / (c.Rate * (1 - c.Duplicates)))
	source := true
	for _, f := range fieldsOf(c, v) {
		// In a view the names source and subject always mean the attributes, never fields of data.
		switch string(f.name) {
		case `"source":`:
			source = false
			e.attributes = append(e.attributes, f)
		case `"subject":`:
			e.attributes = append(e.attributes, f)
		default:
			e.fields = append(e.fields, f)
		}
	}
	e.head = []byte(`{"specversion":"1.0",`)
	if source {
		e.head = append(e.head, `"source":"load",`...)
	}
	e.head = append(append(e.head, `"id":"`...), c.Run+"-"...)
	e.middle = append([]byte(`","type":`), jsonText(v.Event)...)
	e.middle = append(e.middle, `,"time":"`...)
	return e
}

// fieldsOf lists each field of the view once.
func fieldsOf(c Config, v openapi.View) []field {
	var names []string
	var fields []field
	add := func(name string, f field) {
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
			f.name = append(jsonText(name), ':')
			fields = append(fields, f)
		}
	}
	for i, d := range v.Dimensions {
		if i == 0 {
			add(d.Name, field{kind: d.Type, values: uint64(c.Keys), first: true})
			continue
		}
		add(d.Name, field{kind: d.Type, values: otherKeys})
	}
	for _, m := range v.Measures {
		if m.Kind == catalog.Distinct {
			add(m.Field, field{kind: m.Type, values: uint64(c.Values)})
		}
	}
	for _, m := range v.Measures {
		add(m.Field, field{kind: m.Type, values: maxNumber})
	}
	return fields
}

// jsonText returns a string as JSON.
func jsonText(s string) []byte {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // A string always encodes.
	}
	return b
}

// encoder appends events to a body. It keeps the text of the last second, because most events of a request share it.
type encoder struct {
	*Events
	body   []byte
	second int64
	text   []byte
}

// request encodes request n of the schedule.
func (e *encoder) request(n int64) []byte {
	e.body = e.body[:0]
	fresh, copies := e.numbers.request(n)
	for _, s := range []span{fresh, copies} {
		for i := s.first; i < s.first+s.count; i++ {
			e.line(i)
		}
	}
	return e.body
}

// time returns the event time: the time of the event in the schedule, or an earlier time for a late event. All times
// are one request earlier than the schedule. Otherwise the last event of a request would be in the future.
func (e *Events) time(i int64) time.Time {
	t := e.start.Add(time.Duration(i)*e.step - e.cfg.interval())
	if unit(draw(e.cfg.Seed, i, forLate)) < e.cfg.Late {
		t = t.Add(-time.Duration(unit(draw(e.cfg.Seed, i, forLateBy)) * float64(e.cfg.LateBy)))
	}
	return t
}

// malformed reports whether event i is one that the server must reject.
func (e *Events) malformed(i int64) bool {
	return unit(draw(e.cfg.Seed, i, forMalformed)) < e.cfg.Malformed
}

// line appends event i as a CloudEvent and a line end.
func (e *encoder) line(i int64) {
	begin := len(e.body)
	e.body = append(e.body, e.head...)
	e.body = strconv.AppendInt(e.body, i, 10)
	e.body = append(e.body, e.middle...)
	e.moment(e.time(i))
	e.body = append(e.body, '"')
	for k := range e.attributes {
		e.body = append(append(e.body, ','), e.attributes[k].name...)
		e.value(&e.attributes[k], i, forField+1000+uint64(k))
	}
	e.body = append(e.body, `,"data":{`...)
	for k := range e.fields {
		if k > 0 {
			e.body = append(e.body, ',')
		}
		e.body = append(e.body, e.fields[k].name...)
		e.value(&e.fields[k], i, forField+uint64(k))
	}
	e.body = append(e.body, "}}\n"...)
	if e.cfg.Malformed > 0 && e.malformed(i) {
		e.damage(begin, i)
	}
}

// value appends the value of a field: kN for the first dimension, vN for other strings.
func (e *encoder) value(f *field, i int64, purpose uint64) {
	bits := draw(e.cfg.Seed, i, purpose)
	n := bits % f.values
	letter := byte('v')
	if f.first {
		n = uint64(e.keys.key(bits))
		letter = 'k'
	}
	switch f.kind {
	case catalog.String:
		e.body = append(e.body, '"', letter)
		e.body = append(strconv.AppendUint(e.body, n, 10), '"')
	case catalog.Bool:
		e.body = strconv.AppendBool(e.body, n%2 == 1)
	case catalog.Float64:
		e.body = strconv.AppendFloat(e.body, float64(n)/8, 'f', -1, 64)
	case catalog.Timestamp:
		e.body = append(e.body, '"')
		e.moment(e.start.Add(-time.Duration(n) * time.Second))
		e.body = append(e.body, '"')
	default:
		if d, ok := f.kind.Decimal(); ok {
			e.body = decimal.Append(e.body, int64(n%uint64(decimal.Power(d.Precision))), d.Scale)
			return
		}
		e.body = strconv.AppendUint(e.body, n, 10)
	}
}

// moment appends a time in RFC 3339 to the microsecond.
func (e *encoder) moment(t time.Time) {
	micros := t.UnixMicro()
	if second := micros / 1e6; second != e.second || e.text == nil {
		e.second = second
		e.text = time.Unix(second, 0).UTC().AppendFormat(e.text[:0], "2006-01-02T15:04:05.")
	}
	e.body = append(e.body, e.text...)
	rest := micros % 1e6
	for scale := int64(100_000); scale > 0; scale /= 10 {
		e.body = append(e.body, byte('0'+rest/scale%10))
	}
	e.body = append(e.body, 'Z')
}

// damage makes the line at begin malformed, in one of the ways in which real clients do. The server must reject this
// event and no other.
func (e *encoder) damage(begin int, i int64) {
	switch line := e.body[begin:]; i % 4 {
	case 0: // The line was cut off.
		e.body = append(e.body[:begin+len(line)/2], '\n')
	case 1: // The last attribute is there twice.
		e.body = append(e.body[:len(e.body)-2], ",\"data\":{}}\n"...)
	case 2: // The id is not valid UTF-8.
		line[len(e.head)] = 0xff
	case 3: // It is not an event.
		e.body = append(e.body[:begin], "[1]\n"...)
	}
}
