package catalog

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestNormalize(t *testing.T) {
	t.Parallel()
	zoned := time.Date(2013, 11, 3, 1, 30, 0, 1000, time.FixedZone("", -5*3600))
	for _, c := range []struct {
		value any
		as    FieldType
		want  any // nil: refused
	}{
		{"ORD", String, "ORD"},
		{"", String, ""},
		{1, String, nil},
		{1, Int64, int64(1)},
		{int64(math.MinInt64), Int64, int64(math.MinInt64)},
		{float64(3), Int64, int64(3)},
		{3.5, Int64, nil},
		{float64(1 << 53), Int64, nil}, // The next integer has the same float64.
		{math.Inf(1), Int64, nil},
		{math.NaN(), Int64, nil},
		{"1", Int64, nil},
		{true, Int64, nil},
		{2, Float64, float64(2)},
		{2.5, Float64, 2.5},
		{"2.5", Float64, nil},
		{true, Bool, true},
		{1, Bool, nil},
		{"1970-01-01T00:00:01Z", Timestamp, int64(1_000_000)},
		{"2013-11-03T01:30:00.000001-05:00", Timestamp, zoned.UnixMicro()},
		{zoned, Timestamp, zoned.UnixMicro()},
		{"1970-01-01t00:00:01z", Timestamp, int64(1_000_000)},
		{"1971-12-31T23:59:60Z", Timestamp, int64(63_072_000_000_000 - 1)},
		{"1971-12-30T23:59:60Z", Timestamp, nil},
		{"2013-11-03T01:30:00", Timestamp, nil},
		{"2013-11-03", Timestamp, nil},
		{1_000_000, Timestamp, nil},
		{nil, String, nil},
		{[]any{"a"}, String, nil},
	} {
		got, err := Normalize(c.value, c.as)
		if (err == nil) != (c.want != nil) || err == nil && got != c.want {
			t.Errorf("%T %v as %s: got %T %v, %v; want %v", c.value, c.value, c.as, got, got, err, c.want)
		}
		if err == nil && !isOf(got, c.as) {
			t.Errorf("%T %v as %s: isOf refuses %T %v", c.value, c.value, c.as, got, got)
		}
	}
}

// TestColumnsAreStable freezes the order in which a view reads columns: the digest depends on it.
func TestColumnsAreStable(t *testing.T) {
	t.Parallel()
	v := flights().Views["departures"]
	got := strings.Join(v.Columns(), " ")
	if want := "origin subject delay distance tail"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestColumnPrefersTheField checks that a declared field hides the attribute of the same name.
func TestColumnPrefersTheField(t *testing.T) {
	t.Parallel()
	e := flights().Events["flight.departed"]
	e.Fields = append(e.Fields, Field{Name: "subject", Type: Int64})
	for name, want := range map[string]struct {
		fieldType FieldType
		known     bool
	}{"subject": {Int64, true}, "source": {String, true}, "delay": {Int64, true}, "gate": {String, false}} {
		got, known := e.Column(name)
		if got != want.fieldType || known != want.known {
			t.Errorf("%s: got %s, %v; want %s, %v", name, got, known, want.fieldType, want.known)
		}
	}
}

func TestViewsOf(t *testing.T) {
	t.Parallel()
	c := flights()
	for _, name := range []string{"b", "a"} {
		v := *c.Views["departures"]
		v.Name = name
		c.Views[name] = &v
	}
	c.Views["other"] = &View{Name: "other", Event: "x"}
	var names []string
	for _, v := range c.ViewsOf("flight.departed") {
		names = append(names, v.Name)
	}
	got := strings.Join(names, " ")
	if want := "a b departures"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestLimits checks both sides of each limit: the largest declaration is accepted, one more is refused.
func TestLimits(t *testing.T) {
	t.Parallel()
	names := func(n int) []string {
		var out []string
		for i := range n {
			out = append(out, "f"+strings.Repeat("x", i))
		}
		return out
	}
	for what, c := range map[string]struct {
		most int
		set  func(*Catalog, *View, int)
	}{
		"fields": {MaxFields, func(c *Catalog, _ *View, n int) {
			e := &EventType{Name: "wide"}
			for i := range n {
				e.Fields = append(e.Fields, Field{
					Name: "f" + string(rune('a'+i/26)) + string(rune('a'+i%26)), Type: String})
			}
			c.Events["wide"] = e
		}},
		"dimensions": {MaxDimensions, func(c *Catalog, v *View, n int) {
			v.Dimensions = names(n)
			for _, d := range v.Dimensions {
				e := c.Events[v.Event]
				e.Fields = append(e.Fields, Field{Name: d, Type: String})
			}
		}},
		"measures": {MaxMeasures, func(_ *Catalog, v *View, n int) {
			v.Measures = nil
			for _, m := range names(n) {
				v.Measures = append(v.Measures, Measure{Name: m, Kind: Count})
			}
		}},
		"filters": {MaxFilters, func(_ *Catalog, v *View, n int) {
			v.Where = nil
			for range n {
				v.Where = append(v.Where, Filter{"delay", Ge, []any{int64(0)}})
			}
		}},
		"values": {MaxInValues, func(_ *Catalog, v *View, n int) {
			v.Where = []Filter{{"delay", In, nil}}
			for i := range n {
				v.Where[0].Values = append(v.Where[0].Values, int64(i))
			}
		}},
	} {
		for _, n := range []int{c.most, c.most + 1} {
			changed := flights()
			c.set(changed, changed.Views["departures"], n)
			if err := changed.Validate(); (err == nil) != (n <= c.most) {
				t.Errorf("%d %s: got %v", n, what, err)
			}
		}
	}
}

// TestStoredNames freezes a digest and a schema id: both are in the names of tables and objects.
func TestStoredNames(t *testing.T) {
	t.Parallel()
	c := flights()
	const digest = "5cdfda908c78c1dc"
	const rounded = "723ebbdd28f88afa" // what the view had before sums of floats were exact
	const schema = "01cbf69d6ae003b3"
	if got := c.Digest(c.Views["departures"]); got != digest {
		t.Errorf("the digest of a stored view has changed: got %s, want %s", got, digest)
	}
	if got := c.RoundedDigest(c.Views["departures"]); got != rounded {
		t.Errorf("the digest of rows with rounded sums has changed: got %s, want %s", got, rounded)
	}
	const sketched = "bb57a0dca40c989e" // what it had before sketches were made from sets
	if got := c.SketchedDigest(c.Views["departures"]); got != sketched {
		t.Errorf("the digest of rows with stored sketches has changed: got %s, want %s", got, sketched)
	}
	integers := &View{Name: "departures", Event: "flight.departed", Cell: time.Minute,
		Measures: []Measure{{Name: "n", Kind: Count}, {Name: "d", Kind: Sum, Field: "delay"},
			{Name: "m", Kind: Max, Field: "distance"}}}
	if got := c.Digests(integers); len(got) != 1 {
		t.Errorf("a view without sums of floats and distinct counts has the digests %v, want one", got)
	}
	if got := c.Events["flight.departed"].SchemaID(); got != schema {
		t.Errorf("the id of a stored schema has changed: got %s, want %s", got, schema)
	}
}

// TestNormalizeSaysText: a text that looks like a number is called a text.
func TestNormalizeSaysText(t *testing.T) {
	t.Parallel()
	if _, err := Normalize("7", Int64); err == nil || err.Error() != `the text "7" is not int64` {
		t.Errorf("got %v", err)
	}
	if _, err := Normalize(true, Int64); err == nil || err.Error() != "true is not int64" {
		t.Errorf("got %v", err)
	}
}
