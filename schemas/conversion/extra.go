package conversion

import (
	"encoding/json"
	"strings"
)

// undeclared returns the value at a path of data in the text of eventbatch.ColExtra, which package ingest describes.
func undeclared(extra string, path []string) value {
	if !mayHave(extra, path[0]) {
		return value{} // It is so for most events of a field that is rarely sent.
	}
	raw := member(extra, "data")
	for _, name := range path {
		if raw == "" || raw[0] != '{' {
			return value{}
		}
		raw = member(raw, name)
	}
	return parseValue(raw)
}

// mayHave reports whether the text may have the member. Ingest writes the names of fields that are undeclared in one
// way, with nothing escaped in names of this form.
func mayHave(extra, name string) bool {
	if strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == '"' || r == '\\' }) {
		return true
	}
	return strings.Contains(extra, `"`+name+`":`)
}

// parseValue reads a JSON value. An empty text is no value.
func parseValue(raw string) value {
	if raw == "" {
		return value{}
	}
	switch raw[0] {
	case 'n':
		return value{} // Inside of another member nulls are kept.
	case '"':
		var s string
		if json.Unmarshal([]byte(raw), &s) == nil {
			return value{kind: text, text: s}
		}
	case 't', 'f':
		return truthOf(raw[0] == 't')
	case '{', '[':
	default:
		v := parseNumber(raw)
		if v.kind == missing {
			v.kind = other
		}
		v.text = raw // It may mean null, also if no type holds the number.
		return v
	}
	return value{kind: other}
}

// isExact reports whether a spelling of a number in JSON means exactly the number of another spelling.
func isExact(spelling, number string) bool {
	a, ok1 := evaluate(spelling)
	b, ok2 := evaluate(number)
	return ok1 && ok2 && a == b
}

// member returns the text of a member's value in an object without white space, or nothing if there is none.
func member(object, name string) string {
	for i := 1; i < len(object) && object[i] == '"'; {
		end := valueEnd(object, i)
		key := object[i+1 : max(end-1, i+1)]
		if end >= len(object) || object[end] != ':' {
			return ""
		}
		start := end + 1
		end = valueEnd(object, start)
		if key == name || strings.IndexByte(key, '\\') >= 0 && unescaped(key) == name {
			return object[start:end]
		}
		i = end + 1 // After the comma.
	}
	return ""
}

// unescaped returns the name that a name in JSON means.
func unescaped(key string) string {
	var s string
	if json.Unmarshal([]byte(`"`+key+`"`), &s) != nil {
		return ""
	}
	return s
}

// valueEnd returns the index after the value that begins at i.
func valueEnd(s string, i int) int {
	depth := 0
	for ; i < len(s); i++ {
		switch s[i] {
		case '"':
			i = stringEnd(s, i) - 1
			if depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
			if depth < 0 {
				return i
			}
		case ',':
			if depth == 0 {
				return i
			}
		}
	}
	return len(s)
}

// stringEnd returns the index after the string that begins at i.
func stringEnd(s string, i int) int {
	for i++; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(s)
}
