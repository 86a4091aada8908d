package ingest

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"

	"recount/schemas/problem"
)

// scanner reads strict JSON (RFC 8259) in one pass over bytes that it does not own.
//
// There are two ways to refuse an event. reject leaves the scanner in step, so it still reads
// the rest of the event, above all its id. stop ends scanning, because the bytes are not JSON
// or exceed a limit.
type scanner struct {
	buf    []byte
	pos    int
	fields int // members of all objects of this event so far

	maxDepth, maxFields int
	maxArena            int // an event that needs more is larger than an event may be

	arena []byte   // unescaped strings of this event
	keys  [][]byte // keys of the undeclared objects that are being scanned

	rejection *rejection // the first one, or the one of stop
	stopped   bool
}

// begin starts a new event at the current position.
func (s *scanner) begin() {
	s.fields = 0
	s.rejection = nil
	s.stopped = false
	s.arena = s.arena[:0]
	s.keys = s.keys[:0]
}

// reject refuses the event, unless it is refused already.
func (s *scanner) reject(code problem.Code, message string) {
	if s.rejection == nil {
		s.rejection = &rejection{code, message}
	}
}

// stop refuses the event and ends scanning. It always returns false.
func (s *scanner) stop(code problem.Code, message string) bool {
	if !s.stopped {
		s.rejection = &rejection{code, message}
		s.stopped = true
	}
	return false
}

// malformed stops because the bytes are not JSON. It always returns false.
func (s *scanner) malformed(message string) bool { return s.stop(problem.InvalidJSON, message) }

// broken reports whether the bytes are not JSON. Then the bytes that follow cannot be trusted.
func (s *scanner) broken() bool { return s.stopped && s.rejection.code == problem.InvalidJSON }

// peek skips white space and returns the next byte without reading it, or 0 at the end.
func (s *scanner) peek() byte {
	for s.pos < len(s.buf) {
		c := s.buf[s.pos]
		if c != ' ' && c != '\n' && c != '\r' && c != '\t' {
			return c
		}
		s.pos++
	}
	return 0
}

// atEnd skips white space and reports whether it was all that is left.
func (s *scanner) atEnd() bool { return s.peek() == 0 && s.pos >= len(s.buf) }

// nextKey reads the next key of an object and the colon after it. The opening brace has been
// read. more is false after the closing brace and after a stop.
func (s *scanner) nextKey(first bool) (key []byte, more bool) {
	c := s.peek()
	if c == '}' {
		s.pos++
		return nil, false
	}
	if !first {
		if c != ',' {
			return nil, s.malformed("a member of an object must be followed by a comma or a closing brace")
		}
		s.pos++
		c = s.peek()
	}
	if c != '"' {
		return nil, s.malformed("an object needs a key in double quotes here")
	}
	key, ok := s.scanString()
	if !ok {
		return nil, false
	}
	if s.peek() != ':' {
		return nil, s.malformed("a key must be followed by a colon")
	}
	s.pos++
	if s.fields++; s.fields > s.maxFields {
		return nil, s.stop(problem.TooManyFields, "the event has too many fields")
	}
	return key, true
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// markSpecial sets the high bit of each byte of w that ends the plain part of a string: a
// quote, a backslash or a control character. Only the lowest mark can be relied on.
func markSpecial(w uint64) uint64 {
	quote := w ^ (ones * '"')
	slash := w ^ (ones * '\\')
	return ((quote-ones)&^quote | (slash-ones)&^slash | (w-ones*' ')&^w) & highs
}

// scanString reads a string, whose opening quote is the next byte. The result is part of the
// input or of the arena, and valid until the next event.
func (s *scanner) scanString() ([]byte, bool) {
	start := s.pos + 1
	i := start
	high := uint64(0)
	for i+8 <= len(s.buf) {
		w := binary.LittleEndian.Uint64(s.buf[i:])
		m := markSpecial(w)
		if m == 0 {
			high |= w
			i += 8
			continue
		}
		n := bits.TrailingZeros64(m) &^ 7
		high |= w & (1<<n - 1)
		i += n / 8
		if s.buf[i] == '"' && high&highs == 0 { // Almost every string, without another call.
			s.pos = i + 1
			return s.buf[start:i], true
		}
		return s.endString(start, i, high)
	}
	for ; i < len(s.buf) && s.buf[i] >= ' ' && s.buf[i] != '"' && s.buf[i] != '\\'; i++ {
		high |= uint64(s.buf[i])
	}
	return s.endString(start, i, high)
}

// endString ends a string at the special byte i, or unescapes it from there. high has all
// bits that are set in some byte of the string, so its high bits tell whether all is ASCII.
func (s *scanner) endString(start, i int, high uint64) ([]byte, bool) {
	switch {
	case i >= len(s.buf):
		s.pos = i
		return nil, s.malformed("a string is not closed")
	case s.buf[i] == '"':
		s.pos = i + 1
		b := s.buf[start:i]
		if high&highs != 0 && !utf8.Valid(b) {
			s.reject(problem.InvalidUTF8, "a string is not valid UTF-8")
		}
		return b, true
	case s.buf[i] == '\\':
		return s.unescape(start, i)
	}
	s.pos = i
	return nil, s.malformed("a string holds a control character; escape it")
}
