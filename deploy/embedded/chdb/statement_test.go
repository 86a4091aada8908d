package chdb

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseStatement(t *testing.T) {
	t.Parallel()
	tests := []struct {
		sql  string
		want statement
		code int
	}{
		{sql: "select 1;", want: statement{text: "select 1", verb: "SELECT"}},
		{sql: "-- a\n# b\n/* c; */ (SELECT 1)", want: statement{text: "-- a\n# b\n/* c; */ (SELECT 1)", verb: "("}},
		{sql: "SELECT 'a\\';b', `c;``d`, $x$;$x$, \"e;\" FORMAT JSON",
			want: statement{text: "SELECT 'a\\';b', `c;``d`, $x$;$x$, \"e;\" FORMAT JSON", verb: "SELECT",
				format: "JSON"}},
		{sql: "INSERT INTO t (a, format) FORMAT Native",
			want: statement{text: "INSERT INTO t (a, format) FORMAT Native", verb: "INSERT", format: "Native",
				insertAt: 26}},
		{sql: "INSERT INTO t FORMAT CSV \n1;2\n",
			want: statement{text: "INSERT INTO t FORMAT CSV", verb: "INSERT", format: "CSV", insertAt: 14,
				inline: "1;2\n"}},
		{sql: "INSERT INTO t SETTINGS a=1 FORMAT CSV",
			want: statement{text: "INSERT INTO t SETTINGS a=1 FORMAT CSV", verb: "INSERT", format: "CSV", insertAt: 14,
				settings: true}},
		{sql: "INSERT INTO t VALUES ('FORMAT x;')",
			want: statement{text: "INSERT INTO t VALUES ('FORMAT x;')", verb: "INSERT"}},
		{sql: "INSERT INTO t SELECT 1 SETTINGS a=1",
			want: statement{text: "INSERT INTO t SELECT 1 SETTINGS a=1", verb: "INSERT", settings: true}},
		{sql: "SELECT format('{}', 1), format FROM x",
			want: statement{text: "SELECT format('{}', 1), format FROM x", verb: "SELECT"}},
		{sql: "SELECT 1 SETTINGS a=1 FORMAT CSV",
			want: statement{text: "SELECT 1 SETTINGS a=1 FORMAT CSV", verb: "SELECT", format: "CSV", settings: true}},
		{sql: "SELECT 1 format TSV settings a=1;",
			want: statement{text: "SELECT 1 format TSV settings a=1", verb: "SELECT", format: "TSV", settings: true}},
		{sql: "SELECT 1;; SELECT 2", code: codeSyntax},
		{sql: " ;", code: codeSyntax},
		{sql: "-- nothing", code: codeSyntax},
		{sql: "SELECT 1 into\noutfile 'x'", code: codeNotImplemented},
		{sql: "SELECT 1 // '\n; DROP TABLE x --'", code: codeSyntax},
		{sql: "SELECT 1 /* /* */ ' */; DROP TABLE x --'", code: codeSyntax},
		{sql: "SELECT ‘it's’; DROP TABLE x --'", code: codeSyntax},
		{sql: "SELECT $a$ 'x'; DROP TABLE y", code: codeSyntax},
	}
	for _, tt := range tests {
		got, err := parseStatement(tt.sql)
		var ex *exception
		errors.As(err, &ex)
		if (ex == nil && tt.code != 0) || (ex != nil && ex.code != tt.code) {
			t.Errorf("%q: got error %v, want code %d", tt.sql, err, tt.code)
		}
		if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(statement{})); err == nil && diff != "" {
			t.Errorf("%q: %s", tt.sql, diff)
		}
	}
}

func TestWithInfile(t *testing.T) {
	t.Parallel()
	st, err := parseStatement("INSERT INTO t (a) SETTINGS b=1 FORMAT CSV 1")
	if err != nil {
		t.Fatal(err)
	}
	got := st.withInfile("/d'ir/f")
	want := `INSERT INTO t (a)  FROM INFILE '/d\'ir/f' COMPRESSION 'none' SETTINGS b=1 FORMAT CSV`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// FuzzParseStatement checks that parsing ends, keeps inside its input, and that a statement it let pass is
// let pass again: what the engine gets is what was checked.
func FuzzParseStatement(f *testing.F) {
	for _, s := range []string{"SELECT 1; ", "INSERT INTO t FORMAT CSV\n1", "$a$;$a$", "'\\", "/*", "‘x", "FORMAT",
		"\xe2\x80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		st, err := parseStatement(sql)
		if err != nil {
			return
		}
		if !strings.HasPrefix(sql, st.text) || !strings.HasSuffix(sql, st.inline) || st.insertAt > len(st.text) {
			t.Fatalf("%q became %+v", sql, st)
		}
		again, err := parseStatement(st.text)
		if err != nil || again.verb != st.verb || again.format != st.format {
			t.Fatalf("%q: parsed again %+v, %v; first %+v", sql, again, err, st)
		}
	})
}
