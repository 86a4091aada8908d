package guard

import (
	"sort"
	"strings"
)

// MaxStatement is the longest statement, in bytes.
const MaxStatement = 1 << 20

// Statement is one statement of a client whose words were read. What runs is Text and nothing else.
type Statement struct {
	// Text is the statement without comments, FORMAT and SETTINGS. Tables have plain names in it (Parse).
	Text string
	// Format is the name after FORMAT, or empty.
	Format string
	// Settings are those after SETTINGS, as the client wrote them.
	Settings map[string]string
	// Described is the plain name of the table that DESCRIBE or SHOW COLUMNS is about, or empty. Text is a query that
	// has no rows if there is no such table.
	Described string

	places []place
}

// place says where a token begins in Statement.Text, and where in what the client wrote.
type place struct{ text, written int }

// Written returns where in the client's own text the byte at an offset of Text comes from.
func (st *Statement) Written(offset int) int {
	after := sort.Search(len(st.places), func(i int) bool { return st.places[i].text > offset })
	if after == 0 {
		return 0
	}
	p := st.places[after-1]
	return p.written + offset - p.text
}

// systemDatabases are the databases whose tables a client may name, besides the one that it has.
var systemDatabases = map[string]string{
	"system": "system", "information_schema": "information_schema", "INFORMATION_SCHEMA": "information_schema",
}

// Parse reads the words of a statement, and refuses what the tree of a query does not show: other statements than
// SELECT, a second statement, INTO OUTFILE, SETTINGS that are not at its end, and names that a parameter gives. SHOW,
// DESCRIBE and EXISTS become queries of system tables.
//
// database is the one that the client sees. Its table t has the plain name t, and the table t of the database system
// has the plain name "system t" (SystemTable).
func Parse(sql, database string) (*Statement, error) {
	if len(sql) > MaxStatement {
		return nil, refuse("the statement has %d bytes; the most are %d", len(sql), MaxStatement)
	}
	tokens, err := split(sql)
	if err != nil {
		return nil, err
	}
	for len(tokens) > 0 && tokens[len(tokens)-1].isSymbol(";") {
		tokens = tokens[:len(tokens)-1]
	}
	st := &Statement{}
	if tokens, err = st.cutClauses(tokens); err != nil {
		return nil, err
	}
	if len(tokens) == 0 {
		return nil, refuseText("the statement is empty")
	}
	if tokens, err = st.translate(tokens, database); err != nil {
		return nil, err
	}
	if err := checkWords(tokens); err != nil {
		return nil, err
	}
	if err := checkZones(tokens); err != nil {
		return nil, err
	}
	if err := checkNames(tokens, database); err != nil {
		return nil, err
	}
	st.Text, st.places = write(rename(tokens, database))
	return st, nil
}

// cutClauses removes FORMAT and SETTINGS from the end, in either order.
func (st *Statement) cutClauses(tokens []token) ([]token, error) {
	for range 2 {
		n := len(tokens)
		if hasFormat(tokens) && st.Format == "" {
			st.Format = tokens[n-1].text
			tokens = tokens[:n-2]
			continue
		}
		at := -1
		depth := 0
		for i, t := range tokens {
			switch {
			case t.isSymbol("("):
				depth++
			case t.isSymbol(")"):
				depth--
			case t.isWord("SETTINGS") && depth == 0 && !isMember(tokens, i) && (i != 1 || !tokens[0].isWord("SHOW")):
				at = i
			}
		}
		if at < 1 || st.Settings != nil {
			break
		}
		settings, err := readSettings(tokens[at+1:])
		if err != nil {
			return nil, err
		}
		st.Settings = settings
		tokens = tokens[:at]
	}
	if hasFormat(tokens) {
		return nil, refuseText("FORMAT is allowed once, at the end of the statement")
	}
	return tokens, nil
}

// hasFormat reports whether a statement ends with FORMAT and a name.
func hasFormat(tokens []token) bool {
	n := len(tokens)
	return n > 2 && tokens[n-2].isWord("FORMAT") && isName(tokens[n-1]) && !isMember(tokens, n-2)
}

// isMember reports whether the token at i is a column of a table or a table of a database: name.token. After a number,
// a point is a part of the number.
func isMember(tokens []token, i int) bool {
	return i > 1 && tokens[i-1].isSymbol(".") &&
		(isName(tokens[i-2]) || tokens[i-2].isSymbol(")") || tokens[i-2].isSymbol("]"))
}

// readSettings reads name = value, name = value.
func readSettings(tokens []token) (map[string]string, error) {
	settings := map[string]string{}
	for len(tokens) > 0 {
		if len(tokens) < 3 || tokens[0].kind != word || !tokens[1].isSymbol("=") {
			return nil, refuseText("SETTINGS must be at the end of the statement, as name = value; quote a column of " +
				"this name")
		}
		value, rest := settingValue(tokens[2:])
		if value == "" && tokens[2].kind != str || len(rest) > 0 && (!rest[0].isSymbol(",") || len(rest) == 1) {
			return nil, refuseText("the value of the setting %s must be a number or a string", tokens[0].text)
		}
		settings[tokens[0].text] = value
		if len(rest) > 0 {
			rest = rest[1:]
		}
		tokens = rest
	}
	return settings, nil
}

// settingValue reads a string without escapes, a word or a number.
func settingValue(tokens []token) (value string, rest []token) {
	if tokens[0].kind == str && !strings.Contains(tokens[0].text, `\`) {
		return tokens[0].text, tokens[1:]
	}
	n := 0
	for n < len(tokens) && (tokens[n].kind == word || tokens[n].isSymbol(".") || tokens[n].isSymbol("-")) {
		value += tokens[n].text
		n++
	}
	return value, tokens[n:]
}

// refusedWords are words that begin a clause which no tree shows, or whose text a tree would show as it is.
var refusedWords = map[string]string{
	"OUTFILE":  "INTO OUTFILE is not allowed",
	"INFILE":   "FROM INFILE is not allowed",
	"SETTINGS": "SETTINGS is allowed only at the end of the statement; quote a column of this name",
	"COLLATE":  "COLLATE is not allowed",
	// Which columns it compares depends on those that a table has, and a table of events has those that are named.
	"NATURAL": "NATURAL JOIN is not allowed; write USING (column, …); quote a column of this name",
	"CURSOR":  "CURSOR is not allowed; quote a column of this name",
}

func checkWords(tokens []token) error {
	first := tokens[0]
	if !first.isWord("SELECT") && !first.isWord("WITH") && !first.isWord("FROM") && !first.isSymbol("(") {
		return refuse("%.40q is not allowed; only SELECT is, and SHOW, DESCRIBE and EXISTS",
			first.text)
	}
	if len(tokens) > 1 && first.isWord("WITH") && tokens[1].isWord("RECURSIVE") {
		return refuse("WITH RECURSIVE is not allowed")
	}
	for i, t := range tokens {
		if t.kind == word && refusedWords[strings.ToUpper(t.text)] != "" && !isMember(tokens, i) {
			return refuse("%s", refusedWords[strings.ToUpper(t.text)])
		}
		if t.isSymbol(";") {
			return refuseText("only one statement is allowed in a request")
		}
		previous := func(n int) token { return tokens[max(0, i-n)] }
		if i > 0 && t.isWord("WITH") && previous(1).isWord("PARALLEL") {
			return refuseText("only one statement is allowed in a request") // EXPLAIN is about the first.
		}
		if i > 1 && t.isSymbol(":") && isName(previous(1)) && previous(2).isSymbol("{") {
			if err := checkParameter(previous(1).text, tokens[i+1:]); err != nil {
				return err
			}
		}
		// The pattern of COLUMNS('…') and of EXCEPT('…') is a string that a tree shows as if it were a name.
		pattern := i > 0 && t.kind == str && (previous(1).isWord("EXCEPT") || previous(1).isWord("STRICT") ||
			i > 1 && previous(1).isSymbol("(") && (previous(2).isWord("COLUMNS") || previous(2).isWord("EXCEPT") ||
				previous(2).isWord("STRICT")))
		if pattern && !isPrintableName(t.text) {
			return refuse("the pattern %q may not have any of , : ' \" ` \\ or control characters", t.text)
		}
	}
	return nil
}

// answers are functions without arguments that clients call when they connect, and that would tell who recount is to
// ClickHouse, on which machine and in which database. A statement has these words instead, or else the name of the
// database that the client sees.
var answers = map[string]string{
	"currentuser": "default", "current_user": "default", "user": "default", "displayname": "recount",
	"hostname": "recount", "fqdn": "recount", "fullhostname": "recount",
	"currentdatabase": ownDatabase, "current_database": ownDatabase, "database": ownDatabase, "schema": ownDatabase,
}

// ownDatabase stands for the name of the client's database.
const ownDatabase = "."

// rewritten are tables of the engine that hold nothing but numbers. A statement has these words instead.
var rewritten = map[string]string{
	SystemTable("system", "one"):     "(SELECT toUInt8(0) AS dummy)",
	SystemTable("system", "numbers"): "numbers(18446744073709551615)",
}

// SystemTable returns the plain name of a table of the database system or information_schema. It has a blank. With a
// point, the tree would show the same for this name and for two names with a point between them, and the second means
// the engine's own table.
func SystemTable(database, table string) string { return database + " " + table }

// checkNames refuses database.system.table. Without the client's database before it, the rest would be two names.
func checkNames(tokens []token, database string) error {
	for i, t := range tokens {
		if i+2 >= len(tokens) || !isName(t) || !tokens[i+1].isSymbol(".") || !isName(tokens[i+2]) {
			continue
		}
		if (t.text == database || t.text == "default") && systemDatabases[strings.ToLower(tokens[i+2].text)] != "" {
			return refuse("%s.%s is not allowed; write %s and the table", t.text, tokens[i+2].text, tokens[i+2].text)
		}
	}
	return nil
}

// rename gives the tables of the databases that a client may name their plain names, and puts in answers.
func rename(tokens []token, database string) []token {
	out := make([]token, 0, len(tokens))
	for i := 0; i < len(tokens); i++ {
		t := tokens[i]
		afterPoint := i > 0 && tokens[i-1].isSymbol(".")
		if isMember(tokens, i) && refusedWords[strings.ToUpper(t.text)] != "" {
			t.kind = name // The engine must not read a clause.
		}
		answer := answers[strings.ToLower(t.text)]
		if t.kind == word && answer != "" && !afterPoint && i+2 < len(tokens) && tokens[i+1].isSymbol("(") &&
			tokens[i+2].isSymbol(")") {
			if answer == ownDatabase {
				answer = database
			}
			out = append(out, token{str, answer, t.space, t.at})
			i += 2
			continue
		}
		if !isName(t) || afterPoint || i+2 >= len(tokens) || !tokens[i+1].isSymbol(".") || !isName(tokens[i+2]) {
			out = append(out, t)
			continue
		}
		table := tokens[i+2].text
		if system := systemDatabases[t.text]; system != "" {
			table = SystemTable(system, strings.ToLower(table))
		} else if t.text != database && t.text != "default" { // Clients have default where nobody chose a database.
			out = append(out, t)
			continue
		}
		i += 2
		if words := rewritten[table]; words != "" {
			replacement, _ := split(words) // It is a constant.
			for n := range replacement {
				replacement[n].at = t.at
			}
			replacement[0].space = true
			out = append(out, replacement...)
			continue
		}
		out = append(out, token{name, table, t.space, t.at})
	}
	return out
}

// isName reports whether t can be the name of a table.
func isName(t token) bool {
	return t.kind == name || t.kind == word && (t.text[0] < '0' || t.text[0] > '9')
}
