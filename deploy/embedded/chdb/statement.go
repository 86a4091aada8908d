package chdb

import "strings"

// statement is what the transport must know about a request's SQL before the engine sees it.
type statement struct {
	text     string // the statement, without inline data
	verb     string // its first word, upper case; "(" for a parenthesised SELECT
	settings bool   // it has a bare word SETTINGS
	format   string // of a FORMAT clause, "" without one
	// For an INSERT with a FORMAT clause: where FROM INFILE belongs in text, and what followed the format's name.
	insertAt int
	inline   string
}

// takesData reports whether the statement is an INSERT that reads formatted data.
func (s *statement) takesData() bool { return s.verb == "INSERT" && s.insertAt > 0 }

// parseStatement refuses what a server would refuse over HTTP: a second statement, and clauses that make the
// client, which here is this process, read or write its own files.
func parseStatement(sql string) (statement, error) {
	st := statement{text: sql}
	lx := lexer{src: sql}
	depth := 0
	selects := false
	previous := ""
	formatAt := 0
	for lx.next() {
		word := strings.ToUpper(lx.word())
		if word == ";" {
			break
		}
		if st.verb == "" {
			st.verb = word
		}
		switch {
		case previous == "INTO" && word == "OUTFILE", previous == "FROM" && word == "INFILE":
			return st, refuse(codeNotImplemented, word+" is not allowed: it would use a file of the server process")
		case word == "(":
			depth++
		case word == ")":
			depth--
		case word == "SELECT" && depth == 0:
			selects = true
		case word == "SETTINGS":
			st.settings = true
			if depth == 0 && !selects {
				st.insertAt = lx.start
			}
		case word == "FORMAT" && previous != "INTO":
			formatAt = lx.start
		}
		if word != "SETTINGS" {
			st.format = lx.formatName(st, previous == "FORMAT" && depth == 0)
		}
		if st.format != "" && st.verb == "INSERT" && !selects {
			return st.withData(&lx, formatAt), nil
		}
		previous = word
	}
	return endOfStatement(st, &lx)
}

// formatName returns what st.format becomes with the current token: a FORMAT clause is the word FORMAT and a
// name, followed by nothing but settings; "format" may be a function or a column elsewhere.
func (l *lexer) formatName(st statement, afterFormat bool) string {
	if afterFormat && isWordByte(l.src[l.start]) {
		return l.word()
	}
	if st.settings {
		return st.format
	}
	return ""
}

// withData ends an INSERT at the format's name. The bytes after it are data, which only the format reads.
func (s statement) withData(lx *lexer, formatAt int) statement {
	if s.insertAt == 0 {
		s.insertAt = formatAt
	}
	s.text = lx.src[:lx.end]
	s.inline = afterFormat(lx.src[lx.end:])
	return s
}

// afterFormat skips what ClickHouse skips between the format's name and the data: blanks and one line end.
func afterFormat(s string) string {
	s = strings.TrimLeft(s, " \t\f")
	s = strings.TrimPrefix(s, "\r")
	return strings.TrimPrefix(s, "\n")
}

// endOfStatement cuts the text before the current token, a semicolon or the end, and lets only semicolons follow.
func endOfStatement(st statement, lx *lexer) (statement, error) {
	if st.verb == "" {
		return st, refuse(codeSyntax, "Empty query")
	}
	st.text = lx.src[:lx.start]
	st.insertAt = 0 // an INSERT without FORMAT has no data of its own
	for lx.next() {
		if lx.word() != ";" {
			return st, refuse(codeSyntax, "Syntax error (Multi-statements are not allowed)")
		}
	}
	return st, nil
}

// withInfile returns the INSERT reading its data from path instead of from what follows it.
func (s *statement) withInfile(path string) string {
	return s.text[:s.insertAt] + " FROM INFILE " + quote(path) + " COMPRESSION 'none' " + s.text[s.insertAt:]
}

// readVerbs are the statements that only read; with readonly set nothing else gets as far as the engine.
var readVerbs = map[string]bool{
	"SELECT": true, "WITH": true, "FROM": true, "(": true, "EXPLAIN": true,
	"SHOW": true, "DESCRIBE": true, "DESC": true, "EXISTS": true,
}

func (s *statement) checkReadonly() error {
	if !readVerbs[s.verb] {
		return refuse(codeReadonly, "Cannot execute "+s.verb+" in readonly mode")
	}
	if s.settings {
		return refuse(codeReadonly, "A SETTINGS clause is not allowed in readonly mode (quote a column of this name)")
	}
	return nil
}

// inString escapes what ends a string. A session sets tens of settings, so it is made once.
var inString = strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\x00", `\0`)

// quote returns s as an SQL string.
func quote(s string) string { return "'" + inString.Replace(s) + "'" }

func quoteIdentifier(s string) string {
	return "`" + strings.NewReplacer(`\`, `\\`, "`", "\\`", "\x00", `\0`).Replace(s) + "`"
}
