package eventbatch

import (
	"bytes"
	"flag"
	"fmt"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"recount/schemas/catalog"
	"recount/schemas/decimal"
)

var update = flag.Bool("update", false, "write the golden frame of the newest version again")

// everything is a type with fields of all types.
var everything = &catalog.EventType{Name: "flight.departed", Fields: []catalog.Field{
	{Name: "boarded", Type: catalog.Timestamp}, {Name: "delay", Type: catalog.Int64},
	{Name: "distance", Type: catalog.Float64}, {Name: "late", Type: catalog.Bool},
	{Name: "origin", Type: catalog.String},
}}

// manyRows are the events of the golden frames: constant and different texts, numbers of many widths, and nulls.
func manyRows() arrow.Record {
	b := array.NewRecordBuilder(memory.DefaultAllocator, OverflowSchema(Schema(everything)))
	defer b.Release()
	ids := []string{"a", "", "längste", "b", "c", "d", "e", "f", "g", "h", "i"}
	for i, id := range ids {
		k := TenantSourceID.Key(DefaultTenant, "", id)
		b.Field(0).(*array.FixedSizeBinaryBuilder).Append(k[:])
		b.Field(1).(*array.StringBuilder).Append(DefaultTenant)
		b.Field(2).(*array.Uint8Builder).Append(uint8(i%2) * 3)
		b.Field(3).(*array.Uint64Builder).Append(math.MaxUint64 - uint64(i)*math.MaxUint32)
		b.Field(4).(*array.StringBuilder).Append(id)
		b.Field(5).(*array.TimestampBuilder).Append(arrow.Timestamp(1767225600_000000 + i*1000))
		b.Field(6).(*array.StringBuilder).Append("test")
		b.Field(7).AppendNull()
		b.Field(8).(*array.StringBuilder).Append(`{"data":{"gate":7}}`)
		b.Field(9).(*array.TimestampBuilder).Append(arrow.Timestamp(-i))
		b.Field(10).(*array.Int64Builder).Append(math.MinInt64 * int64(i%2))
		b.Field(11).(*array.Float64Builder).Append(float64(i) * 0.5)
		b.Field(12).(*array.BooleanBuilder).Append(i%3 == 0)
		b.Field(13).(*array.StringBuilder).Append("ORD")
		if i%4 == 1 {
			b.Field(14).(*array.StringBuilder).Append("origin")
		} else {
			b.Field(14).AppendNull()
		}
	}
	return b.NewRecord()
}

// withDecimal returns the record with two columns of decimals, of which one has no value.
func withDecimal(rec arrow.Record) arrow.Record {
	fields := slices.Clone(rec.Schema().Fields())
	columns := slices.Clone(rec.Columns())
	for _, name := range []string{"price", "tax"} {
		b := array.NewInt64Builder(memory.DefaultAllocator)
		for i := range int(rec.NumRows()) {
			if i%3 == 2 || name == "tax" {
				b.AppendNull()
				continue
			}
			b.Append(int64(i-5) * 199_999_999_999_999_999)
		}
		t := &DecimalType{Type: decimal.Type{Precision: 18, Scale: 2}}
		fields = append(fields, arrow.Field{Name: name, Type: t, Nullable: true})
		columns = append(columns, t.Array(b.NewArray()))
	}
	return array.NewRecord(arrow.NewSchema(fields, nil), columns, rec.NumRows())
}

// goldenRows are the batches of the golden frame of a version.
func goldenRows(version int) []arrow.Record {
	rec := manyRows()
	if version >= 3 {
		rec = withDecimal(rec)
	}
	return []arrow.Record{rec, rec.NewSlice(3, 10), rec.NewSlice(4, 5)}
}

func manyForms(t testing.TB) []byte {
	t.Helper()
	frame, err := Append(nil, everything.Name, 300, 42, goldenRows(Version)...)
	if err != nil {
		t.Fatal(err)
	}
	return frame
}

// TestGoldenFrames reads the frames that all versions have of the same events, and writes that of the newest.
func TestGoldenFrames(t *testing.T) {
	t.Parallel()
	frame := manyForms(t)
	if *update {
		if err := os.WriteFile("testdata/frame3.bin", frame, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for version := 1; version <= Version; version++ {
		name := fmt.Sprintf("testdata/frame%d.bin", version)
		golden, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		generation := uint64(0)
		if version >= 3 {
			generation = 300
		}
		h, recs, err := Decode(golden)
		if err != nil || h.Type != everything.Name || h.Events != 19 || h.Appended != 42 || len(recs) != 3 ||
			h.Generation != generation {
			t.Fatalf("%s: got %+v, %d batches, %v", name, h, len(recs), err)
		}
		for i, want := range goldenRows(version) {
			if !array.RecordEqual(recs[i].Rec, want) || !recs[i].Rec.Schema().Equal(want.Schema()) {
				t.Errorf("%s, batch %d: got %v, want %v", name, i, recs[i].Rec, want)
			}
		}
		if version == Version && !bytes.Equal(frame, golden) {
			t.Errorf("Append writes another frame than that of version %d", version)
		}
	}
}

// TestEveryCutIsFound cuts a frame anywhere, and makes the checksum right.
func TestEveryCutIsFound(t *testing.T) {
	t.Parallel()
	frame := manyForms(t)
	for n := 8; n < len(frame); n++ {
		if _, _, err := Decode(seal(bytes.Clone(frame[:n]), 0)); err == nil {
			t.Fatalf("%d of %d bytes are a frame", n, len(frame))
		}
	}
}

// TestHeaderBoundsMemory refuses a frame of which the columns take more than its header says.
func TestHeaderBoundsMemory(t *testing.T) {
	t.Parallel()
	for _, change := range []byte{1, 0xff} { // one byte less and one more
		frame := manyForms(t)
		frame[headerSize1] -= change
		if _, _, err := Decode(seal(frame, 0)); err == nil {
			t.Errorf("decoded changed by %d: got no error", int8(-change))
		}
	}
}
