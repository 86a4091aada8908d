package sql

import (
	"encoding/binary"
	"maps"
	"slices"
	"strings"

	"recount/schemas/catalog"
	"recount/schemas/sqlschema"
	"recount/serving/reader"
	"recount/serving/sql/guard"
)

// kind says which rows of a view a table has.
type kind int

const (
	published kind = iota // V: those of the newest publication
	live                  // V_live: those of the real-time view
	merged                // V_merged: both
	states                // V_states: those of V, as states
	events                // events_T: events of a type that the newest publication counts
	eventsAll             // events_T_all: the same, and their copies
)

// suffixes are the endings of tables of views by kind.
var suffixes = [...]string{published: "", live: liveSuffix, merged: mergedSuffix, states: statesSuffix}

// table is a table that statements may read. It is of a view or of an event type.
type table struct {
	name  string
	view  *catalog.View
	event *catalog.EventType
	kind  kind
}

// tablesOf returns the tables of all event types and views by name. Where a view has the name of another table, it is
// the view.
func tablesOf(c *catalog.Catalog) map[string]table {
	out := eventTables(c)
	for _, v := range c.Views {
		for k, suffix := range suffixes {
			if kind(k) == published || c.Views[v.Name+suffix] == nil {
				out[v.Name+suffix] = table{name: v.Name + suffix, view: v, kind: kind(k)}
			}
		}
	}
	return out
}

// columns returns the columns of the table.
func (t table) columns(c *catalog.Catalog, rounded bool) []column {
	switch t.kind {
	case states:
		return stateColumns(c, t.view)
	case events, eventsAll:
		return eventColumns(t)
	}
	return plainColumns(c, t.view, rounded)
}

// reads returns what the tables of a statement need of their views, by view.
func reads(tables []table) []reader.Table {
	byView := map[string]reader.Table{}
	for _, t := range tables {
		if t.event != nil {
			continue
		}
		r := byView[t.view.Name]
		r.View = t.view.Name
		r.Batch = r.Batch || t.kind != live
		r.Live = r.Live || t.kind == live || t.kind == merged
		byView[t.view.Name] = r
	}
	var out []reader.Table
	for _, name := range slices.Sorted(maps.Keys(byView)) {
		out = append(out, byView[name])
	}
	return out
}

// step is a statement that makes a table in a session, with the data of an INSERT.
type step struct {
	sql  string
	data []byte
}

// temporary returns the steps that make a temporary table with rows in the format RowBinary.
func temporary(name string, columns []sqlschema.Column, rows []byte) []step {
	steps := []step{{sql: "CREATE TEMPORARY TABLE " + sqlschema.Quote(name) + " " + declared(columns) +
		" ENGINE = Memory"}}
	if len(rows) > 0 {
		steps = append(steps, step{"INSERT INTO " + sqlschema.Quote(name) + " FORMAT RowBinary", rows})
	}
	return steps
}

// declared is the list of columns in a CREATE statement.
func declared(columns []sqlschema.Column) string {
	var list []string
	for _, c := range columns {
		list = append(list, sqlschema.Quote(c.Name)+" "+c.Type)
	}
	return "(" + strings.Join(list, ", ") + ")"
}

// list is the list of columns in a SELECT.
func list(columns []column) string {
	var quoted []string
	for _, c := range columns {
		quoted = append(quoted, sqlschema.Quote(c.Name))
	}
	return strings.Join(quoted, ", ")
}

// names returns the columns without what makes them.
func names(columns []column) []sqlschema.Column {
	var out []sqlschema.Column
	for _, c := range columns {
		out = append(out, c.Column)
	}
	return out
}

// steps returns the statements that make the tables of one view in a session: a temporary table of its real-time rows,
// and temporary views over the rows that the publication pins. They have the rows of the tenant and no others. Where
// other tenants may ask, nothing of a result depends on whether the table has rows of others.
//
// A view has the columns that the statement names. The engine analyses all columns of a view, and those of one with
// quantiles took 50 ms.
func steps(s reader.SnapshotTable, tables []table, database, tenant string, rounded, shared bool,
	read *guard.Reads) []step {
	var out []step
	key := keyColumns(s.Catalog, s.View)
	liveName := s.View.Name + "__live" // No view can have the name of this one.
	needsLive := func(t table) bool {
		return t.view != nil && t.view.Name == s.View.Name && (t.kind == live || t.kind == merged)
	}
	if slices.ContainsFunc(tables, needsLive) { // Without a speed layer it has no rows, and the accuracy says so.
		out = temporary(liveName, names(plainColumns(s.Catalog, s.View, false)), rowBinary(s.Scan, s.Live))
	}
	for _, t := range tables {
		if t.view == nil || t.view.Name != s.View.Name {
			continue
		}
		t.view = s.View // as the publication has it
		columns := mentioned(t.columns(s.Catalog, rounded), read)
		// With a list of columns the engine does not analyse the SELECT, which would take most of the time of a
		// statement.
		create := "CREATE TEMPORARY VIEW " + sqlschema.Quote(t.name) + " " + declared(names(columns)) + " AS "
		liveRows := "SELECT " + list(columns) + " FROM " + sqlschema.Quote(liveName)
		if t.kind == live {
			out = append(out, step{sql: create + liveRows})
			continue
		}
		from := ""
		if s.Rows.Table != "" {
			from = sqlschema.Quote(database) + "." + sqlschema.Quote(s.Rows.Table)
		}
		if !shared && s.Rows.AreAllOf(tenant) {
			key = nil
		}
		body := selection(columns, from, tenant, s.Rows.Where, key)
		if t.kind == merged {
			body = "(" + body + ") UNION ALL " + liveRows
		}
		out = append(out, step{sql: create + body})
	}
	return out
}

// appendText appends a text in the format RowBinary.
func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}
