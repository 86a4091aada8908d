package ingest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"recount/schemas/catalog"
)

// surveyValue generates a value of a member, at most so deep.
func surveyValue(t *rapid.T, depth int) string {
	kinds := []string{"null", "true", "false", "0", "-1", "5.0", "5e3", "1e-3", "0.5", "9223372036854775807",
		"9223372036854775808", "-9223372036854775809", "1e400", `""`, `"x"`, `"5"`, `"2024-05-01T10:00:00Z"`,
		`"2024-05-01t10:00:00.5+02:00"`, `"2024-05-01"`, `"1815-01-01T00:00:00Z"`, `"\u0032024-05-01T10:00:00Z"`, "[]",
		"[1]", `[{"a":1}]`, "{}"}
	if depth == 0 || rapid.IntRange(0, 2).Draw(t, "inner") > 0 {
		return rapid.SampledFrom(kinds).Draw(t, "value")
	}
	return surveyObject(t, depth-1)
}

func surveyObject(t *rapid.T, depth int) string {
	names := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "A", "é", "c.d", "日本", ""}), 0, 4,
		rapid.ID[string]).Draw(t, "names")
	var parts []string
	for _, name := range names {
		quoted := strconv.Quote(name)
		if name == "a" && rapid.Bool().Draw(t, "escaped") {
			quoted = `"\u0061"`
		}
		parts = append(parts, " "+quoted+" : "+surveyValue(t, depth)+" ")
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// naiveKinds finds out, with encoding/json, which kinds of values each member has, and how often.
func naiveKinds(event any, path []string, kinds map[string]map[string]int) {
	object, _ := event.(map[string]any)
	for name, value := range object {
		if name == "" || value == nil {
			continue
		}
		inner := append(slices.Clone(path), name)
		key, _ := json.Marshal(inner)
		if kinds[string(key)] == nil {
			kinds[string(key)] = map[string]int{}
		}
		kinds[string(key)][naiveKind(value)]++
		if len(inner) < naiveDepth {
			naiveKinds(value, inner, kinds)
		}
	}
}

const naiveDepth = 2

func naiveKind(value any) string {
	switch v := value.(type) {
	case bool:
		return "bool"
	case string:
		at, err := time.Parse(time.RFC3339, strings.ToUpper(v))
		if err == nil && at.Year() >= 1970 && at.Year() < 2261 {
			return "timestamp"
		}
		return "string"
	case json.Number:
		if _, err := strconv.ParseInt(string(v), 10, 64); err == nil {
			return "int64"
		}
		_, err := strconv.ParseFloat(string(v), 64)
		if err == nil && strings.ContainsAny(string(v), ".eE") {
			return "float64"
		}
	}
	return "other"
}

// naiveType is the type of a member with values of some kinds.
func naiveType(kinds map[string]int) string {
	names := slices.Sorted(maps.Keys(kinds))
	switch text := strings.Join(names, " "); text {
	case "other":
		return ""
	case "float64 int64":
		return "float64"
	case "string timestamp":
		return "string"
	default:
		if len(names) == 1 {
			return text
		}
		return ""
	}
}

// TestSurveyAgainstNaive compares what a survey finds with what encoding/json finds, in any order of the events, and
// checks that the declaration that follows accepts every one of them, also after a process that has seen none of them
// has extended it by some.
func TestSurveyAgainstNaive(t *testing.T) {
	t.Parallel()
	bounds := DefaultDiscovery()
	bounds.Depth = naiveDepth
	rapid.Check(t, func(t *rapid.T) {
		objects := rapid.Custom(func(t *rapid.T) string { return surveyObject(t, 3) })
		data := rapid.SliceOfN(objects, 1, 6).Draw(t, "data")
		kinds := map[string]map[string]int{}
		for _, d := range data {
			decoded := json.NewDecoder(strings.NewReader(d))
			decoded.UseNumber()
			var v any
			if err := decoded.Decode(&v); err != nil {
				t.Fatalf("%v in %s", err, d)
			}
			naiveKinds(v, nil, kinds)
		}
		want := map[string]string{}
		for path, k := range kinds {
			n := 0
			for _, times := range k {
				n += times
			}
			if found := naiveType(k); found != "" {
				want[path] = fmt.Sprint(found, " ", n)
			}
		}
		found := surveyOf(t, &bounds, data)
		got := map[string]string{}
		for _, f := range found {
			if f.Type == "" {
				continue
			}
			path, _ := json.Marshal(f.Path)
			got[string(path)] = fmt.Sprint(f.Type, " ", f.Events)
		}
		if !maps.Equal(got, want) {
			t.Fatalf("found %v, want %v", got, want)
		}
		none := &catalog.Catalog{Bucket: time.Hour, Events: map[string]*catalog.EventType{}}
		declared := declaredOf(t, none, found)
		again := declaredOf(t, none, surveyOf(t, &bounds, rapid.Permutation(data).Draw(t, "order")))
		if encodedType(declared) != encodedType(again) {
			t.Fatalf("declared as %s, and in another order as %s", encodedType(declared), encodedType(again))
		}
		acceptsAll(t, declared, data)
		extended := declaredOf(t, declared, surveyOf(t, &bounds, rapid.Permutation(data).Draw(t, "later")[:1]))
		acceptsAll(t, extended, data)
	})
}

// acceptsAll checks that no event is refused.
func acceptsAll(t *rapid.T, declared *catalog.Catalog, data []string) {
	types, n := compileTypes(declared, nil)
	d := newDecoder(DefaultConfig(), types, n)
	for _, text := range data {
		d.start([]byte(`{"id":"1","type":"t","data":`+text+"}"), false, testNow)
		if refused := d.decode(); refused != nil {
			t.Fatalf("declared as %s, %s is refused: %s", encodedType(declared), text, refused.message)
		}
	}
}

// surveyOf surveys data as the decoder has it.
func surveyOf(t *rapid.T, bounds *DiscoveryConfig, data []string) []catalog.Found {
	types, n := compileTypes(&catalog.Catalog{Events: map[string]*catalog.EventType{"t": {Name: "t"}}}, nil)
	d := newDecoder(DefaultConfig(), types, n)
	s := survey{bounds: bounds}
	for _, text := range data {
		d.start([]byte(`{"id":"1","type":"t","data":`+text+"}"), false, testNow)
		if refused := d.decode(); refused != nil {
			t.Fatal(refused.message)
		}
		s.observe(d.undeclared)
	}
	return s.found()
}

// declaredOf declares what was found, which makes a valid catalog.
func declaredOf(t *rapid.T, before *catalog.Catalog, found []catalog.Found) *catalog.Catalog {
	next, _ := before.Discover("t", found, 100)
	if err := next.Validate(); err != nil {
		t.Fatal(err)
	}
	return next
}

func encodedType(c *catalog.Catalog) string {
	raw, _ := json.Marshal([]any{c.Events["t"], c.Undecided["t"]})
	return string(bytes.TrimSpace(raw))
}
