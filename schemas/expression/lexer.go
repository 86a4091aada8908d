package expression

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Error is a mistake in an expression.
type Error struct {
	Column int // in characters, from 1
	Msg    string
}

func (e *Error) Error() string { return fmt.Sprintf("column %d: %s", e.Column, e.Msg) }

// token is a word of an expression. Its kind is one of the constants, or the operator itself.
type token struct {
	kind string
	text string // of a name, a string or a number
	at   int    // offset in bytes
}

const (
	nameToken   = "a name"
	stringToken = "a string"
	numberToken = "a number"
	endToken    = "the end"
)

var operators = []string{"!=", "<=", ">=", "=", "<", ">", "+", "-", "*", "/", "%", "(", ")", ","}

// keywords are operators and literals that are spelled as names.
var keywords = []string{"and", "or", "not", "true", "false", "null"}

// tokenize cuts the text into tokens. The last is the end.
func tokenize(text string) ([]token, error) {
	var out []token
	for i := 0; ; {
		for i < len(text) && strings.IndexByte(" \t\r\n", text[i]) >= 0 {
			i++
		}
		if i == len(text) {
			return append(out, token{kind: endToken, at: i}), nil
		}
		t, size, err := nextToken(text, i)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
		i += size
	}
}

func nextToken(text string, at int) (t token, size int, err error) {
	rest := text[at:]
	switch c := rest[0]; {
	case c == '\'' || c == '"':
		return quoted(text, at)
	case isLetter(c):
		for size = 1; size < len(rest) && (isLetter(rest[size]) || isDigit(rest[size])); {
			size++
		}
		return token{kind: nameToken, text: rest[:size], at: at}, size, nil
	case isDigit(c):
		for size = 1; size < len(rest) && (isDigit(rest[size]) || rest[size] == '.' || isExponent(rest, size)); {
			size++
		}
		return token{kind: numberToken, text: rest[:size], at: at}, size, nil
	}
	for _, o := range operators {
		if strings.HasPrefix(rest, o) {
			return token{kind: o, at: at}, len(o), nil
		}
	}
	r, _ := utf8.DecodeRuneInString(rest)
	return token{}, 0, mistake(text, at, "%q is no part of an expression", r)
}

// isExponent reports whether the byte belongs to the exponent of a number.
func isExponent(s string, i int) bool {
	if s[i] == 'e' || s[i] == 'E' {
		return true
	}
	return (s[i] == '+' || s[i] == '-') && (s[i-1] == 'e' || s[i-1] == 'E')
}

// quoted reads a string or a quoted name. Its quote stands in it twice.
func quoted(text string, at int) (t token, size int, err error) {
	quote := text[at : at+1]
	var b strings.Builder
	for i := at + 1; i < len(text); i++ {
		if text[i] != quote[0] {
			b.WriteByte(text[i])
			continue
		}
		if strings.HasPrefix(text[i+1:], quote) {
			b.WriteByte(text[i])
			i++
			continue
		}
		kind := stringToken
		if quote == `"` {
			kind = nameToken
		}
		return token{kind: kind, text: b.String(), at: at}, i + 1 - at, nil
	}
	return token{}, 0, mistake(text, at, "the quote is not closed")
}

func isLetter(c byte) bool { return c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }

// mistake returns an error at an offset of the text.
func mistake(text string, at int, format string, args ...any) error {
	return &Error{Column: utf8.RuneCountInString(text[:at]) + 1, Msg: fmt.Sprintf(format, args...)}
}
