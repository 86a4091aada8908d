package ingest

import (
	"math"

	"recount/schemas/catalog"
	"recount/schemas/instant"
	"recount/schemas/window"
)

// survey is what the members of data of one event type hold, as far as no field reads them. It is a tree: a member that
// holds objects has the members of these objects below it. Its size is bounded, whatever events hold.
type survey struct {
	root    surveyed
	members int // of the tree
	events  int // that were observed
	bounds  *DiscoveryConfig
	met     limits // by members that were left out
	changed bool   // since found was called
}

// surveyed is one member of data.
type surveyed struct {
	kinds   kinds
	events  int
	members map[string]*surveyed
}

// kinds are the kinds of values that a member had.
type kinds uint8

const (
	wholes    kinds = 1 << iota // numbers without a point or an exponent that an int64 holds
	fractions                   // other numbers that a float64 holds
	huge                        // numbers that no type holds as they were sent
	booleans
	moments // texts that are times
	texts   // all other texts
	objects
	arrays
)

// fieldType returns the type that holds every value. There is none for objects and arrays, and none for values of
// which a field of any type would refuse some: these stay among the undeclared fields, so no event is rejected.
func (k kinds) fieldType() (t catalog.FieldType, ok bool) {
	switch k {
	case wholes:
		return catalog.Int64, true
	case fractions, wholes | fractions:
		return catalog.Float64, true
	case booleans:
		return catalog.Bool, true
	case moments:
		return catalog.Timestamp, true
	case texts, texts | moments:
		return catalog.String, true
	}
	return "", false
}

// limits are bounds of discovery that were met.
type limits uint8

const (
	limitTypes limits = 1 << iota
	limitFields
	limitDepth
	limitName
)

// limitKeys are the settings of limits, in the order of their bits.
var limitKeys = []string{"max_types", "max_fields", "max_depth", "max_name"}

// surveyedCost is about the memory of a member of a survey, without its name.
const surveyedCost = 200

// observe adds the undeclared members of an event. It returns about how many bytes of memory that took.
func (s *survey) observe(members []member) (bytes int) {
	s.events++
	for _, m := range members {
		bytes += s.add(&s.root, m.key, m.raw, 1)
	}
	return bytes
}

// add adds a value, which is valid JSON.
func (s *survey) add(parent *surveyed, name, raw []byte, depth int) (bytes int) {
	if raw[0] == 'n' {
		return 0 // A member that is null in each event is declared once it has a value.
	}
	m := parent.members[string(name)]
	if m == nil {
		if m = s.create(parent, name); m == nil {
			return 0
		}
		bytes = surveyedCost + len(name)
	}
	m.events++
	kind := kindOfValue(raw)
	if m.kinds&kind == 0 {
		m.kinds |= kind
		s.changed = true
	}
	if kind != objects {
		return bytes
	}
	if depth == s.bounds.Depth {
		s.meet(limitDepth)
		return bytes
	}
	inner := newValueScanner(raw)
	inner.pos++
	key, more := inner.nextKey(true)
	for ; more; key, more = inner.nextKey(false) {
		inner.peek()
		start := inner.pos
		inner.skip(1)
		bytes += s.add(m, key, inner.buf[start:inner.pos], depth+1)
	}
	return bytes
}

// create makes a member, or returns nil if a bound leaves it out.
func (s *survey) create(parent *surveyed, name []byte) *surveyed {
	switch {
	case len(name) > s.bounds.Name || len(name) == 0:
		s.meet(limitName)
		return nil
	case s.members == s.bounds.surveyed():
		s.meet(limitFields)
		return nil
	}
	s.members++
	if parent.members == nil {
		parent.members = map[string]*surveyed{}
	}
	m := &surveyed{}
	parent.members[string(name)] = m
	return m
}

// meet remembers that a bound was met.
func (s *survey) meet(bound limits) {
	s.changed = s.changed || s.met&bound == 0
	s.met |= bound
}

// newValueScanner returns a scanner of a value that is valid and within all bounds.
func newValueScanner(raw []byte) scanner {
	return scanner{buf: raw, maxDepth: math.MaxInt, maxFields: math.MaxInt, maxArena: math.MaxInt}
}

func kindOfValue(raw []byte) kinds {
	switch raw[0] {
	case '{':
		return objects
	case '[':
		return arrays
	case 't', 'f':
		return booleans
	case '"':
		s := newValueScanner(raw)
		text, _ := s.scanString()
		if t, err := instant.Parse(text); err == nil && t >= window.MinTime && t <= window.MaxTime {
			return moments
		}
		return texts
	}
	s := newValueScanner(raw)
	n, _ := s.scanNumber()
	if n.fraction == 0 && !n.exponent {
		if _, _, fits := n.int64(); fits {
			return wholes
		}
		return huge // A float64 would round it, and the number may be an id.
	}
	if _, fits := n.float64(); fits {
		return fractions
	}
	return huge
}

// found returns the members with values, each with the type that holds them all, if there is one. Objects alone are
// left out where members inside of them say the same.
func (s *survey) found() (out []catalog.Found) {
	s.changed = false
	var walk func(m *surveyed, path []string)
	walk = func(m *surveyed, path []string) {
		before := len(out)
		for name, inner := range m.members {
			walk(inner, append(path[:len(path):len(path)], name))
		}
		if inside := len(out) > before; m.kinds == 0 || m.kinds == objects && inside {
			return
		}
		t, _ := m.kinds.fieldType()
		out = append(out, catalog.Found{Path: path, Type: t, Events: m.events})
	}
	walk(&s.root, nil)
	return out
}
