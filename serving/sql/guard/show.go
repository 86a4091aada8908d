package guard

import "strings"

// translate turns the statements by which clients look for tables into queries of system tables. Others stay as they
// are.
func (st *Statement) translate(tokens []token, own string) ([]token, error) {
	r := &words{rest: tokens, own: own}
	switch {
	case r.readWord("SHOW"):
		return r.show(st)
	case r.readWord("DESCRIBE") || r.readWord("DESC"):
		return r.describe(st)
	case r.readWord("EXISTS"):
		return r.exists()
	}
	return tokens, nil
}

// words reads a statement from left to right.
type words struct {
	rest []token
	own  string // the client's database
}

// readWord reads one of some words, if it comes next.
func (r *words) readWord(choices ...string) bool {
	for _, w := range choices {
		if len(r.rest) > 0 && r.rest[0].isWord(w) {
			r.rest = r.rest[1:]
			return true
		}
	}
	return false
}

// name reads a name. It has no quotes and no backslashes, so it needs none in a string.
func (r *words) name() (string, bool) {
	if len(r.rest) == 0 || !isName(r.rest[0]) {
		return "", false
	}
	name := r.rest[0].text
	r.rest = r.rest[1:]
	return name, true
}

// table reads [database.]table.
func (r *words) table() (database, table string, ok bool) {
	first, ok := r.name()
	if !ok || len(r.rest) == 0 || !r.rest[0].isSymbol(".") {
		return r.own, first, ok
	}
	r.rest = r.rest[1:]
	table, ok = r.name()
	return r.database(first), table, ok
}

// database returns the client's own database for default, which clients have where nobody chose one.
func (r *words) database(name string) string {
	if name == "default" {
		return r.own
	}
	if system := systemDatabases[name]; system != "" {
		return system
	}
	return name
}

// end reads [[NOT] LIKE|ILIKE 'pattern'] [LIMIT n], and returns them as the end of a query whose WHERE has begun.
func (r *words) end(order string) (string, bool) {
	sql := ""
	operator := ""
	if r.readWord("NOT") {
		operator = "NOT "
	}
	switch {
	case r.readWord("LIKE"):
		operator += "LIKE"
	case r.readWord("ILIKE"):
		operator += "ILIKE"
	}
	if operator != "" {
		if len(r.rest) == 0 || r.rest[0].kind != str {
			return "", false
		}
		sql = " AND name " + operator + " '" + r.rest[0].text + "'"
		r.rest = r.rest[1:]
	}
	sql += " ORDER BY " + order
	if r.readWord("LIMIT") {
		if len(r.rest) == 0 || r.rest[0].kind != word || strings.Trim(r.rest[0].text, "0123456789") != "" {
			return "", false
		}
		sql += " LIMIT " + r.rest[0].text
		r.rest = r.rest[1:]
	}
	return sql, len(r.rest) == 0
}

const (
	showUsage = "SHOW takes TABLES [FROM database], DATABASES, COLUMNS FROM table, FUNCTIONS or SETTINGS, then " +
		"[NOT] LIKE or ILIKE 'pattern' and LIMIT; otherwise read system.tables and system.columns"
	describeUsage = "DESCRIBE takes one table; otherwise read system.columns"
	existsUsage   = "EXISTS takes one table or DATABASE and its name; otherwise read system.tables"
)

// show reads what follows SHOW.
func (r *words) show(st *Statement) ([]token, error) {
	r.readWord("EXTENDED")
	full := r.readWord("FULL")
	begin := ""
	order := "name"
	switch {
	case r.readWord("DATABASES", "SCHEMAS"):
		begin = "SELECT name FROM system.databases WHERE 1"
	case r.readWord("TABLES"):
		database, ok := r.from(r.own)
		if !ok {
			return nil, refuse("%s", showUsage)
		}
		begin = "SELECT name"
		if full {
			begin += ", engine"
		}
		begin += " FROM system.tables WHERE database = '" + database + "'"
	case r.readWord("COLUMNS", "FIELDS") && r.readWord("FROM", "IN"):
		database, table, ok := r.table()
		if ok {
			database, ok = r.from(database)
		}
		if !ok {
			return nil, refuse("%s", showUsage)
		}
		st.describe(r.own, database, table)
		begin = showColumns(full) + ofTable(database, table)
		order = "position"
	case r.readWord("FUNCTIONS"):
		begin = "SELECT * FROM system.functions WHERE 1"
	case r.readWord("SETTINGS"):
		begin = "SELECT name, type, value FROM system.settings WHERE 1"
	default:
		return nil, refuse("%s", showUsage)
	}
	end, ok := r.end(order)
	if !ok {
		return nil, refuse("%s", showUsage)
	}
	return split(begin + end)
}

// from reads [FROM|IN database].
func (r *words) from(otherwise string) (string, bool) {
	if !r.readWord("FROM", "IN") {
		return otherwise, true
	}
	name, ok := r.name()
	return r.database(name), ok
}

// showColumns begins the query of SHOW COLUMNS.
func showColumns(full bool) string {
	sql := "SELECT name AS field, type, if(type LIKE '%Nullable(%', 'YES', 'NO') AS `null`, '' AS key, " +
		"CAST(NULL, 'Nullable(String)') AS default, '' AS extra"
	if full {
		sql += ", CAST(NULL, 'Nullable(String)') AS collation, comment, '' AS privileges"
	}
	return sql
}

// ofTable is the end of a query of the columns of a table.
func ofTable(database, table string) string {
	return " FROM system.columns WHERE database = '" + database + "' AND table = '" + table + "'"
}

// describe notes the table that a statement is about.
func (st *Statement) describe(own, database, table string) {
	st.Described = table
	if systemDatabases[database] != "" {
		st.Described = SystemTable(database, table)
	} else if database != own {
		st.Described = database + "." + table
	}
}

// describe reads what follows DESCRIBE.
func (r *words) describe(st *Statement) ([]token, error) {
	if len(r.rest) > 1 && isName(r.rest[1]) {
		r.readWord("TABLE", "VIEW")
	}
	database, table, ok := r.table()
	if !ok || len(r.rest) > 0 {
		return nil, refuse("%s", describeUsage)
	}
	st.describe(r.own, database, table)
	return split("SELECT name, type, default_kind AS default_type, default_expression, comment, compression_codec AS " +
		"codec_expression, '' AS ttl_expression" + ofTable(database, table) + " ORDER BY position")
}

// exists reads what follows EXISTS.
func (r *words) exists() ([]token, error) {
	if len(r.rest) > 1 && isName(r.rest[1]) && r.readWord("DATABASE") {
		if name, ok := r.name(); ok && len(r.rest) == 0 {
			return split("SELECT toUInt8(count() > 0) AS result FROM system.databases WHERE name = '" +
				r.database(name) + "'")
		}
		return nil, refuse("%s", existsUsage)
	}
	if len(r.rest) > 1 && isName(r.rest[1]) {
		r.readWord("TABLE", "VIEW")
	}
	database, table, ok := r.table()
	if !ok || len(r.rest) > 0 {
		return nil, refuse("%s", existsUsage)
	}
	return split("SELECT toUInt8(count() > 0) AS result FROM system.tables WHERE database = '" + database +
		"' AND name = '" + table + "'")
}
