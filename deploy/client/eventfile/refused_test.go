package eventfile

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"recount/deploy/client/eventfile/input"
	"recount/deploy/client/eventfile/table"
	"recount/schemas/catalog"
)

// TestRefused checks the errors for names and content that cannot be meant, or cannot be read. Each names the place and
// what to do.
func TestRefused(t *testing.T) {
	t.Parallel()
	typed := Mapping{Type: "t"}
	timed := Mapping{Type: "t", Time: "at"}
	known := Mapping{Type: "page.viewed", Fields: pageViewed}
	for name, c := range map[string]struct {
		file, content string
		m             Mapping
		want          string
	}{
		"empty":           {"a.csv", "", typed, "empty: the first line has to name the columns"},
		"unnamed column":  {"a.csv", ",a\n0,1\n", typed, "line 1: column 1 has no name"},
		"repeated column": {"a.csv", "a,a\n0,1\n", typed, "line 1: two columns are named a"},
		"no such column": {"a.csv", "a,b\n", Mapping{Type: "t", ID: []string{"c"}},
			"line 1: --id c: no such column; the file has a, b"},
		"missing value":   {"a.csv", "a,b\n1,2\n3\n", typed, "line 3: it has 1 values, and the file has 2 columns"},
		"values as names": {"a.csv", "7,2024-05-01\n8,2024-05-02\n", typed, `column 1 has the value "7" where a name`},
		"short --columns": {"a.csv", "7,2024-05-01\n", Mapping{Type: "t", Table: table.Options{Columns: []string{"n"}}},
			"--columns gives 1 names, and line 1 has 2 values"},
		"open quote": {"a.csv", "a\n\"1\n", typed, "line 2: a quotation mark"},
		"bare quote": {"a.csv", "a\n5\" pipe\n", typed, "line 2: a quotation mark at byte 2"},
		"not UTF-8": {"a.csv", "a,b\n1,2\n" + strings.Repeat("1,2\n", 1<<18) + "3,M\xfcnchen\n", typed,
			"line 262147: column b is not UTF-8, as the begin of the file is; if it is latin-1"},
		"a mixture":   {"a.csv", "a\nM\xfcnchen\nK\u00f6ln\n", typed, "line 3 has characters in UTF-8 and other lines"},
		"no encoding": {"a.csv", "a\nM\x81nchen\n", typed, "line 2 holds the byte 0x81, which neither"},
		"wrong encoding": {"a.csv", "a,gr\xf6\xdfe\n1,2\n", Mapping{Type: "t", Table: table.Options{Encoding: "utf-8"}},
			`column 2 has the name "gr\xf6\xdfe", which is not UTF-8`},
		"space in front": {"a.csv", "id, page\n1,/\n", typed, `column 2 is named " page", with white space`},
		"space after":    {"a.csv", "page ,id\n/,1\n", typed, `say --rename "page =page"`},
		"other case":     {"a.csv", "Page,ms\n/,1\n", known, `say --rename "Page=page"`},
		"renamed to another": {"a.csv", "Page,page\n/,1\n", Mapping{Type: "t",
			Rename: map[string]string{"Page": "page"}}, "two columns are named page"},
		"renamed what is not there": {"a.csv", "page\n/\n", Mapping{Type: "t",
			Rename: map[string]string{"Page": "page"}}, "--rename Page: no such column; the file has page"},
		"one misspelt column": {"a.csv", "page,ms,mss\n/,1,2\n", known,
			"column mss is no field of page.viewed, whose known fields are at, ms, page; name a field with " +
				"--rename mss=FIELD, leave columns out with --ignore mss, or say --extra keep"},
		"two columns of the time": {"a.json", `{"a":"2024-05-01T10:00:00Z","at":"2024-05-01T10:00:00Z"}` + "\n",
			Mapping{Type: "t", Time: "at", Rename: map[string]string{"a": "at"}}, "two columns are named at"},
		"a number that is missing": {"a.csv", "page,ms\n/,1\n/,NA\n", known,
			`column ms holds numbers, and also "NA"; if that means a missing value, say --null "NA"`},
		"a number of no declared field": {"a.csv", "n\n1\n-\n", typed, `say --null "-"`},
		"local time": {"a.csv", "at,b\n2024-05-01 10:00:00,1\n", timed,
			`"2024-05-01 10:00:00" has no zone, so it is another instant in every place; name the zone`},
		"epoch": {"a.csv", "at,b\n1714557600,1\n", timed, "say what it counts since 1970 with --time-format"},
		"long line": {"a.csv", "a\n\"" + strings.Repeat("x\n", table.MaxLine), typed,
			"the row has more than 4194304 bytes"},
		"many columns": {"a.csv", strings.Repeat("a,", table.MaxColumns) + "a\n", typed, "more than 10000 columns"},
		"no field": {"a.csv", "id,url,n\n1,/,1\n", Mapping{Type: "page.viewed", ID: []string{"id"}, Fields: pageViewed},
			"columns url, n are no fields of page.viewed, whose known fields are at, ms, page; "},
		"no field in Parquet": {"a.parquet", parquetOf(t, struct {
			URL string `parquet:"url"`
		}{"/"}), known, "column url is no field of page.viewed"},
		"other spelling": {"a.csv", "p-a ge,ms\n/,1\n", known, `--rename "p-a ge=page"`},
		"case of Parquet": {"a.parquet", parquetOf(t, struct{ Page string }{"/"}), known,
			`a column is named "Page", and the event type page.viewed has a field page`},
		"carriage returns": {"a.csv", "a,b\r1,2\r3,4\r", typed, "line 1: a line ends with a carriage return alone"},
		"one carriage return": {"a.csv", "a,b\n\"x\ry\",2\n3,4\r5,6\n", typed,
			"line 3: a line ends with a carriage return alone"},
		"returns in NDJSON": {"a.ndjson", "{}\n{}\r{}\r", Mapping{}, "line 2: a line ends with a carriage return"},
		"NUL":               {"a.csv", "a\n1\n\x00\n", typed, "line 3: it holds a NUL byte"},
		"cut gzip":          {"a.csv", "\x1f\x8b\x08", typed, "decompress with gzip: unexpected EOF"},
		"xz":                {"a.csv", "\xfd7zXZ\x00", typed, "compressed with xz; decompress it with unxz"},
		"zip":               {"a.csv", "PK\x03\x04", typed, "as .xlsx files are"},
		"JSON as CSV":       {"a.csv", " {\"id\":1}\n", typed, "the file holds JSON"},
		"HTML":              {"a.csv", "<!DOCTYPE html>\n", typed, "the file holds HTML or XML"},
		"Parquet as CSV":    {"a.csv", "PAR1", typed, "the file is a Parquet file"},
		"CSV as NDJSON": {"a.ndjson", "id,page\n1,/\n", Mapping{},
			"the file begins with \"i\", which is no JSON object"},
		"a cut array":    {"a.json", "[{\"id\":\"1\"},{", Mapping{}, "element 2: unexpected EOF"},
		"after an array": {"a.json", "[{}] {}", Mapping{}, "after the end of the array, which has 1 elements"},
		"a large element": {"a.json", "[{}, \"" + strings.Repeat("x", 3*table.MaxLine), Mapping{},
			"more than 4194304"},
		"not JSON":       {"a.json", "{\"a\":1}\n{\"a\":}\n", typed, "line 2: invalid character"},
		"two in a line":  {"a.json", "{\"a\":1}\n{} {}\n", typed, "line 2: another value follows"},
		"a member twice": {"a.json", "{\"a\":{\"b\":1},\"a.b\":2}\n", typed, "line 1: it names a.b twice"},
		"half a pair":    {"a.json", "{\"a\":\"\\ud800\"}\n", typed, "half of a surrogate pair"},
		"too deep": {"a.json", strings.Repeat("{\"a\":", 40) + "1" + strings.Repeat("}", 40), typed,
			"more than 32 deep"},
		"a misspelt --rename of JSON": {"a.json", "{\"Page\":\"/\"}\n", Mapping{Type: "t",
			Rename: map[string]string{"Pgae": "page"}}, "--rename Pgae: no such column; the file has Page"},
		"a misspelt --subject after many rows": {"a.json", strings.Repeat("{\"page\":\"/\"}\n", 2*probeRows),
			Mapping{Type: "t", Subject: "user"}, "--subject user: no such column; the file has page"},
		"a misspelt --time of rows that may count now": {"a.json", "{\"at\":\"2024-05-01T10:00:00Z\"}\n",
			Mapping{Type: "t", Time: "ta", AssignTimes: true}, "--time ta: no such column; the file has at"},
		"an unknown member": {"a.json", "{\"page\":\"/\"}\n{\"page\":\"/\",\"pgae\":1}\n", known,
			"line 2: column pgae is no field"},
		"CSV as Parquet":     {"a.parquet", "id,page\n", typed, "no Parquet file, because it does not begin with PAR1"},
		"nothing as Parquet": {"a.parquet", "", typed, "no Parquet file"},
		"short Parquet":      {"a.parquet", "PAR1", typed, "parquet"},
		"broken Parquet":     {"a.parquet", "PAR1 no PAR1", typed, "parquet"},

		"no time": {"a.csv", "at,b\n2024-05-01T10:00:00Z,1\n,2\n", timed,
			"line 3: column at is empty, and without a time the row would count now; fill in the time, or say " +
				"--missing"},
		"no id": {"a.csv", "at,b\n,2\n", Mapping{Type: "t", ID: []string{"at"}},
			"line 2: column at is empty, but --id"},
		"null time": {"a.parquet", parquetOf(t, struct{ At *string }{}), Mapping{Type: "t", Time: "At"},
			"row 1: column At is empty"},
		"zoneless time": {"a.parquet", parquetOf(t, local{}), timed, "has no zone, so it is another instant"},
		"zoneless field": {"a.parquet", parquetOf(t, local{}), known,
			"has no zone, so it is another instant"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := writeFile(t, c.file, []byte(c.content))
			got, err := readAll(t, path, c.m)
			if err == nil {
				err = probe(path, c.m)
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %q and error %v; want an error that contains %q", got, err, c.want)
			}
		})
	}
}

// probe looks at the first rows of a file.
func probe(path string, m Mapping) error {
	r, err := Open(input.Local(path), m)
	if err != nil {
		return err
	}
	return errors.Join(r.Probe(), r.Close())
}

// local has a time without a zone.
type local struct {
	At time.Time `parquet:"at,timestamp(millisecond:local)"`
}

// parquetOf returns the bytes of a Parquet file.
func parquetOf[T any](t *testing.T, rows ...T) string {
	t.Helper()
	var out strings.Builder
	if err := parquet.Write(&out, rows); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestAttributeAndField reads columns that are an attribute of the event too. They stay in data, unless no field can
// have their name.
func TestAttributeAndField(t *testing.T) {
	t.Parallel()
	path := writeFile(t, "a.csv", []byte("page,at,time,Order ID\n404,2024-05-01T10:00:00Z,2024-05-02T10:00:00Z,7\n"))
	const rest = `"data":{"page":404,"at":"2024-05-01T10:00:00Z"`
	declared := &catalog.EventType{Fields: []catalog.Field{{Name: "at", Type: catalog.String}}}
	for want, m := range map[string]Mapping{
		`"id":"404","time":"2024-05-01T10:00:00Z","subject":"2024-05-02T10:00:00Z",` + rest + `,"Order ID":7}}`: {
			ID: []string{"page"}, Time: "at", Subject: "time"},
		`"id":"404","subject":"404",` + rest + `,"time":"2024-05-02T10:00:00Z","Order ID":7}}`: {ID: []string{"page"},
			Subject: "page"},
		`"source":"shop","id":"7","time":"2024-05-02T10:00:00Z",` + rest + `}}`: {
			ID: []string{"Order ID"}, Time: "time", Source: "shop"},
	} {
		for _, fields := range []*catalog.EventType{nil, declared} {
			m.Type = "page.viewed"
			m.Extra = KeepExtra
			m.Fields = fields
			got, err := readAll(t, path, m)
			want := []string{`{"specversion":"1.0","type":"page.viewed",` + want}
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("%+v: %v\n%s", m, err, diff)
			}
		}
	}
}

// TestZonelessText keeps a time without a zone as it is where no instant is needed.
func TestZonelessText(t *testing.T) {
	t.Parallel()
	row := local{At: time.Date(2024, 5, 1, 10, 0, 0, 5e6, time.UTC)}
	got, err := readAll(t, writeParquet(t, row), Mapping{Type: "t"})
	if err != nil || len(got) != 1 || !strings.Contains(got[0], `"at":"2024-05-01T10:00:00.005"`) {
		t.Errorf("got %v, %v", got, err)
	}
}

// TestByteOrderMark reads NDJSON that a Windows tool has written.
func TestByteOrderMark(t *testing.T) {
	t.Parallel()
	path := writeFile(t, "a.json", []byte("\ufeff{\"id\":\"1\"}\r\n{\"id\":\"\ufeff2\"}\r\n"))
	got, err := readAll(t, path, Mapping{})
	if diff := cmp.Diff([]string{`{"id":"1"}`, "{\"id\":\"\ufeff2\"}"}, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
}
