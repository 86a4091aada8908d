package eventfile

import (
	"recount/schemas/catalog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
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
		"no such column": {"a.csv", "a,b\n", Mapping{Type: "t", ID: "c"},
			"line 1: --id c: no such column; the file has a, b"},
		"missing value": {"a.csv", "a,b\n1,2\n3\n", typed, "line 3: it has another number of values"},
		"open quote":    {"a.csv", "a\n\"1\n", typed, "line 2: a quotation mark"},
		"bare quote":    {"a.csv", "a\n5\" pipe\n", typed, "line 2: a quotation mark at byte 2"},
		"not UTF-8": {"a.csv", "a,b\n1,2\n3,M\xfcnchen\n", typed,
			"line 3: column b is not UTF-8; convert the file, as in iconv"},

		"latin-1 name": {"a.csv", "a,gr\xf6\xdfe\n1,2\n", typed,
			`line 1: column 2 has the name "gr\xf6\xdfe", which is not UTF-8`},
		"space in front": {"a.csv", "id, page\n1,/\n", typed, `line 1: column 2 is named " page"`},
		"space after":    {"a.csv", "page ,id\n/,1\n", typed, `line 1: column 1 is named "page "`},
		"tabs": {"a.csv", "id\tpage\n1\t/\n", typed,
			"line 1: the names \"id\\tpage\" are separated by something"},
		"semicolons": {"a.csv", "id;page\n1;/\n", typed, "separate the columns with commas"},
		"other case": {"a.csv", "Page,ms\n/,1\n", known, `line 1: column 1 is named "Page"`},
		"no field": {"a.csv", "id,url,n\n1,/,1\n", Mapping{Type: "page.viewed", ID: "id", Fields: pageViewed},
			"line 1: none of the columns url, n is a field of page.viewed, which has at, ms, page; "},
		"no field in Parquet": {"a.parquet", parquetOf(t, struct {
			URL string `parquet:"url"`
		}{"/"}), known, "none of the columns url is a field of page.viewed"},
		"other spelling": {"a.csv", "p-a ge,ms\n/,1\n", known, "rename the column to page"},
		"case of Parquet": {"a.parquet", parquetOf(t, struct{ Page string }{"/"}), known,
			`column 1 is named "Page", and the event type page.viewed has a field page`},
		"carriage returns": {"a.csv", "a,b\r1,2\r3,4\r", typed, "line 1: a line ends with a carriage return alone"},
		"one carriage return": {"a.csv", "a,b\n\"x\ry\",2\n3,4\r5,6\n", typed,
			"line 3: a line ends with a carriage return alone"},
		"returns in NDJSON":  {"a.ndjson", "{}\n{}\r{}\r", Mapping{}, "line 2: a line ends with a carriage return"},
		"NUL":                {"a.csv", "a\n1\n\x00\n", typed, "line 3: it holds a NUL byte"},
		"UTF-16":             {"a.csv", "\xff\xfea\x00\n\x00", typed, "the file is UTF-16; save it as UTF-8"},
		"gzip":               {"a.csv", "\x1f\x8b\x08", typed, "compressed with gzip"},
		"zip":                {"a.csv", "PK\x03\x04", typed, "as .xlsx files are"},
		"JSON as CSV":        {"a.csv", " {\"id\":1}\n", typed, "the file holds JSON"},
		"HTML":               {"a.csv", "<!DOCTYPE html>\n", typed, "the file holds HTML or XML"},
		"Parquet as CSV":     {"a.csv", "PAR1", typed, "the file is a Parquet file"},
		"CSV as NDJSON":      {"a.ndjson", "id,page\n1,/\n", Mapping{}, "the first line is not a JSON object"},
		"gzip of NDJSON":     {"a.ndjson", "\x1f\x8b\x08", Mapping{}, "compressed with gzip"},
		"an array":           {"a.json", "\ufeff \n[{\"id\":\"1\"}]", Mapping{}, "jq -c '.[]'"},
		"several lines":      {"a.json", "{\r\n  \"id\": \"1\"\r\n}\r\n", Mapping{}, "an event has several lines"},
		"CSV as Parquet":     {"a.parquet", "id,page\n", typed, "no Parquet file, because it does not begin with PAR1"},
		"nothing as Parquet": {"a.parquet", "", typed, "no Parquet file"},
		"short Parquet":      {"a.parquet", "PAR1", typed, "parquet"},
		"broken Parquet":     {"a.parquet", "PAR1 no PAR1", typed, "parquet"},

		"no time": {"a.csv", "at,b\n2024-05-01T10:00:00Z,1\n,2\n", timed, "line 3: column at is empty, and"},
		"no id":   {"a.csv", "at,b\n,2\n", Mapping{Type: "t", ID: "at"}, "line 2: column at is empty, but --id"},
		"null time": {"a.parquet", parquetOf(t, struct{ At *string }{}), Mapping{Type: "t", Time: "At"},
			"row 1: column At is empty"},
		"zoneless time": {"a.parquet", parquetOf(t, local{}), timed, "column at is a time without a zone"},
		"zoneless field": {"a.parquet", parquetOf(t, local{}), known,
			"column at is a time without a zone; write it with one"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := readAll(t, writeFile(t, c.file, []byte(c.content)), c.m)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %q and error %v; want an error that contains %q", got, err, c.want)
			}
		})
	}
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

// TestCheck looks at the names of files and at the mapping.
func TestCheck(t *testing.T) {
	t.Parallel()
	typed := Mapping{Type: "t"}
	for _, c := range []struct {
		paths []string
		m     Mapping
		want  string
	}{
		{[]string{"a.csv"}, Mapping{}, "--type"},
		{[]string{"a.xlsx"}, typed, "unknown kind of file"},
		{[]string{"x/a.csv", "y/a.csv"}, typed, "the same name"},
		{[]string{"a.ndjson"}, typed, "leave them out"},
		{[]string{"a.ndjson"}, Mapping{ID: "id"}, "leave them out"},
		{[]string{"a.ndjson", "b.csv"}, typed, ""},
		{[]string{"a.JSONL"}, Mapping{}, ""},
	} {
		err := Check(c.paths, c.m)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, %+v: got %v, want %q", c.paths, c.m, err, c.want)
		}
	}
}

// TestAttributeAndField reads columns that are an attribute of the event too. They stay in data, unless no field can
// have their name.
func TestAttributeAndField(t *testing.T) {
	t.Parallel()
	path := writeFile(t, "a.csv", []byte("page,at,time,Order ID\n404,2024-05-01T10:00:00Z,x,7\n"))
	const rest = `"data":{"page":404,"at":"2024-05-01T10:00:00Z"`
	declared := &catalog.EventType{Fields: []catalog.Field{{Name: "at", Type: catalog.String}}}
	for want, m := range map[string]Mapping{
		`"id":"404","time":"2024-05-01T10:00:00Z","subject":"x",` + rest + `,"Order ID":7}}`: {
			ID: "page", Time: "at", Subject: "time"},
		`"id":"404","subject":"404",` + rest + `,"time":"x","Order ID":7}}`: {ID: "page", Subject: "page"},
		`"source":"shop","id":"7","time":"x",` + rest + `}}`: {
			ID: "Order ID", Time: "time", Source: "shop"},
	} {
		for _, fields := range []*catalog.EventType{nil, declared} {
			m.Type = "page.viewed"
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
