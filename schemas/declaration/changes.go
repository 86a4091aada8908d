package declaration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"recount/schemas/catalog"
	"recount/schemas/openapi"
	"recount/schemas/setting"
)

// Changes says what becomes of each declaration that another catalog changes: event types first, then views, by name.
// A view whose own declaration stays is among them if it computes something else, because its event type has changed.
func Changes(before, after *catalog.Catalog) []openapi.Change {
	out := []openapi.Change{}
	for _, name := range names(before.Events, after.Events) {
		from := before.Events[name]
		to := after.Events[name]
		c := change(openapi.EventTypes, name, eventTypeForm(from), eventTypeForm(to))
		if c.Action != openapi.Unchanged {
			c.Effects = eventTypeEffects(name, from, to)
			out = append(out, c)
		}
	}
	for _, name := range names(before.Views, after.Views) {
		from := before.Views[name]
		to := after.Views[name]
		c := change(openapi.Views, name, viewForm(before, from), viewForm(after, to))
		if from != nil && to != nil && before.Digest(from) != after.Digest(to) && c.Action == openapi.Unchanged {
			c.Action = openapi.Recomputed
		}
		if c.Action != openapi.Unchanged {
			c.Effects = viewEffects(before, after, name)
			out = append(out, c)
		}
	}
	return out
}

// names returns the names in either map, ascending.
func names[T any](a, b map[string]T) []string {
	all := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(all)
	return slices.Compact(all)
}

func eventTypeForm(e *catalog.EventType) *yaml.Node {
	if e == nil {
		return nil
	}
	return OfEventType(e)
}

func viewForm(c *catalog.Catalog, v *catalog.View) *yaml.Node {
	if v == nil {
		return nil
	}
	return OfView(c, v)
}

// change compares two forms, of which one may be nil. The effects are left to the caller.
func change(kind, name string, before, after *yaml.Node) openapi.Change {
	c := openapi.Change{Kind: kind, Name: name, Action: openapi.Changed, Edits: []openapi.Edit{},
		Effects: []string{}}
	switch {
	case before == nil && after == nil:
		c.Action = openapi.Unchanged
	case before == nil:
		c.Action = openapi.Created
	case after == nil:
		c.Action = openapi.Removed
	default:
		c.Edits = edits(c.Edits, "", before, after)
		if len(c.Edits) == 0 {
			c.Action = openapi.Unchanged
		}
	}
	return c
}

// edits appends the differing parts of two forms. Objects are compared member by member, and anything else as a
// whole.
func edits(out []openapi.Edit, path string, before, after *yaml.Node) []openapi.Edit {
	if before != nil && after != nil && before.Kind == yaml.MappingNode && after.Kind == yaml.MappingNode &&
		!strings.HasPrefix(path, "measures.") { // A measure is one thing: {sum: a} becomes {max: b}.
		keys := names(membersOf(before), membersOf(after))
		for _, key := range keys {
			out = edits(out, strings.TrimPrefix(path+"."+key, "."), membersOf(before)[key], membersOf(after)[key])
		}
		return out
	}
	d := openapi.Edit{Path: path, Before: rawJSON(before), After: rawJSON(after)}
	if bytes.Equal(d.Before, d.After) {
		return out
	}
	return append(out, d)
}

func membersOf(n *yaml.Node) map[string]*yaml.Node {
	out := map[string]*yaml.Node{}
	for i := 0; i < len(n.Content); i += 2 {
		out[n.Content[i].Value] = n.Content[i+1]
	}
	return out
}

func rawJSON(n *yaml.Node) json.RawMessage {
	if n == nil {
		return json.RawMessage("null")
	}
	return JSON(n)
}

func eventTypeEffects(name string, before, after *catalog.EventType) []string {
	switch {
	case before == nil:
		return []string{"events of the type are accepted"}
	case after == nil:
		return []string{"further events of the type are rejected with unknown_type; those that are stored stay in " +
			"the lake"}
	}
	out := []string{}
	for _, f := range after.Fields {
		if !slices.ContainsFunc(before.Fields, func(g catalog.Field) bool { return g.Name == f.Name }) {
			out = append(out, fmt.Sprintf("fields.%s: views may use it; events that came before count with the value "+
				"that they had", f.Name))
		}
	}
	for _, f := range before.Fields {
		out = append(out, fieldEffects(name, f, after)...)
	}
	return out
}

// fieldEffects says what becomes of a field that was declared before. Stored data has a trace of its name and type
// alone, so catalog.Changes words the change of those. All else is applied to each event when it is read.
func fieldEffects(event string, f catalog.Field, after *catalog.EventType) (out []string) {
	i := slices.IndexFunc(after.Fields, func(g catalog.Field) bool { return g.Name == f.Name })
	now := &catalog.EventType{Name: event}
	switch {
	case i >= 0 && reflect.DeepEqual(f, after.Fields[i]):
		return nil
	case i >= 0 && differInCoerce(f, after.Fields[i]):
		how := "are accepted from now on"
		if f.Coerce {
			how = "are rejected from now on"
		}
		return []string{fmt.Sprintf("fields.%s: values that have to be converted to %s %s; stored events count as "+
			"before", f.Name, f.Type, how)}
	case i >= 0 && (!f.IsPlain() || !after.Fields[i].IsPlain()):
		return []string{fmt.Sprintf("fields.%s: it is read otherwise, in stored events too; views that use it are "+
			"computed anew", f.Name)}
	case i >= 0:
		now.Fields = after.Fields[i : i+1]
	}
	before := &catalog.EventType{Name: event, Fields: []catalog.Field{{Name: f.Name, Type: f.Type}}}
	for _, sentence := range catalog.Changes(before, now) {
		out = append(out, strings.TrimPrefix(sentence, Events+"."+event+"."))
	}
	return out
}

// differInCoerce reports whether coerce is all that was changed of a field.
func differInCoerce(before, after catalog.Field) bool {
	before.Coerce = !before.Coerce
	return reflect.DeepEqual(before, after)
}

func viewEffects(before, after *catalog.Catalog, name string) []string {
	from := before.Views[name]
	to := after.Views[name]
	switch {
	case from == nil:
		return []string{"the view counts live at once, and the batch layer fills its history from the lake"}
	case to == nil:
		return []string{"queries are refused with unknown_view; publications that are pinned still answer for it"}
	case before.Digest(from) == after.Digest(to):
		return []string{"its numbers stay"}
	}
	out := []string{"the view counts anew: live at once, and the batch layer computes its history again from the " +
		"lake; publications that are pinned keep the definition that they were made with"}
	for _, d := range from.Dimensions {
		if !slices.Contains(to.Dimensions, d) {
			out = append(out, fmt.Sprintf("queries that name the dimension %s are refused with invalid_query", d))
		}
	}
	for _, m := range from.Measures {
		if _, ok := to.Measure(m.Name); !ok {
			out = append(out, fmt.Sprintf("queries that name the measure %s are refused with invalid_query", m.Name))
		}
	}
	if to.Cell > from.Cell {
		out = append(out, "queries may ask for no granularity below "+setting.FormatDuration(to.Cell))
	}
	return out
}
