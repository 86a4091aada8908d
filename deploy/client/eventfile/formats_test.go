package eventfile

import (
	"bytes"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
	"pgregory.net/rapid"

	"recount/deploy/client/eventfile/input"
	"recount/deploy/client/eventfile/timeformat"
	"recount/schemas/catalog"
	"recount/schemas/window/windowtest"
)

// sample is a row in the form of a Parquet file. Its time is what clocks show.
type sample struct {
	ID   string    `parquet:"id"`
	Time time.Time `parquet:"time,timestamp(microsecond:local)"`
	Page string    `parquet:"page"`
	MS   *int64    `parquet:"ms,optional"`
	More struct {
		Share *float64 `parquet:"share,optional"`
		OK    *bool    `parquet:"ok,optional"`
	} `parquet:"more"`
	Note *string `parquet:"note,optional"`
}

// sampleNames are the columns of a sample. In JSON and Parquet the members of more are an object.
var sampleNames = []string{"id", "time", "page", "ms", "more.share", "more.ok", "note"}

var sampleFields = &catalog.EventType{Name: "t", Fields: []catalog.Field{{Name: "ms", Type: catalog.Int64},
	{Name: "note", Type: catalog.String}, {Name: "ok", Type: catalog.Bool}, {Name: "page", Type: catalog.String},
	{Name: "share", Type: catalog.Float64}}}

const localText = "2006-01-02 15:04:05"

// drawSample draws a row whose time is near a change of the clocks of a zone.
func drawSample(r *rapid.T, i int, location *time.Location) (s sample, instant time.Time) {
	at := time.Unix(rapid.Int64Range(0, 9e9).Draw(r, "at"), 0).In(location)
	if _, end := at.ZoneBounds(); !end.IsZero() && rapid.Bool().Draw(r, "change") {
		at = end.Add(time.Duration(rapid.IntRange(-180, 180).Draw(r, "minutes")) * time.Minute)
	}
	const longest = 24 * time.Hour // Clocks that were set back by more would have shown a date twice.
	for earlier := at.Add(-longest); earlier.Before(at); earlier = earlier.Add(time.Second * 30) {
		if earlier.Second() == at.Second() && earlier.Format(localText) == at.Format(localText) {
			at = earlier // The clocks showed the time twice, and the first is taken.
		}
	}
	wall, err := time.Parse(localText, at.Format(localText))
	if err != nil {
		r.Fatal(err)
	}
	text := rapid.StringMatching(`[a-zß€'",;|\t\n 0-9{}\[\]\\-]{0,8}[a-zé漢]`)
	s = sample{ID: "r" + strconv.Itoa(i), Time: wall, Page: text.Draw(r, "page")}
	s.MS = optional(r, "ms", rapid.Int64())
	s.More.Share = optional(r, "share", rapid.Float64Range(-1e300, 1e300))
	s.More.OK = optional(r, "ok", rapid.Bool())
	s.Note = optional(r, "note", rapid.StringMatching(`"?[0-9a-z,; ]{1,6}x`))
	return s, at
}

func optional[T any](r *rapid.T, label string, values *rapid.Generator[T]) *T {
	if rapid.Bool().Draw(r, label+" is null") {
		return nil
	}
	v := values.Draw(r, label)
	return &v
}

// want is the event of a sample.
func (s sample) want(at time.Time) map[string]any {
	data := map[string]any{"page": s.Page}
	if s.MS != nil {
		data["ms"] = new(big.Rat).SetInt64(*s.MS).String()
	}
	if s.More.Share != nil {
		data["share"] = new(big.Rat).SetFloat64(*s.More.Share).String()
	}
	if s.More.OK != nil {
		data["ok"] = *s.More.OK
	}
	if s.Note != nil {
		data["note"] = *s.Note
	}
	return map[string]any{"id": s.ID, "time": at.UTC().Format(time.RFC3339Nano), "data": data}
}

// text returns the cells of a row of CSV. A missing value is empty or NA.
func (s sample) text(null string) []string {
	cell := func(v any) string {
		text, err := json.Marshal(v)
		if err != nil || string(text) == "null" {
			return null
		}
		return string(text)
	}
	note := null
	if s.Note != nil {
		note = *s.Note
	}
	return []string{s.ID, s.Time.Format(localText), s.Page, cell(s.MS), cell(s.More.Share), cell(s.More.OK), note}
}

func (s sample) object() map[string]any {
	return map[string]any{"id": s.ID, "time": s.Time.Format(localText), "page": s.Page, "ms": s.MS,
		"more": map[string]any{"share": s.More.Share, "ok": s.More.OK}, "note": s.Note}
}

// writers write samples in each format, under the extension of their name.
var writers = map[string]func(rows []sample) ([]byte, error){
	"comma.csv":     func(rows []sample) ([]byte, error) { return csvOf(rows, ',') },
	"semicolon.csv": func(rows []sample) ([]byte, error) { return csvOf(rows, ';') },
	"bar.csv":       func(rows []sample) ([]byte, error) { return csvOf(rows, '|') },
	"tab.tsv":       func(rows []sample) ([]byte, error) { return csvOf(rows, '\t') },
	"utf16.csv": func(rows []sample) ([]byte, error) {
		text, err := csvOf(rows, ';')
		if err != nil {
			return nil, err
		}
		return unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder().Bytes(text)
	},
	"latin.csv": func(rows []sample) ([]byte, error) {
		text, err := csvOf(rows, ';')
		if err != nil {
			return nil, err
		}
		latin, err := charmap.Windows1252.NewEncoder().Bytes(text)
		if err != nil || utf8.Valid(latin) { // Such bytes are taken for UTF-8, which they hardly ever are by chance.
			return text, nil
		}
		return latin, nil
	},
	"lines.ndjson": func(rows []sample) (out []byte, err error) {
		for _, s := range rows {
			line, err := json.Marshal(s.object())
			if err != nil {
				return nil, err
			}
			out = append(append(out, line...), '\n')
		}
		return out, nil
	},
	"array.json": func(rows []sample) ([]byte, error) {
		objects := []any{}
		for _, s := range rows {
			objects = append(objects, s.object())
		}
		return json.MarshalIndent(objects, "", "  ")
	},
	"values.json": func(rows []sample) (out []byte, err error) {
		for _, s := range rows {
			object, err := json.MarshalIndent(s.object(), "", "  ")
			if err != nil {
				return nil, err
			}
			out = append(out, object...)
		}
		return out, nil
	},
	"rows.parquet": func(rows []sample) ([]byte, error) {
		var out bytes.Buffer
		err := parquet.Write(&out, rows, parquet.MaxRowsPerRowGroup(2))
		return out.Bytes(), err
	},
}

func csvOf(rows []sample, separator rune) ([]byte, error) {
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	w.Comma = separator
	all := [][]string{sampleNames}
	for i, s := range rows {
		all = append(all, s.text([]string{"", "NA"}[i%2]))
	}
	err := w.WriteAll(all)
	return out.Bytes(), err
}

// packers compress, under their extension.
var packers = map[string]func([]byte) ([]byte, error){
	"": func(b []byte) ([]byte, error) { return b, nil },
	".gz": func(b []byte) ([]byte, error) {
		var out bytes.Buffer
		w := gzip.NewWriter(&out)
		_, err := w.Write(b)
		if err == nil {
			err = w.Close()
		}
		return out.Bytes(), err
	},
	".zst": func(b []byte) ([]byte, error) {
		w, err := zstd.NewWriter(nil)
		if err != nil {
			return nil, err
		}
		defer w.Close()
		return w.EncodeAll(b, nil), nil
	},
}

// TestFormatsAgree writes a table of random rows in each format and compression. All of them give the events that the
// rows mean.
func TestFormatsAgree(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rapid.Check(t, func(r *rapid.T) {
		zone := rapid.SampledFrom(windowtest.Zones).Draw(r, "zone")
		location, err := time.LoadLocation(zone)
		if err != nil {
			r.Fatal(err)
		}
		times, err := timeformat.New("", zone)
		if err != nil {
			r.Fatal(err)
		}
		var rows []sample
		want := []any{}
		for i := range rapid.IntRange(0, 4).Draw(r, "rows") {
			s, at := drawSample(r, i, location)
			rows = append(rows, s)
			want = append(want, s.want(at))
		}
		m := Mapping{Type: "t", ID: []string{"id"}, Time: "time", Times: times, Fields: sampleFields,
			Nulls: []string{"NA"}, Rename: map[string]string{"more.share": "share", "more.ok": "ok"}}
		for _, name := range slices.Sorted(maps.Keys(writers)) {
			plain, err := writers[name](rows)
			if err != nil {
				r.Fatal(name, err)
			}
			extension := rapid.SampledFrom(slices.Sorted(maps.Keys(packers))).Draw(r, name)
			packed, err := packers[extension](plain)
			if err != nil {
				r.Fatal(name, err)
			}
			lines, err := readAll(t, writeFileIn(t, dir, name+extension, packed), m)
			if diff := cmp.Diff(want, exact(r, lines)); err != nil || diff != "" {
				r.Fatalf("%s%s: %v\n%s\n%q", name, extension, err, diff, plain)
			}
		}
	})
}

// exact returns the parts of events that TestFormatsAgree compares, with numbers as fractions.
func exact(t *rapid.T, lines []string) []any {
	out := []any{}
	for _, line := range lines {
		d := json.NewDecoder(strings.NewReader(line))
		d.UseNumber()
		var e map[string]any
		if err := d.Decode(&e); err != nil {
			t.Fatal(err)
		}
		data := e["data"].(map[string]any)
		delete(data, "id")
		for k, v := range data {
			if n, ok := v.(json.Number); ok {
				number, ok := new(big.Rat).SetString(n.String())
				if !ok {
					t.Fatal(n)
				}
				data[k] = number.String()
				if f, err := n.Float64(); k == "share" && err == nil {
					data[k] = new(big.Rat).SetFloat64(f).String()
				}
			}
		}
		out = append(out, map[string]any{"id": e["id"], "time": e["time"], "data": data})
	}
	return out
}

// TestBzip2 reads a file that bzip2 has compressed, in two streams.
func TestBzip2(t *testing.T) {
	t.Parallel()
	got, err := readAll(t, writeFile(t, "a.csv.bz2", bzipped(t)), Mapping{Type: "t", ID: []string{"n"}})
	want := []string{`{"specversion":"1.0","type":"t","id":"1","data":{"n":1,"page":"/"}}`,
		`{"specversion":"1.0","type":"t","id":"2","data":{"n":2,"page":"/a"}}`}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

// TestInt96 reads the times of old writers.
func TestInt96(t *testing.T) {
	t.Parallel()
	schema := parquet.NewSchema("t", parquet.Group{"at": parquet.Leaf(parquet.Int96Type)})
	var out bytes.Buffer
	w := parquet.NewWriter(&out, schema)
	nanos := uint64(10*time.Hour + 5)
	for _, day := range []uint32{2440588 + 19844, 2440588 - 1} {
		v := parquet.Int96Value([3]uint32{uint32(nanos), uint32(nanos >> 32), day}).Level(0, 0, 0)
		if _, err := w.WriteRows([]parquet.Row{{v}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := readAll(t, writeFile(t, "a.parquet", out.Bytes()), Mapping{Type: "t", Time: "at"})
	for i, want := range []string{`"time":"2024-05-01T10:00:00.000000005Z"`,
		`"time":"1969-12-31T10:00:00.000000005Z"`} {
		if err != nil || len(got) != 2 || !strings.Contains(got[i], want) {
			t.Errorf("got %v, %v; want %s", got, err, want)
		}
	}
}

// TestFound says what was found out about a file, and nothing about a plain one.
func TestFound(t *testing.T) {
	t.Parallel()
	gzipped, err := packers[".gz"]([]byte("a\tgr\xf6\xdfe\n1\tx\n"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		content string
		want    []string
	}{
		"a.csv":    {"a,b\n1,2\n", nil},
		"a.csv.gz": {string(gzipped), []string{"compressed with gzip", "latin-1 (windows-1252)", "separated by tabs"}},
		"b.csv":    {"a;b\n1,5;2,5\n", []string{"separated by semicolons"}},
		"c.csv":    {"a\n1;2\n", nil},
		"d.csv":    {"a,b;c\n\"1,2\",3;4\n5,6;7\n", nil},
	} {
		r, err := Open(input.Local(writeFile(t, name, []byte(c.content))), Mapping{Type: "t"})
		if err != nil {
			t.Fatal(name, err)
		}
		if diff := cmp.Diff(c.want, r.Found); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestTally counts rows, missing values, refusals and times that clocks showed twice.
func TestTally(t *testing.T) {
	t.Parallel()
	times, err := timeformat.New("", "Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	path := writeFile(t, "a.csv", []byte("at,a,b\n2024-10-27 02:30:00,1,\n2024-03-31 02:30:00,1,2\n,1,2\n1\n"+
		"2024-05-01,NA,3\n"))
	r, err := Open(input.Local(path), Mapping{Type: "t", Time: "at", Times: times, Nulls: []string{"NA"}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var errs []string
	events := 0
	for range 5 {
		if _, err := r.Next(); err != nil {
			errs = append(errs, err.Error())
		} else {
			events++
		}
	}
	want := Tally{Read: 5, Refused: map[string]int64{"invalid_time": 1, "missing_time": 1, "wrong_columns": 1},
		Twice: 1,
		Nulls: []Nulls{{"a", 1}, {"b", 1}}} // of the rows that became events
	if diff := cmp.Diff(want, r.Tally()); diff != "" || events != 2 {
		t.Errorf("%d events\n%s\n%s", events, diff, fmt.Sprint(errs))
	}
}

// bzipped returns rows that bzip2 has compressed. The standard library only decompresses.
func bzipped(t *testing.T) []byte {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString("QlpoOTFBWSZTWWLDd5IAAATZgAAQAASgACKBQAAgADEGTEENMRoyubkhXi7kinCh" +
		"IMWG7yRCWmg5MUFZJlNZaRnoCQAAAdkAABAABJAAIAAgADDNAMGgbHF3JFOFCQaRnoCQ")
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
