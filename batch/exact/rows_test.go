package exact

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"recount/schemas/window"
)

// TestRowsAreThoseOfTheOracle compares the rows that OnRows gets with the naive definition: each row once, with its
// fields as declared, and as a copy if no view counts it.
func TestRowsAreThoseOfTheOracle(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		events := drawEvents(t)
		l := land(events, rapid.IntRange(1, 3).Draw(t, "partitions"), rapid.IntRange(1, 80).Draw(t, "segment"),
			rapid.IntRange(1, 40).Draw(t, "chunk"))
		all := l.buckets()
		buckets := rapid.SliceOfNDistinct(rapid.SampledFrom(all), 1, len(all), rapid.ID).Draw(t, "buckets")
		slices.Sort(buckets)
		var got []string
		in := Input{Catalog: testCatalog(), Type: "e", Objects: l.objects, Buckets: buckets,
			Columns: []string{"i", "d", ColSeq, ColIndex}, OnRows: func(rows Rows) error {
				got = append(got, textOfRows(&rows)...)
				return nil
			}}
		cut := Config{Workers: rapid.SampledFrom([]int{1, 8}).Draw(t, "workers"), Memory: 16 << 20,
			span: rapid.Int64Range(1, 100).Draw(t, "span"), slice: 1}
		if _, err := Run(context.Background(), cut, l.open, in, nil); err != nil {
			t.Fatal(err)
		}
		var want []string
		kept, _ := naiveKept(events, buckets)
		for _, e := range events {
			b := window.Floor(e.time, testCatalog().Bucket)
			if !slices.Contains(buckets, b) {
				continue
			}
			isCopy := !slices.ContainsFunc(kept[b], func(k event) bool { return k.seq == e.seq && k.index == e.index })
			want = append(want, fmt.Sprintln(e.time, e.seq, e.index, isCopy, l.lost(e), textValue(field(e, "i")),
				textValue(field(e, "d"))))
		}
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("rows (-oracle +exact): %s", diff)
		}
	})
}

func textOfRows(rows *Rows) (out []string) {
	number := func(name string, row int) any {
		a, _ := rows.Field(name).(*array.Int64)
		if a == nil || a.IsNull(row) {
			return nil
		}
		return a.Value(row)
	}
	for i, isCopy := range rows.Copies {
		out = append(out, fmt.Sprintln(int64(rows.Time.Value(i)), number(ColSeq, i),
			rows.Field(ColIndex).(*array.Int32).Value(i), isCopy, slices.Contains(rows.Lost["i"], i),
			textValue(number("i", i)), textValue(number("d", i))))
	}
	return out
}
