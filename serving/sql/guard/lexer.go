package guard

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// kind is what a token is.
type kind int

const (
	word   kind = iota // of letters, digits and _; numbers are words and points
	name               // a quoted name; its text is the name
	str                // a string in single quotes; its text is what stands between them, with its escapes
	symbol             // a single character
)

// token is a token of a statement. Its text cannot be read as more than one token of ClickHouse (write).
type token struct {
	kind  kind
	text  string
	space bool // blanks or a comment are before it
	at    int  // where it begins in what the client wrote
}

// isWord reports whether t is the bare word w, in any case.
func (t token) isWord(w string) bool { return t.kind == word && strings.EqualFold(t.text, w) }

// isSymbol reports whether t is the character c.
func (t token) isSymbol(c string) bool { return t.kind == symbol && t.text == c }

// symbols are the characters outside of words and quotes that a statement may have.
const symbols = "()[]{},.+-*/%<>=!|:?;"

// maxTokens bounds the tokens of a statement.
const maxTokens = 100_000

// split returns the tokens of a statement. It knows less of SQL than ClickHouse, and refuses the rest: dollar quotes,
// typographic quotes, names with backslashes, # and // for comments.
func split(sql string) ([]token, error) {
	if !utf8.ValidString(sql) || strings.ContainsRune(sql, 0) {
		return nil, refuseText("the statement is not UTF-8 text")
	}
	var tokens []token
	for i := 0; i < len(sql); {
		start := i
		i = skipBlank(sql, i)
		if i == len(sql) {
			break
		}
		t, end, err := next(sql, i)
		if err != nil {
			return nil, err
		}
		t.space = i > start
		t.at = i
		tokens = append(tokens, t)
		if len(tokens) > maxTokens {
			return nil, refuseText("the statement has more than %d words", maxTokens)
		}
		i = end
	}
	return tokens, nil
}

// next returns the token at i, and where it ends.
func next(sql string, i int) (token, int, error) {
	switch c := sql[i]; {
	case isWordByte(c):
		end := i + 1
		for end < len(sql) && isWordByte(sql[end]) {
			end++
		}
		if end < len(sql) && sql[end] == '\'' { // x'41' has no escapes
			return token{}, 0, refuseText("%s' is not allowed; put a blank before the string, or use unhex",
				sql[i:end])
		}
		return token{kind: word, text: sql[i:end]}, end, nil
	case c == '\'':
		return readString(sql, i)
	case c == '"' || c == '`':
		return readName(sql, i)
	case strings.HasPrefix(sql[i:], "//"):
		return token{}, 0, refuseText("// is not allowed; a comment begins with --")
	case strings.IndexByte(symbols, c) >= 0:
		return token{kind: symbol, text: sql[i : i+1]}, i + 1, nil
	}
	r, _ := utf8.DecodeRuneInString(sql[i:])
	return token{}, 0, refuseText("the character %q is allowed only in 'strings' and \"quoted names\"", r)
}

// skipBlank returns where the next token begins.
func skipBlank(sql string, i int) int {
	for i < len(sql) {
		rest := sql[i:]
		switch {
		case strings.IndexByte(" \t\r\n\f\v", sql[i]) >= 0:
			i++
		case strings.HasPrefix(rest, "--"):
			line, _, _ := strings.Cut(rest, "\n")
			i += len(line)
		case strings.HasPrefix(rest, "/*"):
			comment, _, closed := strings.Cut(rest[2:], "*/")
			i += 2 + len(comment)
			if closed {
				i += 2
			}
		default:
			return i
		}
	}
	return i
}

// readString reads a string. A doubled quote and an escaped quote are the same, and are written as the second.
func readString(sql string, i int) (token, int, error) {
	var text strings.Builder
	for i++; i < len(sql); i++ {
		switch {
		case sql[i] == '\\' && i+1 < len(sql):
			text.WriteString(sql[i : i+2])
			i++
		case sql[i] == '\'' && i+1 < len(sql) && sql[i+1] == '\'':
			text.WriteString(`\'`)
			i++
		case sql[i] == '\'':
			return token{kind: str, text: text.String()}, i + 1, nil
		default:
			text.WriteByte(sql[i])
		}
	}
	return token{}, 0, refuseText("a string does not end")
}

// readName reads a quoted name.
func readName(sql string, i int) (token, int, error) {
	text, rest, closed := strings.Cut(sql[i+1:], sql[i:i+1])
	if !closed {
		return token{}, 0, refuseText("a quoted name does not end")
	}
	if !isPrintableName(text) || strings.HasPrefix(rest, sql[i:i+1]) {
		return token{}, 0, refuseText("the quoted name %q has one of the characters , : ' \" ` \\ or one that cannot "+
			"be seen; choose another alias", text)
	}
	return token{kind: name, text: text}, len(sql) - len(rest), nil
}

// isPrintableName reports whether a name cannot be taken for anything else when ClickHouse prints it in a tree.
// ClickHouse prints names as they are, also line ends, and separates what it says about a node by ", " and ": ".
func isPrintableName(s string) bool {
	for _, r := range s {
		if strings.ContainsRune(",:'\"`\\", r) || r == utf8.RuneError || !unicode.IsPrint(r) {
			return false
		}
	}
	return s != "" && strings.TrimSpace(s) == s
}

func isWordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// write returns the text of tokens. ClickHouse reads from it the same tokens: it has no comments, no quotes but the
// two plain ones, and blanks where the statement had blanks or comments. So what a client wrote reaches the engine
// only inside tokens that both read in the same way.
func write(tokens []token) (text string, places []place) {
	var b strings.Builder
	for i, t := range tokens {
		if i > 0 && (t.space || t.kind != symbol && tokens[i-1].kind != symbol) {
			b.WriteByte(' ') // also between two quoted texts, which would be one
		}
		places = append(places, place{b.Len(), t.at})
		switch t.kind {
		case name:
			b.WriteString("`" + t.text + "`")
		case str:
			b.WriteString("'" + t.text + "'")
		case word, symbol:
			b.WriteString(t.text)
		}
	}
	return b.String(), places
}
