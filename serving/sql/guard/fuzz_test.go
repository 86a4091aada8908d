package guard

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// tree is one that ClickHouse printed.
const tree = `QUERY id: 0
  WITH
    LIST id: 1, nodes: 1
      QUERY id: 2, is_subquery: 1, is_cte: 1, cte_name: c
        PROJECTION
          LIST id: 3, nodes: 1
            CONSTANT id: 4, alias: x, constant_value: 'a, function_name: file', constant_value_type: String
        JOIN TREE
          IDENTIFIER id: 5, identifier: system.one
  PROJECTION
    LIST id: 6, nodes: 3
      FUNCTION id: 7, alias: s, function_name: sumIf, function_type: ordinary
        ARGUMENTS
          LIST id: 8, nodes: 2
            IDENTIFIER id: 9, identifier: v.n
            FUNCTION id: 10, function_name: in, function_type: ordinary
              ARGUMENTS
                LIST id: 11, nodes: 2
                  IDENTIFIER id: 12, identifier: x
                  IDENTIFIER id: 13, identifier: c
      MATCHER id: 14, matcher_type: ASTERISK
        LIST id: 15, nodes: 1
          REPLACE COLUMN TRANSFORMER id: 16
            REPLACEMENTS 1
              REPLACEMENT NAME n EXPRESSION
                CONSTANT id: 17, constant_value: UInt64_2, constant_value_type: UInt8
      LAMBDA id: 18
        ARGUMENTS 
          LIST id: 19, nodes: 1
            IDENTIFIER id: 20, identifier: x
        EXPRESSION 
          FUNCTION id: 21, function_name: plus, function_type: ordinary
  JOIN TREE
    JOIN id: 22, strictness: ALL, kind: INNER
      LEFT TABLE EXPRESSION
        IDENTIFIER id: 23, alias: v, identifier: visits
      RIGHT TABLE EXPRESSION
        TABLE_FUNCTION id: 24, table_function_name: numbers
          ARGUMENTS
            LIST id: 25, nodes: 1
              CONSTANT id: 26, constant_value: UInt64_10, constant_value_type: UInt8
      JOIN EXPRESSION
        LIST id: 27, nodes: 1
          IDENTIFIER id: 28, identifier: n
  ORDER BY
    LIST id: 29, nodes: 1
      SORT id: 30, sort_direction: ASCENDING, with_fill: 0
        EXPRESSION n
          IDENTIFIER id: 31, identifier: n
`

func noColumns(string) []string { return nil }

// named are the functions that lines of a tree name. A constant may look like one.
var named = regexp.MustCompile(`(?m)^ *(FUNCTION|TABLE_FUNCTION) id: [^'\n]*function_name: ([^,\n]*)`)

// FuzzDecide reads any text as a tree. Nothing that it allows names a function or a table that is on no list.
func FuzzDecide(f *testing.F) {
	f.Add(tree)
	lines := strings.Split(tree, "\n")
	for _, line := range []string{"FUNCTION id: 8, function_name: file, function_type: ordinary",
		"TABLE_FUNCTION id: 8, table_function_name: url", "SETTINGS readonly=0",
		"IDENTIFIER id: 8, identifier: other"} {
		for i := range lines {
			indent := lines[i][:len(lines[i])-len(strings.TrimLeft(lines[i], " "))]
			f.Add(strings.Join(slices.Insert(slices.Clone(lines), i, indent+line), "\n"))
			f.Add(strings.Join(slices.Replace(slices.Clone(lines), i, i+1, indent+line), "\n"))
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		reads, err := Decide(text, Names{"visits": true}, noColumns)
		if err != nil {
			return
		}
		for _, name := range reads.Tables {
			if name != "visits" {
				t.Errorf("a table %q is read", name)
			}
		}
		for _, m := range named.FindAllStringSubmatch(text, -1) {
			if m[1] == "FUNCTION" && !allowsFunction(m[2]) || m[1] == "TABLE_FUNCTION" && !tableFunctions[m[2]] {
				t.Errorf("%s is allowed in\n%s", m[2], text)
			}
		}
		if strings.Contains(text, "SETTINGS") && regexp.MustCompile(`(?m)^ *SETTINGS`).MatchString(text) {
			t.Errorf("settings are allowed in\n%s", text)
		}
	})
}

// TestTree decides about the tree that the fuzz test begins with, so that it has something to change.
func TestTree(t *testing.T) {
	t.Parallel()
	reads, err := Decide(tree, Names{"visits": true}, noColumns)
	if err != nil || len(reads.Tables) != 1 || reads.Tables[0] != "visits" {
		t.Errorf("got %v, %v", reads, err)
	}
}

// FuzzParse reads any text as a statement. What runs has the same words when it is read again, and nothing that the
// engine could read as a comment or as the end of a quoted text.
func FuzzParse(f *testing.F) {
	for _, sql := range []string{"SELECT 1",
		"select 'it''s', \"a b\" -- x\n FROM system.tables /* y */ WHERE a->b = {p:Int8};",
		"WITH a AS (SELECT 1) SELECT * FROM recount.v FORMAT CSV SETTINGS max_threads = 1", "DESCRIBE TABLE x",
		"SELECT 'a\\'b\\\\' , `c`", "SHOW TABLES FROM system", "EXISTS TABLE a.b", "SELECT 1 - -1, 2 / *"} {
		f.Add(sql)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		st, err := Parse(sql, "recount")
		if err != nil {
			return
		}
		again, err := Parse(st.Text, "recount")
		if err != nil || again.Text != st.Text {
			t.Fatalf("%q becomes %q and then %+v, %v", sql, st.Text, again, err)
		}
		bare := regexp.MustCompile("(?s)'(?:\\\\.|[^\\\\'])*'|`[^`]*`").ReplaceAllString(st.Text, "")
		if strings.ContainsAny(bare, "'\"`\\;#$") || strings.Contains(bare, "--") || strings.Contains(bare, "/*") ||
			strings.Contains(bare, "//") {
			t.Fatalf("%q becomes %q, which has more than words outside of quotes: %q", sql, st.Text, bare)
		}
	})
}
