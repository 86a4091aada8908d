package generations

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"recount/schemas/catalog"
	"recount/schemas/decimal"
	"recount/schemas/declaration"
	"recount/schemas/record"
)

// Kind is what a declaration declares. Its text is the key of the configuration file.
type Kind string

// The kinds of declarations.
const (
	EventType Kind = "events"
	View      Kind = "views"
)

// Action is what becomes of a declaration.
type Action string

// The actions.
const (
	Add    Action = "add"
	Change Action = "change"
	Remove Action = "remove"
)

// Edit is the way from one declaration to another. The declarations are as JSON, with the values of conditions as they
// are written; one that does not exist is empty.
type Edit struct {
	Kind     Kind
	Name     string
	Action   Action // from the stored declaration to that of the file
	Applied  string // what a file declared when one was last applied
	Declared string // what the file declares now
	Stored   string // what the newest generation has
}

func (e Edit) String() string { return fmt.Sprintf("%s %s.%s", e.Action, e.Kind, e.Name) }

// Difference compares a file with a generation, by means of what a file declared when one was last applied (G2).
type Difference struct {
	Edits     []Edit // what only the file has changed since; applied at a start
	Kept      []Edit // what only requests have changed since; stays as it is
	Conflicts []Edit // what both have changed, and not to the same; stays until the operator decides
	// Refused is why no edit is applied although there are some: together with what requests have changed, they are no
	// valid catalog.
	Refused error

	// Applied is what a file declared when one was last applied, Before is the generation's catalog, and After is what
	// the edits make of it, valid or not.
	Applied, Before, After *catalog.Catalog
}

// Overruled returns the edits that undo what requests have changed since a file was last applied. There are some only
// where the file decides.
func (d Difference) Overruled() (out []Edit) {
	for _, e := range d.Edits {
		if e.Stored != e.Applied {
			out = append(out, e)
		}
	}
	return out
}

// Compare returns what Apply would change of a generation. Nothing of both is changed.
func Compare(g *Generation, file *catalog.Catalog, decides bool) Difference {
	d, _ := compare(g, file, decides)
	return d
}

// Apply makes a generation from what only the file has changed. If the file decides, also from what both have changed;
// without a valid catalog it then returns Difference.Refused. What only requests have changed stays. Without a change,
// no generation is made.
func (c *Chain) Apply(ctx context.Context, file *catalog.Catalog, decides bool) (*Generation, Difference, error) {
	var d Difference
	g, err := c.propose(ctx, record.ByFile, func(current *Generation) (n next, err error) {
		d, n = compare(current, file, decides)
		if decides {
			err = d.Refused
		}
		return n, err
	})
	return g, d, err
}

// compare returns the difference, and what the next generation is made of. Conditions are compared and taken over as
// they are written. What is stored of one depends on the type of its field, which the file and the generation may have
// differently.
func compare(g *Generation, file *catalog.Catalog, decides bool) (d Difference, n next) {
	d.Applied = g.file().Catalog(g.Catalog.Bucket)
	d.Before = g.Catalog
	pick := picker{n: next{written(d.Before), written(d.Applied), maps.Clone(g.Catalog.Discovered),
		g.Catalog.Undecided}, file: written(file)}
	applied := encoded(pick.n.file)
	declared := encoded(pick.file)
	stored := encoded(pick.n.declared)
	for name := range pick.file.Events {
		delete(pick.n.discovered, name)
	}
	for _, at := range places(applied, declared, stored) {
		e := Edit{Kind: at.kind, Name: at.name, Applied: applied[at], Declared: declared[at], Stored: stored[at]}
		e.Action = actionOf(e.Stored, e.Declared)
		switch {
		case e.Declared == e.Stored:
			pick.remember(at)
		case e.Declared == e.Applied:
			d.Kept = append(d.Kept, e)
		case e.Stored == e.Applied || decides || g.onlyDiscovered(at):
			d.Edits = append(d.Edits, e)
			pick.takeOver(at)
			pick.remember(at)
		default:
			d.Conflicts = append(d.Conflicts, e)
		}
	}
	wrong := typeConditions(pick.n.declared, false)
	d.After = pick.n.declared.Catalog(g.Catalog.Bucket)
	if d.Refused = errors.Join(wrong, d.After.Validate()); d.Refused != nil {
		return d, next{record.DeclarationsOf(g.Catalog), g.file(), g.Catalog.Discovered, g.Catalog.Undecided}
	}
	// What a file declared is only compared. Where a request has changed a type, it may be no valid catalog.
	_ = typeConditions(pick.n.file, true)
	return d, pick.n
}

// onlyDiscovered reports whether a declaration is one of discovery's: an event type that no file has declared yet, or
// the view that came with it. A file that declares it then knows better (G6).
func (g *Generation) onlyDiscovered(at place) bool {
	if at.kind == EventType {
		return g.Catalog.Discovered[at.name]
	}
	v := g.Catalog.Views[at.name]
	return v != nil && g.Catalog.Discovered[v.Event] && v.CountsOnly()
}

// written returns what the catalog declares, with the values of conditions as they are written.
func written(c *catalog.Catalog) record.Declarations {
	d := record.DeclarationsOf(c)
	for name, v := range d.Views {
		d.Views[name] = withValues(v, func(field string, value any) any {
			e := c.Events[v.Event]
			if e == nil { // What a file declared last may be without the event type by now.
				return value
			}
			t, _ := e.Column(field)
			return writtenValue(value, t)
		})
	}
	return d
}

// writtenValue returns a value of a condition in a form that means the same in each type that has it: 5 for the number
// 5 of an int64, a float64 and any decimal.
func writtenValue(v any, t catalog.FieldType) any {
	switch x := v.(type) {
	case float64:
		return json.Number(strconv.FormatFloat(x, 'g', -1, 64))
	case int64:
		if d, is := t.Decimal(); is {
			return json.Number(decimal.FormatShort(x, d.Scale))
		}
		if t == catalog.Timestamp {
			return time.UnixMicro(x).UTC().Format(time.RFC3339Nano)
		}
	}
	return v
}

// withValues returns the view with other values in its conditions.
func withValues(v *catalog.View, change func(field string, value any) any) *catalog.View {
	out := *v
	out.Where = nil
	for _, f := range v.Where {
		changed := catalog.Filter{Field: f.Field, Op: f.Op}
		for _, value := range f.Values {
			changed.Values = append(changed.Values, change(f.Field, value))
		}
		out.Where = append(out.Where, changed)
	}
	return &out
}

// typeConditions gives the written conditions of views the types of their fields. The error says which do not have
// them. Where those are kept, they become texts, which a record may have beside any type. All else of a view stays as
// it is, because its digest names its cells.
func typeConditions(d record.Declarations, keepWrong bool) error {
	var errs []error
	events := d.Catalog(0).Events
	for name, v := range d.Views {
		typed, err := declaration.Typed(name, v, events[v.Event])
		out := *v
		out.Where = typed.Where
		if err != nil && keepWrong {
			out = *withValues(v, func(_ string, value any) any { return fmt.Sprint(value) })
		}
		d.Views[name] = &out
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// picker takes declarations of a file into the next generation.
type picker struct {
	n    next
	file record.Declarations
}

// takeOver makes what the file declares the declaration of the generation.
func (p *picker) takeOver(at place) { copyDeclaration(p.n.declared, p.file, at) }

// remember makes what the file declares what it declared when it was last applied.
func (p *picker) remember(at place) { copyDeclaration(p.n.file, p.file, at) }

func copyDeclaration(to, from record.Declarations, at place) {
	if at.kind == View {
		setOrDelete(to.Views, from.Views, at.name)
	} else {
		setOrDelete(to.Events, from.Events, at.name)
	}
}

func setOrDelete[T any](to, from map[string]T, name string) {
	if v, ok := from[name]; ok {
		to[name] = v
	} else {
		delete(to, name)
	}
}

// place names a declaration.
type place struct {
	kind Kind
	name string
}

// places returns every place that one of the maps has: event types before views, each by name.
func places(all ...map[place]string) []place {
	set := map[place]bool{}
	for _, m := range all {
		for at := range m {
			set[at] = true
		}
	}
	return slices.SortedFunc(maps.Keys(set), func(a, b place) int {
		return strings.Compare(string(a.kind)+"."+a.name, string(b.kind)+"."+b.name)
	})
}

func actionOf(from, to string) Action {
	switch {
	case from == "":
		return Add
	case to == "":
		return Remove
	}
	return Change
}

// same reports whether two sets of declarations say the same.
func same(a, b record.Declarations) bool { return maps.Equal(encoded(a), encoded(b)) }

// encoded returns the declarations in their stored form.
func encoded(d record.Declarations) map[place]string {
	out := map[place]string{}
	for name, e := range d.Events {
		e := *e
		if e.Fields == nil {
			e.Fields = []catalog.Field{}
		}
		out[place{EventType, name}] = encode(e)
	}
	for name, v := range d.Views {
		v := *v
		if v.Dimensions == nil {
			v.Dimensions = []string{}
		}
		out[place{View, name}] = encode(v)
	}
	return out
}

func encode(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("generations: a declaration does not encode: %v", err)) // Validate has refused such values.
	}
	return string(raw)
}
