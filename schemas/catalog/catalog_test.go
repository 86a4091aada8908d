package catalog

import (
	"strings"
	"testing"
	"time"
)

func flights() *Catalog {
	return &Catalog{
		Bucket: time.Hour,
		Events: map[string]*EventType{"flight.departed": {Name: "flight.departed", Fields: []Field{
			{Name: "delay", Type: Int64}, {Name: "distance", Type: Float64}, {Name: "on_time", Type: Bool},
			{Name: "origin", Type: String}, {Name: "scheduled", Type: Timestamp}, {Name: "tail", Type: String},
		}}},
		Views: map[string]*View{"departures": {Name: "departures", Event: "flight.departed", Cell: time.Minute,
			Dimensions: []string{"origin", "subject"},
			Where:      []Filter{{"delay", Ge, []any{int64(0)}}},
			Measures:   []Measure{{"flights", Count, ""}, {"miles", Sum, "distance"}, {"tails", Distinct, "tail"}}}},
	}
}

func TestValid(t *testing.T) {
	t.Parallel()
	if err := flights().Validate(); err != nil {
		t.Fatal(err)
	}
}

func firstField(c *Catalog) *Field { return &c.Events["flight.departed"].Fields[0] }

func TestMistakes(t *testing.T) {
	t.Parallel()
	type changed = func(*Catalog, *View)
	for want, change := range map[string]changed{
		"batch.bucket":                     func(c *Catalog, _ *View) { c.Bucket = 7 * time.Hour },
		"views.departures.event":           func(_ *Catalog, v *View) { v.Event = "x" },
		"views.departures.cell":            func(_ *Catalog, v *View) { v.Cell = 7 * time.Minute },
		"views.departures.dimensions.gate": func(_ *Catalog, v *View) { v.Dimensions = []string{"gate"} },
		"cannot be a dimension":            func(_ *Catalog, v *View) { v.Dimensions = []string{"distance"} },
		"a decimal(9,2) cannot be a dimension": func(c *Catalog, v *View) {
			firstField(c).Type = "decimal(9,2)"
			v.Dimensions = []string{"delay"}
		},
		"listed twice":                               func(_ *Catalog, v *View) { v.Dimensions[1] = "origin" },
		"measures.flights: count takes no field":     func(_ *Catalog, v *View) { v.Measures[0].Field = "tail" },
		"miles: sum needs an int64, float64":         func(_ *Catalog, v *View) { v.Measures[1].Field = "tail" },
		"tails: unknown measure":                     func(_ *Catalog, v *View) { v.Measures[2].Kind = "median" },
		"where.0: value: x is not int64":             func(_ *Catalog, v *View) { v.Where[0].Values = []any{"x"} },
		"where.0: op: unknown":                       func(_ *Catalog, v *View) { v.Where[0].Op = "like" },
		"fields.time: the name is taken":             func(c *Catalog, _ *View) { firstField(c).Name = "time" },
		"fields._key: a field name begins":           func(c *Catalog, _ *View) { firstField(c).Name = "_key" },
		"fields.a__b: two underscores":               func(c *Catalog, _ *View) { firstField(c).Name = "a__b" },
		"fields.delay: unknown type \"int\"":         func(c *Catalog, _ *View) { firstField(c).Type = "int" },
		"another measure or dimension has this name": func(_ *Catalog, v *View) { v.Measures[0].Name = "origin" },
		"a view has 1 to 32":                         func(_ *Catalog, v *View) { v.Measures = nil },
	} {
		c := flights()
		change(c, c.Views["departures"])
		err := c.Validate()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want one that says %q", err, want)
		}
	}
}

// TestDigestFollowsMeaning: a digest changes with what is computed and with nothing else.
func TestDigestFollowsMeaning(t *testing.T) {
	t.Parallel()
	digest := func(change func(*Catalog)) string {
		c := flights()
		change(c)
		return c.Digest(c.Views["departures"])
	}
	same := digest(func(*Catalog) {})
	for name, change := range map[string]func(*Catalog){
		"filter": func(c *Catalog) { c.Views["departures"].Where[0].Values[0] = int64(1) },
		"cell":   func(c *Catalog) { c.Views["departures"].Cell = time.Second },
		"bucket": func(c *Catalog) { c.Bucket = 30 * time.Minute },
		"type":   func(c *Catalog) { c.Events["flight.departed"].Fields[5].Type = Int64 },
	} {
		if digest(change) == same {
			t.Errorf("%s: the digest did not change", name)
		}
	}
	unused := digest(func(c *Catalog) { c.Events["flight.departed"].Fields[4].Type = String })
	if unused != same {
		t.Error("a field the view does not use changed its digest")
	}
}

// TestChanges: an added field is no change, and a removed field or another type is one sentence.
func TestChanges(t *testing.T) {
	t.Parallel()
	stored := flights().Events["flight.departed"]
	added := &EventType{Name: stored.Name, Fields: append([]Field{{Name: "airline", Type: String}}, stored.Fields...)}
	if got := Changes(stored, added); got != nil {
		t.Errorf("an added field: %q", got)
	}
	removed := &EventType{Name: stored.Name, Fields: stored.Fields[1:]}
	got := Changes(stored, removed)
	if len(got) != 1 || !strings.Contains(got[0], "delay: stored as int64 and no longer") {
		t.Errorf("a removed field: %q", got)
	}
	changed := &EventType{Name: stored.Name,
		Fields: append([]Field{{Name: "delay", Type: Float64}}, stored.Fields[1:]...)}
	if got = Changes(stored, changed); len(got) != 1 || !strings.Contains(got[0], "as int64 and declared as float64") {
		t.Errorf("a changed type: %q", got)
	}
}
