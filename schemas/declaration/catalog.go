package declaration

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"recount/schemas/catalog"
	"recount/schemas/deadletter"
	"recount/schemas/setting"
)

// Catalog puts together what is declared. It returns every mistake in the meaning, joined, with what it made of the
// rest. Each is a *setting.Error. The arguments stay as they are.
func Catalog(bucket time.Duration, events map[string]*catalog.EventType, views map[string]*catalog.View) (
	*catalog.Catalog, error) {
	cat := &catalog.Catalog{Events: map[string]*catalog.EventType{}, Views: map[string]*catalog.View{}, Bucket: bucket}
	var errs []error
	for name, e := range events {
		if strings.HasPrefix(name, catalog.ReservedPrefix) {
			errs = append(errs, &setting.Error{Path: []string{Events, name}, Msg: "names that begin with " +
				catalog.ReservedPrefix + " are recount's own; choose another"})
			continue
		}
		declared := &catalog.EventType{Name: name, Fields: slices.Clone(e.Fields)}
		slices.SortFunc(declared.Fields, func(a, b catalog.Field) int { return strings.Compare(a.Name, b.Name) })
		cat.Events[name] = declared
	}
	cat.Events[deadletter.Type] = deadletter.EventType() // Views may count rejections.
	for name, v := range views {
		declared, err := Typed(name, v, cat.Events[v.Event])
		cat.Views[name] = declared
		errs = append(errs, err)
	}
	return cat, errors.Join(append(errs, cat.Validate())...)
}

// Typed returns the view with the values of its conditions in the types of their fields, and an error if they have
// none. Without the event type, they stay as they are.
func Typed(name string, v *catalog.View, e *catalog.EventType) (*catalog.View, error) {
	out := &catalog.View{Name: name, Event: v.Event, Dimensions: slices.Clone(v.Dimensions),
		Cell: cmp.Or(v.Cell, catalog.DefaultCell), Measures: slices.Clone(v.Measures)}
	slices.SortFunc(out.Measures, func(a, b catalog.Measure) int { return strings.Compare(a.Name, b.Name) })
	var errs []error
	for i, f := range v.Where {
		filter, wrong := typedFilter(f, e)
		for _, err := range wrong {
			errs = append(errs, &setting.Error{Path: []string{Views, name, "where", strconv.Itoa(i)},
				Msg: "value: " + err.Error()})
		}
		out.Where = append(out.Where, filter)
	}
	return out, errors.Join(errs...)
}

// typedFilter gives the values the type of the field. A value that is wrong is in the errors, and is a zero in the
// filter.
func typedFilter(f catalog.Filter, e *catalog.EventType) (catalog.Filter, []error) {
	out := catalog.Filter{Field: f.Field, Op: f.Op, Values: slices.Clone(f.Values)}
	if e == nil {
		return out, nil // Validate says that the event type is not declared.
	}
	t, ok := e.Column(f.Field)
	if f.Op == catalog.Exists {
		t = catalog.Bool
	}
	if !ok || !t.IsKnown() {
		return out, nil // Validate says that there is no such field, or no such type.
	}
	var errs []error
	for i, v := range out.Values {
		value, err := catalog.Normalize(v, t)
		if err != nil {
			errs = append(errs, err)
			value = catalog.Zero(t)
		}
		out.Values[i] = value
	}
	return out, errs
}
