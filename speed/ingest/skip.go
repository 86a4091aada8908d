package ingest

import (
	"slices"

	"recount/schemas/problem"
)

// skip takes a value of any kind and checks all of it. depth counts the containers around it.
func (s *scanner) skip(depth int) bool {
	switch s.next() {
	case '"':
		_, ok := s.str()
		return ok
	case '{':
		return s.skipObject(depth + 1)
	case '[':
		return s.skipArray(depth + 1)
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case 'n':
		return s.literal("null")
	}
	_, ok := s.number()
	return ok
}

func (s *scanner) literal(want string) bool {
	if len(s.buf)-s.pos < len(want) || string(s.buf[s.pos:s.pos+len(want)]) != want {
		return s.syntax("a value is none of string, number, object, array, true, false, null")
	}
	s.pos += len(want)
	return true
}

func (s *scanner) skipArray(depth int) bool {
	if depth > s.maxDepth {
		return s.stop(problem.TooDeep, "objects and arrays are nested too deeply")
	}
	s.pos++
	for first := true; ; first = false {
		c := s.next()
		if c == ']' {
			break
		}
		if !first {
			if c != ',' {
				return s.syntax("an element of an array must be followed by a comma or a closing bracket")
			}
			s.pos++
			if s.next() == ']' {
				return s.syntax("an array ends with a comma")
			}
		}
		if !s.skip(depth) {
			return false
		}
	}
	s.pos++
	return true
}

func (s *scanner) skipObject(depth int) bool {
	if depth > s.maxDepth {
		return s.stop(problem.TooDeep, "objects and arrays are nested too deeply")
	}
	s.pos++
	base := len(s.keys)
	key, more := s.member(true)
	for ; more; key, more = s.member(false) {
		s.keys = append(s.keys, key)
		if !s.skip(depth) {
			return false
		}
	}
	if s.stopped {
		return false
	}
	slices.SortFunc(s.keys[base:], compareBytes)
	for i := base + 1; i < len(s.keys); i++ {
		if string(s.keys[i-1]) == string(s.keys[i]) {
			s.note(problem.DuplicateKey, "the key "+excerpt(s.keys[i])+" comes twice in one object")
		}
	}
	s.keys = s.keys[:base]
	return true
}

// skipOver takes the object, array or string at start by its brackets and quotes
// alone. It is for events refused by a limit: what lies before that point is
// well-formed, and what it looks at tells where the event ends without any recursion.
func (s *scanner) skipOver(start int) bool {
	open := 0
	quoted := false
	for i := start; i < len(s.buf); i++ {
		switch c := s.buf[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			if quoted = !quoted; !quoted && open == 0 {
				s.pos = i + 1
				return true // The event is a string; no bracket is part of it.
			}
		case quoted:
		case c == '{' || c == '[':
			open++
		case c == '}' || c == ']':
			if open--; open == 0 {
				s.pos = i + 1
				return true
			}
		}
	}
	s.stopped = false
	return s.syntax("an event is not closed")
}
