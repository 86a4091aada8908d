package sql

import (
	"encoding/binary"
	"maps"
	"slices"
	"strings"

	"recount/schemas/catalog"
	"recount/schemas/sqlschema"
	"recount/serving/sql/guard"
)

// Database is the database that statements see.
const Database = "recount"

// EmptyDatabase is the database in which statements run. All that they can read is temporary, and made for one
// statement. So a name that is not temporary names nothing.
const EmptyDatabase = "recount_sql"

// The tables about tables, by their names in statements (guard.SystemTable). They list what the statement's key may
// read, and know nothing of what the engine has: its own tables of these names count the rows of all tenants.
const (
	systemDatabases = "system databases"
	systemTables    = "system tables"
	systemColumns   = "system columns"
	// Of the next three, a statement sees the engine's own rows of what it may use. Drivers and editors read them.
	systemSettings       = "system settings"
	systemFunctions      = "system functions"
	systemTableFunctions = "system table_functions"
	// systemTypes are all types of the engine, and systemClusters has no rows.
	systemTypes    = "system data_type_families"
	systemClusters = "system clusters"

	standardSchemata = "information_schema schemata"
	standardTables   = "information_schema tables"
	standardColumns  = "information_schema columns"
)

// systemNames are the tables that are no views.
var systemNames = []string{systemDatabases, systemTables, systemColumns, systemSettings, systemFunctions,
	systemTableFunctions, systemTypes, systemClusters, standardSchemata, standardTables, standardColumns}

// meaning says what the rows of a table are.
func (t table) meaning() string {
	switch t.kind {
	case live:
		return "events since the newest publication"
	case merged:
		return "rows of the newest publication, and of events since"
	case states:
		return "rows of the newest publication, as states that can be merged"
	case events:
		return "events of the type " + t.event.Name + " that the newest publication counts"
	case eventsAll:
		return "events of the type " + t.event.Name + " up to the newest publication, and their copies"
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
	switch name {
	case systemSettings:
		return listed(name, named(settingsOfStatements()))
	case systemFunctions:
		return listed(name, named(guard.Functions()))
	case systemTableFunctions:
		return listed(name, named(guard.TableFunctions()))
	case systemTypes:
		return listed(name, "1")
	case systemClusters:
		return listed(name, "0")
	case standardSchemata:
		return standard(name, systemDatabases, c, "name AS catalog_name", "name AS schema_name",
			"'default' AS schema_owner")
	case standardTables:
		return standard(name, systemTables, c, "database AS table_catalog", "database AS table_schema",
			"name AS table_name", "'VIEW' AS table_type", "total_rows AS table_rows", "total_bytes AS data_length",
			"comment AS table_comment")
	case standardColumns:
		return standard(name, systemColumns, c, "database AS table_catalog", "database AS table_schema",
			"table AS table_name", "name AS column_name", "position AS ordinal_position",
			"default_expression AS column_default", "toString(type LIKE '%Nullable(%') AS is_nullable",
			"type AS data_type", "character_octet_length", "numeric_precision", "numeric_precision_radix",
			"numeric_scale", "datetime_precision", "comment AS column_comment", "type AS column_type")
	}
	columns, rows := systemRows(name, c)
	return temporary(name, columns, rows)
}

// listed returns the statement that makes a table with those rows of the engine's own table of its name for which a
// condition holds.
func listed(name, condition string) []step {
	database, table, _ := strings.Cut(name, " ")
	return []step{{sql: "CREATE TEMPORARY TABLE " + sqlschema.Quote(name) + " ENGINE = Memory AS SELECT * FROM " +
		database + "." + table + " WHERE " + condition}}
}

// named returns the condition that a name is one of these words.
func named(words []string) string { return "name IN ('" + strings.Join(words, "', '") + "')" }

// standard returns the statements that make a table of the SQL standard out of the rows of another one. As in
// ClickHouse, each column has its name in capitals too.
func standard(name, base string, c *catalog.Catalog, columns ...string) []step {
	var capitals []string
	for _, column := range columns {
		lower := column[strings.LastIndexByte(column, ' ')+1:]
		capitals = append(capitals, lower+" AS "+strings.ToUpper(lower))
	}
	baseColumns, rows := systemRows(base, c)
	rowsName := name + "__rows"
	return append(temporary(rowsName, baseColumns, rows), step{sql: "CREATE TEMPORARY VIEW " + sqlschema.Quote(name) +
		" AS SELECT " + strings.Join(append(columns, capitals...), ", ") + " FROM " + sqlschema.Quote(rowsName)})
}

// systemRows returns what a table says about the tables that a statement may read.
func systemRows(name string, c *catalog.Catalog) ([]sqlschema.Column, []byte) {
	tables := tablesOf(c)
	sorted := slices.Sorted(maps.Keys(tables))
	var b builder
	switch name {
	case systemDatabases:
		for _, database := range []string{"information_schema", Database, "system"} {
			b.texts(database, "Memory", "", "", "", "Memory")
		}
		return columnsOf("String", "name", "engine", "data_path", "metadata_path", "comment", "engine_full"), b.rows
	case systemTables:
		for _, t := range sorted {
			b.table(Database, t, "View", tables[t].meaning())
		}
		for _, t := range systemNames {
			database, table, _ := strings.Cut(t, " ")
			b.table(database, table, "SystemView", "what statements may read")
		}
		return tableColumns(), b.rows
	}
	for _, t := range sorted {
		for i, col := range tables[t].columns(c, false) {
			b.column(t, col.Column, uint64(i+1))
		}
	}
	return columnColumns(), b.rows
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
