package ingest

import (
	"slices"

	"recount/schemas/problem"
)

// skip reads a value of any kind and checks all of it. depth counts the objects and arrays around it.
func (s *scanner) skip(depth int) bool {
	switch s.peek() {
	case '"':
		_, ok := s.scanString()
		return ok
	case '{':
		return s.skipObject(depth + 1)
	case '[':
		return s.skipArray(depth + 1)
	case 't':
		return s.scanLiteral("true")
	case 'f':
		return s.scanLiteral("false")
	case 'n':
		return s.scanLiteral("null")
	}
	_, ok := s.scanNumber()
	return ok
}

const notAValue = "a value is not a string, a number, an object, an array, true, false or null"

// scanLiteral reads true, false or null.
func (s *scanner) scanLiteral(want string) bool {
	if len(s.buf)-s.pos < len(want) || string(s.buf[s.pos:s.pos+len(want)]) != want {
		return s.malformed(notAValue)
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
		c := s.peek()
		if c == ']' {
			break
		}
		if !first {
			if c != ',' {
				return s.malformed("an element of an array must be followed by a comma or a closing bracket")
			}
			s.pos++
			if s.peek() == ']' {
				return s.malformed("an array ends with a comma")
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
	key, more := s.nextKey(true)
	for ; more; key, more = s.nextKey(false) {
		s.keys = append(s.keys, key)
		if !s.skip(depth) {
			return false
		}
	}
	return s.endObject(base)
}

// endObject refuses an event with a key twice in the object that ends here. Its keys are those from base on.
func (s *scanner) endObject(base int) bool {
	if s.stopped {
		return false
	}
	slices.SortFunc(s.keys[base:], compareBytes)
	for i := base + 1; i < len(s.keys); i++ {
		if string(s.keys[i-1]) == string(s.keys[i]) {
			s.reject(problem.DuplicateKey, "the key "+excerpt(s.keys[i])+" appears twice in one object")
		}
	}
	s.keys = s.keys[:base]
	return true
}

// skipByBrackets skips the object, array or string at start, and looks only at brackets and
// quotes. It finds the end of an event that a limit has refused: the bytes up to the limit
// are well-formed, and no recursion is needed for the rest.
func (s *scanner) skipByBrackets(start int) bool {
	open := 0
	quoted := false
	for i := start; i < len(s.buf); i++ {
		switch c := s.buf[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			if quoted = !quoted; !quoted && open == 0 {
				s.pos = i + 1
				return true // The event is a string, so no bracket ends it.
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
	return s.malformed("an event is not closed")
}
