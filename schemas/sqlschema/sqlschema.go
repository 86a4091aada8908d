// Package sqlschema names the ClickHouse tables of the batch views, their columns
// and types. The batch layer writes them and the serving layer reads them; neither
// spells a name itself.
//
// # Table of cells: cells_{view}_{digest of the definition}
//
//	_bucket  DateTime64(6, 'UTC')       bucket start
//	_ver     UInt64                     version of the bucket's rows (B4)
//	tenant   LowCardinality(String)
//	time     DateTime64(6, 'UTC')       cell start
//	…        Nullable                   one column for each dimension (DimensionType)
//	_events  UInt64                     events of the row
//	…                                   one to three columns for each measure (MeasureColumns)
//
// The engine is MergeTree, partitioned by the year of _bucket, ordered by (_bucket, _ver, tenant, time).
//
// # Other tables
//
//	recount_published   (n, view, digest, bucket, ver): the publications for SQL readers (migrations/)
//	recount_installation  no rows; its comment is the id of the installation (I8, package cells)
//	recount_migrations  (name, sha256, applied): the numbered statements that were applied (package cells)
//	{view}              the VIEW that shows the newest publication to people who write SQL (package cells)
package sqlschema

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"strings"

	"recount/schemas/catalog"
	"recount/schemas/decimal"
)

// The columns every table of cells has, before dimensions and measures.
const (
	ColBucket = "_bucket" // bucket start
	ColVer    = "_ver"    // version of the bucket's rows (B4)
	ColTenant = "tenant"
	ColTime   = "time"    // cell start
	ColEvents = "_events" // events of the row
)

// Published is the table that maps publications to versions for SQL readers. The
// publication chain is the authority; this is its projection.
const Published = "recount_published"

// Installation is the table whose comment names the installation that the database belongs to (I8).
const Installation = "recount_installation"

// The numbered DDL of the tables that do not depend on views: one statement a file.
//
//go:embed migrations/*.sql
var migrations embed.FS

// Migration is one numbered statement.
type Migration struct {
	Name   string // 0001_published.sql
	SQL    string
	SHA256 string // of SQL, recorded when it is applied
}

// Migrations returns the statements in order.
func Migrations() ([]Migration, error) {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return nil, fmt.Errorf("list migrations: %w", err)
	}
	var out []Migration
	for _, n := range names {
		b, err := migrations.ReadFile(n)
		if err != nil {
			return nil, fmt.Errorf("read migration: %w", err)
		}
		sum := sha256.Sum256(b)
		out = append(out, Migration{strings.TrimPrefix(n, "migrations/"), string(b), hex.EncodeToString(sum[:])})
	}
	return out, nil
}

// TablePrefix begins the name of every table of cells.
const TablePrefix = "cells_"

// Table is the table of a view's cells. Its name holds the digest of the
// definition, so that a redefined view gets a new table and the old one serves
// pinned readers until it is collected.
func Table(v *catalog.View, digest string) string { return TablePrefix + v.Name + "_" + digest }

// timeType is the ClickHouse type of a time.
const timeType = "DateTime64(6, 'UTC')"

// Column is a column with its ClickHouse type.
type Column struct {
	Name string
	Type string
}

// Columns returns the columns of a view's table of cells, in the table's order.
func Columns(c *catalog.Catalog, v *catalog.View) []Column {
	columns := []Column{{ColBucket, timeType}, {ColVer, "UInt64"}, {ColTenant, "LowCardinality(String)"},
		{ColTime, timeType}}
	for _, d := range v.Dimensions {
		columns = append(columns, Column{d, DimensionType(c.DimensionType(v, d))})
	}
	columns = append(columns, Column{ColEvents, "UInt64"})
	for _, m := range v.Measures {
		columns = append(columns, MeasureColumns(c, v, m)...)
	}
	return columns
}

// MeasureColumns returns the columns a measure m is stored in:
//
//	count     m UInt64
//	sum, avg  of integers: m__sum Int128, m__n UInt64 (non-null values)
//	          of decimals: m__sum Decimal(38, S), m__n UInt64
//	          of floats: m__near Int256 and m__far String (floatsum.Sum), m__n UInt64
//	min, max  m Nullable(Int64, Decimal(18, S), Float64 or DateTime64(6))
//	distinct  m__state String (a uniqExact state of UInt64)
//	quantile  m__bins Map(Int16, UInt64), of the bins of package quantile that have values, by key
//
// A sum is so wide that a cell never overflows; the query says so when its total does. No declared name
// may hold two underscores in a row. Tables under catalog.Catalog.SketchedDigest have m__sketch Array(UInt32)
// (HyperLogLog registers) after m__state. Tables under catalog.Catalog.RoundedDigest also have m__sum Float64 in
// place of m__near and m__far.
func MeasureColumns(c *catalog.Catalog, v *catalog.View, m catalog.Measure) []Column {
	t := c.MeasureType(v, m)
	switch m.Kind {
	case catalog.Count:
		return []Column{{m.Name, "UInt64"}}
	case catalog.Sum, catalog.Avg:
		n := Column{m.Name + "__n", "UInt64"}
		if t == catalog.Float64 {
			return []Column{{m.Name + "__near", "Int256"}, {m.Name + "__far", "String"}, n}
		}
		if d, ok := t.Decimal(); ok {
			return []Column{{m.Name + "__sum", SumType(d)}, n}
		}
		return []Column{{m.Name + "__sum", "Int128"}, n}
	case catalog.Min, catalog.Max:
		return []Column{{m.Name, "Nullable(" + Type(t) + ")"}}
	case catalog.Quantile:
		return []Column{{m.Name + BinsSuffix, BinsType}}
	}
	return []Column{{m.Name + StateSuffix, "String"}}
}

// StateSuffix ends the name of the column with the states of a distinct measure.
const StateSuffix = "__state"

// BinsSuffix ends the name of the column with the bins of a quantile measure.
const BinsSuffix = "__bins"

// BinsType is the ClickHouse type of bins. sumMap adds them up.
const BinsType = "Map(Int16, UInt64)"

// Type returns the ClickHouse type of a field.
func Type(t catalog.FieldType) string {
	switch t {
	case catalog.Int64:
		return "Int64"
	case catalog.Float64:
		return "Float64"
	case catalog.Bool:
		return "Bool"
	case catalog.Timestamp:
		return timeType
	}
	if d, ok := t.Decimal(); ok {
		return fmt.Sprintf("Decimal(%d, %d)", decimal.MaxPrecision, d.Scale)
	}
	return "String"
}

// SumType returns the ClickHouse type of a sum of decimals. Its values are Int128, and those of Type are Int64. Both
// count units of the last digit.
func SumType(t decimal.Type) string { return fmt.Sprintf("Decimal(%d, %d)", decimal.MaxSum, t.Scale) }

// DimensionType returns the ClickHouse type of a dimension: nullable, and
// dictionary-encoded for strings.
func DimensionType(t catalog.FieldType) string {
	if t == catalog.String {
		return "LowCardinality(Nullable(String))"
	}
	return "Nullable(" + Type(t) + ")"
}

// Quote quotes an identifier. Declared names hold nothing that needs escaping;
// quoting keeps words of SQL usable as names.
func Quote(name string) string {
	return "`" + strings.NewReplacer("\\", "\\\\", "`", "\\`").Replace(name) + "`"
}

// CreateTable returns the DDL of a view's table of cells. Parts are bounded: one partition
// a year of event time, and rows of one bucket and version lie together, so reading a pinned
// bucket touches no other version's rows (B4).
func CreateTable(c *catalog.Catalog, v *catalog.View) string {
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE TABLE IF NOT EXISTS %s (\n", Quote(Table(v, c.Digest(v))))
	for i, col := range Columns(c, v) {
		if i > 0 {
			b.WriteString(",\n")
		}
		fmt.Fprintf(&b, "  %s %s", Quote(col.Name), col.Type)
	}
	fmt.Fprintf(&b, "\n) ENGINE = MergeTree PARTITION BY toYear(%s) ORDER BY (%s, %s, %s, %s)",
		Quote(ColBucket), Quote(ColBucket), Quote(ColVer), Quote(ColTenant), Quote(ColTime))
	return b.String()
}
