package catalog

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestParsePath(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"user": {"user"}, "user.id": {"user", "id"}, "data.user.id": {"user", "id"}, "data": {"data"},
		`"data".x`: {"data", "x"}, "data.data.x": {"data", "x"}, "Page URL": {"Page URL"},
		`page."utm.source"`: {"page", "utm.source"},
		`"a\"b".c`:          {`a"b`, "c"}, `"é".x`: {"é", "x"}, "a..b": {"a", "", "b"}, "": {""},
	} {
		if got, err := ParsePath(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: got %q, %v; want %q", text, got, err, want)
		}
	}
	for _, text := range []string{`"a`, `"a"b`, `"a\`, `"\q"`, `x."a"y`} {
		if got, err := ParsePath(text); err == nil {
			t.Errorf("%s: got %q, want an error", text, got)
		}
	}
}

// TestPathText: what PathText writes, ParsePath reads.
func TestPathText(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.OneOf(rapid.SampledFrom([]string{"data", "a.b", `"`, `\`, "é", "Page URL"}),
			rapid.StringN(1, 5, -1))
		path := rapid.SliceOfN(name, 1, 4).Draw(t, "path")
		text := PathText(path)
		if got, err := ParsePath(text); err != nil || !slices.Equal(got, path) {
			t.Fatalf("%q as %s: got %q, %v", path, text, got, err)
		}
	})
}

// TestStored: a column for each member that one type reads, and none for others.
func TestStored(t *testing.T) {
	t.Parallel()
	e := &EventType{Name: "e", Fields: []Field{
		{Name: "a", Type: Int64, Nulls: []string{"x"}},
		{Name: "b", Type: Int64, Path: []string{"a"}, Nulls: []string{"-"}, Coerce: true},
		{Name: "c", Type: String, Path: []string{"d"}}, {Name: "d", Type: Bool, Path: []string{"c"}},
		{Name: "f", Type: String, Path: []string{"time"}}, {Name: "g", Type: String, Path: []string{"Page URL"}},
		{Name: "h", Type: String, Path: []string{"h", "i"}}, {Name: "j", Type: Timestamp},
		{Name: "k", Type: String, Path: []string{"j"}}, {Name: "l", Type: String, Path: []string{"a__b"}}}}
	want := []Field{{Name: "a", Type: Int64, Nulls: []string{"-", "x"}, Coerce: true}, {Name: "c", Type: Bool},
		{Name: "d", Type: String}}
	if diff := cmp.Diff(want, e.Stored().Fields); diff != "" {
		t.Error(diff)
	}
	type member struct {
		t  FieldType
		ok bool
	}
	for name, want := range map[string]member{"a": {Int64, true}, "Page URL": {String, true}, "h": {"", true},
		"j": {"", true}, "c": {Bool, true}, "b": {"", false}, "subject": {String, true}, "g": {"", false}} {
		if t2, _, ok := e.Member(name); (member{t2, ok}) != want {
			t.Errorf("member %s: got %s, %t; want %v", name, t2, ok, want)
		}
	}
}

// TestMeaning: where a field comes from and what means null is in the digests of the views that use it, and in no
// other.
func TestMeaning(t *testing.T) {
	t.Parallel()
	digest := func(change func(*Field)) string {
		c := flights()
		change(firstField(c))
		return c.Digest(c.Views["departures"])
	}
	same := digest(func(*Field) {})
	seen := []string{same}
	for _, change := range []func(*Field){
		func(f *Field) { f.Path = []string{"a"} }, func(f *Field) { f.Path = []string{"a", "b"} },
		func(f *Field) { f.Path = []string{"a.b"} }, func(f *Field) { f.Nulls = []string{""} },
		func(f *Field) { f.Nulls = []string{"", "-"} },
	} {
		d := digest(change)
		if slices.Contains(seen, d) {
			t.Errorf("two meanings have the digest %s", d)
		}
		seen = append(seen, d)
	}
	null := Field{Name: "delay", Type: Int64, Nulls: []string{""}}
	coerced := null
	coerced.Coerce = true
	if digest(func(f *Field) { f.Coerce = true }) != same ||
		digest(func(f *Field) { *f = coerced }) != digest(func(f *Field) { *f = null }) {
		t.Error("coerce changed a digest, and it changes nothing of what stored events mean")
	}
	c := flights()
	c.Events["flight.departed"].Fields[4].Path = []string{"x"} // No view uses it.
	if c.Digest(c.Views["departures"]) != same {
		t.Error("the path of a field that the view does not use changed its digest")
	}
}

func coercedAs(t FieldType) Field { return Field{Name: "delay", Type: t, Coerce: true} }

func coercedAt(path ...string) Field {
	return Field{Name: "delay", Type: Int64, Path: path, Coerce: true}
}

func TestMistakesOfValues(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*Field){
		"path: 17 members; at most 16":       func(f *Field) { f.Path = slices.Repeat([]string{"a"}, 17) },
		`path: a member's name has`:          func(f *Field) { f.Path = []string{"a", ""} },
		"null_values: 101 texts; at most 10": func(f *Field) { f.Nulls = slices.Repeat([]string{"a"}, 101) },
		"null_values: a text has at most":    func(f *Field) { f.Nulls = []string{strings.Repeat("a", 257)} },
		"of UTF-8; not \"\\xff\"":            func(f *Field) { f.Nulls = []string{"\xff"} },
		"nothing is converted to bool":       func(f *Field) { *f = coercedAs(Bool) },
		"nothing is converted to time":       func(f *Field) { *f = coercedAs(Timestamp) },
		"kept as it was sent and conv":       func(f *Field) { *f = coercedAt("a", "b") },
		"coerce: a value inside of an":       func(f *Field) { *f = coercedAt("Page URL") },
		"fields of several types read":       func(f *Field) { *f = coercedAt("distance") },
	} {
		c := flights()
		change(firstField(c))
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want one that says %q", err, want)
		}
	}
}

// TestChangesOfRenamed: a column that a field reads under another name is declared.
func TestChangesOfRenamed(t *testing.T) {
	t.Parallel()
	stored := &EventType{Name: "e", Fields: []Field{{Name: "user_id", Type: Int64}}}
	declared := &EventType{Name: "e", Fields: []Field{{Name: "user", Type: Int64, Path: []string{"user_id"}}}}
	if got := Changes(stored, declared); got != nil {
		t.Errorf("a renamed field: %q", got)
	}
	declared.Fields[0].Type = String
	if got := Changes(stored, declared); len(got) != 1 ||
		!strings.Contains(got[0], "stored as int64 and declared as string") {
		t.Errorf("a renamed field of another type: %q", got)
	}
}
