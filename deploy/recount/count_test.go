package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"recount/deploy/server"
)

// trips is a file as people have them: quotation marks, a line break in a value, local times, missing values, names
// that no field may have, and more columns than are asked for.
const trips = `Pickup Time,Zone Name,fare,rider,type
2024-03-31 01:30:00,"Soho, ""west""",10.5,u1,cash
2024-03-31 03:30:00,Midtown,7,u2,card
2024-04-01 00:15:00,Midtown,NA,u2,
2024-04-01 23:45:00,"two
lines",2.25,u3,card
2024-04-02 00:00:00,007,1,u1,card
`

// TestCount counts rows of files and compares what is printed with what the files hold.
func TestCount(t *testing.T) {
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	dir := t.TempDir()
	path := file(t, filepath.Join(dir, "trips.csv"), []byte(trips))
	stdout, stderr := counted(t, "", path, "--by", "Zone Name,type", "--per", "day", "--time-zone", "Europe/Berlin",
		"--sum", "fare", "--distinct", "rider", "--null", "NA")
	want := `time                       zone_name       type_1  count  distinct_rider  sum_fare
2024-03-31T00:00:00+01:00  Midtown         card    1      1               7
2024-03-31T00:00:00+01:00  Soho, "west"    cash    1      1               10.5
2024-04-01T00:00:00+02:00  Midtown         -       1      1               -
2024-04-01T00:00:00+02:00  two\nlines      card    1      1               2.25
2024-04-02T00:00:00+02:00  007             card    1      1               1
`
	if fields(stdout) != fields(want) {
		t.Errorf("got\n%swant\n%s", stdout, want)
	}
	for _, says := range []string{"the time of a row is its column Pickup Time", `"Zone Name" is called zone_name`,
		"rows without a value, of 5: fare 1, type_1 1", "counted 5 rows exactly", "--keep FOLDER"} {
		if !strings.Contains(stderr, says) {
			t.Errorf("it does not say %q:\n%s", says, stderr)
		}
	}
	semicolons := file(t, filepath.Join(dir, "caf\u00e9.csv"), []byte("ort;n\ncaf\xe9;1\n"))
	if _, stderr = counted(t, "", semicolons, "--by", "ort"); !strings.Contains(stderr, "separated by semicolons") ||
		!strings.Contains(stderr, "latin") {
		t.Errorf("it does not say how the file is written:\n%s", stderr)
	}
	const objects = `[{"page":"/","ms":5,"user":{"id":1}},{"page":"/a","ms":7,"user":{"id":1}},{"page":"/","ms":1}]`
	kept := filepath.Join(dir, "kept")
	stdout, stderr = counted(t, objects, "-", "--by", "page", "--max", "ms", "--distinct", "user.id", "--keep", kept)
	if fields(stdout) != fields("page count distinct_user_id max_ms\n/ 2 1 5\n/a 1 1 7\n") {
		t.Errorf("got\n%s", stdout)
	}
	if _, err := os.Stat(filepath.Join(kept, "data", "log")); err != nil {
		t.Error("--keep kept no data:", err)
	}
	config := filepath.Join(kept, "recount.yaml")
	if !strings.Contains(stderr, "recount up --config "+config) {
		t.Errorf("it does not say how to go on:\n%s", stderr)
	}
	if code, out, stderr := command(t, "config", "check", config); code != exitOK || !strings.Contains(out, "it fits") {
		t.Errorf("what was kept is not valid: %s%s", out, stderr)
	}
	if cfg, err := server.Load(config, nil); err != nil || cfg.Ingest.Values != 0 {
		t.Errorf("%d values of a column count, and further ones make the counts inexact: %v", cfg.Ingest.Values, err)
	}
	checkNothingLeft(t, temporary)
}

// TestCountEveryRow counts rows that are easily lost: equal ones in files of one name, those without a time, and those
// whose time is a number. What does not count, because its id was there before, is said.
func TestCountEveryRow(t *testing.T) {
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	dir := t.TempDir()
	january := file(t, filepath.Join(dir, "01", "data.csv"), []byte("zone,n\nA,1\nB,1\nA,2\n"))
	february := file(t, filepath.Join(dir, "02", "data.csv"), []byte("zone,n\nA,1\nA,1\nA,2\n"))
	untimed := file(t, filepath.Join(dir, "untimed.csv"), []byte("t,v\n2024-05-01T00:00:00Z,1\n,2\n"))
	numbers := file(t, filepath.Join(dir, "numbers.csv"), []byte("t,v\n1714521600,1\n1714608000,2\n"))
	great := file(t, filepath.Join(dir, "great.csv"), []byte("tenant,n\nx,9223372036854775807\nx,1\ny,2\n"))
	money := file(t, filepath.Join(dir, "money.csv"), []byte("sum_x,x\na,9007199254740993.25\na,0.50\nb,-1\n"))
	small := file(t, filepath.Join(dir, "small.csv"), []byte("x\n10.50\n0.1\n"))
	floats := file(t, filepath.Join(dir, "floats.json"), []byte(`[{"x":9007199254740992.5},{"x":1}]`))
	for _, c := range []struct {
		args   []string
		stdout string
		says   string
	}{
		{[]string{money, "--by", "sum_x", "--sum", "x", "--max", "x"}, "sum_x count max_x sum_x_1\n" +
			"a 2 9007199254740993.25 9007199254740993.75\nb 1 -1.00 -1.00\n", "counted 3 rows exactly"},
		{[]string{small, "--sum", "x"}, "count sum_x\n2 10.6\n", "counted 2 rows exactly"},
		{[]string{floats, "--sum", "x"}, "count sum_x\n2 9007199254740992\n",
			"added up in float64, so the last digits may be rounded: sum_x"},
		{[]string{january, february, "--by", "zone"}, "zone count\nA 5\nB 1\n", "counted 6 rows exactly"},
		{[]string{january, february, "--by", "zone", "--id", "zone,n"}, "zone count\nA 2\nB 1\n",
			"not counted, because the id was there before: 3 rows"},
		{[]string{untimed, "--time", "t", "--missing-time", "now"}, "count\n2\n", "counted 2 rows exactly"},
		{[]string{numbers, "--time", "t", "--time-format", "unix", "--per", "day"},
			"time count\n2024-05-01T00:00:00Z 1\n2024-05-02T00:00:00Z 1\n", "counted 2 rows exactly"},
		{[]string{great, "--by", "tenant", "--sum", "n"}, "tenant_1 count sum_n\nx 2 -\ny 1 2\n",
			"sum_n is missing in 1 row, because its value there does not fit its type"},
	} {
		stdout, stderr := counted(t, "", c.args...)
		if fields(stdout) != fields(c.stdout) || !strings.Contains(stderr, c.says) {
			t.Errorf("%v: got\n%s%swant\n%s%s", c.args, stdout, stderr, c.stdout, c.says)
		}
	}
	checkNothingLeft(t, temporary)
}

// counted runs the command count, which has to succeed.
func counted(t *testing.T, stdin string, args ...string) (stdout, stderr string) {
	t.Helper()
	code, stdout, stderr := commandWith(t, stdin, append([]string{"count"}, args...)...)
	if code != exitOK {
		t.Fatalf("exit code %d\n%s%s", code, stdout, stderr)
	}
	return stdout, stderr
}

// fields returns text with one space between columns.
func fields(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	return strings.Join(lines, "\n")
}

// TestCountRefuses: what cannot be meant is refused before a server starts.
func TestCountRefuses(t *testing.T) {
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	dir := t.TempDir()
	path := file(t, filepath.Join(dir, "trips.csv"), []byte(trips))
	mixed := file(t, filepath.Join(dir, "mixed.json"), []byte(`{"a":1,"b":1.5,"c":[1],"at":"2024-05-01"}
{"a":"x","b":2,"c":[2],"at":"2024-05-02"}`))
	events := file(t, filepath.Join(dir, "events.json"), []byte(`{"specversion":"1.0","id":"1","type":"t","data":{}}`))
	fractions := file(t, filepath.Join(dir, "fractions.csv"), []byte("x\n1.5\n2\n"))
	empty := file(t, filepath.Join(dir, "empty.csv"), []byte("a,b\n"))
	twoTimes := file(t, filepath.Join(dir, "times.csv"), []byte("a,b\n2024-05-01T00:00:00Z,2024-05-01T00:00:00Z\n"))
	for _, c := range []struct {
		line string
		code int
		says string
	}{
		{path + " --by zone", exitUsage,
			"--by zone: no column has this name; there are Pickup Time, "},
		{path + " --by Type", exitUsage,
			`did you mean "type"?`},
		{path + " --sum fare", exitFailed,
			`column fare holds numbers, and also "NA"; if that means a missing value, say --null`},
		{path + " --sum rider", exitFailed,
			`column rider holds "u1" at line 2, which is no number`},
		{path + " --per day", exitFailed,
			"are other instants in every place; name the zone with --time-zone"},
		{path + " --per fortnight", exitUsage,
			"--per fortnight: use minute, hour, day"},
		{path + " --limit 0", exitUsage,
			"--limit must be at least 1"},
		{path + " --keep " + dir, exitUsage,
			"the folder holds something already"},
		{path + " --time rider --sum nobody", exitUsage,
			"--sum nobody: no column has this name"},
		{mixed + " --by a", exitFailed,
			`holds texts, such as "x" at line 2, beside values of other types`},
		{mixed + " --by b", exitFailed,
			"column b holds numbers with fractions"},
		{fractions + " --by x --max x", exitUsage,
			"--max x: the column is in --by too, and its values are grouped as texts"},
		{mixed + " --by c", exitFailed,
			"column c holds arrays"},
		{mixed + " --per day", exitFailed,
			"name the zone with --time-zone"},
		{twoTimes + " --per day", exitFailed,
			"the columns a, b hold times; name the one to count by with --time"},
		{empty, exitFailed,
			"there is no row to count"},
		{empty + " " + dir + "/nothing.csv", exitUsage,
			"nothing.csv"},
		{events, exitFailed,
			"it holds whole CloudEvents and no rows"},
	} {
		args := append([]string{"count"}, strings.Fields(c.line)...)
		if code, stdout, stderr := command(t, args...); code != c.code || !strings.Contains(stderr, c.says) ||
			stdout != "" {
			t.Errorf("%s: exit code %d, want %d and %q:\n%s%s", c.line, code, c.code, c.says, stdout, stderr)
		}
	}
	checkNothingLeft(t, temporary)
}

// checkNothingLeft fails if a command has left something in the folder of temporary files.
func checkNothingLeft(t *testing.T, temporary string) {
	t.Helper()
	if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
		t.Errorf("the command has left %v, %v", left, err)
	}
}
