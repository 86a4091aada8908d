package ingest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"recount/schemas/problem"
	"recount/schemas/window"
)

// oracle decides with encoding/json what the decoder should do with an event of type all: whether
// to accept it, and with which declared fields. It has code of its own for each rule in which
// recount is stricter than encoding/json.
func oracle(event []byte) (fields map[string]any, accepted bool) {
	if !json.Valid(event) || !utf8.Valid(event) || halfSurrogate(event) || duplicated(event) || deeper(event, 32) {
		return nil, false
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(event, &members) != nil || members == nil {
		return nil, false
	}
	attrs := map[string]string{}
	for name, raw := range members {
		if name == "data" || string(raw) == "null" && validName(name) {
			continue
		}
		var s string
		if err := json.Unmarshal(raw, &s); err == nil {
			attrs[name] = s
		} else if slices.Contains(attributeNames[:], name) || raw[0] == '{' || raw[0] == '[' {
			return nil, false
		}
		if !validName(name) {
			return nil, false
		}
	}
	_, versioned := attrs["specversion"]
	_, typed := attrs["datacontenttype"]
	_, encoded := attrs["data_base64"]
	if attrs["type"] != "all" || attrs["id"] == "" || len(attrs["id"]) > MaxID || versioned &&
		attrs["specversion"] != "1.0" || typed || encoded ||
		len(attrs["source"]) > MaxAttribute || len(attrs["subject"]) > MaxAttribute {
		return nil, false
	}
	if at, ok := attrs["time"]; ok {
		if v, ok := oracleTime(at); !ok || v > testNow.Add(5*time.Minute).UnixMicro() {
			return nil, false
		}
	}
	return oracleData(members["data"])
}

func validName(name string) bool {
	if name == "data_base64" {
		return true
	}
	return name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789") == ""
}

func oracleData(raw json.RawMessage) (map[string]any, bool) {
	fields := map[string]any{}
	if raw == nil || string(raw) == "null" {
		return fields, true
	}
	var data map[string]json.RawMessage
	if json.Unmarshal(raw, &data) != nil {
		return nil, false
	}
	for name, raw := range data {
		var v any
		var ok bool
		switch {
		case string(raw) == "null":
			continue
		case name == "b":
			v, ok = parse[bool](raw)
		case name == "s":
			v, ok = parse[string](raw)
		case name == "f":
			var f float64
			if f, ok = parse[float64](raw); f == 0 {
				f = 0
			}
			v = f
		case name == "i":
			v, ok = oracleInt(raw)
		case name == "t":
			var s string
			if s, ok = parse[string](raw); ok {
				v, ok = oracleTime(s)
			}
		default:
			continue
		}
		if !ok {
			return nil, false
		}
		fields[name] = v
	}
	return fields, true
}

func parse[T any](raw json.RawMessage) (v T, ok bool) { return v, json.Unmarshal(raw, &v) == nil }

func oracleInt(raw json.RawMessage) (int64, bool) {
	n, ok := parse[json.Number](raw)
	if !ok || raw[0] == '"' {
		return 0, false
	}
	if i := strings.IndexAny(string(n), "eE"); i >= 0 && len(n)-i > 5 {
		return 0, strings.Trim(string(n[:i]), "-0.") == ""
	}
	r, ok := new(big.Rat).SetString(string(n))
	if !ok || !r.IsInt() || !r.Num().IsInt64() {
		return 0, false
	}
	return r.Num().Int64(), true
}

func oracleTime(s string) (int64, bool) {
	s = strings.ToUpper(s)
	leap := len(s) > len("2006-01-02T15:04:05") && s[len("2006-01-02T15:04:"):len("2006-01-02T15:04:05")] == "60"
	if leap {
		s = s[:len("2006-01-02T15:04:")] + "59" + s[len("2006-01-02T15:04:05"):]
	}
	var t time.Time
	if t.UnmarshalText([]byte(s)) != nil || lenientTime(s) {
		return 0, false
	}
	if leap {
		t = t.UTC().Truncate(time.Second).Add(time.Second)
		if t != time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC) {
			return 0, false
		}
		t = t.Add(-time.Microsecond)
	}
	v := t.UnixMicro()
	return v, v >= window.MinTime && v <= window.MaxTime
}

// lenientTime reports whether package time accepts a time that RFC 3339 does not (golang/go#54580):
// an hour of one digit, a comma before the fraction, an offset of 24 hours or 60 minutes.
func lenientTime(s string) bool {
	if len(s) < len("2006-01-02T15:04:05Z") || s[len("2006-01-02T15")] != ':' || strings.Contains(s, ",") {
		return true
	}
	return s[len(s)-1] != 'Z' && (s[len(s)-5:len(s)-3] == "24" || s[len(s)-2:] == "60")
}

// halfSurrogate finds halves of surrogate pairs, which encoding/json replaces silently.
func halfSurrogate(event []byte) bool {
	d := json.NewDecoder(bytes.NewReader(event))
	d.UseNumber() // Without it a number beyond float64 would end the reading.
	replacements := strings.Count(string(event), "\uFFFD") + strings.Count(strings.ToLower(string(event)), `\ufffd`)
	for {
		tok, err := d.Token()
		if err != nil {
			return replacements < 0
		}
		if s, ok := tok.(string); ok {
			replacements -= strings.Count(s, "\uFFFD")
		}
	}
}

// duplicated reports whether a key appears twice in one object.
func duplicated(event []byte) bool {
	d := json.NewDecoder(bytes.NewReader(event))
	d.UseNumber()
	return objectDuplicates(d)
}

func objectDuplicates(d *json.Decoder) bool {
	tok, err := d.Token()
	if err != nil {
		return false
	}
	delim, ok := tok.(json.Delim)
	if !ok {
		return false
	}
	seen := map[string]bool{}
	for d.More() {
		if delim == '{' {
			key, err := d.Token()
			if err == io.EOF || seen[fmt.Sprint(key)] {
				return true
			}
			seen[fmt.Sprint(key)] = true
		}
		if objectDuplicates(d) {
			return true
		}
	}
	_, _ = d.Token()
	return false
}

func deeper(event []byte, limit int) bool {
	depth := 0
	d := json.NewDecoder(bytes.NewReader(event))
	for {
		tok, err := d.Token()
		if err != nil {
			return false
		}
		switch tok {
		case json.Delim('{'), json.Delim('['):
			if depth++; depth > limit {
				return true
			}
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
	}
}

// compare decodes an event with the decoder and with the oracle.
func compare(t interface {
	Helper()
	Errorf(string, ...any)
}, d *decoder, event []byte) {
	t.Helper()
	want, accepted := oracle(event)
	d.start(event, false, testNow)
	refused := d.decode()
	if (refused == nil || refused.code != problem.InvalidJSON) && !d.atEnd() {
		refused = &rejection{code: problem.InvalidJSON, message: "trailing"}
	}
	if (refused == nil) != accepted {
		t.Errorf("%q: rejection %+v; the oracle accepts it: %v", event, refused, accepted)
		return
	}
	if refused != nil {
		if !json.Valid(event) && utf8.Valid(event) && refused.code != problem.InvalidJSON &&
			refused.code != problem.TooDeep && refused.code != problem.TooManyFields {
			t.Errorf("%q: it is not JSON, but was rejected with %s", event, refused.code)
		}
		return
	}
	if diff := cmp.Diff(want, values(d)); diff != "" {
		t.Errorf("%q: %s", event, diff)
	}
	if len(d.row.extra) > 0 && (!json.Valid(d.row.extra) || duplicated(d.row.extra)) {
		t.Errorf("%q: the extra fields are not JSON: %s", event, d.row.extra)
	}
}

func testDecoder() *decoder {
	types, fields := compileTypes(testCatalog(), nil)
	return newDecoder(testConfig(), types, fields)
}

// jsonValue draws values near the limits of every rule.
func jsonValue(depth int) *rapid.Generator[string] {
	leaf := rapid.SampledFrom([]string{"null", "true", "false", "0", "-0", "-0.0", "1", "5.0", "5e0", "50e-1", "0.5",
		"1e3", "-12", "1E+2", "00", "1.", ".5", "1e",
		"9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809",
		"9007199254740993", "9.223372036854775807e18",
		"0.1", "123456789012345678", "1.7976931348623157e308", "1e309", "1e-400", "0e99999999999",
		"2.2250738585072011e-308", "123456.789012345",
		`""`, `"x"`, `"\u00e9"`, `"é"`, `"\ud83d\ude00"`, `"\ud83d"`, `"\ud83dx"`, `"\ud83d\u0041"`,
		`"a\"b\\c\/d\b\f\n\r\t"`, `"\u0000"`, `"\U0000"`, `"\u00g0"`,
		"\"\xff\"", "\"\xc3\\n\xa9\"", "\"a\x01b\"", `"ends with backslash\\"`, `"exactly8"`, `"exactly 16 bytes"`,
		`"seven\\7"`,
		`"2001-01-01T00:00:00Z"`, `"2001-02-29T00:00:00Z"`, `"2000-02-29T23:59:59.999999999+23:59"`,
		`"2001-01-01T24:00:00Z"`, `"2001-01-01t00:00:00z"`, `"1998-12-31T17:59:60.5-06:00"`, `"1998-12-30T23:59:60Z"`,
		`"1.0"`, `"all"`, "nul", "tru", "{", "]"})
	if depth == 0 {
		return leaf
	}
	nested := rapid.Custom(func(t *rapid.T) string {
		parts := rapid.SliceOfN(jsonValue(depth-1), 0, 3).Draw(t, "parts")
		if rapid.Bool().Draw(t, "array") {
			return "[" + strings.Join(parts, " ,") + "]"
		}
		for i := range parts {
			parts[i] = rapid.SampledFrom([]string{`"a"`, `"b"`, `"c"`, `"\u0061"`, `""`}).Draw(t, "key") + ":" +
				parts[i]
		}
		return "{" + strings.Join(parts, ",") + "}"
	})
	return rapid.OneOf(leaf, leaf, leaf, nested)
}

func jsonEvent() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		object := func(keys []string, limit int) string {
			var parts []string
			for _, k := range rapid.SliceOfNDistinct(rapid.SampledFrom(keys), 0, limit, rapid.ID[string]).Draw(t,
				"keys") {
				space := rapid.SampledFrom([]string{"", "", " ", "\n\t"}).Draw(t, "space")
				parts = append(parts, k+space+":"+space+jsonValue(2).Draw(t, "value"))
			}
			return strings.Join(parts, ",")
		}
		parts := []string{`"type":"all"`, `"id":"x"`, `"data":{` +
			object([]string{`"b"`, `"f"`, `"i"`, `"s"`, `"t"`, `"z"`, `"\u0069"`, `"y y"`}, 5) + "}"}
		if more := object([]string{`"time"`, `"subject"`, `"source"`, `"specversion"`, `"ext"`, `"Bad"`, `"id"`,
			`"datacontenttype"`}, 1); more != "" {
			parts = append(parts, more)
		}
		return "{" + strings.Join(rapid.Permutation(parts).Draw(t, "order"), ",") + "}"
	})
}

func TestDecodeAgreesWithEncodingJSON(t *testing.T) {
	t.Parallel()
	d := testDecoder()
	rapid.Check(t, func(t *rapid.T) { compare(t, d, []byte(jsonEvent().Draw(t, "event"))) })
}

func TestIntegersAreExact(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(
			rapid.StringMatching(`-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,5})?([eE][+-]?[0-9]{1,2})?`),
			rapid.StringMatching(`-?[1-9][0-9]{4,14}\.[0-9]{1,12}`),
			rapid.Map(rapid.Int64(), func(v int64) string { return strconv.FormatInt(v, 10) }),
		).Draw(t, "number")
		s := scanner{buf: []byte(text)}
		n, ok := s.scanNumber()
		v, whole, fits := n.int64()
		want, accepted := oracleInt(json.RawMessage(text))
		if !ok || (whole && fits) != accepted || accepted && v != want {
			t.Fatalf("%s: got %d, %v, %v; want %d, %v", text, v, whole, fits, want, accepted)
		}
		f, fits := n.float64()
		var wantF float64
		if err := json.Unmarshal([]byte(text), &wantF); fits != (err == nil) || fits &&
			(f != wantF || f == 0 && math.Signbit(f)) {
			t.Fatalf("%s: got %v, %v, want %v", text, f, fits, wantF)
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(strings.Replace(flight(1), "flight.departed", "all", 1)))
	f.Add([]byte(dataWith(`"i":5.0,"s":"\ud83d\ude00","b":true,"f":-1e-5,"t":"2001-01-01T00:00:00Z","z":[{"a":null}]`)))
	f.Add([]byte(event(`,"ext":"é","data":{"s":null}`)))
	f.Add([]byte(`{"data":{"i":1},"type":"all","id":"\u0061"}`))
	d := testDecoder()
	d.maxFields = math.MaxInt
	f.Fuzz(func(t *testing.T, event []byte) { compare(t, d, event) })
}
