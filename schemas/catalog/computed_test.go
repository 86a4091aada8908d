package catalog

import (
	"slices"
	"strings"
	"testing"
)

// withComputed declares a computed field that the view departures uses as a dimension.
func withComputed(expression string) *Catalog {
	c := flights()
	e := c.Events["flight.departed"]
	e.Fields = append(e.Fields, Field{Name: "zone", Type: String, Expression: expression})
	v := c.Views["departures"]
	v.Dimensions = append(v.Dimensions, "zone")
	return c
}

// TestComputed: the meaning of a view has the expressions that it uses and the fields that these use.
func TestComputed(t *testing.T) {
	t.Parallel()
	base := withComputed("if(on_time, lower(origin), subject)")
	if err := base.Validate(); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range base.Meanings(base.Views["departures"]) {
		names = append(names, f.Name)
	}
	if got := strings.Join(names, " "); got != "on_time origin zone" {
		t.Errorf("the meaning has %s", got)
	}
	digests := []string{base.Digest(base.Views["departures"])}
	for what, change := range map[string]func(*Field){
		"the expression": func(f *Field) {
			if f.IsComputed() {
				f.Expression = "if(on_time, upper(origin), subject)"
			}
		},
		"a field that it uses": func(f *Field) {
			if f.Name == "on_time" {
				f.Path = []string{"on", "time"}
			}
		},
	} {
		c := withComputed("if(on_time, lower(origin), subject)")
		for i := range c.Events["flight.departed"].Fields {
			change(&c.Events["flight.departed"].Fields[i])
		}
		d := c.Digest(c.Views["departures"])
		if slices.Contains(digests, d) {
			t.Errorf("another meaning of %s has the same digest", what)
		}
		digests = append(digests, d)
	}
	if stored := base.Events["flight.departed"].Stored(); len(stored.Fields) != 6 {
		t.Errorf("a computed field is stored: %v", stored.Fields)
	}
}

func TestMistakesOfExpressions(t *testing.T) {
	t.Parallel()
	for expression, want := range map[string]string{
		"lower(orign)":  `fields.zone: expression: column 7: there is no field "orign"`,
		"zone":          `expression: column 1: there is no field "zone" that a computed field may use`,
		"delay + 1":     "fields.zone: expression: it is int64; write type: int64",
		"hour(time, 1)": "expression: column 1: hour: argument 2 is int64, not string",
	} {
		if err := withComputed(expression).Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", expression, err, want)
		}
	}
	c := withComputed("origin")
	fields := c.Events["flight.departed"].Fields
	fields[len(fields)-1].Coerce = true
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "has no path, no null_values and no coerce") {
		t.Errorf("got %v", err)
	}
}
