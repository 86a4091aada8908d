package recheck

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"recount/schemas/catalog"
	"recount/schemas/eventbatch"
)

// movedCatalog has fields of every type inside of another member, under other names, and with null values.
func movedCatalog() *catalog.Catalog {
	c := testCatalog(&catalog.View{Name: "moved", Event: "flight", Dimensions: []string{"city", "ok", "late", "band"},
		Cell: time.Minute, Where: []catalog.Filter{{Field: "city", Op: catalog.Ne, Values: []any{"x"}},
			{Field: "odd", Op: catalog.Ne, Values: []any{true}}},
		Measures: []catalog.Measure{{Name: "n", Kind: catalog.Count}, {Name: "paid", Kind: catalog.Sum, Field: "fare"},
			{Name: "lates", Kind: catalog.Sum, Field: "late"}, {Name: "last", Kind: catalog.Max, Field: "seen"},
			{Name: "big", Kind: catalog.Max, Field: "id"}, {Name: "doubles", Kind: catalog.Sum, Field: "double"}}})
	c.Events["flight"].Fields = []catalog.Field{
		{Name: "band", Type: catalog.String,
			Expression: "if(late > 5, 'late', coalesce(lower(city), date(time, 'Europe/Oslo'), source))"},
		{Name: "city", Type: catalog.String, Path: []string{"user", "it's"}, Nulls: []string{"", "NA"}},
		{Name: "double", Type: catalog.Float64, Expression: "fare * 2 / (late - 5)"},
		{Name: "fare", Type: catalog.Float64, Path: []string{"user", "fare"}, Nulls: []string{"0.5"}},
		{Name: "id", Type: catalog.Int64, Path: []string{"Id No"}, Nulls: []string{"NA"}},
		{Name: "late", Type: catalog.Int64, Path: []string{"late_min"}, Nulls: []string{"-1", "NA"}},
		{Name: "odd", Type: catalog.Bool, Expression: "minute(time) % 2 = 1 and hour(seen) = 0"},
		{Name: "ok", Type: catalog.Bool, Path: []string{"user", "ok"}},
		{Name: "seen", Type: catalog.Timestamp, Nulls: []string{"1970-01-01T00:00:00Z"}}}
	return c
}

// landMoved lands events whose undeclared fields are these texts.
func (w *world) landMoved(r *rand.Rand, extras []string) {
	w.t.Helper()
	b := array.NewRecordBuilder(memory.DefaultAllocator, eventbatch.Schema(w.catalog.Events["flight"].Stored()))
	defer b.Release()
	for row, extra := range extras {
		texts := map[string]string{eventbatch.ColTenant: "acme", eventbatch.ColID: fmt.Sprint(row),
			eventbatch.ColSource: "test", eventbatch.ColExtra: extra}
		for i, f := range b.Schema().Fields() {
			switch column := b.Field(i).(type) {
			case *array.FixedSizeBinaryBuilder:
				k := eventbatch.TenantID.Key("acme", "", fmt.Sprint(row))
				column.Append(k[:])
			case *array.Uint8Builder:
				column.Append(eventbatch.FlagUndeclaredValue)
			case *array.Uint64Builder:
				column.Append(1)
			case *array.TimestampBuilder:
				at := start + r.Int64N(hour)
				if f.Name == "seen" && r.IntN(2) == 0 {
					at = 0
				}
				column.Append(arrow.Timestamp(at))
			case *array.Int64Builder:
				appendNullable(column, nullable(r, []int64{-1, 5, 7}), column.Append)
			case *array.StringBuilder:
				text := texts[f.Name]
				appendNullable(column, &text, column.Append)
			}
		}
	}
	c, err := eventbatch.NewColumns(b.NewRecord())
	if err != nil {
		w.t.Fatal(err)
	}
	w.landColumns("flight", 0, c)
}

// TestMovedFields: ClickHouse finds the values of fields where the batch engine finds them. A bucket with a value that
// needs a conversion is left out.
func TestMovedFields(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	one := func(values ...string) string { return values[r.IntN(len(values))] }
	var extras []string
	for range 300 {
		user := one(`{"it's":"ORD","fare":`+one("0.5", "1", "1e3", "0.1", "-7")+`,"ok":`+one("true", "false")+`}`,
			`{"it's":`+one(`""`, `"NA"`, `"\u00e9\n"`, `"x"`, "null")+`}`, `{}`)
		extras = append(extras, fmt.Sprintf(`{"data":{"Id No":%s,"late_min":%s,"user":%s}}`,
			one("1", "9223372036854775807", `"NA"`), one("null", `"NA"`), user))
	}
	w := newWorld(t, movedCatalog())
	w.landMoved(r, extras)
	got := w.check(w.publish(), nil)
	if got.Checked != 1 || got.LeftOut != 0 || len(got.Differences) > 0 {
		t.Errorf("got %+v, want one bucket without differences", got)
	}
	for _, odd := range []string{`"Id No":5.0`, `"Id No":9223372036854775808`, `"user":{"it's":5}`,
		`"user":{"ok":"true"}`, `"late_min":"7"`, `"Id No":{}`, `"user":{"fare":"NA"}`} {
		w := newWorld(t, movedCatalog())
		w.landMoved(r, slices.Repeat([]string{`{"data":{` + odd + `}}`}, 20)) // Some have no value in the column.
		if got := w.check(w.publish(), nil); got.LeftOut != 1 || len(got.Differences) > 0 {
			t.Errorf("%s: got %+v, want a bucket that is left out", odd, got)
		}
	}
}
