package catalog

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"recount/schemas/expression"
)

// Limits of the declaration of one field.
const (
	MaxPath   = 16  // members of a path
	MaxMember = 256 // bytes of a member's name
	MaxNulls  = 100 // texts that mean null
	MaxNull   = 256 // bytes of such a text
)

// Field is one declared field of an event type. Only its name and its type decide how values are stored, and only if
// they stand in data under a name that a column may have. Coerce decides which values are accepted. All else is applied
// when events are read (package conversion), so a change of it goes for every event that was ever accepted.
type Field struct {
	Name string    `json:"name"`
	Type FieldType `json:"type"`
	// Path is where in data the value stands, from the outer member to the inner one. Nil means the member Name.
	Path []string `json:"path,omitempty"`
	// Nulls are texts that mean a missing value, sorted.
	Nulls []string `json:"null_values,omitempty"`
	// Expression makes a computed field, whose value follows from other fields of the event (package expression).
	Expression string `json:"expression,omitempty"`
	// Coerce makes ingest accept texts that spell numbers in a field for numbers, and numbers in a field for texts. It
	// takes what package conversion converts, so it changes nothing of what stored events mean.
	Coerce bool `json:"coerce,omitempty"`
}

// IsComputed reports whether the value follows from other fields. Nothing of it is stored.
func (f Field) IsComputed() bool { return f.Expression != "" }

// Members returns the path of the value in data. It has at least one member.
func (f Field) Members() []string {
	if len(f.Path) == 0 {
		return []string{f.Name}
	}
	return f.Path
}

// Column returns the name of the column that holds the value where ingest has decoded it. It is empty if ingest keeps
// the value among the undeclared fields: inside of another member, or under a name that no column may have.
func (f Field) Column() string {
	if f.IsComputed() {
		return ""
	}
	if members := f.Members(); len(members) == 1 && isFieldName(members[0]) {
		return members[0]
	}
	return ""
}

// IsPlain reports whether readers take the field for its member of data and nothing else.
func (f Field) IsPlain() bool {
	return !f.IsComputed() && len(f.Nulls) == 0 && (len(f.Path) == 0 || len(f.Path) == 1 && f.Path[0] == f.Name)
}

// Stored returns the event type as ingest decodes it: one field for each member of data that is a column. Fields that
// read one member in two types leave it among the undeclared fields, because a column would keep only one of them.
func (e *EventType) Stored() *EventType {
	out := &EventType{Name: e.Name, Fields: []Field{}}
	var dropped []string
	for _, f := range e.Fields {
		column := f.Column()
		if column == "" {
			continue
		}
		i := slices.IndexFunc(out.Fields, func(o Field) bool { return o.Name == column })
		if i < 0 {
			out.Fields = append(out.Fields, Field{Name: column, Type: f.Type, Nulls: f.Nulls, Coerce: f.Coerce})
			continue
		}
		if out.Fields[i].Type != f.Type {
			dropped = append(dropped, column)
		}
		out.Fields[i].Nulls = mergeTexts(out.Fields[i].Nulls, f.Nulls)
		out.Fields[i].Coerce = out.Fields[i].Coerce || f.Coerce
	}
	out.Fields = slices.DeleteFunc(out.Fields, func(f Field) bool { return slices.Contains(dropped, f.Name) })
	slices.SortFunc(out.Fields, func(a, b Field) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// Alike returns the pairs of columns of stored events whose names differ only in case. Some programs that read the lake
// tell no case, and take both for one.
func (e *EventType) Alike() (pairs [][2]string) {
	names := slices.Clone(reservedFields)
	for _, f := range e.Stored().Fields {
		for _, other := range names {
			if strings.EqualFold(f.Name, other) {
				pairs = append(pairs, [2]string{other, f.Name})
			}
		}
		names = append(names, f.Name)
	}
	return pairs
}

// Member returns the type and the null values of what fields read from a member of data itself. The type is empty if
// they read it in several types, or only what is inside of it. ok is false if no field reads it. An attribute that a
// view may use counts as one.
func (e *EventType) Member(name string) (t FieldType, nulls []string, ok bool) {
	several := false
	for _, f := range e.Fields {
		members := f.Members()
		if members[0] != name || f.IsComputed() {
			continue
		}
		several = several || len(members) > 1 || ok && t != f.Type
		ok = true
		t = f.Type
		nulls = mergeTexts(nulls, f.Nulls)
	}
	switch {
	case several:
		return "", nulls, true
	case !ok && slices.Contains(Attributes, name):
		return String, nil, true
	}
	return t, nulls, ok
}

// Compile returns the expression of a computed field. It may use the other fields that are not computed, the time of
// the event, and the attributes that views may use. The error is an *expression.Error.
func (e *EventType) Compile(f Field) (*expression.Expression, error) {
	return expression.Parse(f.Expression, func(name string) (expression.Type, bool) {
		if name == "time" {
			return expression.Timestamp, true
		}
		for _, other := range e.Fields {
			if other.Name == name {
				return expression.Type(other.Type), !other.IsComputed()
			}
		}
		return expression.String, slices.Contains(Attributes, name)
	})
}

// expressionFault says what is wrong with a computed field, or is empty.
func (e *EventType) expressionFault(f Field) string {
	if len(f.Path) > 0 || len(f.Nulls) > 0 || f.Coerce {
		return "a computed field has no path, no null_values and no coerce; its expression says what it is"
	}
	switch x, err := e.Compile(f); {
	case err != nil:
		return fmt.Sprintf("expression: %v", err)
	case FieldType(x.Type) != f.Type:
		return fmt.Sprintf("expression: it is %s; write type: %s", x.Type, x.Type)
	}
	return ""
}

// coerceFault says why the field cannot have coerce, or is empty.
func (e *EventType) coerceFault(f Field) string {
	isStored := func(s Field) bool { return s.Name == f.Column() }
	switch {
	case !f.Coerce || f.IsComputed() || !f.Type.IsKnown():
		return ""
	case f.Type != String && !f.Type.IsNumber():
		return fmt.Sprintf("coerce: it is for texts and numbers, and nothing is converted to %s; leave it out", f.Type)
	case f.Column() == "":
		return "coerce: a value inside of another member, or under a name that is no field name, is kept as it was " +
			"sent and converted without coerce; leave it out"
	case !slices.ContainsFunc(e.Stored().Fields, isStored):
		return "coerce: fields of several types read the member, so it is kept as it was sent and converted without " +
			"coerce; leave it out"
	}
	return ""
}

// mergeTexts returns the texts of both lists, sorted, each once.
func mergeTexts(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// ParsePath reads a path in the form that people write: names with dots between them, such as user.id. A name that has
// a dot stands in quotes, as in JSON: page."utm.source". The event's own member data may come first, without quotes.
func ParsePath(text string) ([]string, error) {
	var path []string
	for rest := text; ; rest = rest[1:] {
		name, after, err := nextMember(rest)
		if err != nil {
			return nil, fmt.Errorf("path: %q %w", text, err)
		}
		path = append(path, name)
		rest = after
		if rest == "" {
			break
		}
	}
	if strings.HasPrefix(text, "data.") {
		path = path[1:]
	}
	return path, nil
}

// nextMember returns the first name of a path, and what follows it: nothing, or a dot and more.
func nextMember(path string) (name, after string, err error) {
	if !strings.HasPrefix(path, `"`) {
		end := strings.IndexByte(path, '.')
		if end < 0 {
			end = len(path)
		}
		return path[:end], path[end:], nil
	}
	end := 1
	for end < len(path) && path[end] != '"' {
		if path[end] == '\\' {
			end++
		}
		end++
	}
	if end >= len(path) || json.Unmarshal([]byte(path[:end+1]), &name) != nil {
		return "", "", errors.New("has a quote that is not closed, or no JSON string between its quotes")
	}
	after = path[end+1:]
	if after != "" && after[0] != '.' {
		return "", "", errors.New("needs a dot after a closing quote")
	}
	return name, after, nil
}

// PathText writes a path as ParsePath reads it.
func PathText(path []string) string {
	var out []string
	for i, name := range path {
		if name == "" || strings.ContainsAny(name, `."\`) || i == 0 && name == "data" && len(path) > 1 {
			quoted, _ := json.Marshal(name) // A string always encodes.
			name = string(quoted)
		}
		out = append(out, name)
	}
	return strings.Join(out, ".")
}

// valueFaults says what is wrong with where the field's value stands, and with what means null.
func (f Field) valueFaults() []string {
	var faults []string
	if len(f.Path) > MaxPath {
		faults = append(faults, fmt.Sprintf("path: %d members; at most %d", len(f.Path), MaxPath))
	}
	for _, name := range f.Path {
		if name == "" || len(name) > MaxMember || !utf8.ValidString(name) {
			faults = append(faults, fmt.Sprintf("path: a member's name has 1 to %d bytes of UTF-8; not %q", MaxMember,
				name))
		}
	}
	if len(f.Nulls) > MaxNulls {
		faults = append(faults, fmt.Sprintf("null_values: %d texts; at most %d", len(f.Nulls), MaxNulls))
	}
	for _, text := range f.Nulls {
		if len(text) > MaxNull || !utf8.ValidString(text) {
			faults = append(faults, fmt.Sprintf("null_values: a text has at most %d bytes of UTF-8; not %q", MaxNull,
				text))
		}
	}
	return faults
}

// missing are texts that often mean a missing value.
var missing = []string{"NA", "N/A", "n/a", "na", "NULL", "Null", "null", "NaN", "nan", "None", "none", "nil", `\N`,
	"-", "--", "?", "#N/A", "missing"}

// LooksMissing reports whether a text often means a missing value. Nothing but an error depends on it.
func LooksMissing(text string) bool { return slices.Contains(missing, text) }
