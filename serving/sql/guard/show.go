package guard

// translate turns the statements by which clients look for tables into queries of system tables. Others stay as they
// are.
func translate(tokens []token, own string) ([]token, error) {
	rest := tokens[1:]
	switch {
	case tokens[0].isWord("SHOW") && len(rest) == 1 && (rest[0].isWord("DATABASES") || rest[0].isWord("SCHEMAS")):
		return split("SELECT name FROM system.databases ORDER BY name")
	case tokens[0].isWord("SHOW") && len(rest) > 0 && rest[0].isWord("TABLES"):
		database, err := showDatabase(rest[1:], own)
		if err != nil {
			return nil, err
		}
		return split("SELECT name FROM system.tables WHERE database = '" + database + "' ORDER BY name")
	case tokens[0].isWord("DESCRIBE") || tokens[0].isWord("DESC"):
		database, table, err := showTable(rest, own)
		if err != nil {
			return nil, err
		}
		return split("SELECT name, type, '' AS default_type, '' AS default_expression, '' AS comment, " +
			"'' AS codec_expression, '' AS ttl_expression FROM system.columns WHERE database = '" + database +
			"' AND table = '" + table + "' ORDER BY position")
	case tokens[0].isWord("EXISTS"):
		database, table, err := showTable(rest, own)
		if err != nil {
			return nil, err
		}
		return split("SELECT toUInt8(count() > 0) AS result FROM system.tables WHERE database = '" + database +
			"' AND name = '" + table + "'")
	}
	return tokens, nil
}

// showDatabase reads [FROM|IN database].
func showDatabase(tokens []token, own string) (string, error) {
	switch {
	case len(tokens) == 0:
		return own, nil
	case len(tokens) == 2 && (tokens[0].isWord("FROM") || tokens[0].isWord("IN")) && isName(tokens[1]):
		return ownIfDefault(tokens[1].text, own), nil
	}
	return "", refuse("SHOW TABLES takes nothing but FROM and a database; otherwise read system.tables")
}

// showTable reads [TABLE] [database.]table. A name has no quotes and no backslashes, so it needs none in a string.
func showTable(tokens []token, own string) (database, table string, err error) {
	if len(tokens) > 1 && (tokens[0].isWord("TABLE") || tokens[0].isWord("VIEW")) && isName(tokens[1]) {
		tokens = tokens[1:]
	}
	switch {
	case len(tokens) == 1 && isName(tokens[0]):
		return own, tokens[0].text, nil
	case len(tokens) == 3 && isName(tokens[0]) && tokens[1].isSymbol(".") && isName(tokens[2]):
		return ownIfDefault(tokens[0].text, own), tokens[2].text, nil
	}
	return "", "", refuse("DESCRIBE and EXISTS take one table; otherwise read system.tables and system.columns")
}

// ownIfDefault returns the client's own database for default, which clients have where nobody chose one.
func ownIfDefault(database, own string) string {
	if database == "default" {
		return own
	}
	return database
}
