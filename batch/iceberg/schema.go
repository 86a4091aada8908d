package iceberg

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"recount/schemas/catalog"
	"recount/schemas/eventbatch"
)

// column is a field of an Iceberg schema. Every column may be missing in a file, so none is required.
type column struct {
	ID       int    `json:"id"`
	Name     string `json:"name"`
	Required bool   `json:"required"`
	Type     string `json:"type"`
}

// schema is an Iceberg schema: the columns that the files of some snapshots have.
type schema struct {
	Type    string   `json:"type"` // struct
	ID      int      `json:"schema-id"`
	Columns []column `json:"fields"`
}

// timeField is the number of the column time.
const timeField = 5

// baseColumns are the columns that every object has or may have. Their numbers never change.
var baseColumns = []column{
	{ID: 1, Name: eventbatch.ColKey, Type: fmt.Sprintf("fixed[%d]", eventbatch.KeySize)},
	{ID: 2, Name: eventbatch.ColTenant, Type: "string"},
	{ID: 3, Name: eventbatch.ColFlags, Type: "int"},
	{ID: 4, Name: eventbatch.ColID, Type: "string"},
	{ID: timeField, Name: eventbatch.ColTime, Type: "timestamptz"},
	{ID: 6, Name: eventbatch.ColSource, Type: "string"},
	{ID: 7, Name: eventbatch.ColSubject, Type: "string"},
	{ID: 8, Name: eventbatch.ColExtra, Type: "string"},
	{ID: 9, Name: eventbatch.ColOverflow, Type: "string"},
	{ID: 10, Name: "_partition", Type: "int"},
	{ID: 11, Name: "_epoch", Type: "int"},
	{ID: 12, Name: "_seq", Type: "long"},
	{ID: 13, Name: "_index", Type: "int"},
}

// unmapped is a column of all objects that no schema has: a UINT_64, which Iceberg does not know. A long would be
// negative in some programs and an error in others. Readers still want a number for every column of a file.
var unmapped = column{ID: 14, Name: eventbatch.ColHash}

// firstField is the number of the first declared field.
const firstField = 101

// typeOf returns the Iceberg type of a declared field.
func typeOf(t catalog.FieldType) string {
	if d, ok := t.Decimal(); ok {
		return fmt.Sprintf("decimal(%d, %d)", d.Precision, d.Scale)
	}
	switch t {
	case catalog.Int64:
		return "long"
	case catalog.Float64:
		return "double"
	case catalog.Bool:
		return "boolean"
	case catalog.Timestamp:
		return "timestamptz"
	}
	return "string"
}

// addFields adds the fields that an object has to the columns of the table. A field that has had another type in an
// earlier object leaves the table, and does not come back: a name mapping gives a column to a name, whatever the file,
// and no program reads one column in two types.
func (t *table) addFields(fields []catalog.Field) {
	for _, f := range fields {
		i := slices.IndexFunc(t.columns, func(c column) bool { return c.Name == f.Name })
		switch {
		case slices.ContainsFunc(t.ambiguous, func(c column) bool { return c.Name == f.Name }):
		case i < 0:
			t.LastColumn++
			t.columns = append(t.columns, column{ID: t.LastColumn, Name: f.Name, Type: typeOf(f.Type)})
		case t.columns[i].Type != typeOf(f.Type):
			t.ambiguous = append(t.ambiguous, t.columns[i])
			t.columns = slices.Delete(t.columns, i, i+1)
		}
	}
}

// currentSchema returns the schema of the columns that the table has now, and adds it to the schemas if it is new. Its
// id follows from the columns. With numbers in a row, a table that is made anew would give one to other columns, and
// ClickHouse refuses an id that it has seen with others.
func (t *table) currentSchema() *schema {
	sum := sha256.New()
	for _, c := range t.columns {
		fmt.Fprintln(sum, c.ID, c.Name, c.Type)
	}
	id := int(binary.BigEndian.Uint32(sum.Sum(nil)) >> 1)
	for _, s := range t.Schemas {
		if s.ID == id {
			return s
		}
	}
	s := &schema{Type: "struct", ID: id, Columns: slices.Clone(t.columns)}
	t.Schemas = append(t.Schemas, s)
	return s
}

// nameMapping returns the property with which readers find columns in files that have no field ids. It has the columns
// of all schemas, because old snapshots are read with old ones, and those of no schema, because pyiceberg and DuckDB
// refuse a file with a column that has no number.
func (t *table) nameMapping() (string, error) {
	type mapped struct {
		Field int      `json:"field-id"`
		Names []string `json:"names"`
	}
	fields := map[int]mapped{}
	for _, c := range append(slices.Clone(t.ambiguous), unmapped) {
		fields[c.ID] = mapped{c.ID, []string{c.Name}}
	}
	for _, s := range t.Schemas {
		for _, c := range s.Columns {
			fields[c.ID] = mapped{c.ID, []string{c.Name}}
		}
	}
	raw, err := json.Marshal(slices.SortedFunc(maps.Values(fields),
		func(a, b mapped) int { return cmp.Compare(a.Field, b.Field) }))
	return string(raw), err
}
