package expression

import (
	"fmt"
	"strings"
)

// textFunctions are the functions of strings.
var textFunctions = []function{
	{name: "lower", usage: "lower(text)", help: "The text with A to Z as a to z. Other letters stay.",
		check:    takes(String, String),
		evaluate: func(_ *node, a []value) value { return text(mapASCII(a[0].text, 'A', 'Z', 'a'-'A')) },
		sql:      called("lower")},
	{name: "upper", usage: "upper(text)", help: "The text with a to z as A to Z. Other letters stay.",
		check:    takes(String, String),
		evaluate: func(_ *node, a []value) value { return text(mapASCII(a[0].text, 'a', 'z', 'A'-'a')) },
		sql:      called("upper")},
	{name: "substring", usage: "substring(text, 1, 3)",
		help:  "So many characters of the text, from the one of the number on, which begins with 1. Both are literals.",
		check: checkSubstring, evaluate: evaluateSubstring,
		sql: func(n *node, a []string) string {
			return fmt.Sprintf("substringUTF8(%s, %d, %d)", a[0], n.args[1].value.whole, n.args[2].value.whole)
		}},
	{name: "split", usage: "split(text, '/', 1)",
		help: "The part of the number, which begins with 1, of the text that is cut at each separator; null if there " +
			"are fewer. Separator and number are literals.",
		check: checkSplit, evaluate: func(_ *node, a []value) value {
			parts := strings.Split(a[0].text, a[1].text)
			if number := a[2].whole; number <= int64(len(parts)) {
				return text(parts[number-1])
			}
			return none
		}, sql: func(n *node, a []string) string {
			return bind(a[0], "_x", func(x string) string {
				parts := fmt.Sprintf("splitByString(%s, ifNull(%s, ''))", a[1], x)
				return fmt.Sprintf("if(isNull(%s) OR length(%s) < %d, NULL, %s[%d])", x, parts, n.args[2].value.whole,
					parts, n.args[2].value.whole)
			})
		}},
	{name: "host", usage: "host(url)",
		help:  "The host of a URL such as https://example.com:8080/a?b, as it is spelled; null if the text has none.",
		check: takes(String, String), evaluate: func(_ *node, a []value) value {
			rest, ok := cutScheme(a[0].text)
			if !ok {
				return none
			}
			host := hostOf(rest)
			return value{text: host, isNull: host == ""}
		}, sql: func(_ *node, a []string) string { return onURL(a[0], hostSQL) }},
	{name: "path", usage: "path(url)",
		help: "The path of a URL, without query and fragment, as it is spelled; empty if it has none, and null if " +
			"the text is no URL with a host.",
		check: takes(String, String), evaluate: func(_ *node, a []value) value {
			rest, ok := cutScheme(a[0].text)
			if !ok || hostOf(rest) == "" {
				return none
			}
			rest = beforeAny(rest, "?#")
			if slash := strings.IndexByte(rest, '/'); slash >= 0 {
				return text(rest[slash:])
			}
			return text("")
		}, sql: func(_ *node, a []string) string {
			return onURL(a[0], func(rest string) string {
				path := bind(beforeSQL(rest, "?", "#"), "_p", func(p string) string {
					return fmt.Sprintf("if(position(%s, '/') = 0, '', substring(%s, position(%s, '/')))", p, p, p)
				})
				return fmt.Sprintf("if(isNull(%s), NULL, %s)", hostSQL(rest), path)
			})
		}},
}

func called(name string) func(*node, []string) string {
	return func(_ *node, a []string) string { return name + "(" + a[0] + ")" }
}

func mapASCII(s string, from, to byte, by int) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return r >= rune(from) && r <= rune(to) }) {
		return s
	}
	b := []byte(s)
	for i, c := range b {
		if c >= from && c <= to {
			b[i] = byte(int(c) + by)
		}
	}
	return string(b)
}

func isLiteralOf(n *node, t Type) bool { return n.isLiteral && n.resultOf == t }

func checkSubstring(n *node) string {
	if msg := takes(String, String, Int64, Int64)(n); msg != "" {
		return msg
	}
	if !isLiteralOf(n.args[1], Int64) || !isLiteralOf(n.args[2], Int64) || n.args[1].value.whole < 1 ||
		n.args[2].value.whole < 0 || n.args[1].value.whole > maxLiteral || n.args[2].value.whole > maxLiteral {
		return "the numbers are literals from 1 and 0"
	}
	return ""
}

// maxLiteral bounds the numbers of characters and parts.
const maxLiteral = 1 << 20

func checkSplit(n *node) string {
	if msg := takes(String, String, String, Int64)(n); msg != "" {
		return msg
	}
	if !isLiteralOf(n.args[1], String) || n.args[1].value.text == "" || !isLiteralOf(n.args[2], Int64) ||
		n.args[2].value.whole < 1 || n.args[2].value.whole > maxLiteral {
		return "the separator is a literal that is not empty, and the number a literal from 1"
	}
	return ""
}

func evaluateSubstring(_ *node, a []value) value {
	s := a[0].text
	start := skipCharacters(s, a[1].whole-1)
	return text(s[start : start+skipCharacters(s[start:], a[2].whole)])
}

// skipCharacters returns the length of so many characters. The first byte of a character says how long it is, as it
// does for ClickHouse; so text that is not UTF-8 has characters, too.
func skipCharacters(s string, n int64) int {
	i := 0
	for ; n > 0 && i < len(s); n-- {
		switch c := s[i]; {
		case c >= 0xF0 && c < 0xF8:
			i += 4
		case c >= 0xE0 && c < 0xF0:
			i += 3
		case c >= 0xC0 && c < 0xE0:
			i += 2
		default:
			i++
		}
	}
	return min(i, len(s))
}

// cutScheme returns what follows the scheme of a URL.
func cutScheme(url string) (rest string, ok bool) {
	scheme, rest, ok := strings.Cut(url, "://")
	if !ok || scheme == "" || !isLetter(scheme[0]) || scheme[0] == '_' {
		return "", false
	}
	for i := range len(scheme) {
		if c := scheme[i]; c == '_' || !isLetter(c) && !isDigit(c) && strings.IndexByte("+.-", c) < 0 {
			return "", false
		}
	}
	return rest, true
}

func beforeAny(s, chars string) string {
	if i := strings.IndexAny(s, chars); i >= 0 {
		return s[:i]
	}
	return s
}

// hostOf returns the host of what follows the scheme: without a user before it and a port after it.
func hostOf(rest string) string {
	host := beforeAny(rest, "/?#")
	host = host[strings.LastIndexByte(host, '@')+1:]
	if colon := strings.LastIndexByte(host, ':'); colon >= 0 && strings.Trim(host[colon+1:], "0123456789") == "" {
		host = host[:colon]
	}
	return host
}

// onURL is the SQL of something made of what follows the scheme; null if there is no scheme.
func onURL(url string, of func(rest string) string) string {
	return bind("ifNull("+url+", '')", "_u", func(u string) string {
		scheme := fmt.Sprintf("substring(%s, 1, position(%s, '://') - 1)", u, u)
		rest := fmt.Sprintf("substring(%s, position(%s, '://') + 3)", u, u)
		return fmt.Sprintf("if(position(%s, '://') = 0 OR NOT match(%s, '^[A-Za-z][A-Za-z0-9+.-]*$'), NULL, %s)", u,
			scheme, bind(rest, "_r", of))
	})
}

// beforeSQL is the SQL of a text up to the first of the characters.
func beforeSQL(sql string, chars ...string) string {
	for _, c := range chars {
		sql = "splitByString('" + c + "', " + sql + ")[1]"
	}
	return sql
}

// hostSQL is the SQL of the host of what follows the scheme; null if there is none.
func hostSQL(rest string) string {
	host := "splitByString('@', " + beforeSQL(rest, "/", "?", "#") + ")[-1]"
	return bind(host, "_h", func(h string) string {
		port := "splitByString(':', " + h + ")[-1]"
		return fmt.Sprintf("nullIf(if(position(%s, ':') > 0 AND match(%s, '^[0-9]*$'), substring(%s, 1, length(%s) - "+
			"length(%s) - 1), %s), '')", h, port, h, h, port, h)
	})
}
