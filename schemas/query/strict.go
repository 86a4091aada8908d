package query

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth is how deep a query's JSON goes: the query, a list, conditions with a list in each, the values of the last.
const maxDepth = 4 + 2*MaxDepth

// strict refuses what encoding/json takes although two readers may understand it
// differently: a field twice, a field in another case, bytes that are not UTF-8 and
// halves of surrogate pairs, which it replaces. It also bounds depth and lists, so
// that what encoding/json then builds takes little more memory than the body.
func strict(body []byte) error {
	if !utf8.Valid(body) {
		return invalid("query", "not valid UTF-8")
	}
	if halfPair(body) {
		return invalid("query", "a string holds half of a surrogate pair")
	}
	w := walker{json.NewDecoder(bytes.NewReader(body))}
	w.UseNumber()
	if _, err := w.value("query", 0); err != nil {
		return err
	}
	if _, err := w.Token(); !errors.Is(err, io.EOF) {
		return invalid("query", "more than one JSON value")
	}
	return nil
}

// walker goes through a body token by token.
type walker struct{ *json.Decoder }

func (w walker) token() (json.Token, error) {
	tok, err := w.Token()
	switch {
	case errors.Is(err, io.EOF):
		return nil, invalid("query", "the JSON ends too early")
	case err != nil:
		return nil, invalid("query", "%s", strings.TrimPrefix(err.Error(), "json: "))
	}
	return tok, nil
}

// value takes the next value, which belongs to a field. It returns how many elements it has.
func (w walker) value(field string, depth int) (elements int, err error) {
	tok, err := w.token()
	if err != nil {
		return 0, err
	}
	open, ok := tok.(json.Delim)
	if !ok {
		return 0, nil
	}
	if depth == maxDepth {
		return 0, invalid(field, "objects and lists are nested too deeply; and, or and not may be %d deep", MaxDepth)
	}
	if open == '{' {
		err = w.members(field, depth)
	} else {
		elements, err = w.elements(field, depth)
	}
	if err == nil {
		_, err = w.token() // The closing bracket.
	}
	return elements, err
}

func (w walker) elements(field string, depth int) (n int, err error) {
	for ; w.More(); n++ {
		if n == MaxValues {
			return n, invalid(field, "more than %d elements in a list", MaxValues)
		}
		if _, err := w.value(field, depth+1); err != nil {
			return n, err
		}
	}
	return n, nil
}

// unknown names a field that nobody knows, where that is a name; the whole query otherwise.
func unknown(name string) string {
	if len(name) == 0 || len(name) > maxUnknown {
		return "query"
	}
	return name
}

// maxUnknown is the longest name of an unknown field that is repeated in an error, in bytes.
const maxUnknown = 64

func (w walker) members(field string, depth int) error {
	var seen []string
	hasValue := false
	for w.More() {
		tok, err := w.token()
		if err != nil {
			return err
		}
		name, _ := tok.(string)
		switch {
		case !fieldName(name):
			if depth == 0 {
				field = unknown(name)
			}
			return invalid(field, "unknown field %q", name)
		case slices.Contains(seen, name):
			return invalid(field, "%q comes twice", name)
		case len(seen) == maxMembers:
			return invalid(field, "unknown fields")
		}
		seen = append(seen, name)
		if depth == 0 {
			field = name
		}
		elements, err := w.value(field, depth+1)
		if err != nil {
			return err
		}
		hasValue = hasValue || name == "value" || name == "values" && elements > 0
	}
	isComparison := slices.Contains(seen, "dimension") || slices.Contains(seen, "measure")
	if isComparison && slices.Contains(seen, "op") && !hasValue { // encoding/json would take it for a null.
		return invalid(field, `a comparison has no value; give it value or values: null is a missing value`)
	}
	return nil
}

// maxMembers is more than any object of a query has, and longer than any name.
const maxMembers = 32

// fieldName reports whether a field may have the name. All have lower-case letters only, and
// encoding/json would take AS_OF for as_of.
func fieldName(name string) bool {
	return name != "" && len(name) <= maxMembers && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") == ""
}

// halfPair finds an escaped surrogate that is not one of a pair. Backslashes are in strings
// alone, or the body is not JSON and refused for that.
func halfPair(body []byte) bool {
	for i := 0; i < len(body); i++ {
		if body[i] != '\\' {
			continue
		}
		r := hex4(body[i:])
		switch {
		case !utf16.IsSurrogate(r):
			i++ // The next character is escaped; it may be another backslash.
		case utf16.DecodeRune(r, hex4(body[min(i+6, len(body)):])) == utf8.RuneError:
			return true
		default:
			i += 11
		}
	}
	return false
}

// hex4 reads \uXXXX, -1 if it is not there.
func hex4(b []byte) rune {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return -1
	}
	var r rune
	for _, c := range b[2:6] {
		i := strings.IndexByte("0123456789abcdefABCDEF", c)
		if i < 0 {
			return -1
		}
		if i > 15 {
			i -= 6
		}
		r = r<<4 | rune(i)
	}
	return r
}
