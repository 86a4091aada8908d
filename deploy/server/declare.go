package server

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"recount/schemas/catalog"
	"recount/schemas/deadletter"
	"recount/schemas/setting"
)

// EventConfig declares an event type: fields by name.
type EventConfig struct {
	Fields map[string]catalog.FieldType `yaml:"fields"`
}

// ViewConfig declares a view.
type ViewConfig struct {
	Event      string                   `yaml:"event"`
	Dimensions []string                 `yaml:"dimensions"`
	Cell       time.Duration            `yaml:"cell"`
	Where      []FilterConfig           `yaml:"where"`
	Measures   map[string]MeasureConfig `yaml:"measures"`
}

// FilterConfig is one condition on a field: value for most operators, values for in and not_in.
type FilterConfig struct {
	Field  string           `yaml:"field"`
	Op     catalog.FilterOp `yaml:"op"`
	Value  any              `yaml:"value"`
	Values []any            `yaml:"values"`
}

// MeasureConfig is {kind: field}, or {count: {}}.
type MeasureConfig struct {
	Kind  catalog.MeasureKind
	Field string
}

// UnmarshalYAML reads {sum: distance} or {count: {}}.
func (m *MeasureConfig) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.MappingNode || len(n.Content) != 2 {
		return wrongShape("line %d: a measure is one of {count: {}}, {sum: field}, {min: field}, {max: field}, "+
			"{avg: field} or {distinct: field}, and nothing beside it", n.Line)
	}
	m.Kind = catalog.MeasureKind(n.Content[0].Value)
	if v := n.Content[1]; v.Kind == yaml.ScalarNode {
		m.Field = v.Value
	} else if len(v.Content) > 0 {
		return wrongShape("line %d: write the name of a field after %s", v.Line, m.Kind)
	}
	return nil
}

// wrongShape returns an error after which the YAML library continues, so that it reports every mistake.
func wrongShape(format string, args ...any) error {
	return &yaml.TypeError{Errors: []string{fmt.Sprintf(format, args...)}}
}

// declared returns the catalog of event types and views. Mistakes in single values are in the error.
func declared(bucket time.Duration, events map[string]EventConfig, views map[string]ViewConfig) (*catalog.Catalog,
	error) {
	cat := &catalog.Catalog{Events: map[string]*catalog.EventType{}, Views: map[string]*catalog.View{}, Bucket: bucket}
	var errs []error
	for name, e := range events {
		if strings.HasPrefix(name, catalog.ReservedPrefix) {
			errs = append(errs, &setting.Error{Path: []string{"events", name}, Msg: "names that begin with " +
				catalog.ReservedPrefix + " are recount's own; choose another"})
			continue
		}
		t := &catalog.EventType{Name: name}
		for f, ft := range e.Fields {
			t.Fields = append(t.Fields, catalog.Field{Name: f, Type: ft})
		}
		slices.SortFunc(t.Fields, func(a, b catalog.Field) int { return strings.Compare(a.Name, b.Name) })
		cat.Events[name] = t
	}
	cat.Events[deadletter.Type] = deadletter.EventType() // Views may count rejections.
	for name, v := range views {
		view, err := v.view(name, cat.Events[v.Event])
		cat.Views[name] = view
		errs = append(errs, err)
	}
	return cat, errors.Join(append(errs, cat.Validate())...)
}

func (v ViewConfig) view(name string, e *catalog.EventType) (*catalog.View, error) {
	out := &catalog.View{Name: name, Event: v.Event, Dimensions: v.Dimensions, Cell: v.Cell}
	if out.Cell == 0 {
		out.Cell = catalog.DefaultCell
	}
	for m, cfg := range v.Measures {
		out.Measures = append(out.Measures, catalog.Measure{Name: m, Kind: cfg.Kind, Field: cfg.Field})
	}
	slices.SortFunc(out.Measures, func(a, b catalog.Measure) int { return strings.Compare(a.Name, b.Name) })
	var errs []error
	for i, f := range v.Where {
		filter, wrong := f.filter(e)
		for _, err := range wrong {
			errs = append(errs, &setting.Error{Path: []string{"views", name, "where", strconv.Itoa(i)},
				Msg: "value: " + err.Error()})
		}
		out.Where = append(out.Where, filter)
	}
	return out, errors.Join(errs...)
}

// filter gives the values the type of the field. It leaves those of f as they are, because each call of Catalog
// reads them. A value that is wrong is in the errors, and is a zero in the filter.
func (f FilterConfig) filter(e *catalog.EventType) (catalog.Filter, []error) {
	out := catalog.Filter{Field: f.Field, Op: f.Op, Values: slices.Clone(f.Values)}
	if f.Value != nil {
		out.Values = append(out.Values, f.Value)
	}
	if e == nil {
		return out, nil // Validate says that the event type is not declared.
	}
	t, ok := e.Column(f.Field)
	if f.Op == catalog.Exists {
		t = catalog.Bool
	}
	if !ok || !slices.Contains(catalog.FieldTypes, t) {
		return out, nil // Validate says that there is no such field, or no such type.
	}
	var errs []error
	for i, v := range out.Values {
		typed, err := catalog.Normalize(v, t)
		if err != nil {
			errs = append(errs, err)
			typed = catalog.Zero(t)
		}
		out.Values[i] = typed
	}
	return out, errs
}
