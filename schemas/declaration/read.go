package declaration

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"recount/schemas/catalog"
	"recount/schemas/setting"
)

// The sections of a configuration file. They begin the path of every mistake.
const (
	Events = "events"
	Views  = "views"
)

// The keys of an event type, a field, a view and a condition, in the order of documents.
var (
	EventTypeKeys = []string{"fields"}
	FieldKeys     = []string{"type", "path", "null_values", "expression", "coerce"}
	ViewKeys      = []string{"event", "dimensions", "cell", "where", "measures"}
	FilterKeys    = []string{"field", "op", "value", "values"}
)

// ReadEventType reads the declaration of an event type. It returns what it could read and every mistake in the form,
// joined. Each is a *setting.Error. Catalog finds the mistakes in the meaning.
func ReadEventType(name string, n *yaml.Node) (*catalog.EventType, error) {
	r := reader{}
	path := []string{Events, name}
	e := &catalog.EventType{Name: name}
	fields := r.known(n, path, EventTypeKeys)["fields"]
	path = below(path, "fields")
	for field, form := range r.members(fields, path) {
		e.Fields = append(e.Fields, r.field(field, form, below(path, field)))
	}
	slices.SortFunc(e.Fields, func(a, b catalog.Field) int { return strings.Compare(a.Name, b.Name) })
	return e, errors.Join(r.mistakes...)
}

// ReadView reads the declaration of a view like ReadEventType. The values of its conditions are as they are written:
// Catalog gives them the types of their fields.
func ReadView(name string, n *yaml.Node) (*catalog.View, error) {
	r := reader{}
	path := []string{Views, name}
	m := r.known(n, path, ViewKeys)
	v := &catalog.View{Name: name, Event: r.text(m["event"], below(path, "event")),
		Cell: r.duration(m["cell"], below(path, "cell"))}
	for i, d := range r.elements(m["dimensions"], below(path, "dimensions")) {
		v.Dimensions = append(v.Dimensions, r.text(d, below(path, "dimensions", strconv.Itoa(i))))
	}
	for i, f := range r.elements(m["where"], below(path, "where")) {
		v.Where = append(v.Where, r.filter(f, below(path, "where", strconv.Itoa(i))))
	}
	for name, form := range r.members(m["measures"], below(path, "measures")) {
		v.Measures = append(v.Measures, r.measure(name, form, below(path, "measures", name)))
	}
	slices.SortFunc(v.Measures, func(a, b catalog.Measure) int { return strings.Compare(a.Name, b.Name) })
	return v, errors.Join(r.mistakes...)
}

// ReadCatalog reads the sections events and views of a configuration, each with every declaration.
func ReadCatalog(bucket time.Duration, n *yaml.Node) (*catalog.Catalog, error) {
	r := reader{}
	sections := r.known(n, nil, []string{Events, Views})
	events := map[string]*catalog.EventType{}
	for name, form := range r.members(sections[Events], []string{Events}) {
		e, err := ReadEventType(name, form)
		events[name] = e
		r.mistakes = append(r.mistakes, err)
	}
	views := map[string]*catalog.View{}
	for name, form := range r.members(sections[Views], []string{Views}) {
		v, err := ReadView(name, form)
		views[name] = v
		r.mistakes = append(r.mistakes, err)
	}
	if err := errors.Join(r.mistakes...); err != nil {
		return nil, err
	}
	return Catalog(bucket, events, views)
}

// reader goes through one declaration and notes every mistake.
type reader struct{ mistakes []error }

func (r *reader) mistake(path []string, format string, args ...any) {
	r.mistakes = append(r.mistakes, &setting.Error{Path: path, Msg: fmt.Sprintf(format, args...)})
}

// field reads {type: int64, path: user.id}, or the type alone. Forms that mean the same are the same field.
func (r *reader) field(name string, n *yaml.Node, path []string) catalog.Field {
	if kindOf(n) != yaml.MappingNode {
		return catalog.Field{Name: name, Type: fieldType(r.text(n, path))}
	}
	m := r.known(n, path, FieldKeys)
	f := catalog.Field{Name: name, Type: fieldType(r.text(m["type"], below(path, "type"))),
		Path:       r.path(m["path"], below(path, "path")),
		Nulls:      r.texts(m["null_values"], below(path, "null_values")),
		Expression: r.text(m["expression"], below(path, "expression"))}
	f.Coerce = r.truth(m["coerce"], below(path, "coerce"))
	if len(f.Path) == 1 && f.Path[0] == name {
		f.Path = nil
	}
	slices.Sort(f.Nulls)
	f.Nulls = slices.Compact(f.Nulls)
	return f
}

// fieldType reads the name of a type. That of a decimal may have spaces after its comma and its brackets.
func fieldType(text string) catalog.FieldType {
	if strings.HasPrefix(text, "decimal") {
		text = strings.ReplaceAll(text, " ", "")
	}
	return catalog.FieldType(text)
}

// path reads a list of names, or a text with dots between them.
func (r *reader) path(n *yaml.Node, path []string) []string {
	if kindOf(n) != yaml.ScalarNode {
		return r.texts(n, path)
	}
	out, err := catalog.ParsePath(r.text(n, path))
	if err != nil {
		r.mistake(path, "%v", err)
	}
	return out
}

// texts reads a list of texts.
func (r *reader) texts(n *yaml.Node, path []string) (out []string) {
	for i, element := range r.elements(n, path) {
		place := below(path, strconv.Itoa(i))
		if isNull(element) { // YAML's decoder would make an empty text of it.
			r.mistake(place, "write a text in quotes, such as \"NULL\"; without them it is a missing value")
			continue
		}
		out = append(out, r.text(element, place))
	}
	return out
}

// filter reads a condition: value for most operators, values for in and not_in.
func (r *reader) filter(n *yaml.Node, path []string) catalog.Filter {
	m := r.known(n, path, FilterKeys)
	f := catalog.Filter{Field: r.text(m["field"], below(path, "field")),
		Op: catalog.FilterOp(r.text(m["op"], below(path, "op")))}
	for i, value := range r.elements(m["values"], below(path, "values")) {
		f.Values = append(f.Values, r.value(value, below(path, "values", strconv.Itoa(i)))...)
	}
	f.Values = append(f.Values, r.value(m["value"], below(path, "value"))...)
	return f
}

// measure reads {sum: distance} or {count: {}}.
func (r *reader) measure(name string, n *yaml.Node, path []string) catalog.Measure {
	m := catalog.Measure{Name: name}
	kinds := r.members(n, path)
	if len(kinds) != 1 {
		r.mistake(path, "a measure is one of {count: {}}, {sum: field}, {min: field}, {max: field}, {avg: field}, "+
			"{distinct: field} or {quantile: field}, and nothing beside it")
		return m
	}
	for kind, value := range kinds {
		m.Kind = catalog.MeasureKind(kind)
		switch kindOf(value) {
		case yaml.ScalarNode:
			m.Field = r.text(value, path)
		case yaml.MappingNode:
			if len(r.members(value, path)) > 0 {
				r.mistake(path, "write the name of a field after %s", kind)
			}
		default:
			r.mistake(path, "write the name of a field after %s", kind)
		}
	}
	return m
}

// known returns the members of an object that has these keys alone.
func (r *reader) known(n *yaml.Node, path, keys []string) map[string]*yaml.Node {
	out := r.members(n, path)
	for key := range out {
		if !slices.Contains(keys, key) {
			r.mistake(below(path, key), "unknown key; remove it or correct its spelling; allowed are %s",
				strings.Join(keys, ", "))
			delete(out, key)
		}
	}
	return out
}

// members returns the values of an object by key.
func (r *reader) members(n *yaml.Node, path []string) map[string]*yaml.Node {
	var raw map[string]yaml.Node
	if !r.decode(n, &raw, path, "keys with values") {
		return nil
	}
	for i, key := range resolved(n).Content {
		if i%2 == 0 && isNull(key) { // YAML's decoder leaves it out.
			r.mistake(path, "write the key %s in quotes; without them it is a missing value", key.Value)
		}
	}
	out := map[string]*yaml.Node{}
	for key, value := range raw {
		out[key] = &value
	}
	return out
}

// elements returns the values of a list.
func (r *reader) elements(n *yaml.Node, path []string) []*yaml.Node {
	var raw []yaml.Node
	if !r.decode(n, &raw, path, "a list, such as [a, b]") {
		return nil
	}
	out := make([]*yaml.Node, len(raw))
	for i := range raw {
		out[i] = &raw[i]
	}
	return out
}

func (r *reader) text(n *yaml.Node, path []string) (text string) {
	r.decode(n, &text, path, "one word")
	return text
}

// truth reads true or false. YAML's decoder would also take texts such as "yes" and "off".
func (r *reader) truth(n *yaml.Node, path []string) (truth bool) {
	const shape = "true or false"
	if kindOf(n) == yaml.ScalarNode && resolved(n).ShortTag() == "!!str" {
		r.mistake(path, "write %s", shape)
		return false
	}
	r.decode(n, &truth, path, shape)
	return truth
}

func (r *reader) duration(n *yaml.Node, path []string) time.Duration {
	text := r.text(n, path)
	d, err := time.ParseDuration(text)
	if err != nil && text != "" {
		r.mistake(path, "%.80q is not a duration; write for example 30s, 5m or 24h", text)
	}
	return d
}

// value returns a value as YAML reads it, or nothing if there is none. A number with a point or an exponent stays a
// text, because a decimal field needs the number that was written.
func (r *reader) value(n *yaml.Node, path []string) []any {
	var v any
	switch kindOf(n) {
	case yaml.MappingNode, yaml.SequenceNode:
		r.mistake(path, "write one value")
	}
	if !r.decode(n, &v, path, "one value") || v == nil {
		return nil
	}
	if written := resolved(n).Value; isFloat(v) && json.Valid([]byte(written)) {
		v = json.Number(written)
	}
	return []any{v}
}

func isFloat(v any) bool {
	_, is := v.(float64)
	return is
}

// twice is how YAML reports that a key comes twice.
var twice = regexp.MustCompile(`mapping key "([^"]*)" already defined`)

// decode reads a node into a Go value. It reports whether there is a node, and whether it has that shape. YAML's own
// decoder resolves aliases and merges, and bounds what they expand to.
func (r *reader) decode(n *yaml.Node, into any, path []string, shape string) bool {
	if n == nil {
		return false
	}
	err := n.Decode(into)
	if err == nil {
		return true
	}
	var wrong *yaml.TypeError
	found := twice.FindStringSubmatch(err.Error())
	switch {
	case found != nil:
		r.mistake(below(path, found[1]), "the key comes twice; remove one")
	case errors.As(err, &wrong):
		r.mistake(path, "write %s", shape)
	default:
		r.mistake(path, "%s", strings.TrimPrefix(err.Error(), "yaml: "))
	}
	return false
}

// kindOf returns the kind of a node, or of that which it repeats. It is 0 if there is no node.
func kindOf(n *yaml.Node) yaml.Kind {
	if n == nil {
		return 0
	}
	return resolved(n).Kind
}

// isNull reports whether a node is a missing value, such as NULL or ~ without quotes in YAML.
func isNull(n *yaml.Node) bool {
	n = resolved(n)
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}

// resolved returns the node that a node repeats, or the node itself.
func resolved(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// below returns a longer path. It shares no memory with the other.
func below(path []string, parts ...string) []string { return append(slices.Clone(path), parts...) }
