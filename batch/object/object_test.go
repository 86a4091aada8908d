package object

import (
	"bytes"
	"cmp"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/apache/arrow/go/v15/parquet/file"
	"github.com/apache/arrow/go/v15/parquet/pqarrow"
	gocmp "github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
	"pgregory.net/rapid"

	"recount/schemas/catalog"
	"recount/schemas/eventbatch"
	"recount/schemas/position"
	"recount/schemas/record"
)

// naiveRow is a row of the oracle: the values by column name.
type naiveRow map[string]any

// randomBatch draws a batch of the fields. Strings repeat, so columns get dictionaries. Times are
// before and after 1970 and often equal, which tests the order.
func randomBatch(t *rapid.T, fields []catalog.Field) eventbatch.Columns {
	e := &catalog.EventType{Name: flightType.Name, Fields: fields}
	schema := eventbatch.Schema(e)
	if rapid.Bool().Draw(t, "overflow") {
		schema = eventbatch.OverflowSchema(schema)
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "rows"), 1))
	for range rapid.IntRange(1, 300).Draw(t, "n") {
		for i, f := range b.Schema().Fields() {
			if f.Nullable && r.IntN(3) == 0 {
				b.Field(i).AppendNull()
			} else {
				appendRandom(r, b.Field(i))
			}
		}
	}
	c, err := eventbatch.NewColumns(b.NewRecord())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func appendRandom(r *rand.Rand, b array.Builder) {
	switch b := b.(type) {
	case *array.FixedSizeBinaryBuilder:
		k := eventbatch.TenantID.Key("t", "", fmt.Sprint(r.Uint64()))
		b.Append(k[:])
	case *array.StringBuilder:
		b.Append([]string{"", "a", "b", "ünï", "a longer string of some bytes"}[r.IntN(5)])
	case *array.Uint8Builder:
		b.Append(uint8(r.IntN(2)))
	case *array.Uint64Builder:
		b.Append(r.Uint64())
	case *array.Int64Builder:
		b.Append(r.Int64() - r.Int64())
	case *array.Float64Builder:
		b.Append(r.NormFloat64())
	case *array.BooleanBuilder:
		b.Append(r.IntN(2) == 0)
	case *array.TimestampBuilder:
		b.Append(arrow.Timestamp((r.Int64N(2000) - 500) * 60e6))
	}
}

// diff is cmp.Diff, but quick if the rows are equal.
func diff(want, got []naiveRow) string {
	if reflect.DeepEqual(want, got) {
		return ""
	}
	return gocmp.Diff(want, got)
}

// rowsOf returns the rows of a batch with the named columns. A column that the batch lacks is null.
func rowsOf(c eventbatch.Columns, names []string) []naiveRow {
	rows := make([]naiveRow, c.Rec.NumRows())
	for i := range rows {
		rows[i] = naiveRow{}
		for _, name := range names {
			rows[i][name] = valueOf(c.Field(name), i)
		}
	}
	return rows
}

func valueOf(a arrow.Array, i int) any {
	if a == nil || a.IsNull(i) {
		return nil
	}
	switch a := a.(type) {
	case *array.Dictionary:
		return valueOf(a.Dictionary(), a.GetValueIndex(i))
	case *array.Int32:
		return a.Value(i)
	case *array.Int64:
		return a.Value(i)
	case *array.Float64:
		return a.Value(i)
	case *array.Boolean:
		return a.Value(i)
	case *array.Uint8:
		return a.Value(i)
	case *array.Uint64:
		return a.Value(i)
	case *array.Timestamp:
		return a.Value(i)
	case *array.String:
		return a.Value(i)
	case *array.FixedSizeBinary:
		return string(a.Value(i))
	}
	panic(fmt.Sprintf("%T", a))
}

var allColumns = []string{
	eventbatch.ColKey, eventbatch.ColTenant, eventbatch.ColFlags, eventbatch.ColHash, eventbatch.ColID,
	eventbatch.ColTime,
	eventbatch.ColSource, eventbatch.ColSubject, eventbatch.ColExtra, eventbatch.ColOverflow,
	"delay", "destination", "diverted", "fare", "gate_closed", "origin", "tail",
	ColPartition, ColEpoch, ColSeq, ColIndex,
}

// fill appends random messages to a table, and returns its rows in the order of C2.
func fill(t *rapid.T, table *Table) (rows []naiveRow) {
	for seq := range rapid.IntRange(1, 6).Draw(t, "messages") {
		index := 0
		for range rapid.IntRange(1, 2).Draw(t, "batches") {
			var fields []catalog.Field
			for _, f := range flightType.Fields {
				if rapid.Bool().Draw(t, f.Name) {
					fields = append(fields, f)
				}
			}
			c := randomBatch(t, fields)
			if err := table.Append(position.Offset{Epoch: 3, Seq: uint64(seq + 10)}, index, c); err != nil {
				t.Fatal(err)
			}
			for _, row := range rowsOf(c, allColumns) {
				row[ColPartition] = int32(2)
				row[ColEpoch] = int32(3)
				row[ColSeq] = int64(seq + 10)
				row[ColIndex] = int32(index)
				rows = append(rows, row)
				index++
			}
		}
	}
	slices.SortStableFunc(rows, func(a, b naiveRow) int {
		return cmp.Compare(a[eventbatch.ColTime].(arrow.Timestamp), b[eventbatch.ColTime].(arrow.Timestamp))
	})
	return rows
}

func readRows(t interface{ Fatal(...any) }, f *File, columns []string, from, to int64) []naiveRow {
	rows := []naiveRow{}
	for c, err := range f.Read(context.Background(), columns, from, to) {
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, rowsOf(c, columns)...)
	}
	return rows
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		table := NewTable(flightType.Name, 2, 3, time.Hour)
		want := fill(t, table)
		raw, o, err := table.Encode()
		if err != nil {
			t.Fatal(err)
		}
		again, o2, err := table.Encode()
		if err != nil || !bytes.Equal(raw, again) || !gocmp.Equal(o, o2) {
			t.Fatal("the same rows gave other bytes, or", err)
		}
		if err := Verify(context.Background(), o, bytes.NewReader(raw)); err != nil {
			t.Fatal(err)
		}
		f, err := Open(context.Background(), o, bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		from := rapid.Int64Range(0, o.Rows).Draw(t, "from")
		to := rapid.Int64Range(from, o.Rows).Draw(t, "to")
		for _, f := range []*File{f, f.Lend()} {
			if d := diff(want[from:to], readRows(t, f, allColumns, from, to)); d != "" {
				t.Fatalf("rows [%d, %d) (-want +got):\n%s", from, to, d)
			}
		}
		checkBuckets(t, o, want)
		checkWithArrow(t, raw, want)
	})
}

// checkBuckets compares the runs of the record with buckets that are counted row by row.
func checkBuckets(t *rapid.T, o record.Object, rows []naiveRow) {
	var want []record.BucketRows
	for _, row := range rows {
		at := time.UnixMicro(int64(row[eventbatch.ColTime].(arrow.Timestamp))).UTC().Truncate(time.Hour).UnixMicro()
		if n := len(want); n == 0 || want[n-1].Bucket != at {
			want = append(want, record.BucketRows{Bucket: at})
		}
		run := &want[len(want)-1]
		run.Rows++
		run.Assigned += int64(row[eventbatch.ColFlags].(uint8) & eventbatch.FlagTimeAssigned)
	}
	if diff := gocmp.Diff(want, o.Buckets); diff != "" {
		t.Fatalf("buckets (-want +got):\n%s", diff)
	}
}

// checkWithArrow reads the file with another Parquet implementation.
func checkWithArrow(t *rapid.T, raw []byte, want []naiveRow) {
	parquetFile, err := file.NewParquetReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	defer parquetFile.Close()
	r, err := pqarrow.NewFileReader(parquetFile, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	table, err := r.ReadTable(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer table.Release()
	var got []naiveRow
	for reader := array.NewTableReader(table, 0); reader.Next(); {
		got = append(got, rowsOf(eventbatch.Columns{Rec: reader.Record()}, allColumns)...)
	}
	if d := diff(want, got); d != "" {
		t.Fatalf("another reader (-want +got):\n%s", d)
	}
}

var update = flag.Bool("update", false, "write the golden files again")

// TestGolden fails if the bytes of an object change. A rebuilt object (C8) and V2 rely on the logical
// digest, and a release that changes the bytes should do so knowingly.
// TestSmallBatchesAreJoined appends events one by one, of which every second one has a column that the others lack. The
// Arrow arrays of a batch need kilobytes, so few batches may be left, whatever columns they have.
func TestSmallBatchesAreJoined(t *testing.T) {
	t.Parallel()
	const events = 5000
	table := NewTable(flightType.Name, 0, 1, time.Hour)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range events {
		b := flights(r, 1, int64(i))
		if i%2 == 1 {
			s := eventbatch.OverflowSchema(b.Rec.Schema())
			over := array.NewStringBuilder(memory.DefaultAllocator)
			over.Append("origin")
			columns := append(slices.Clone(b.Rec.Columns()), over.NewArray())
			var err error
			if b, err = eventbatch.NewColumns(array.NewRecord(s, columns, 1)); err != nil {
				t.Fatal(err)
			}
		}
		if err := table.Append(position.Offset{Epoch: 1, Seq: uint64(i + 1)}, 0, b); err != nil {
			t.Fatal(err)
		}
	}
	if len(table.batches) > events/joinBatches || len(table.small) > joinBatches {
		t.Errorf("%d batches and %d small ones are left of %d events", len(table.batches), len(table.small), events)
	}
	var e Encoder
	got, _, err := e.Encode(table)
	if err != nil {
		t.Fatal(err)
	}
	want, err := encodeByValues(table)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("the object differs from that of the plain writer")
	}
	overflows := 0
	for _, b := range table.all() {
		if c := b.Field(eventbatch.ColOverflow); c != nil {
			overflows += c.Len() - c.NullN()
		}
	}
	if overflows != events/2 {
		t.Errorf("%d events overflow, want %d", overflows, events/2)
	}
}

func TestGolden(t *testing.T) {
	t.Parallel()
	table := NewTable(flightType.Name, 2, 3, time.Hour)
	c := flights(rand.New(rand.NewPCG(7, 7)), 100, benchStart)
	if err := table.Append(position.Offset{Epoch: 3, Seq: 41}, 0, c); err != nil {
		t.Fatal(err)
	}
	raw, o, err := table.Encode()
	if err != nil {
		t.Fatal(err)
	}
	checkEncodings(t, raw)
	const path = "testdata/flights.parquet"
	if *update {
		if err := os.WriteFile(path, raw, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(raw, want) {
		t.Errorf("%d bytes differ from %s (%d bytes, %v); run with -update if that is intended", len(raw), path,
			len(want), err)
	}
	if want := "fb2e"; o.Digest[:4] != want {
		t.Errorf("logical digest: got %s, want %s…: it must never change", o.Digest, want)
	}
}

// checkEncodings allows only the encodings that every tested reader of the lake decodes correctly.
func checkEncodings(t *testing.T, raw []byte) {
	f, err := parquet.OpenFile(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range f.Metadata().RowGroups[0].Columns {
		for _, e := range c.MetaData.Encoding {
			if e != format.Plain && e != format.RLE && e != format.RLEDictionary {
				t.Errorf("column %v is encoded as %v", c.MetaData.PathInSchema, e)
			}
		}
	}
}
