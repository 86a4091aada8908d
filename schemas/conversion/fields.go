package conversion

import (
	"maps"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"recount/schemas/catalog"
	"recount/schemas/eventbatch"
)

// Fields are the declared fields of an event type that are to be read. Those that a computed field uses are among them.
type Fields []catalog.Field

// FieldsOf returns those of the columns that are declared fields, and the fields that computed ones among them use. The
// others are attributes of every event, whose types never change.
func FieldsOf(e *catalog.EventType, columns []string) (out Fields) {
	wanted := slices.Clone(columns)
	for _, f := range e.Fields {
		if f.IsComputed() && slices.Contains(columns, f.Name) {
			wanted = append(wanted, usedBy(e.Fields, f)...)
		}
	}
	for _, f := range e.Fields {
		if slices.Contains(wanted, f.Name) {
			out = append(out, f)
		}
	}
	return out
}

// usedBy returns the columns that a computed field uses.
func usedBy(all Fields, f catalog.Field) []string {
	x, err := (&catalog.EventType{Fields: all}).Compile(f)
	if err != nil {
		return nil // Validate has refused it.
	}
	return x.Columns
}

// Stored returns the columns from which Read makes these columns, each once and without that of undeclared fields.
func (f Fields) Stored(columns []string) (out []string) {
	for _, name := range columns {
		names := []string{name}
		if i := f.index(name); i >= 0 && f[i].IsComputed() {
			names = usedBy(f, f[i])
		}
		for _, name := range names {
			if i := f.index(name); i >= 0 {
				name = f[i].Column()
			}
			if name != "" && !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	return out
}

func (f Fields) index(name string) int {
	return slices.IndexFunc(f, func(field catalog.Field) bool { return field.Name == name })
}

// Read returns the events with every field in its declared type. A field that has no column, because it was not
// declared when they came or is inside of another member, is looked for among the undeclared fields of each event.
// mixed says that the events may have come under several declarations, so that this goes for any of them. A field that
// no event has stays absent. lost is nil if every value could be converted. The result shares the memory of c.
func (f Fields) Read(c eventbatch.Columns, mixed bool) (out eventbatch.Columns, lost Lost) {
	mixed = mixed || c.HasFlag(eventbatch.FlagUndeclaredValue)
	changed := map[string]arrow.Array{}
	extra, _ := c.Field(eventbatch.ColExtra).(*array.String)
	computed := false
	for _, field := range f {
		if field.IsComputed() {
			computed = true
			continue
		}
		read, rows := readField(field, c, extra, mixed)
		if read != c.Field(field.Name) {
			changed[field.Name] = read
		}
		lost = lost.addRows(field.Name, rows)
	}
	if len(changed) > 0 {
		c.Rec = replace(c.Rec, changed)
	}
	if computed {
		c, lost = f.compute(c, lost)
	}
	return c, lost
}

// compute adds the computed fields to events whose other fields were read. A value that is computed of a lost one
// counts as lost.
func (f Fields) compute(c eventbatch.Columns, lost Lost) (eventbatch.Columns, Lost) {
	columns := map[string]arrow.Array{}
	for _, field := range f {
		if !field.IsComputed() {
			continue
		}
		columns[field.Name] = nil
		x, err := (&catalog.EventType{Fields: f}).Compile(field)
		if err != nil {
			continue // Validate has refused it.
		}
		columns[field.Name] = x.Evaluate(int(c.Rec.NumRows()), c.Field, eventbatch.ArrowType(field.Type))
		lost = lost.addRows(field.Name, lost.Rows(x.Columns))
	}
	c.Rec = replace(c.Rec, columns)
	return c, lost
}

// readField returns the values of a field, nil if no event has one, and the rows whose value is lost.
func readField(f catalog.Field, c eventbatch.Columns, extra *array.String, mixed bool) (arrow.Array, []int) {
	var column arrow.Array
	if name := f.Column(); name != "" {
		column = c.Field(name)
	}
	path := f.Members()
	late := isLate(extra, column, path, mixed)
	switch {
	case !late && column == nil:
		return nil, nil
	case !late && fits(column.DataType(), f.Type):
		return withoutNulls(f, column), nil
	}
	at := valuesOf(column)
	if late {
		at = lateValues(at, extra, path)
	}
	return convert(f, int(c.Rec.NumRows()), at)
}

// NeedsExtra reports whether Read needs the column of undeclared fields of an object with these columns.
func (f Fields) NeedsExtra(has func(column string) bool, mixed bool) bool {
	return slices.ContainsFunc(f, func(field catalog.Field) bool {
		column := field.Column()
		return !field.IsComputed() && (mixed || column == "" || !has(column))
	})
}

// isLate reports whether an event may have the field among its undeclared fields.
func isLate(extra *array.String, column arrow.Array, path []string, mixed bool) bool {
	if extra == nil || extra.NullN() == extra.Len() || column != nil && (!mixed || column.NullN() == 0) {
		return false
	}
	for row := range extra.Len() {
		if extra.IsValid(row) && (column == nil || column.IsNull(row)) &&
			undeclared(extra.Value(row), path).kind != missing {
			return true
		}
	}
	return false
}

// lateValues returns for each row the value in its column or else the undeclared one.
func lateValues(at func(row int) value, extra *array.String, path []string) func(row int) value {
	return func(row int) value {
		if v := at(row); v.kind != missing || extra.IsNull(row) {
			return v
		}
		return undeclared(extra.Value(row), path)
	}
}

// fits reports whether a column has the declared type. The lake has some strings as dictionaries.
func fits(t arrow.DataType, declared catalog.FieldType) bool {
	if d, ok := t.(*arrow.DictionaryType); ok {
		t = d.ValueType
	}
	return arrow.TypeEqual(t, eventbatch.ArrowType(declared))
}

// replace returns the record with the columns, which take the places of those of the same names. A nil column takes
// the place of one and is absent.
func replace(rec arrow.Record, columns map[string]arrow.Array) arrow.Record {
	var fields []arrow.Field
	var arrays []arrow.Array
	for i, f := range rec.Schema().Fields() {
		if _, ok := columns[f.Name]; !ok {
			fields = append(fields, f)
			arrays = append(arrays, rec.Column(i))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(columns)) {
		if columns[name] != nil {
			fields = append(fields, arrow.Field{Name: name, Type: columns[name].DataType(), Nullable: true})
			arrays = append(arrays, columns[name])
		}
	}
	return array.NewRecord(arrow.NewSchema(fields, nil), arrays, rec.NumRows())
}

// convert returns n values in the declared type, and the rows whose value it cannot hold.
func convert(f catalog.Field, n int, at func(row int) value) (arrow.Array, []int) {
	switch f.Type {
	case catalog.Int64:
		return build(array.NewInt64Builder(memory.DefaultAllocator), n, at, value.asWhole, f.Nulls)
	case catalog.Float64:
		return build(array.NewFloat64Builder(memory.DefaultAllocator), n, at, value.asNumber, f.Nulls)
	case catalog.Bool:
		return build(array.NewBooleanBuilder(memory.DefaultAllocator), n, at, value.asTruth, f.Nulls)
	case catalog.Timestamp:
		b := array.NewTimestampBuilder(memory.DefaultAllocator, eventbatch.TimestampType)
		return build(b, n, at, value.asMoment, f.Nulls)
	}
	if d, ok := f.Type.Decimal(); ok {
		units, lost := build(array.NewInt64Builder(memory.DefaultAllocator), n, at, asUnits(d), f.Nulls)
		return (&eventbatch.DecimalType{Type: d}).Array(units), lost
	}
	return build(array.NewStringBuilder(memory.DefaultAllocator), n, at, value.asText, f.Nulls)
}

// Fits reports whether a value of data, as JSON text, is of use to the field: it means null or has the field's type, or
// can be converted.
func Fits(f catalog.Field, raw string) bool {
	v := parseValue(raw)
	_, lost := convert(f, 1, func(int) value { return v })
	return len(lost) == 0
}

// TextOf returns the text that readers make of a JSON number, if there is one that means exactly this number.
func TextOf(number string) (string, bool) {
	v := parseValue(number)
	return v.asText()
}

// builder is the part of Arrow's builders that convert needs.
type builder[T any] interface {
	Append(T)
	AppendNull()
	NewArray() arrow.Array
}

func build[T comparable](b builder[T], n int, at func(row int) value, as func(value) (T, bool),
	texts []string) (arrow.Array, []int) {
	var lost []int
	null := newNulls(texts, as)
	for row := range n {
		v := at(row)
		converted, ok := as(v)
		switch {
		case null.has(v, converted, ok):
		case ok:
			b.Append(converted)
			continue
		case v.kind != missing:
			lost = append(lost, row)
		}
		b.AppendNull()
	}
	return b.NewArray(), lost
}

// Lost has, by field, the rows whose value could not be converted, ascending.
type Lost map[string][]int

func (l Lost) addRows(field string, rows []int) Lost {
	if len(rows) == 0 {
		return l
	}
	if l == nil {
		l = Lost{}
	}
	l[field] = rows
	return l
}

// Rows returns the rows in which a value of any of the columns is lost, ascending, each once.
func (l Lost) Rows(columns []string) []int {
	var rows []int
	for _, name := range columns {
		rows = append(rows, l[name]...)
	}
	slices.Sort(rows)
	return slices.Compact(rows)
}
