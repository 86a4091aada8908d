package sql

import (
	"encoding/binary"
	"maps"
	"slices"
	"strings"

	"recount/schemas/catalog"
	"recount/schemas/sqlschema"
)

// Database is the database that statements see.
const Database = "recount"

// EmptyDatabase is the database in which statements run. All that they can read is temporary, and made for one
// statement. So a name that is not temporary names nothing.
const EmptyDatabase = "recount_sql"

// The tables about tables, by their names in statements (guard.Parse). They list what the statement's key may read, and
// know nothing of what the engine has: its own tables of these names count the rows of all tenants.
const (
	systemDatabases = "system.databases"
	systemTables    = "system.tables"
	systemColumns   = "system.columns"
	// systemSettings lists what a statement may set. Drivers read it when they connect.
	systemSettings = "system.settings"
)

// meaning says what the rows of a table are.
func (t table) meaning() string {
	switch t.kind {
	case live:
		return "events since the newest publication"
	case merged:
		return "rows of the newest publication, and of events since"
	case states:
		return "rows of the newest publication, as states that can be merged"
	}
	return "rows of the newest publication"
}

// builder makes rows in the format RowBinary.
type builder struct{ rows []byte }

func (b *builder) texts(values ...string) {
	for _, v := range values {
		b.rows = appendText(b.rows, v)
	}
}

func (b *builder) number(n uint64) { b.rows = binary.LittleEndian.AppendUint64(b.rows, n) }

func (b *builder) bytes(values ...byte) { b.rows = append(b.rows, values...) }

// columnsOf returns columns of a type with names.
func columnsOf(sqlType string, names ...string) (out []sqlschema.Column) {
	for _, n := range names {
		out = append(out, sqlschema.Column{Name: n, Type: sqlType})
	}
	return out
}

// systemSteps returns the statements that make a table about tables.
func systemSteps(name string, c *catalog.Catalog) []step {
	tables := tablesOf(c)
	sorted := slices.Sorted(maps.Keys(tables))
	var b builder
	switch name {
	case systemDatabases:
		b.texts(Database, "Memory", "", "", "", "Memory")
		b.texts("system", "Memory", "", "", "", "Memory")
		columns := columnsOf("String", "name", "engine", "data_path", "metadata_path", "comment", "engine_full")
		return temporary(name, columns, b.rows)
	case systemTables:
		for _, t := range sorted {
			b.table(Database, t, "View", tables[t].meaning())
		}
		for _, t := range []string{"columns", "databases", "settings", "tables"} {
			b.table("system", t, "SystemView", "what statements may read")
		}
		return temporary(name, tableColumns(), b.rows)
	case systemSettings:
		for _, s := range settingsOfStatements() {
			b.texts(s, "", "", "", "")
			b.bytes(0, 0, 0)
		}
		columns := columnsOf("String", "name", "value", "description", "type", "default")
		return temporary(name, append(columns, columnsOf("UInt8", "changed", "readonly", "is_obsolete")...), b.rows)
	}
	for _, t := range sorted {
		for i, col := range tables[t].columns(c, false) {
			b.column(t, col.Column, uint64(i+1))
		}
	}
	return temporary(name, columnColumns(), b.rows)
}

// tableColumns are the columns of system.tables. Sizes and paths are unknown.
func tableColumns() []sqlschema.Column {
	columns := columnsOf("String", "database", "name", "engine", "comment", "uuid", "create_table_query", "engine_full",
		"as_select", "partition_key", "sorting_key", "primary_key", "sampling_key", "storage_policy", "metadata_path")
	columns = append(columns, columnsOf("UInt8", "is_temporary", "has_own_data")...)
	columns = append(columns, columnsOf("Nullable(UInt64)", "total_rows", "total_bytes", "lifetime_rows",
		"lifetime_bytes")...)
	columns = append(columns, columnsOf("Array(String)", "data_paths", "dependencies_database",
		"dependencies_table")...)
	return append(columns, sqlschema.Column{Name: "metadata_modification_time", Type: "DateTime('UTC')"})
}

func (b *builder) table(database, name, engine, comment string) {
	b.texts(database, name, engine, comment, "00000000-0000-0000-0000-000000000000", "", engine)
	b.texts("", "", "", "", "", "", "") // as_select and what follows
	b.bytes(0, 0)
	b.bytes(isNull, isNull, isNull, isNull)
	b.bytes(0, 0, 0)
	b.bytes(0, 0, 0, 0)
}

// columnColumns are the columns of system.columns.
func columnColumns() []sqlschema.Column {
	columns := columnsOf("String", "database", "table", "name", "type", "default_kind", "default_expression", "comment",
		"compression_codec")
	columns = append(columns, columnsOf("UInt64", "position", "data_compressed_bytes", "data_uncompressed_bytes",
		"marks_bytes")...)
	columns = append(columns, columnsOf("UInt8", "is_in_partition_key", "is_in_sorting_key", "is_in_primary_key",
		"is_in_sampling_key")...)
	return append(columns, columnsOf("Nullable(UInt64)", "character_octet_length", "numeric_precision",
		"numeric_precision_radix", "numeric_scale", "datetime_precision")...)
}

func (b *builder) column(table string, c sqlschema.Column, position uint64) {
	b.texts(Database, table, c.Name, c.Type, "", "", columnComment(c), "")
	for _, n := range []uint64{position, 0, 0, 0} {
		b.number(n)
	}
	b.bytes(0, 0, 0, 0)
	b.bytes(isNull, isNull, isNull, isNull, isNull)
}

// columnComment warns of what a column is easily used for and does not give.
func columnComment(c sqlschema.Column) string {
	if strings.HasSuffix(c.Name, hashesSuffix) {
		return "hashes of the distinct values; uniqExactArray() counts them over several rows"
	}
	if c.Type == wideInteger {
		return "sum of integers; convert it by toFloat64() before you divide"
	}
	return ""
}
