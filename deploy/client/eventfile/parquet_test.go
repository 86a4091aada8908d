package eventfile

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"recount/deploy/client/eventfile/input"
	"recount/schemas/catalog"
)

// flat is a row of a file that can be read.
type flat struct {
	ID    int64     `parquet:"id"`
	At    time.Time `parquet:"at,timestamp(millisecond)"`
	Nano  time.Time `parquet:"nano,timestamp(nanosecond)"`
	Page  *string   `parquet:"page,optional"`
	MS    int32     `parquet:"ms"`
	Share float64   `parquet:"share"`
	OK    bool      `parquet:"ok"`
}

// writeParquet writes a Parquet file and returns its path.
func writeParquet[T any](t testing.TB, rows ...T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a.parquet")
	if err := parquet.WriteFile(path, rows); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestParquet reads values of physical types, times and nulls.
func TestParquet(t *testing.T) {
	t.Parallel()
	page := "/"
	path := writeParquet(t,
		flat{7, time.Date(1969, 12, 31, 23, 59, 59, 999e6, time.UTC), time.Unix(0, 1).UTC(), &page, -3, 0.5, true},
		flat{ID: 8, At: time.Unix(0, 0), Nano: time.Unix(0, 0)},
	)
	got, err := readAll(t, path, Mapping{Type: "t", ID: []string{"id"}, Time: "at"})
	want := []string{
		`{"specversion":"1.0","type":"t","id":"7",` +
			`"time":"1969-12-31T23:59:59.999Z","data":{` +
			`"at":"1969-12-31T23:59:59.999Z","ms":-3,"nano":"1970-01-01T00:00:00.000000001Z","ok":true,` +
			`"page":"/","share":0.5}}`,
		`{"specversion":"1.0","type":"t","id":"8",` +
			`"time":"1970-01-01T00:00:00Z","data":{"at":"1970-01-01T00:00:00Z","ms":0,` +
			`"nano":"1970-01-01T00:00:00Z","ok":false,"share":0}}`,
	}
	if diff := cmp.Diff(decoded(t, want), decoded(t, got)); err != nil || diff != "" {
		t.Fatal(err, diff)
	}
}

func TestParquetWithoutRows(t *testing.T) {
	t.Parallel()
	if got, err := readAll(t, writeParquet[flat](t), Mapping{Type: "t"}); err != nil || len(got) != 0 {
		t.Errorf("got %v and error %v, want no events", got, err)
	}
	// Arrow for C++ writes one row group for no rows. The file was written with write_table of pyarrow 26.
	raw, err := base64.StdEncoding.DecodeString("UEFSMRUEGSw1ABgGc2NoZW1hFQIAFQwlAhgCaWQlAEwcAAAAFgAZHBkcJgAcFQwZFQYZ" +
		"GAJpZBUAFgAWABYAJgBJDAAAFgAWACYAFgAAKCBwYXJxdWV0LWNwcC1hcnJvdyB2ZXJzaW9uIDI2LjAuMRkcHAAAAHIAAABQQVIx")
	if err != nil {
		t.Fatal(err)
	}
	path := writeFile(t, "a.parquet", raw)
	if got, err := readAll(t, path, Mapping{Type: "t", ID: []string{"id"}}); err != nil || len(got) != 0 {
		t.Errorf("one empty row group: got %v and error %v, want no events", got, err)
	}
}

// TestParquetRows reads a file whose rows do not fit into one read.
func TestParquetRows(t *testing.T) {
	t.Parallel()
	rows := make([]flat, 3000)
	got, err := readAll(t, writeParquet(t, rows...), Mapping{Type: "t"})
	if err != nil || len(got) != len(rows) || !strings.Contains(got[2999], `"a.parquet#3000#`) {
		t.Fatalf("got %d rows and error %v, want %d rows", len(got), err, len(rows))
	}
}

// logical has a column of each logical type that an event can hold.
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

// TestParquetLogical checks that an event holds what a column means, not how it is stored.
func TestParquetLogical(t *testing.T) {
	t.Parallel()
	minus := [16]byte{}
	for i := range minus {
		minus[i] = 0xff
	}
	path := writeParquet(t,
		logical{Price: 1234, Tax: -5, Long: minus, Whole: 7, Day: 19000, Births: -1, Big: 1 << 63, Wide: 1 << 31,
			User: [16]byte{1: 0xff, 6: 0x40, 8: 0x80, 15: 1}, Note: "{}"},
		logical{Price: -1, Tax: 1000, Long: [16]byte{15: 100}},
	)
	m := Mapping{Type: "t", ID: []string{"user"}, Time: "day", Extra: KeepExtra,
		Fields: &catalog.EventType{Fields: []catalog.Field{{Name: "births", Type: catalog.Timestamp}}}}
	got, err := readAll(t, path, m)
	want := []string{
		`{"specversion":"1.0","type":"t",` +
			`"id":"00ff0000-0000-4000-8000-000000000001","time":"2022-01-08T00:00:00Z","data":{` +
			`"price":12.34,"tax":-0.005,"long":-0.01,"whole":7,"day":"2022-01-08T00:00:00Z",` +
			`"births":"1969-12-31T00:00:00Z",` +
			`"big":9223372036854775808,"wide":2147483648,"user":"00ff0000-0000-4000-8000-000000000001","note":"{}"}}`,
		`{"specversion":"1.0","type":"t",` +
			`"id":"00000000-0000-0000-0000-000000000000","time":"1970-01-01T00:00:00Z","data":{` +
			`"price":-0.01,"tax":1.000,"long":1.00,"whole":0,"day":"1970-01-01T00:00:00Z",` +
			`"births":"1970-01-01T00:00:00Z",` +
			`"big":0,"wide":0,"user":"00000000-0000-0000-0000-000000000000","note":""}}`,
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Fatal(err, diff)
	}
	if got, err = readAll(t, path, Mapping{Type: "t"}); err != nil || !strings.Contains(got[0], `"day":"2022-01-08"`) {
		t.Errorf("a date that need not be a time: got %v and error %v", got, err)
	}
}

// TestDecimalColumns: a column that Parquet marks as decimals becomes a decimal field if 18 digits hold its values. A
// text with a point does not.
func TestDecimalColumns(t *testing.T) {
	t.Parallel()
	large := [16]byte{0: 1}
	s, err := NewSurvey(Mapping{})
	if err != nil {
		t.Fatal(err)
	}
	add := func(name string, content []byte) {
		f := input.Standard(bytes.NewReader(content))
		f.Name = name
		if err := s.Add(f); err != nil {
			t.Fatal(err)
		}
	}
	survey := func(rows ...logical) {
		raw, err := os.ReadFile(writeParquet(t, rows...))
		if err != nil {
			t.Fatal(err)
		}
		add("a.parquet", raw)
	}
	check := func(want map[string]catalog.FieldType) {
		t.Helper()
		for _, c := range s.Columns {
			got, err := c.Type()
			if w, asked := want[c.Name]; asked && (err != nil || got != w) {
				t.Errorf("%s: got %s, %v, want %s", c.Name, got, err, w)
			}
			if _, err := c.DimensionType(); want[c.Name].IsDecimal() && err == nil {
				t.Errorf("%s can be a dimension", c.Name)
			}
			if n, err := c.NumberType(); want[c.Name] != "" && (err != nil || n != got) {
				t.Errorf("%s: got %s, %v as a number", c.Name, n, err)
			}
		}
	}
	survey(logical{Price: 9_999_999_999, Tax: -5, Long: [16]byte{15: 100}, Whole: 7, Note: "{}"})
	check(map[string]catalog.FieldType{"price": "decimal(18,2)", "tax": "decimal(18,3)", "long": "decimal(18,2)",
		"whole": catalog.Int64})
	survey(logical{Long: large, Note: "{}"})
	add("b.csv", []byte("price,tax\n7,1.5\n"))
	check(map[string]catalog.FieldType{"price": "decimal(18,2)", "tax": catalog.Float64, "long": catalog.Float64})
}

// decoded returns lines of JSON as values, whose members have no order.
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

// FuzzParquet checks that the event holds the values of the file.
func FuzzParquet(f *testing.F) {
	f.Add(int64(7), "/", int64(-1), int32(math.MinInt32), 0.5)
	f.Add(int64(math.MaxInt64), "\"\x00\u2028", int64(1<<53), int32(0), math.NaN())
	f.Fuzz(func(t *testing.T, id int64, page string, at int64, ms int32, share float64) {
		row := flat{ID: id, At: time.UnixMilli(at), Nano: time.Unix(0, at).UTC(), Page: &page, MS: ms, Share: share}
		lines, err := readAll(t, writeParquet(t, row), Mapping{Type: "t", ID: []string{"id"}})
		if !utf8.ValidString(page) || math.IsNaN(share) || math.IsInf(share, 0) {
			if err == nil {
				t.Fatalf("%q and %v were read as %s", page, share, lines)
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
				Share float64
			}
		}
		if err != nil || len(lines) != 1 {
			t.Fatalf("got %d lines and error %v, want one line", len(lines), err)
		}
		if err := json.Unmarshal([]byte(lines[0]), &e); err != nil {
			t.Fatal(err)
		}
		d := e.Data
		if e.ID != strconv.FormatInt(id, 10) || d.Page != page || d.MS != ms || !d.Nano.Equal(row.Nano) ||
			d.Share != share {
			t.Errorf("%+v was read as %s", row, lines[0])
		}
		if y := row.At.UTC().Year(); y > 0 && y < 10_000 && d.At != row.At.UTC().Format(time.RFC3339Nano) {
			t.Errorf("%s was read as %s", row.At.UTC(), d.At)
		}
	})
}
