package eventfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"recount/schemas/catalog"
)

func write(t testing.TB, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// readAll returns the events of a file as compact JSON.
func readAll(t testing.TB, path string, m Mapping) ([]string, error) {
	t.Helper()
	r, err := Open(path, m)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}()
	var out []string
	for {
		line, err := r.Next()
		if errors.Is(err, io.EOF) {
			if done, total := r.Progress(); done != total {
				t.Errorf("at the end of %s: %d of %d", path, done, total)
			}
			return out, nil
		}
		if err != nil {
			return out, err
		}
		if !json.Valid(line) {
			t.Fatalf("not JSON: %s", line)
		}
		out = append(out, string(line))
	}
}

func TestLines(t *testing.T) {
	t.Parallel()
	got, err := readAll(t, write(t, "a.ndjson", []byte("{\"id\":\"1\"}\n\n  \r\n{\"id\":\"2\"}\r\n{\"id\":\"3\"}")),
		Mapping{})
	if diff := cmp.Diff([]string{`{"id":"1"}`, `{"id":"2"}`, `{"id":"3"}`}, got); err != nil || diff != "" {
		t.Fatal(err, diff)
	}
	long := write(t, "long.ndjson", []byte("{}\n"+strings.Repeat(" ", MaxLine+1)))
	if _, err = readAll(t, long, Mapping{}); err == nil || !strings.Contains(err.Error(), "byte 3") {
		t.Errorf("a line that is too long: %v", err)
	}
}

var pageViewed = &catalog.EventType{Name: "page.viewed", Fields: []catalog.Field{
	{Name: "at", Type: catalog.Timestamp}, {Name: "ms", Type: catalog.Int64}, {Name: "page", Type: catalog.String},
}}

func TestCSV(t *testing.T) {
	t.Parallel()
	const text = "\ufeffid,when,page,ms,ok,note\n7,2024-05-01T10:00:00Z,404,12,true,\"a, \"\"b\"\"\"\n8,,/,,,007\n"
	path := write(t, "views.csv", []byte(text))
	m := Mapping{Type: "page.viewed", ID: "id", Time: "when"}
	const guessed = `{"specversion":"1.0","type":"page.viewed","source":"views.csv","id":"7","time":"2024-05-01T10:00:00Z","data":{"page":404,"ms":12,"ok":true,"note":"a, \"b\""}}`
	const second = `{"specversion":"1.0","type":"page.viewed","source":"views.csv","id":"8","data":{"page":"/","note":"007"}}`
	got, err := readAll(t, path, m)
	if diff := cmp.Diff([]string{guessed, second}, got); err != nil || diff != "" {
		t.Errorf("types guessed: %v\n%s", err, diff)
	}
	m.Fields = pageViewed
	got, err = readAll(t, path, m)
	if diff := cmp.Diff([]string{strings.Replace(guessed, "404", `"404"`, 1), second}, got); err != nil || diff != "" {
		t.Errorf("types declared: %v\n%s", err, diff)
	}
}

// ids returns the ids a file's rows get without an id column.
func ids(t *testing.T, path, content string, m Mapping) (out []string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := readAll(t, path, m)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range got {
		var e struct{ ID string }
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		out = append(out, e.ID)
	}
	return out
}

// TestIDs: without an id column a row is identified by file name, number and content. Sending a file
// again, or with more rows behind, counts once; other rows under the same name are other events.
func TestIDs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	monday := filepath.Join(dir, "monday", "ev.csv")
	tuesday := filepath.Join(dir, "tuesday", "ev.csv")
	const rows = "page,ms\n/,1\n/,1\n/a,\n"
	m := Mapping{Type: "page.viewed"}
	first := ids(t, monday, rows, m)
	if len(first) != 3 || !strings.HasPrefix(first[0], "ev.csv#1#") || !strings.HasPrefix(first[1], "ev.csv#2#") {
		t.Fatalf("got %q", first)
	}
	for name, again := range map[string][]string{
		"moved":       ids(t, tuesday, rows, m),
		"appended to": ids(t, monday, rows+"/b,2\n", m)[:3],
		"mended":      ids(t, monday, "page,ms\n/,1\n/,1\n/b,3\n", m)[:2],
	} {
		if diff := cmp.Diff(first[:len(again)], again); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	typed := m
	typed.Fields = &catalog.EventType{Name: "page.viewed",
		Fields: []catalog.Field{{Name: "ms", Type: catalog.String}, {Name: "page", Type: catalog.String}}}
	if diff := cmp.Diff(first, ids(t, monday, rows, typed)); diff != "" {
		t.Errorf("types declared: %s", diff)
	}
	for name, other := range map[string][]string{
		"other values":   ids(t, tuesday, "page,ms\n/x,1\n,1\n/a,1\n", m),
		"values moved":   ids(t, tuesday, "page,ms\n1,/\n1,/\n,/a\n", m),
		"other columns":  ids(t, tuesday, "site,ms\n/,1\n/,1\n/a,\n", m),
		"another type":   ids(t, tuesday, rows, Mapping{Type: "page.left"}),
		"another source": ids(t, tuesday, rows, Mapping{Type: "page.viewed", Source: "shop"}),
		"another file name": ids(t, filepath.Join(dir, "ev2.csv"), rows,
			Mapping{Type: "page.viewed", Source: "ev.csv"}),
	} {
		for i := range first {
			if first[i] == other[i] {
				t.Errorf("%s: row %d has the id %s of another event", name, i+1, first[i])
			}
		}
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	typed := Mapping{Type: "t"}
	for name, c := range map[string]struct {
		file, content string
		m             Mapping
		want          string
	}{
		"no type":         {"a.csv", "a\n1\n", Mapping{}, "--type"},
		"kind":            {"a.xlsx", "", typed, "unknown kind of file"},
		"empty":           {"a.csv", "", typed, "empty: the first line has to name the columns"},
		"unnamed column":  {"a.csv", ",a\n0,1\n", typed, "column 1 has no name"},
		"doubled column":  {"a.csv", "a,a\n0,1\n", typed, "two columns are named a"},
		"no such column":  {"a.csv", "a,b\n", Mapping{Type: "t", ID: "c"}, "--id c: no such column; the file has a, b"},
		"ragged":          {"a.csv", "a,b\n1,2\n3\n", typed, "line 3"},
		"quote":           {"a.csv", "a\n\"1\n", typed, "line"},
		"not UTF-8":       {"a.csv", "a,b\n1,2\n3,M\xfcnchen\n", typed, "line 3: column b is not UTF-8"},
		"no Parquet":      {"a.parquet", "PAR1 no PAR1", typed, "parquet"},
		"shorter Parquet": {"a.parquet", "PAR1", typed, "parquet"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := readAll(t, write(t, c.file, []byte(c.content)), c.m)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("%q, error %v; want one with %q", got, err, c.want)
			}
		})
	}
}

type flat struct {
	ID    int64     `parquet:"id"`
	At    time.Time `parquet:"at,timestamp(millisecond)"`
	Nano  time.Time `parquet:"nano,timestamp(nanosecond)"`
	Page  *string   `parquet:"page,optional"`
	MS    int32     `parquet:"ms"`
	Share float64   `parquet:"share"`
	OK    bool      `parquet:"ok"`
}

func parquetFileOf[T any](t testing.TB, rows ...T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a.parquet")
	if err := parquet.WriteFile(path, rows); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestParquet(t *testing.T) {
	t.Parallel()
	page := "/"
	path := parquetFileOf(t,
		flat{7, time.Date(1969, 12, 31, 23, 59, 59, 999e6, time.UTC), time.Unix(0, 1).UTC(), &page, -3, 0.5, true},
		flat{ID: 8, At: time.Unix(0, 0), Nano: time.Unix(0, 0)},
	)
	got, err := readAll(t, path, Mapping{Type: "t", ID: "id", Time: "at"})
	want := []string{
		`{"specversion":"1.0","type":"t","source":"a.parquet","id":"7","time":"1969-12-31T23:59:59.999Z","data":{"ms":-3,"nano":"1970-01-01T00:00:00.000000001Z","ok":true,"page":"/","share":0.5}}`,
		`{"specversion":"1.0","type":"t","source":"a.parquet","id":"8","time":"1970-01-01T00:00:00Z","data":{"ms":0,"nano":"1970-01-01T00:00:00Z","ok":false,"share":0}}`,
	}
	if diff := cmp.Diff(decoded(t, want), decoded(t, got)); err != nil || diff != "" {
		t.Fatal(err, diff)
	}
}

func TestParquetWithoutRows(t *testing.T) {
	t.Parallel()
	if got, err := readAll(t, parquetFileOf[flat](t), Mapping{Type: "t"}); err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
}

// TestParquetRows reads more rows than fit one read.
func TestParquetRows(t *testing.T) {
	t.Parallel()
	rows := make([]flat, 3000)
	got, err := readAll(t, parquetFileOf(t, rows...), Mapping{Type: "t"})
	if err != nil || len(got) != len(rows) || !strings.Contains(got[2999], `"a.parquet#3000#`) {
		t.Fatalf("%d rows, error %v", len(got), err)
	}
}

// logical is a value of every kind that is more than its physical type says.
type logical struct {
	Price  int64    `parquet:"price,decimal(2:10)"`
	Tax    int32    `parquet:"tax,decimal(3:9)"`
	Long   [16]byte `parquet:"long,decimal(2:38)"`
	Whole  int64    `parquet:"whole,decimal(0:10)"`
	Day    int32    `parquet:"day,date"`
	Births int32    `parquet:"births,date"`
	Big    uint64   `parquet:"big"`
	Wide   uint32   `parquet:"wide"`
	User   [16]byte `parquet:"user,uuid"`
	Note   string   `parquet:"note,json"`
}

// TestParquetLogical: what a column means is sent, not how it is stored.
func TestParquetLogical(t *testing.T) {
	t.Parallel()
	minus := [16]byte{}
	for i := range minus {
		minus[i] = 0xff
	}
	path := parquetFileOf(t,
		logical{Price: 1234, Tax: -5, Long: minus, Whole: 7, Day: 19000, Births: -1, Big: 1 << 63, Wide: 1 << 31,
			User: [16]byte{1: 0xff, 6: 0x40, 8: 0x80, 15: 1}, Note: "{}"},
		logical{Price: -1, Tax: 1000, Long: [16]byte{15: 100}},
	)
	m := Mapping{Type: "t", ID: "user", Time: "day",
		Fields: &catalog.EventType{Fields: []catalog.Field{{Name: "births", Type: catalog.Timestamp}}}}
	got, err := readAll(t, path, m)
	want := []string{
		`{"specversion":"1.0","type":"t","source":"a.parquet","id":"00ff0000-0000-4000-8000-000000000001","time":"2022-01-08T00:00:00Z","data":{"price":12.34,"tax":-0.005,"long":-0.01,"whole":7,"births":"1969-12-31T00:00:00Z","big":9223372036854775808,"wide":2147483648,"note":"{}"}}`,
		`{"specversion":"1.0","type":"t","source":"a.parquet","id":"00000000-0000-0000-0000-000000000000","time":"1970-01-01T00:00:00Z","data":{"price":-0.01,"tax":1.000,"long":1.00,"whole":0,"births":"1970-01-01T00:00:00Z","big":0,"wide":0,"note":""}}`,
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Fatal(err, diff)
	}
	if got, err = readAll(t, path, Mapping{Type: "t"}); err != nil || !strings.Contains(got[0], `"day":"2022-01-08"`) {
		t.Errorf("a date that is no time: %v, %v", got, err)
	}
}

// TestParquetMeaningless refuses what would be sent as something else.
func TestParquetMeaningless(t *testing.T) {
	t.Parallel()
	for says, node := range map[string]parquet.Node{
		"column c is TIME":     parquet.Time(parquet.Millisecond),
		"column c is BSON":     parquet.BSON(),
		"column c is INT96":    parquet.Leaf(parquet.Int96Type),
		"column c is GEOMETRY": parquet.Geometry("x"),
	} {
		path := filepath.Join(t.TempDir(), "a.parquet")
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		w := parquet.NewGenericWriter[any](f, parquet.NewSchema("t", parquet.Group{"c": node}))
		if err := errors.Join(w.Close(), f.Close()); err != nil {
			t.Fatal(err)
		}
		if _, err := readAll(t, path, Mapping{Type: "t"}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v: %v", says, err)
		}
	}
}

// few hands out fewer rows than it should, and then says that there are no more.
type few struct{ parquet.Rows }

func (f few) ReadRows(rows []parquet.Row) (int, error) {
	n, err := f.Rows.ReadRows(rows[:min(len(rows), 2)])
	if err == nil && n > 0 {
		return n, nil
	}
	return 0, io.EOF
}

// TestParquetCut: a file that ends before it said it would is not taken for read.
func TestParquetCut(t *testing.T) {
	t.Parallel()
	for name, rows := range map[string]func(parquet.Rows) parquet.Rows{
		"end": func(r parquet.Rows) parquet.Rows {
			_ = r.SeekToRow(1)
			return few{r}
		},
		"nothing": func(r parquet.Rows) parquet.Rows { return nothing{r} },
	} {
		r, err := Open(parquetFileOf(t, make([]flat, 3)...), Mapping{Type: "t"})
		if err != nil {
			t.Fatal(err)
		}
		p := r.(*parquetFile)
		p.reader = rows(p.reader)
		for err == nil {
			_, err = r.Next()
		}
		if errors.Is(err, io.EOF) || !strings.Contains(err.Error(), "of 3 rows") {
			t.Errorf("%s: %v", name, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

// nothing has no rows and no end.
type nothing struct{ parquet.Rows }

func (nothing) ReadRows([]parquet.Row) (int, error) { return 0, nil }

func TestParquetRefused(t *testing.T) {
	t.Parallel()
	type nested struct{ Tags []string }
	if _, err := readAll(t, parquetFileOf(t, nested{}), Mapping{Type: "t"}); err == nil ||
		!strings.Contains(err.Error(), "column Tags is nested; only flat files can be read") {
		t.Errorf("nested: %v", err)
	}
	type binary struct{ B []byte }
	if _, err := readAll(t, parquetFileOf(t, binary{[]byte{0xff}}), Mapping{Type: "t"}); err == nil ||
		!strings.Contains(err.Error(), "row 1: column B is not UTF-8") {
		t.Errorf("binary: %v", err)
	}
	raw, err := os.ReadFile(parquetFileOf(t, make([]flat, 100)...))
	if err != nil {
		t.Fatal(err)
	}
	for at := 4; at < len(raw)-8; at += 29 { // Errors are fine here, panics are not.
		broken := append([]byte(nil), raw...)
		broken[at] ^= 0xff
		path := write(t, "a.parquet", broken)
		if r, err := Open(path, Mapping{Type: "t"}); err == nil {
			for range 200 {
				if _, err := r.Next(); err != nil {
					break
				}
			}
			_ = r.Close()
		}
	}
}

func decoded(t *testing.T, lines []string) (out []any) {
	t.Helper()
	for _, l := range lines {
		var v any
		if err := json.Unmarshal([]byte(l), &v); err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}

// FuzzLines: every line that is handed on is a part of the file that holds no line end.
func FuzzLines(f *testing.F) {
	f.Add([]byte("{}\n\n {\"a\":1}\r\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := Open(write(t, "a.ndjson", text), Mapping{})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for rest := text; ; {
			line, err := r.Next()
			if err != nil {
				return
			}
			at := bytes.Index(rest, line)
			if at < 0 || len(line) == 0 || bytes.ContainsRune(line, '\n') {
				t.Fatalf("%q is no line of %q", line, text)
			}
			rest = rest[at+len(line):]
		}
	})
}

// TestDamagedParquet flips two bits of each byte of a file: it is refused, or gives lines of
// JSON, and never makes the reader panic or go on for ever.
func TestDamagedParquet(t *testing.T) {
	t.Parallel()
	page := "/"
	raw, err := os.ReadFile(parquetFileOf(t, flat{ID: 7, Page: &page, Share: 0.5}, flat{ID: 8, OK: true}))
	if err != nil {
		t.Fatal(err)
	}
	path := write(t, "a.parquet", raw)
	for at := range raw {
		damaged := slices.Clone(raw)
		damaged[at] ^= 0x81
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := Open(path, Mapping{Type: "t"})
		if err != nil {
			continue
		}
		for rows := 0; ; rows++ {
			line, err := r.Next()
			if err != nil {
				break
			}
			if rows > len(raw) || !json.Valid(line) {
				t.Fatalf("byte %d: row %d is %s", at, rows, line)
			}
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

// FuzzParquet: values reach the event as they are in the file.
func FuzzParquet(f *testing.F) {
	f.Add(int64(7), "/", int64(-1), int32(math.MinInt32), 0.5)
	f.Add(int64(math.MaxInt64), "\"\x00\u2028", int64(1<<53), int32(0), math.NaN())
	f.Fuzz(func(t *testing.T, id int64, page string, at int64, ms int32, share float64) {
		row := flat{ID: id, At: time.UnixMilli(at), Nano: time.Unix(0, at).UTC(), Page: &page, MS: ms, Share: share}
		lines, err := readAll(t, parquetFileOf(t, row), Mapping{Type: "t", ID: "id"})
		if !utf8.ValidString(page) {
			if err == nil {
				t.Fatalf("%q is not UTF-8 and was read as %s", page, lines)
			}
			return
		}
		var e struct {
			ID   string
			Data struct {
				At    string
				Nano  time.Time
				Page  string
				MS    int32
				Share *float64
			}
		}
		if err != nil || len(lines) != 1 {
			t.Fatalf("%d lines, %v", len(lines), err)
		}
		if err := json.Unmarshal([]byte(lines[0]), &e); err != nil {
			t.Fatal(err)
		}
		d := e.Data
		finite := !math.IsNaN(share) && !math.IsInf(share, 0)
		if e.ID != strconv.FormatInt(id, 10) || d.Page != page || d.MS != ms || !d.Nano.Equal(row.Nano) ||
			finite != (d.Share != nil) || finite && *d.Share != share {
			t.Errorf("%+v was read as %s", row, lines[0])
		}
		if y := row.At.UTC().Year(); y > 0 && y < 10_000 && d.At != row.At.UTC().Format(time.RFC3339Nano) {
			t.Errorf("%s was read as %s", row.At.UTC(), d.At)
		}
	})
}

// FuzzCSV checks that every row is either refused or one JSON object on one line.
func FuzzCSV(f *testing.F) {
	f.Add("id,page\n1,/\n", "id")
	f.Add("a\n\"x\ny\"\n1e999\n-0\n0x1p-2\nNaN\n", "")
	f.Fuzz(func(t *testing.T, text, id string) {
		got, _ := readAll(t, write(t, "a.csv", []byte(text)), Mapping{Type: "t", ID: id})
		for _, line := range got {
			var e struct {
				Specversion, Type, Source, ID string
				Data                          map[string]any
			}
			if err := json.Unmarshal([]byte(line), &e); err != nil || e.Type != "t" || strings.Contains(line, "\n") {
				t.Fatalf("%s: %v", line, err)
			}
		}
	})
}
