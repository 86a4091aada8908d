package ingest

import (
	"bytes"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"recount/schemas/problem"
)

// simpleEscapes maps the character after a backslash to the byte that both mean.
var simpleEscapes = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// unescape reads the rest of the string that began at start and has its first backslash at i.
func (s *scanner) unescape(start, i int) ([]byte, bool) {
	from := len(s.arena)
	s.arena = append(s.arena, s.buf[start:i]...)
	for i < len(s.buf) {
		c := s.buf[i]
		switch {
		case len(s.arena) > s.maxArena:
			return nil, s.stop(problem.EventTooLarge, "the event is larger than the limit")
		case c == '"':
			s.pos = i + 1
			b := s.arena[from:len(s.arena):len(s.arena)]
			if !utf8.Valid(b) {
				s.reject(problem.InvalidUTF8, "a string is not valid UTF-8")
			}
			return b, true
		case c < ' ':
			return nil, s.malformed("a string holds a control character; escape it")
		case c != '\\':
			s.arena = append(s.arena, c)
			i++
		default:
			if i = s.escape(i + 1); i < 0 {
				return nil, false
			}
		}
	}
	s.pos = i
	return nil, s.malformed("a string is not closed")
}

// escape reads what follows a backslash, from i on. It returns the index after it, or -1.
func (s *scanner) escape(i int) int {
	if i >= len(s.buf) {
		s.malformed("a string is not closed")
		return -1
	}
	if c := simpleEscapes[s.buf[i]]; c != 0 {
		s.arena = append(s.arena, c)
		return i + 1
	}
	r := s.hex4(i)
	if r < 0 {
		s.malformed("a string holds an unknown escape")
		return -1
	}
	i += 5
	if utf16.IsSurrogate(r) {
		pair := utf8.RuneError
		if i < len(s.buf) && s.buf[i] == '\\' {
			pair = utf16.DecodeRune(r, s.hex4(i+1))
		}
		if r = pair; r == utf8.RuneError {
			s.reject(problem.InvalidUTF8, "a string holds half of a surrogate pair")
		} else {
			i += 6
		}
	}
	s.arena = utf8.AppendRune(s.arena, r)
	return i
}

// hex4 reads uXXXX at i. It returns -1 if there is none.
func (s *scanner) hex4(i int) rune {
	if i+5 > len(s.buf) || s.buf[i] != 'u' {
		return -1
	}
	var r rune
	for _, c := range s.buf[i+1 : i+5] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

const hexDigits = "0123456789abcdef"

// appendString appends s as a JSON string in its shortest form, which makes it canonical.
func appendString(dst, s []byte) []byte {
	dst = append(dst, '"')
	for len(s) > 0 {
		c := s[0]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRune(s)
			dst = utf8.AppendRune(dst, r)
			s = s[n:]
			continue
		}
		dst = appendByte(dst, c)
		s = s[1:]
	}
	return append(dst, '"')
}

func appendByte(dst []byte, c byte) []byte {
	switch {
	case c == '"' || c == '\\':
		return append(dst, '\\', c)
	case c >= ' ':
		return append(dst, c)
	case c == '\n':
		return append(dst, '\\', 'n')
	case c == '\r':
		return append(dst, '\\', 'r')
	case c == '\t':
		return append(dst, '\\', 't')
	case c == '\b':
		return append(dst, '\\', 'b')
	case c == '\f':
		return append(dst, '\\', 'f')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}

// compact appends a valid JSON value without the white space between its tokens.
func compact(dst, raw []byte) []byte {
	if raw[0] != '{' && raw[0] != '[' {
		return append(dst, raw...)
	}
	quoted := false
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		switch {
		case quoted && c == '\\':
			dst = append(dst, c)
			i++
			c = raw[i]
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ' ' || c == '\n' || c == '\r' || c == '\t'):
			continue
		}
		dst = append(dst, c)
	}
	return dst
}

// excerptSize is the most bytes of what was sent that a message repeats.
const excerptSize = 40

// excerpt returns the beginning of hostile bytes for a message: short, quoted and valid UTF-8.
func excerpt(b []byte) string {
	if len(b) <= excerptSize {
		return string(appendString(nil, b))
	}
	return string(appendString(nil, b[:excerptSize])) + "…"
}

// excerptOf does the same for a valid JSON value. Only a text is quoted, and called one, because "7" and 7 are easily
// confused.
func excerptOf(raw []byte) string {
	kind := ""
	switch raw[0] {
	case '"':
		s := newValueScanner(raw)
		text, _ := s.scanString()
		return "the text " + excerpt(text)
	case '{':
		kind = "the object "
	case '[':
		kind = "the array "
	}
	if len(raw) <= excerptSize {
		return kind + string(raw)
	}
	return kind + strings.ToValidUTF8(string(raw[:excerptSize]), "") + "…"
}

func compareBytes(a, b []byte) int { return bytes.Compare(a, b) }
