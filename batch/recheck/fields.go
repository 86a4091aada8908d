package recheck

import (
	"fmt"
	"slices"
	"strings"

	"recount/batch/object"
	"recount/schemas/catalog"
	"recount/schemas/conversion"
	"recount/schemas/eventbatch"
	"recount/schemas/sqlschema"
)

// storedColumn is a column of the objects, in the type that the fields of the view want.
type storedColumn struct {
	name      string
	fieldType catalog.FieldType
}

// fields returns the fields that the view reads.
func (q *statement) fields() conversion.Fields {
	return conversion.FieldsOf(q.catalog.Events[q.view.Event], q.view.Columns())
}

// storedColumns returns the columns of objects that the view needs: those of its fields, and attributes.
func (q *statement) storedColumns() (out []storedColumn) {
	fields := q.fields()
	for _, name := range fields.Stored(q.view.Columns()) {
		c := storedColumn{name, catalog.String}
		for _, f := range fields {
			if f.Column() == name {
				c.fieldType = f.Type
			}
		}
		if name != eventbatch.ColTime {
			out = append(out, c)
		}
	}
	return out
}

// source is the SQL of the rows of the objects with the fields of the view as columns. Two steps keep the name of a
// field apart from that of a column that another field reads. The third adds computed fields.
func (q *statement) source(objects string) string {
	fields := q.fields()
	if !slices.ContainsFunc(fields, func(f catalog.Field) bool { return !f.IsPlain() }) {
		return q.stored(objects)
	}
	inner := []string{eventbatch.ColKey, eventbatch.ColTenant, eventbatch.ColFlags, object.ColSeq, object.ColIndex,
		eventbatch.ColTime}
	for _, c := range q.storedColumns() {
		if slices.Contains(catalog.Attributes, c.name) {
			inner = append(inner, c.name)
		}
	}
	outer := slices.Clone(inner)
	computed := []string{"*"}
	for i, f := range fields {
		if f.IsComputed() {
			computed = append(computed, q.computedSQL(f)+" AS "+sqlschema.Quote(f.Name))
			continue
		}
		inner = append(inner, fmt.Sprintf("%s AS _f%d", readSQL(f), i))
		outer = append(outer, fmt.Sprintf("_f%d AS %s", i, sqlschema.Quote(f.Name)))
	}
	return fmt.Sprintf("(SELECT %s FROM (SELECT %s FROM (SELECT %s FROM %s)))", strings.Join(computed, ", "),
		strings.Join(outer, ", "), strings.Join(inner, ", "), q.stored(objects))
}

// computedSQL is the SQL of a computed field.
func (q *statement) computedSQL(f catalog.Field) string {
	x, err := q.catalog.Events[q.view.Event].Compile(f)
	if err != nil {
		return "NULL" // Validate has refused it.
	}
	return x.SQL(sqlschema.Quote)
}

// readSQL is the SQL of a field: its column, or the value among the undeclared fields, without what means null.
func readSQL(f catalog.Field) string {
	value := sqlschema.Quote(f.Column())
	if f.Column() == "" {
		value = undeclaredSQL(f)
	}
	if values := conversion.NullValues(f); len(values) > 0 {
		value = fmt.Sprintf("if(ifNull(%s IN (%s), 0), NULL, %s)", value, list(values, f.Type), value)
	}
	return value
}

// jsonArguments are the arguments of ClickHouse's JSON functions that name the value of a field.
func jsonArguments(f catalog.Field) string {
	args := "ifNull(" + eventbatch.ColExtra + ", ''), 'data'"
	for _, name := range f.Members() {
		args += ", " + quoteText(name)
	}
	return args
}

// jsonTypes are the types of ClickHouse's JSON functions whose values need no conversion. A time is a string, which
// ClickHouse reads in another way.
var jsonTypes = map[catalog.FieldType]string{catalog.String: "'String'", catalog.Int64: "'Int64'",
	catalog.Float64: "'Int64', 'UInt64', 'Double'", catalog.Bool: "'Bool'"}

// undeclaredSQL is the SQL of a value among the undeclared fields that needs no conversion.
func undeclaredSQL(f catalog.Field) string {
	nullable := "Nullable(" + sqlschema.Type(f.Type) + ")"
	if jsonTypes[f.Type] == "" {
		return "CAST(NULL, " + quoteText(nullable) + ")"
	}
	return fmt.Sprintf("if(JSONType(%s) IN (%s), JSONExtract(%s, %s), NULL)", jsonArguments(f), jsonTypes[f.Type],
		jsonArguments(f), quoteText(nullable))
}

// unread is the SQL of whether the field is among the undeclared fields of an event and readSQL does not read it: it
// needs a conversion, or the field has a column. A text that means null needs none.
func unread(f catalog.Field) string {
	args := jsonArguments(f)
	known := jsonTypes[f.Type]
	if f.Column() != "" {
		known = ""
	}
	kinds := strings.TrimSuffix("'Null', "+known, ", ")
	found := fmt.Sprintf("JSONType(%s) NOT IN (%s)", args, kinds)
	if len(f.Nulls) > 0 {
		var texts []any
		for _, s := range f.Nulls {
			texts = append(texts, s)
		}
		found += fmt.Sprintf(" AND NOT (JSONType(%s) = 'String' AND JSONExtractString(%s) IN (%s))", args, args,
			list(texts, catalog.String))
	}
	if f.Column() != "" {
		found += " AND isNull(" + sqlschema.Quote(f.Column()) + ")"
	}
	return fmt.Sprintf("isNotNull(%s) AND (NOT isValidJSON(%s) OR %s)", eventbatch.ColExtra, "ifNull("+
		eventbatch.ColExtra+", '')", found)
}
