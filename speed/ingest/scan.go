package ingest

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"

	"recount/schemas/problem"
)

// scanner reads strict JSON (RFC 8259) in one pass over bytes it does not own.
//
// Faults are of two kinds. A noted fault refuses the event but leaves the scanner
// in step, so that the rest of the event, its id above all, is still read. A stop
// ends scanning: either the bytes are not JSON, or a limit was passed.
type scanner struct {
	buf    []byte
	pos    int
	fields int // members seen in this event

	maxDepth, maxFields int
	maxArena            int // an event that needs more is larger than an event may be

	arena []byte   // unescaped strings of this event
	keys  [][]byte // keys of the undeclared objects being scanned

	fault   *fault // the first one noted, or the one that stopped
	stopped bool
}

// begin starts a new event at the current position.
func (s *scanner) begin() {
	s.fields = 0
	s.fault = nil
	s.stopped = false
	s.arena = s.arena[:0]
	s.keys = s.keys[:0]
}

// note refuses the event for the reason unless it is refused already.
func (s *scanner) note(code problem.Code, msg string) {
	if s.fault == nil {
		s.fault = &fault{code: code, msg: msg}
	}
}

// stop ends scanning. It always returns false.
func (s *scanner) stop(code problem.Code, msg string) bool {
	if !s.stopped {
		s.fault = &fault{code: code, msg: msg}
		s.stopped = true
	}
	return false
}

func (s *scanner) syntax(msg string) bool { return s.stop(problem.InvalidJSON, msg) }

// broken says that the bytes are not JSON, so nothing behind them can be trusted.
func (s *scanner) broken() bool { return s.stopped && s.fault.code == problem.InvalidJSON }

// next returns the first byte that is not white space without taking it, 0 at the end.
func (s *scanner) next() byte {
	for s.pos < len(s.buf) {
		c := s.buf[s.pos]
		if c != ' ' && c != '\n' && c != '\r' && c != '\t' {
			return c
		}
		s.pos++
	}
	return 0
}

// member takes the next key of an object, up to and with its colon; more is false
// behind the closing brace and after a stop. The opening brace is taken already.
func (s *scanner) member(first bool) (key []byte, more bool) {
	c := s.next()
	if c == '}' {
		s.pos++
		return nil, false
	}
	if !first {
		if c != ',' {
			return nil, s.syntax("a member of an object must be followed by a comma or a closing brace")
		}
		s.pos++
		c = s.next()
	}
	if c != '"' {
		return nil, s.syntax("a key in double quotes is missing in an object")
	}
	key, ok := s.str()
	if !ok {
		return nil, false
	}
	if s.next() != ':' {
		return nil, s.syntax("a key must be followed by a colon")
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

// special marks the bytes of w that end the plain part of a string: quote,
// backslash, control. Marks above the lowest one may be wrong.
func special(w uint64) uint64 {
	quote := w ^ (ones * '"')
	slash := w ^ (ones * '\\')
	return ((quote-ones)&^quote | (slash-ones)&^slash | (w-ones*' ')&^w) & highs
}

// str takes a string, whose opening quote is the next byte. The result is part of
// the input or of the arena and stays until the next event.
func (s *scanner) str() ([]byte, bool) {
	start := s.pos + 1
	i := start
	high := uint64(0)
	for i+8 <= len(s.buf) {
		w := binary.LittleEndian.Uint64(s.buf[i:])
		m := special(w)
		if m == 0 {
			high |= w
			i += 8
			continue
		}
		n := bits.TrailingZeros64(m) &^ 7
		high |= w & (1<<n - 1)
		i += n / 8
		return s.endString(start, i, high)
	}
	for ; i < len(s.buf) && s.buf[i] >= ' ' && s.buf[i] != '"' && s.buf[i] != '\\'; i++ {
		high |= uint64(s.buf[i])
	}
	return s.endString(start, i, high)
}

// endString ends a string at the special byte i, or unescapes it from there.
func (s *scanner) endString(start, i int, high uint64) ([]byte, bool) {
	switch {
	case i >= len(s.buf):
		s.pos = i
		return nil, s.syntax("a string is not closed")
	case s.buf[i] == '"':
		s.pos = i + 1
		b := s.buf[start:i]
		if high&highs != 0 && !utf8.Valid(b) {
			s.note(problem.InvalidUTF8, "a string is not valid UTF-8")
		}
		return b, true
	case s.buf[i] == '\\':
		return s.unescape(start, i)
	}
	s.pos = i
	return nil, s.syntax("a string holds a control character; escape it")
}
