package object

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	gocmp "github.com/google/go-cmp/cmp"

	"recount/schemas/catalog"
	"recount/schemas/decimal"
	"recount/schemas/eventbatch"
	"recount/schemas/position"
)

// withDecimals returns the batch with columns of decimals. Values are few and many digits long, and some are missing.
func withDecimals(c eventbatch.Columns, types map[string]decimal.Type) eventbatch.Columns {
	fields := slices.Clone(c.Rec.Schema().Fields())
	columns := slices.Clone(c.Rec.Columns())
	for _, name := range []string{"price", "rate"} {
		d := &eventbatch.DecimalType{Type: types[name]}
		b := array.NewInt64Builder(memory.DefaultAllocator)
		for i := range int(c.Rec.NumRows()) {
			if i%5 == 0 {
				b.AppendNull()
				continue
			}
			b.Append((int64(i%7) - 3) * (decimal.Power(d.Precision) - 1) / 3)
		}
		fields = append(fields, arrow.Field{Name: name, Type: d, Nullable: true})
		columns = append(columns, d.Array(b.NewArray()))
	}
	out, err := eventbatch.NewColumns(array.NewRecord(arrow.NewSchema(fields, nil), columns, c.Rec.NumRows()))
	if err != nil {
		panic(err)
	}
	return out
}

// TestDecimals writes decimals as Parquet's own, with the bytes of parquet-go's writer, and reads them back. The golden
// file keeps the form.
func TestDecimals(t *testing.T) {
	t.Parallel()
	types := map[string]decimal.Type{"price": {Precision: 9, Scale: 2}, "rate": {Precision: 18, Scale: 18}}
	table := NewTable(flightType.Name, 2, 3, time.Hour)
	at := position.Offset{Epoch: 3, Seq: 7}
	r := rand.New(rand.NewPCG(1, 2))
	first := withDecimals(flights(r, 50, benchStart), types)
	if err := table.Append(at, 0, first); err != nil {
		t.Fatal(err)
	}
	other := withDecimals(flights(r, 5, benchStart), map[string]decimal.Type{"price": {Precision: 9, Scale: 3},
		"rate": types["rate"]})
	if table.Accepts(other) || !table.Accepts(withDecimals(flights(r, 5, benchStart), types)) {
		t.Error("a table holds one type of a field")
	}
	declared := table.EventType().Fields
	for _, want := range []catalog.Field{{Name: "price", Type: "decimal(9,2)"},
		{Name: "rate", Type: "decimal(18,18)"}} {
		if !slices.ContainsFunc(declared, func(f catalog.Field) bool { return gocmp.Equal(f, want) }) {
			t.Errorf("the object's fields are %v, want %v", declared, want)
		}
	}
	raw, o, err := table.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := encodeByValues(table); err != nil || !bytes.Equal(raw, again) {
		t.Errorf("%d bytes differ from the %d of parquet-go: %v", len(raw), len(again), err)
	}
	const golden = "testdata/decimals.parquet"
	if *update {
		if err := os.WriteFile(golden, raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(golden); err != nil || !bytes.Equal(raw, want) {
		t.Errorf("the object has other bytes than %s: %v", golden, err)
	}
	f, err := OpenBytes(context.Background(), o, raw)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{}
	for i := range 50 {
		for name := range types {
			want[name] = append(want[name], first.Field(name).ValueStr(i))
		}
	}
	for _, file := range []*File{f, f.Lend()} {
		got := map[string][]string{}
		for c, err := range file.Read(context.Background(), []string{"price", "rate"}, 0, 50) {
			if err != nil {
				t.Fatal(err)
			}
			for name, d := range types {
				column := c.Field(name)
				if !arrow.TypeEqual(column.DataType(), &eventbatch.DecimalType{Type: d}) {
					t.Fatalf("%s is read as %s", name, column.DataType())
				}
				for i := range column.Len() {
					got[name] = append(got[name], column.ValueStr(i))
				}
			}
		}
		for name := range types { // Rows are ordered by time.
			slices.Sort(got[name])
			slices.Sort(want[name])
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("values (-written +read): %s", diff)
		}
	}
}
