// Package guard decides whether a statement of a client may run. What is not on a list is refused.
//
// # Why the tree
//
// ClickHouse does much while it analyses a query: it executes scalar subqueries, opens files and fetches URLs to learn
// the columns of a table function. A client that may ask for EXPLAIN may read the line count of any file. So the
// engine is asked for the tree before its analysis alone (EXPLAIN QUERY TREE run_passes = 0). It is what the parser
// made of the text, and costs no reading. Only if every node of it is on a list, the statement is analysed and run.
//
// Limits and rights of the session are no replacement. A subquery's own SETTINGS override what the session has, the
// embedded engine has no users, and in a session with readonly = 1 some functions still read what they like.
//
// # From text to text
//
//	text ──Parse──▶ Statement.Text ──EXPLAIN QUERY TREE──▶ tree ──Decide──▶ tables it reads
//	                      └───────────────── runs, in a session that has these tables and no others
//
// The text that runs is the text that was decided about. Parse writes it from its own tokens, so no two readings of
// comments, quotes or escapes can differ between this package and the engine.
//
// A tree shows names as they are, also line ends. A name could make lines that look like nodes, so names have no
// control characters, and none of the characters that separate what a line says (isPrintableName). Values are escaped
// by the engine.
//
// Some clauses are in no tree: FORMAT, INTO OUTFILE, several statements. Parse cuts or refuses them. SETTINGS of the
// statement are cut as well, and the caller decides about them.
//
// # What is allowed
//
// Tables are those that the caller names, and queries of WITH that are visible at the place. A name with a point is no
// table, but Parse turns database.table into the plain name of a table that the caller may have given. The second
// argument of IN is a table if it is a name. Functions are on a list (functions.txt), and a test fails if the engine
// has one that nobody has looked at. Types, where a function takes one, are those of plain values.
//
// The session's database must be empty, apart from the temporary tables of this statement. Decide does not depend on
// it, but no name can then mean anything else.
package guard
