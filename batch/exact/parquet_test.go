package exact

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/google/go-cmp/cmp"

	"recount/batch/object"
	"recount/schemas/catalog"
	"recount/schemas/eventbatch"
	"recount/schemas/position"
	"recount/schemas/record"
)

// parquetLake is Parquet objects, as landing writes them.
type parquetLake struct {
	objects []Object
	bytes   map[string][]byte
}

func (l parquetLake) open(ctx context.Context, o record.Object) (File, error) {
	f, err := object.OpenBytes(ctx, o, l.bytes[o.Key])
	if err != nil {
		return nil, err
	}
	return f.Lend(), nil
}

// toParquet writes every object of l with the lake's own writer.
func toParquet(t testing.TB, c *catalog.Catalog, l lake) parquetLake {
	out := parquetLake{bytes: map[string][]byte{}}
	for _, o := range l.objects {
		rows := slices.Clone(l.files[o.Key].rows)
		slices.SortFunc(rows, func(a, b event) int { return int((a.seq-b.seq)<<20 + int64(a.index-b.index)) })
		table := object.NewTable("e", o.Partition, 1, time.Hour)
		for len(rows) > 0 {
			n := 1
			for n < len(rows) && rows[n].seq == rows[0].seq && rows[n].index == rows[n-1].index+1 {
				n++
			}
			if err := table.Append(position.Offset{Epoch: 1, Seq: uint64(rows[0].seq)}, int(rows[0].index),
				batchOf(t, c.Events["e"], rows[:n])); err != nil {
				t.Fatal(err)
			}
			rows = rows[n:]
		}
		raw, made, err := table.Encode()
		if err != nil {
			t.Fatal(err)
		}
		made.Key = o.Key
		out.objects = append(out.objects, Object{Object: made, Partition: o.Partition, Start: o.Start})
		out.bytes[o.Key] = raw
	}
	return out
}

func batchOf(t testing.TB, e *catalog.EventType, rows []event) eventbatch.Columns {
	schema := eventbatch.OverflowSchema(eventbatch.Schema(e))
	arrays := make([]arrow.Array, schema.NumFields())
	for i, f := range schema.Fields() {
		b := array.NewBuilder(memory.DefaultAllocator, f.Type)
		for _, row := range rows {
			appendValue(b, f.Name, row)
		}
		arrays[i] = b.NewArray()
		if d, is := f.Type.(*eventbatch.DecimalType); is {
			arrays[i] = d.Array(arrays[i])
		}
	}
	c, err := eventbatch.NewColumns(array.NewRecord(schema, arrays, int64(len(rows))))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestParquet reads objects as landing writes them and compares the result with the oracle's.
func TestParquet(t *testing.T) {
	t.Parallel()
	c := testCatalog()
	events := manyEvents(20_000, 100)
	for i := range events {
		if i%4 != 0 {
			events[i].d = pointer(int64(i%7) - 4) // Both signs.
		}
		if i%9 == 0 { // Rare enough for a dictionary, but in every object.
			events[i].over = "s"
		}
	}
	mem := land(events, 3, 3000, 1000)
	l := toParquet(t, c, mem)
	in := Input{Catalog: c, Type: "e", Objects: l.objects, Buckets: mem.buckets()}
	for _, v := range c.ViewsOf("e") {
		in.Targets = append(in.Targets, Target{v, in.Buckets})
	}
	var got []string
	cfg := DefaultConfig()
	cfg.slice = 2000
	found, err := Run(t.Context(), cfg, l.open, in, func(b *Block) error {
		got = append(got, textRows(b)...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	want, wantCounts := oracle(events, in.Buckets, in.Targets, 0, mem.lost)
	if diff := cmp.Diff(wantCounts, found.Buckets); diff != "" {
		t.Errorf("counts (-oracle +exact): %s", diff)
	}
	if !slices.Equal(want, got) {
		t.Errorf("%d rows differ from the oracle's %d", len(got), len(want))
	}
}

// BenchmarkParquet recomputes a million events from Parquet, spread over a day or in one hot bucket:
// deduplication by id, groups of a minute and up to three dimensions, an exact distinct count. Limits show what B7
// costs where a bucket has enough rows for too many values, and where it has too many.
func BenchmarkParquet(b *testing.B) {
	for name, width := range map[string]int64{"day": 24 * 60 * minute, "hour": 60 * minute} {
		for groups, dims := range map[string][]string{"few": {"b"}, "many": {"s", "i", "b"}} {
			b.Run(name+"/"+groups, func(b *testing.B) { benchmarkParquet(b, width, dims, 0) })
		}
	}
	for _, limit := range []int{1_000_000, 100} { // Of 300 values.
		b.Run(fmt.Sprint("hour/many/limit=", limit),
			func(b *testing.B) { benchmarkParquet(b, 60*minute, []string{"s", "i", "b"}, limit) })
	}
}

func benchmarkParquet(b *testing.B, width int64, dims []string, limit int) {
	c := testCatalog()
	v := c.Views["wide"]
	v.Dimensions = dims
	v.Measures = []catalog.Measure{{Name: "n", Kind: catalog.Count}, {Name: "si", Kind: catalog.Sum, Field: "i"},
		{Name: "ds", Kind: catalog.Distinct, Field: "t"}}
	l, buckets := benchLake(b, c, width)
	in := Input{Catalog: c, Type: "e", Objects: l.objects, Buckets: buckets, Targets: []Target{{v, buckets}},
		Limit: limit}
	var rows, groups int64
	b.ReportAllocs()
	for b.Loop() {
		found, err := Run(b.Context(), DefaultConfig(), l.open, in,
			func(b *Block) error {
				groups += int64(b.Rows())
				return nil
			})
		if err != nil {
			b.Fatal(err)
		}
		for _, n := range found.Buckets {
			rows += n.Rows
		}
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds()/1e6, "Mevents/s")
	b.ReportMetric(float64(groups)/float64(rows), "groups/event")
}

// benchLake spreads the events evenly over width. It returns Parquet alone, so that the events are
// freed and the garbage collector does not walk them during the benchmark.
func benchLake(b *testing.B, c *catalog.Catalog, width int64) (parquetLake, []int64) {
	events := manyEvents(1<<20, 4096)
	for i := range events {
		events[i].time = int64(i) * width / int64(len(events))
		*events[i].i %= 10
	}
	l := land(events, 4, 1<<17, 1000)
	return toParquet(b, c, l), l.buckets()
}
