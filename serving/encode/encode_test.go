package encode

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/apache/arrow/go/v15/parquet/file"
	"github.com/apache/arrow/go/v15/parquet/pqarrow"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"recount/schemas/catalog"
	"recount/schemas/floatsum"
	"recount/schemas/query"
	"recount/serving/merge"
	"recount/serving/oracle"
)

var start = time.Date(2001, 1, 1, 6, 0, 0, 0, time.UTC)

// drawAnswer merges random events of both layers.
func drawAnswer(t *rapid.T) *merge.Answer {
	q := &query.Query{View: "flights", From: start, To: start.Add(6 * time.Hour), TimeZone: "America/Chicago"}
	q.Granularity = rapid.SampledFrom([]string{"", "1h"}).Draw(t, "granularity")
	q.GroupBy = rapid.SampledFrom([][]string{nil, {"origin"}, {"origin", "delay", "cancelled"}}).Draw(t, "group_by")
	q.Derived = oracle.DrawDerived(t, 3)
	if len(q.Derived) > 0 {
		q.Measures = rapid.SampledFrom([][]string{nil, {"far", "first", "tails"}}).Draw(t, "measures")
	}
	q.Compare = rapid.SampledFrom([]query.Compare{"", query.PreviousPeriod}).Draw(t, "compare")
	scan, err := q.Resolve(oracle.Catalog(), "default")
	if err != nil {
		t.Fatal(err)
	}
	batch := oracle.Part(scan, oracle.Draw(t, start, 300, 40), oracle.Batch)
	live := oracle.Part(scan, oracle.Draw(t, start, 300, 10), oracle.Speed)
	var earlier *merge.Earlier
	if q.Compare != "" {
		s := scan.Earlier()
		before := start.Add(-6 * time.Hour)
		earlier = &merge.Earlier{Scan: s, Batch: oracle.Part(s, oracle.Draw(t, before, 300, 40), oracle.Batch),
			Live: oracle.Part(s, oracle.Draw(t, before, 300, 10), oracle.Speed)}
		if batch, live, err = earlier.WithGroups(scan, batch, live); err != nil {
			t.Fatal(err)
		}
	}
	a, err := merge.Merge(scan, q, batch, live,
		query.Accuracy{Publication: 3, Cut: []uint64{1}, Through: []uint64{2}, StalePartitions: []int{}})
	if err != nil {
		t.Fatal(err)
	}
	if earlier != nil {
		a.SetPrevious(scan, q, earlier)
	}
	if len(q.GroupBy) > 0 && rapid.Bool().Draw(t, "others") {
		a.SetOthers(others(t, q, scan, batch, live, earlier))
	}
	return a
}

// others merges all groups of each window, as if none were shown.
func others(t *rapid.T, q *query.Query, scan *query.Scan, batch, live *query.Part,
	earlier *merge.Earlier) *merge.Answer {
	asked, of := q.OtherGroups(scan)
	none := &query.Part{}
	batch = merge.Rest(of, batch, none)
	live = merge.Rest(of, live, none)
	a, err := merge.Merge(of, asked, batch, live, query.Accuracy{})
	if err != nil {
		t.Fatal(err)
	}
	if earlier != nil {
		before := of.Earlier()
		a.SetPrevious(of, asked, &merge.Earlier{Scan: before, Batch: merge.Rest(before, earlier.Batch, none),
			Live: merge.Rest(before, earlier.Live, none)})
	}
	return a
}

// naiveRows returns the rows of an answer and of its others, with the dimensions of the answer.
func naiveRows(a *merge.Answer) []map[string]any {
	rows := []map[string]any{}
	for _, table := range tables(a) {
		for i := range table.Rows() {
			row := naiveRow(table, i)
			if a.Others != nil {
				row["__others"] = table == a.Others
			}
			rows = append(rows, row)
		}
	}
	return rows
}

// naiveRow builds row i as a map, which no encoder does.
func naiveRow(a *merge.Answer, i int) map[string]any {
	row := map[string]any{}
	live := map[string]any{}
	bounds := map[string]any{}
	format := func(micros int64) string { return time.UnixMicro(micros).In(a.Location).Format(time.RFC3339Nano) }
	if a.Windowed {
		row["time"] = format(a.Times[i])
	}
	for _, d := range a.Dims {
		switch {
		case d.IsNull(i):
			row[d.Name] = nil
		case d.Type == catalog.String:
			row[d.Name] = d.Strings[i]
		case d.Type == catalog.Bool:
			row[d.Name] = d.Ints[i] == 1
		default:
			row[d.Name] = json.Number(fmt.Sprint(d.Ints[i]))
		}
	}
	value := func(m *merge.Measure, v *merge.Values) any {
		switch {
		case v.Null[i]:
			return nil
		case m.Type == catalog.Float64:
			raw, _ := json.Marshal(v.Floats[i])
			return json.Number(raw)
		case m.Type == catalog.Timestamp:
			return format(v.Ints[i])
		}
		return json.Number(fmt.Sprint(v.Ints[i]))
	}
	for j := range a.Measures {
		m := &a.Measures[j]
		row[m.Name] = value(m, &m.Value)
		if a.IsLive(i) && !m.IsDerived() && !m.Live.Null[i] {
			live[m.Name] = value(m, &m.Live)
		}
		if m.Bounded(i) {
			bounds[m.Name] = []any{value(m, &m.Low), value(m, &m.High)}
		}
	}
	if a.IsLive(i) && slices.ContainsFunc(a.Measures, func(m merge.Measure) bool { return !m.IsDerived() }) {
		row["live"] = live
	}
	if len(bounds) > 0 {
		row["bounds"] = bounds
	}
	switch {
	case a.Previous == nil:
	case a.Previous.Missing[i]:
		row["previous"] = nil
	default:
		row["previous"] = naiveRow(a.Previous, i)
	}
	return row
}

func TestJSONIsTheAnswer(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a := drawAnswer(t)
		var b bytes.Buffer
		if err := JSON(&b, a); err != nil {
			t.Fatal(err)
		}
		var got struct {
			Rows     []map[string]any
			Others   []map[string]any
			Accuracy query.Accuracy
		}
		d := json.NewDecoder(bytes.NewReader(b.Bytes()))
		d.UseNumber()
		if err := d.Decode(&got); err != nil {
			t.Fatalf("%v: %s", err, b.String())
		}
		want := []map[string]any{}
		for i := range a.Rows() {
			want = append(want, naiveRow(a, i))
		}
		if diff := cmp.Diff(want, got.Rows); diff != "" {
			t.Fatal(diff)
		}
		if (a.Others != nil) != (got.Others != nil) {
			t.Fatalf("others: %v", got.Others)
		}
		for i, row := range got.Others {
			if diff := cmp.Diff(naiveRow(a.Others, i), row); diff != "" || len(got.Others) != a.Others.Rows() {
				t.Fatalf("others have %d rows: %s", len(got.Others), diff)
			}
		}
		if diff := cmp.Diff(a.Accuracy, got.Accuracy); diff != "" {
			t.Fatal(diff)
		}
	})
}

// TestTablesAreTheAnswer reads CSV, Arrow and Parquet back. The reader of Parquet shares no code with the writer.
func TestTablesAreTheAnswer(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a := drawAnswer(t)
		var text, stream, columns bytes.Buffer
		if err := errors.Join(CSV(&text, a), Arrow(&stream, a), Parquet(&columns, a)); err != nil {
			t.Fatal(err)
		}
		rows := naiveRows(a)
		records, err := csv.NewReader(&text).ReadAll()
		if err != nil || len(records) != len(rows)+1 {
			t.Fatalf("%d records, %v", len(records), err)
		}
		cells := arrowCells(t, &stream)
		names, inParquet := parquetCells(t, columns.Bytes(), a.Accuracy)
		if !slices.Equal(names, records[0]) {
			t.Fatalf("parquet has the columns %v, want %v", names, records[0])
		}
		for i, row := range rows {
			for c, name := range records[0] {
				want := cell(row, name)
				// encoding/csv normalizes line ends inside quotes.
				if got := records[i+1][c]; got != strings.ReplaceAll(want, "\r\n", "\n") {
					t.Fatalf("csv row %d, %s: got %q, want %q", i, name, got, want)
				}
				if got := cells[name][i]; got != want {
					t.Fatalf("arrow row %d, %s: got %q, want %q", i, name, got, want)
				}
				if got := inParquet[name][i]; got != want {
					t.Fatalf("parquet row %d, %s: got %q, want %q", i, name, got, want)
				}
			}
		}
	})
}

// TestLinesAreTheAnswer reads NDJSON back. Lines of others are marked, and the rows have no mark.
func TestLinesAreTheAnswer(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a := drawAnswer(t)
		var b bytes.Buffer
		if err := NDJSON(&b, a); err != nil {
			t.Fatal(err)
		}
		d := json.NewDecoder(&b)
		d.UseNumber()
		for _, want := range naiveRows(a) {
			if want["__others"] == false {
				delete(want, "__others")
			}
			var got map[string]any
			if err := d.Decode(&got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatal(diff)
			}
		}
		if d.More() {
			t.Fatal("there are more lines")
		}
	})
}

// TestNullAlone: a null in the only column of CSV is no empty line, which readers skip.
func TestNullAlone(t *testing.T) {
	t.Parallel()
	q := &query.Query{View: "flights", From: start, To: start.Add(time.Hour),
		Derived: []query.Derived{{Name: "none", Expression: "n / 0"}}}
	scan, err := q.Resolve(oracle.Catalog(), "default")
	if err != nil {
		t.Fatal(err)
	}
	a, err := merge.Merge(scan, q, nil, nil, query.Accuracy{})
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := CSV(&text, a); err != nil || text.String() != "none\r\n\"\"\r\n" {
		t.Errorf("got %q, %v", text.String(), err)
	}
}

// cell returns the text of a column in a row of naiveRow. It is empty for null.
func cell(row map[string]any, column string) string {
	name, part, _ := strings.Cut(column, "__")
	v := row[name]
	switch part {
	case "others":
		v = row[column]
	case "live":
		live, _ := row["live"].(map[string]any)
		v = live[name]
	case "previous":
		previous, _ := row["previous"].(map[string]any)
		v = previous[name]
	case "low", "high":
		bounds, _ := row["bounds"].(map[string]any)
		v = nil
		if b, ok := bounds[name].([]any); ok {
			v = b[map[string]int{"high": 1}[part]]
		}
	}
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

func arrowCells(t *rapid.T, r io.Reader) map[string][]string {
	in, err := ipc.NewReader(r)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Release()
	zone, _ := time.LoadLocation("America/Chicago")
	out := map[string][]string{}
	for in.Next() {
		for c, f := range in.Schema().Fields() {
			for i := range int(in.Record().NumRows()) {
				out[f.Name] = append(out[f.Name], arrowCell(in.Record().Column(c), i, zone))
			}
		}
	}
	if in.Err() != nil {
		t.Fatal(in.Err())
	}
	return out
}

// parquetCells reads a file with Arrow's own reader.
func parquetCells(t *rapid.T, raw []byte, accuracy query.Accuracy) (names []string, cells map[string][]string) {
	in, err := file.NewParquetReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	var got query.Accuracy
	stored := in.MetaData().KeyValueMetadata().FindValue("accuracy")
	if err := json.Unmarshal([]byte(*stored), &got); err != nil || !cmp.Equal(got, accuracy) {
		t.Fatalf("parquet has the accuracy %s, want %+v: %v", *stored, accuracy, err)
	}
	reader, err := pqarrow.NewFileReader(in, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	table, err := reader.ReadTable(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer table.Release()
	zone, _ := time.LoadLocation("America/Chicago")
	cells = map[string][]string{}
	for c, f := range table.Schema().Fields() {
		names = append(names, f.Name)
		for _, chunk := range table.Column(c).Data().Chunks() {
			for i := range chunk.Len() {
				cells[f.Name] = append(cells[f.Name], arrowCell(chunk, i, zone))
			}
		}
	}
	return names, cells
}

func arrowCell(col interface {
	IsNull(int) bool
	ValueStr(int) string
}, i int, zone *time.Location) string {
	if col.IsNull(i) {
		return ""
	}
	switch c := col.(type) {
	case *array.Timestamp:
		return time.UnixMicro(int64(c.Value(i))).In(zone).Format(time.RFC3339Nano)
	case *array.Float64:
		raw, _ := json.Marshal(c.Value(i))
		return string(raw)
	case *array.String:
		return c.Value(i)
	case *array.Decimal128:
		scale := int(c.DataType().(*arrow.Decimal128Type).Scale)
		ten := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil)
		return new(big.Rat).SetFrac(c.Value(i).BigInt(), ten).FloatString(scale)
	}
	return col.ValueStr(i)
}

func TestGolden(t *testing.T) {
	t.Parallel()
	zone, _ := time.LoadLocation("America/Chicago")
	a, err := merge.Merge(goldenParts(t))
	if err != nil {
		t.Fatal(err)
	}
	a.Location = zone
	var j, c bytes.Buffer
	if err := JSON(&j, a); err != nil {
		t.Fatal(err)
	}
	if err := CSV(&c, a); err != nil {
		t.Fatal(err)
	}
	wantJSON := `{"rows":[` +
		`{"time":"2001-01-01T00:00:00-06:00","origin":"OR\"D","n":5,"far":0.1,"live":{"n":2,"far":0.1}},` +
		`{"time":"2001-01-01T00:00:00-06:00","origin":null,"n":9007199254740993,"far":1e+300}],` +
		`"accuracy":{"publication":0,"as_of":null,"cut":[1],"through":[2],"pending_events":2,"exact":false,` +
		`"complete":true,"stale_partitions":[],"lag_ms":null,"truncated":false,"overflow":null}}` + "\n"
	if diff := cmp.Diff(wantJSON, j.String()); diff != "" {
		t.Error(diff)
	}
	wantCSV := "time,origin,n,far,n__live,far__live\r\n" +
		"2001-01-01T00:00:00-06:00,\"OR\"\"D\",5,0.1,2,0.1\r\n" +
		"2001-01-01T00:00:00-06:00,,9007199254740993,1e+300,,\r\n"
	if diff := cmp.Diff(wantCSV, c.String()); diff != "" {
		t.Error(diff)
	}
}

func sum(v float64) *floatsum.Sum {
	s := &floatsum.Sum{}
	s.Add(v)
	return s
}

func goldenParts(t *testing.T) (*query.Scan, *query.Query, *query.Part, *query.Part, query.Accuracy) {
	q := &query.Query{View: "flights", Measures: []string{"n", "far"}, From: start, To: start.Add(time.Hour),
		Granularity: "1h", GroupBy: []string{"origin"}, TimeZone: "America/Chicago"}
	scan, err := q.Resolve(oracle.Catalog(), "default")
	if err != nil {
		t.Fatal(err)
	}
	batch := &query.Part{Windows: []int32{0, 0}, Events: []uint64{1, 1},
		Dims:     []query.Column{{Type: catalog.String, Strings: []string{"", `OR"D`}, Null: []bool{true, false}}},
		Measures: [][]query.Acc{{{N: 1<<53 + 1}, {N: 3}}, {{N: 1, Sum: sum(1e300)}, {}}}}
	live := &query.Part{Windows: []int32{0}, Events: []uint64{1},
		Dims:     []query.Column{{Type: catalog.String, Strings: []string{`OR"D`}}},
		Measures: [][]query.Acc{{{N: 2}}, {{N: 1, Sum: sum(0.1)}}}}
	return scan, q, batch, live,
		query.Accuracy{Cut: []uint64{1}, Through: []uint64{2}, PendingEvents: 2, Complete: true,
			StalePartitions: []int{}}
}

func BenchmarkJSON(b *testing.B) {
	q := &query.Query{View: "flights", Measures: []string{"n", "far"}, From: start, To: start.AddDate(0, 0, 70),
		Granularity: "1m", Limit: query.MaxLimit}
	scan, err := q.Resolve(oracle.Catalog(), "default")
	if err != nil {
		b.Fatal(err)
	}
	p := &query.Part{Measures: make([][]query.Acc, 2)}
	for i := range 100_000 {
		p.Windows = append(p.Windows, int32(i))
		p.Events = append(p.Events, 1)
		p.Measures[0] = append(p.Measures[0], query.Acc{N: uint64(i)})
		p.Measures[1] = append(p.Measures[1], query.Acc{N: 1, Sum: sum(math.Sqrt(float64(i)))})
	}
	a, err := merge.Merge(scan, q, p, nil, query.Accuracy{})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := JSON(io.Discard, a); err != nil {
			b.Fatal(err)
		}
	}
}

// TestTimesReadBack covers offsets with half hours, quarters of an hour and seconds.
func TestTimesReadBack(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"UTC", "Asia/Kathmandu", "Australia/Lord_Howe", "Africa/Monrovia"} {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		c := &clock{zone: zone}
		for _, want := range []int64{0, 30_000_001, 63_071_999_000_000, 63_075_000_000_000, 9_214_646_399_999_999} {
			got, err := time.Parse(time.RFC3339Nano, string(c.append(nil, want)))
			if err != nil || got.UnixMicro() != want {
				t.Errorf("%s: %d is written as %s, which reads back as %d; %v", name, want, c.text, got.UnixMicro(),
					err)
			}
		}
	}
}
