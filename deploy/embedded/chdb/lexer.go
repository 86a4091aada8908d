package chdb

import "strings"

// lexer splits SQL into words and single characters as ClickHouse does, skipping comments. Quoted text is one
// token whose word is its first character, so that nothing inside quotes is taken for a keyword.
type lexer struct {
	src        string
	start, end int // of the current token
}

func (l *lexer) word() string {
	if isWordByte(l.src[l.start]) {
		return l.src[l.start:l.end]
	}
	return l.src[l.start : l.start+1]
}

func (l *lexer) next() bool {
	l.start = skipBlank(l.src, l.end)
	if l.start >= len(l.src) {
		l.end = l.start
		return false
	}
	l.end = tokenEnd(l.src, l.start)
	return true
}

// skipBlank skips white space and comments from i on.
func skipBlank(s string, i int) int {
	for i < len(s) {
		rest := s[i:]
		switch {
		case strings.IndexByte(" \t\r\n\f\v\x00", s[i]) >= 0:
			i++
		case strings.HasPrefix(rest, "--"), strings.HasPrefix(rest, "//"),
			strings.HasPrefix(rest, "# "), strings.HasPrefix(rest, "#!"):
			i += prefixThrough(rest, "\n")
		case strings.HasPrefix(rest, "/*"):
			i += commentEnd(rest)
		default:
			return i
		}
	}
	return i
}

// commentEnd returns the length of the comment s begins with. Comments nest in ClickHouse.
func commentEnd(s string) int {
	for i, depth := 0, 0; i+1 < len(s); i++ {
		switch s[i : i+2] {
		case "/*":
			depth++
			i++
		case "*/":
			depth--
			i++
		}
		if depth == 0 {
			return i + 1
		}
	}
	return len(s)
}

func tokenEnd(s string, i int) int {
	rest := s[i:]
	switch c := s[i]; {
	case c == '\'' || c == '"' || c == '`':
		return i + quotedEnd(rest)
	case strings.HasPrefix(rest, "‘"):
		return i + prefixThrough(rest, "’")
	case strings.HasPrefix(rest, "“"):
		return i + prefixThrough(rest, "”")
	case c == '$':
		return i + heredocEnd(rest)
	case isWordByte(c):
		n := 1
		for n < len(rest) && (isWordByte(rest[n]) || rest[n] == '$') {
			n++
		}
		return i + n
	}
	return i + 1
}

// quotedEnd returns the length of the quoted text s begins with: a backslash takes the next character along,
// a doubled quote is two adjacent texts.
func quotedEnd(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case s[0]:
			return i + 1
		}
	}
	return len(s)
}

// heredocEnd returns the length of $tag$…$tag$, or 1 when s begins with a mere dollar sign.
func heredocEnd(s string) int {
	n := 1
	for n < len(s) && isWordByte(s[n]) {
		n++
	}
	if n == len(s) || s[n] != '$' {
		return 1
	}
	tag := s[:n+1]
	if i := strings.Index(s[len(tag):], tag); i >= 0 {
		return len(tag) + i + len(tag)
	}
	return 1
}

// prefixThrough returns the length of s up to the end of the first `end`, or of all of s if there is none.
func prefixThrough(s, end string) int {
	if i := strings.Index(s, end); i >= 0 {
		return i + len(end)
	}
	return len(s)
}

func isWordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
