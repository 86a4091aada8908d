package catalog

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"recount/schemas/decimal"
	"recount/schemas/setting"
)

var (
	nameFormat = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,62}$`)
	typeFormat = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)
	// reservedViews are the names of tables beside the SQL views: recount's own, and the tables of cells.
	reservedViews = regexp.MustCompile(`^(recount_.*|cells_.*_[0-9a-f]{16})$`)

	viewFormat = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

	// reservedFields are the names of the columns every event has. Columns that
	// are recount's own begin with an underscore, which nameFormat refuses.
	reservedFields = []string{"id", "time", "source", "subject", "type", "specversion", "landed"}
	// reservedOutputs are the names an answer row uses itself.
	reservedOutputs = []string{"time", "tenant", "live", "bounds"}
)

// FieldName reports whether a field may be declared with the name.
func FieldName(name string) bool {
	return nameFormat.MatchString(name) && !slices.Contains(reservedFields, name)
}

// DimensionName reports whether a field of the name may be declared and be a dimension of views.
func DimensionName(name string) bool {
	return isFieldName(name) && !slices.Contains(reservedOutputs, name)
}

// MeasureName reports whether a measure may have the name.
func MeasureName(name string) bool {
	return nameFormat.MatchString(name) && !strings.Contains(name, "__") && !slices.Contains(reservedOutputs, name)
}

// isFieldName reports whether the events of a log may have a column of the name.
func isFieldName(name string) bool { return FieldName(name) && !strings.Contains(name, "__") }

// mistake is an error in a declaration. Its path is the place in the configuration, as in
// events.flight.departed.fields.origin, so that a caller can find its line.
func mistake(msg string, path ...string) error { return &setting.Error{Path: path, Msg: msg} }

// list writes words with commas between them.
func list[T ~string](words []T) string {
	var out []string
	for _, w := range words {
		out = append(out, string(w))
	}
	return strings.Join(out, ", ")
}

// Validate returns every mistake in the catalog, joined. Each is a *setting.Error.
func (c *Catalog) Validate() error {
	errs := []error{BucketSetting(&c.Bucket).Check()}
	for name, e := range c.Events {
		errs = append(errs, e.validate(name))
	}
	for name, v := range c.Views {
		errs = append(errs, c.validateView(name, v))
	}
	return errors.Join(errs...)
}

func (e *EventType) validate(name string) error {
	var errs []error
	if !typeFormat.MatchString(name) {
		errs = append(errs, mistake("an event type is 1 to 128 letters, digits, dots, dashes and underscores", "events",
			name))
	}
	if len(e.Fields) > MaxFields {
		errs = append(errs, mistake(fmt.Sprintf("%d fields; at most %d", len(e.Fields), MaxFields), "events", name,
			"fields"))
	}
	for i, f := range e.Fields {
		path := []string{"events", name, "fields", f.Name}
		switch {
		case !nameFormat.MatchString(f.Name):
			errs = append(errs, mistake("a field name begins with a letter and has at most 63 letters, digits and "+
				"underscores", path...))
		case strings.Contains(f.Name, "__"):
			errs = append(errs, mistake("two underscores in a row are kept for recount's own columns", path...))
		case slices.Contains(reservedFields, f.Name):
			errs = append(errs, mistake("the name is taken by the event's own attribute; choose another name, and "+
				"write {type: …, path: "+f.Name+"}", path...))
		case i > 0 && e.Fields[i-1].Name == f.Name:
			errs = append(errs, mistake("declared twice", path...))
		}
		if !f.Type.IsKnown() {
			errs = append(errs, mistake(typeFault(f.Type), path...))
		}
		for _, fault := range f.valueFaults() {
			errs = append(errs, mistake(fault, path...))
		}
		if fault := e.coerceFault(f); fault != "" {
			errs = append(errs, mistake(fault, path...))
		}
		if !f.IsComputed() {
			continue
		}
		if fault := e.expressionFault(f); fault != "" {
			errs = append(errs, mistake(fault, path...))
		}
	}
	return errors.Join(errs...)
}

// typeFault says what is wrong with an unknown type.
func typeFault(t FieldType) string {
	switch {
	case strings.HasPrefix(string(t), "decimal(") && !strings.HasSuffix(string(t), ")"):
		return fmt.Sprintf("the type %q is cut off, because YAML reads a comma between braces as the end of a value; "+
			"write it in quotes, such as \"decimal(18,2)\"", t)
	case strings.HasPrefix(string(t), "decimal"):
		return fmt.Sprintf("unknown type %q; write %s with 1 to %d digits, of which 0 to all follow the point, such "+
			"as decimal(18,2)", t, DecimalForm, decimal.MaxPrecision)
	}
	return fmt.Sprintf("unknown type %q; use one of %s, %s", t, list(FieldTypes), DecimalForm)
}

func (c *Catalog) validateView(name string, v *View) error {
	var errs []error
	if !viewFormat.MatchString(name) {
		errs = append(errs, mistake("a view name begins with a lower-case letter and has at most 63 lower-case "+
			"letters, digits and underscores", "views", name))
	}
	if reservedViews.MatchString(name) {
		errs = append(errs, mistake("the name is kept for recount's own tables in ClickHouse; choose another", "views",
			name))
	}
	if v.Cell < LeastCell || c.Bucket > 0 && c.Bucket%v.Cell != 0 {
		errs = append(errs, mistake(fmt.Sprintf("%s does not divide the bucket of %s; use a cell such as 1m", v.Cell,
			c.Bucket), "views", name, "cell"))
	}
	if c.Events[v.Event] == nil {
		return errors.Join(append(errs, mistake(fmt.Sprintf("event type %q is not declared under events", v.Event),
			"views", name, "event"))...)
	}
	errs = append(errs, c.validateDimensions(v), c.validateMeasures(v), c.validateFilters(v))
	return errors.Join(errs...)
}

func (c *Catalog) validateDimensions(v *View) error {
	var errs []error
	if len(v.Dimensions) > MaxDimensions {
		errs = append(errs, mistake(fmt.Sprintf("%d dimensions; at most %d", len(v.Dimensions), MaxDimensions), "views",
			v.Name, "dimensions"))
	}
	for i, d := range v.Dimensions {
		path := []string{"views", v.Name, "dimensions", d}
		t, ok := c.Events[v.Event].Column(d)
		switch {
		case !ok:
			errs = append(errs, mistake(fmt.Sprintf("event %q has no field of this name", v.Event), path...))
		case t == Float64 || t == Timestamp || t.IsDecimal():
			errs = append(errs, mistake(fmt.Sprintf("a %s cannot be a dimension; use a string, int64 or bool field", t),
				path...))
		case slices.Contains(reservedOutputs, d):
			errs = append(errs, mistake("the name is used by every answer row; rename the field", path...))
		case slices.Contains(v.Dimensions[:i], d):
			errs = append(errs, mistake("listed twice", path...))
		}
	}
	return errors.Join(errs...)
}

func (c *Catalog) validateMeasures(v *View) error {
	var errs []error
	if len(v.Measures) == 0 || len(v.Measures) > MaxMeasures {
		errs = append(errs, mistake(fmt.Sprintf("%d measures; a view has 1 to %d", len(v.Measures), MaxMeasures),
			"views", v.Name, "measures"))
	}
	for i, m := range v.Measures {
		path := []string{"views", v.Name, "measures", m.Name}
		if !MeasureName(m.Name) {
			errs = append(errs, mistake("a measure name begins with a letter, has at most 63 letters, digits and "+
				"single underscores, and is not one of "+strings.Join(reservedOutputs, ", "), path...))
		}
		if msg := c.measureFault(v, m); msg != "" {
			errs = append(errs, mistake(msg, path...))
		}
		if slices.ContainsFunc(v.Measures[:i], func(o Measure) bool { return o.Name == m.Name }) ||
			slices.Contains(v.Dimensions, m.Name) {
			errs = append(errs, mistake("another measure or dimension has this name", path...))
		}
	}
	return errors.Join(errs...)
}

// measureFault says what is wrong with the kind or the field of a measure, or is empty.
func (c *Catalog) measureFault(v *View, m Measure) string {
	t, ok := c.Events[v.Event].Column(m.Field)
	switch {
	case !slices.Contains(MeasureKinds, m.Kind):
		return fmt.Sprintf("unknown measure %q; use one of %s", m.Kind, list(MeasureKinds))
	case m.Kind == Count && m.Field != "":
		return "count takes no field; write {count: {}}"
	case m.Kind == Count:
		return ""
	case !ok:
		return fmt.Sprintf("event %q has no field %q", v.Event, m.Field)
	case (m.Kind == Sum || m.Kind == Avg || m.Kind == Quantile) && !t.IsNumber():
		return fmt.Sprintf("%s needs an int64, float64 or decimal field; %q is %s", m.Kind, m.Field, t)
	case (m.Kind == Min || m.Kind == Max) && !t.IsNumber() && t != Timestamp:
		return fmt.Sprintf("%s needs an int64, float64, decimal or timestamp field; %q is %s", m.Kind, m.Field, t)
	}
	return ""
}

func (c *Catalog) validateFilters(v *View) error {
	var errs []error
	if len(v.Where) > MaxFilters {
		errs = append(errs, mistake(fmt.Sprintf("%d filters; at most %d", len(v.Where), MaxFilters), "views", v.Name,
			"where"))
	}
	for i, f := range v.Where {
		for _, msg := range c.filterFaults(v, f) {
			errs = append(errs, mistake(msg, "views", v.Name, "where", fmt.Sprint(i)))
		}
	}
	return errors.Join(errs...)
}

// filterFaults says everything that is wrong with a filter.
func (c *Catalog) filterFaults(v *View, f Filter) []string {
	var faults []string
	t, known := c.Events[v.Event].Column(f.Field)
	ordered := f.Op == Lt || f.Op == Le || f.Op == Gt || f.Op == Ge
	if !known {
		faults = append(faults, fmt.Sprintf("field: event %q has no field %q", v.Event, f.Field))
	}
	switch {
	case !slices.Contains(FilterOps, f.Op):
		faults = append(faults, fmt.Sprintf("op: unknown %q; use one of %s", f.Op, list(FilterOps)))
	case known && ordered && (t == String || t == Bool):
		faults = append(faults, fmt.Sprintf("op: %s needs a number or a timestamp; %q is %s", f.Op, f.Field, t))
	case len(f.Values) == 0 || len(f.Values) > MaxInValues:
		faults = append(faults, fmt.Sprintf("values: %d; give 1 to %d", len(f.Values), MaxInValues))
	case f.Op != In && f.Op != NotIn && len(f.Values) != 1:
		faults = append(faults, fmt.Sprintf("value: %s takes exactly one", f.Op))
	}
	known = known && t.IsKnown() // An unknown type is a mistake of the event type.
	if f.Op == Exists {
		t = Bool
	}
	for _, val := range f.Values {
		if known && !isOf(val, t) {
			faults = append(faults, fmt.Sprintf("value: %v is not %s", val, t))
		}
	}
	return faults
}

func isOf(v any, t FieldType) bool {
	switch x := v.(type) {
	case string:
		return t == String
	case int64:
		d, is := t.Decimal()
		return t == Int64 || t == Timestamp || is && d.Holds(x)
	case float64:
		return t == Float64 && finite(x)
	case bool:
		return t == Bool
	}
	return false
}
