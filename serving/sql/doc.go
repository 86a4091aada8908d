// Package sql runs read-only statements of clients over the views, in ClickHouse.
//
// # Tables
//
// A view V gives four tables, in which a row is a cell with a combination of dimensions:
//
//	V         rows of the newest publication, exact
//	V_live    rows of the events since, when the statement began
//	V_merged  both
//	V_states  rows of V, with measures as states that can be merged over any set of rows
//
// An event type T gives two, whose rows are raw events:
//
//	events_T      those that the newest publication counts
//	events_T_all  those, and their copies
//
// Columns of views are time, the dimensions, and each measure as a plain number, so that SELECT * loads into everything
// that reads Parquet or Arrow. SQL.md explains them to users.
//
// # One session a statement
//
// A statement runs in a session of its own. What it can read is temporary, and made before it: views over the rows that
// one publication pins of the tenant (Q1), and tables with the real-time rows and with events. Its database is empty.
// So a name that is not temporary names nothing there, whatever the statement looks like.
//
// A table has the columns that the statement names, because the engine analyses all columns of a view. The engine
// parses a statement for that once, and not again while the catalog stays (decisions).
//
// # What is proven
//
// The rows of V are proven like those of a query (Q3): every part of the tables was read whole, and compared with the
// publication. The pins and the predicates follow from a listing of parts. After the statement the parts are listed
// again. If they are others, the result is thrown away, and the statement runs again over a new snapshot. So nothing is
// sent before the whole result is there and confirmed, and a result has a limit of bytes.
//
// Events are read by the batch layer, as for a recompute, and come into the session as a temporary table. It has the
// columns that the statement names, and the events of the tenant alone. So no path and no key of the lake is in any
// text that the engine has, and nothing of other tenants is in its memory.
//
// # What others have
//
// A result is the same whether other tenants have rows in a table or not, to its last byte: the rows of a view are
// sorted into blocks of their own (selection), and those of events are inserted in blocks of their own.
//
// Rejected: to copy the pinned rows into temporary tables. It would read all columns of all rows for every statement.
// Also rejected: additional_table_filters. A subquery can override it in its SETTINGS.
package sql
