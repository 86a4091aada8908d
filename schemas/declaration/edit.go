package declaration

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"recount/schemas/catalog"
	"recount/schemas/decimal"
)

// FormOf returns the canonical form of a declaration of a section, Events or Views. It is nil if the catalog has none
// of the name. What recount itself declares is none.
func FormOf(c *catalog.Catalog, section, name string) *yaml.Node {
	if v := c.Views[name]; v != nil && section == Views {
		return OfView(c, v)
	}
	if e := c.Events[name]; e != nil && section == Events && !strings.HasPrefix(name, catalog.ReservedPrefix) {
		return OfEventType(e)
	}
	return nil
}

// Edit returns the catalog with a declaration in place of the one of the name, or without it if the form is nil. All
// others are read anew, so that the values of conditions get the types that their fields have now. c stays as it is.
// Errors are those of ReadCatalog.
func Edit(c *catalog.Catalog, section, name string, form *yaml.Node) (*catalog.Catalog, error) {
	whole := OfCatalog(c)
	if e, err := ReadEventType(name, form); section == Events && form != nil && err == nil {
		whole = OfCatalog(withNumbers(c, e))
	}
	old := membersOf(whole)[section]
	edited := object()
	for i := 0; i < len(old.Content); i += 2 {
		if old.Content[i].Value != name {
			edited.Content = append(edited.Content, old.Content[i], old.Content[i+1])
		}
	}
	if form != nil {
		add(edited, name, form)
	}
	*old = *edited
	return ReadCatalog(c.Bucket, whole)
}

// withNumbers returns the catalog with conditions on decimals as numbers, where the event type that is declared anew
// has an int64 or a float64 in place of the decimal. The form of a decimal is a text otherwise, which is no number.
func withNumbers(c *catalog.Catalog, e *catalog.EventType) *catalog.Catalog {
	out := *c
	out.Views = maps.Clone(c.Views)
	for name, v := range c.Views {
		if v.Event != e.Name || c.Events[e.Name] == nil {
			continue
		}
		changed := *v
		changed.Where = nil
		for _, f := range v.Where {
			before, _ := c.Events[e.Name].Column(f.Field)
			after, _ := e.Column(f.Field)
			d, is := before.Decimal()
			if is && f.Op != catalog.Exists && (after == catalog.Int64 || after == catalog.Float64) {
				f.Values = numbersOf(f.Values, d.Scale)
			}
			changed.Where = append(changed.Where, f)
		}
		out.Views[name] = &changed
	}
	return &out
}

func numbersOf(units []any, scale int) []any {
	out := slices.Clone(units)
	for i, v := range units {
		if n, is := v.(int64); is {
			out[i] = json.Number(decimal.FormatShort(n, scale))
		}
	}
	return out
}
