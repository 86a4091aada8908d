package exact

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"recount/schemas/catalog"
	"recount/schemas/decimal"
	"recount/schemas/eventbatch"
	"recount/schemas/record"
	"recount/schemas/window"
)

const minute = int64(60_000_000)

// event is a row as the naive oracle sees it. A nil field is null.
type event struct {
	tenant, id string
	assigned   bool
	hash       uint64
	ofValues   bool // the hash is of values
	time       int64
	seq        int64
	index      int32
	s          *string
	i          *int64
	f          *float64
	b          *bool
	t          *int64
	d          *int64 // units of a decimal(18,2)
	over       string // fields whose value ingest found too many, with commas between them; batch ignores it
	lost       bool   // in an object of texts, i is a text that is no number; i is nil
}

func (e event) key() eventbatch.Key { return eventbatch.TenantID.Key(e.tenant, "", e.id) }

func testCatalog() *catalog.Catalog {
	e := &catalog.EventType{Name: "e", Fields: []catalog.Field{
		{Name: "b", Type: catalog.Bool}, {Name: "d", Type: "decimal(18,2)"}, {Name: "f", Type: catalog.Float64},
		{Name: "i", Type: catalog.Int64},
		{Name: "s", Type: catalog.String}, {Name: "t", Type: catalog.Timestamp}}}
	v := &catalog.View{Name: "wide", Event: "e", Dimensions: []string{"s", "i", "b"}, Cell: time.Minute,
		Measures: []catalog.Measure{
			{Name: "n", Kind: catalog.Count}, {Name: "si", Kind: catalog.Sum, Field: "i"},
			{Name: "sf", Kind: catalog.Avg, Field: "f"},
			{Name: "mi", Kind: catalog.Min, Field: "i"}, {Name: "ma", Kind: catalog.Max, Field: "f"},
			{Name: "mt", Kind: catalog.Max, Field: "t"},
			{Name: "ds", Kind: catalog.Distinct, Field: "s"}, {Name: "df", Kind: catalog.Distinct, Field: "f"},
			{Name: "di", Kind: catalog.Distinct, Field: "i"}, {Name: "sd", Kind: catalog.Sum, Field: "d"},
			{Name: "ad", Kind: catalog.Avg, Field: "d"}, {Name: "md", Kind: catalog.Min, Field: "d"},
			{Name: "xd", Kind: catalog.Max, Field: "d"}, {Name: "dd", Kind: catalog.Distinct, Field: "d"},
			{Name: "qf", Kind: catalog.Quantile, Field: "f"}, {Name: "qi", Kind: catalog.Quantile, Field: "i"},
			{Name: "qd", Kind: catalog.Quantile, Field: "d"}}}
	w := &catalog.View{Name: "narrow", Event: "e", Cell: 15 * time.Minute, Where: []catalog.Filter{
		{Field: "s", Op: catalog.NotIn, Values: []any{"x", "y"}},
		{Field: "i", Op: catalog.Ge, Values: []any{int64(-5)}}},
		Measures: []catalog.Measure{{Name: "db", Kind: catalog.Distinct, Field: "b"},
			{Name: "lo", Kind: catalog.Min, Field: "t"}, {Name: "ds", Kind: catalog.Distinct, Field: "s"}}}
	return &catalog.Catalog{Events: map[string]*catalog.EventType{"e": e},
		Views: map[string]*catalog.View{"wide": v, "narrow": w}, Bucket: time.Hour}
}

// memFile is an object in memory, read in chunks of chunk rows.
type memFile struct {
	rows  []event
	dict  bool
	texts bool // d, i and t were declared as strings when the events were sent
	late  bool // i was not declared when the events were sent
	mixed bool // b was not declared when the events of every second message were sent, and d was a decimal(18,3)
	chunk int
}

func (f memFile) Close() error { return nil }

func (f memFile) Has(column string) bool { return !f.late || column != "i" }

// extra returns what the event has of undeclared fields, and the event without it.
func (f memFile) extra(e event) (*string, event) {
	var extra *string
	if f.late && e.i != nil {
		extra = pointer(fmt.Sprintf(`{"data":{"i":%d}}`, *e.i))
		e.i = nil
	}
	if f.mixed && e.b != nil && e.seq%2 == 0 {
		extra = pointer(fmt.Sprintf(`{"data":{"b":%t}}`, *e.b))
		e.b = nil
	}
	return extra, e
}

func (f memFile) Read(_ context.Context, columns []string, from, to int64) iter.Seq2[eventbatch.Columns, error] {
	return func(yield func(eventbatch.Columns, error) bool) {
		to = min(to, int64(len(f.rows)))
		for from < to {
			n := min(int64(f.chunk), to-from)
			if !yield(f.columns(columns, f.rows[from:from+n]), nil) {
				return
			}
			from += n
		}
	}
}

func (f memFile) columns(names []string, rows []event) eventbatch.Columns {
	var fields []arrow.Field
	var arrays []arrow.Array
	for _, name := range names {
		if !f.Has(name) {
			continue
		}
		b := f.builder(name)
		for _, e := range rows {
			extra, e := f.extra(e)
			if name == eventbatch.ColExtra {
				appendNullable(b, extra, b.(*array.StringBuilder).Append)
			} else if units, is := b.(*array.Int64Builder); is && name == "d" {
				appendNullable(b, e.d, func(v int64) { units.Append(v * decimal.Power(f.scale()-2)) })
			} else {
				appendValue(b, name, e)
			}
		}
		a := b.NewArray()
		if name == "d" && !f.texts {
			a = (&eventbatch.DecimalType{Type: decimal.Type{Precision: 18, Scale: f.scale()}}).Array(a)
		}
		fields = append(fields, arrow.Field{Name: name, Type: a.DataType(), Nullable: true})
		arrays = append(arrays, a)
	}
	c := eventbatch.Columns{Rec: array.NewRecord(arrow.NewSchema(fields, nil), arrays, int64(len(rows)))}
	c.Key, _ = c.Field(eventbatch.ColKey).(*array.FixedSizeBinary)
	c.Hash, _ = c.Field(eventbatch.ColHash).(*array.Uint64)
	c.Flags, _ = c.Field(eventbatch.ColFlags).(*array.Uint8)
	c.Time, _ = c.Field(eventbatch.ColTime).(*array.Timestamp)
	return c
}

// scale is how many digits after the point d has in the file.
func (f memFile) scale() int {
	if f.mixed {
		return 3
	}
	return 2
}

func (f memFile) builder(name string) array.Builder {
	types := map[string]arrow.DataType{
		eventbatch.ColKey: &arrow.FixedSizeBinaryType{ByteWidth: 16}, eventbatch.ColHash: arrow.PrimitiveTypes.Uint64,
		eventbatch.ColFlags: arrow.PrimitiveTypes.Uint8, eventbatch.ColTime: eventbatch.TimestampType,
		"t":    eventbatch.TimestampType,
		ColSeq: arrow.PrimitiveTypes.Int64, ColIndex: arrow.PrimitiveTypes.Int32, "i": arrow.PrimitiveTypes.Int64,
		"d": arrow.PrimitiveTypes.Int64,
		"f": arrow.PrimitiveTypes.Float64, "b": arrow.FixedWidthTypes.Boolean,
	}
	t := types[name]
	if t == nil || f.texts && (name == "d" || name == "i" || name == "t") {
		t = arrow.BinaryTypes.String
		if f.dict && name != eventbatch.ColExtra {
			t = &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: arrow.BinaryTypes.String}
		}
	}
	return array.NewBuilder(memory.DefaultAllocator, t)
}

func appendValue(b array.Builder, name string, e event) {
	switch b := b.(type) {
	case *array.FixedSizeBinaryBuilder:
		k := e.key()
		b.Append(k[:])
	case *array.Uint64Builder:
		b.Append(e.hash)
	case *array.Uint8Builder:
		b.Append(uint8(boolInt(e.assigned))*eventbatch.FlagTimeAssigned |
			uint8(boolInt(e.ofValues))*eventbatch.FlagHashOfValues)
	case *array.Int32Builder:
		b.Append(e.index)
	case *array.Int64Builder:
		switch name {
		case ColSeq:
			b.Append(e.seq)
		case "d":
			appendNullable(b, e.d, b.Append)
		default:
			appendNullable(b, e.i, b.Append)
		}
	case *array.TimestampBuilder:
		if name == eventbatch.ColTime {
			b.Append(arrow.Timestamp(e.time))
			return
		}
		appendNullable(b, e.t, func(v int64) { b.Append(arrow.Timestamp(v)) })
	case *array.Float64Builder:
		appendNullable(b, e.f, b.Append)
	case *array.BooleanBuilder:
		appendNullable(b, e.b, b.Append)
	case *array.StringBuilder:
		appendNullable(b, stringOf(name, e), b.Append)
	case *array.BinaryDictionaryBuilder:
		appendNullable(b, stringOf(name, e), func(s string) { _ = b.AppendString(s) })
	}
}

func stringOf(name string, e event) *string {
	switch name {
	case eventbatch.ColTenant:
		return &e.tenant
	case eventbatch.ColID, eventbatch.ColSource:
		return &e.id
	case "s":
		return e.s
	case "i":
		if e.lost {
			return pointer("n/a")
		}
		return textOf(e.i, func(v int64) string { return fmt.Sprint(v) })
	case "d":
		return textOf(e.d, func(v int64) string { return decimal.Format(v, 2) })
	case "t":
		return textOf(e.t, func(v int64) string { return time.UnixMicro(v).UTC().Format(time.RFC3339Nano) })
	case eventbatch.ColOverflow:
		if e.over != "" {
			return &e.over
		}
	}
	return nil
}

func pointer[T any](v T) *T { return &v }

func textOf(v *int64, text func(int64) string) *string {
	if v == nil {
		return nil
	}
	return pointer(text(*v))
}

func appendNullable[T any](b array.Builder, v *T, add func(T)) {
	if v == nil {
		b.AppendNull()
		return
	}
	add(*v)
}

// lake is objects in memory by key.
type lake struct {
	objects []Object
	files   map[string]memFile
}

// land cuts each partition's events into segments of size events and sorts each segment as landing
// does. Events come in position order.
func land(events []event, partitions, size int, chunk int) lake {
	l := lake{files: map[string]memFile{}}
	for p := range partitions {
		var rest []event
		for _, e := range events {
			if e.key().Partition(partitions) == p {
				rest = append(rest, e)
			}
		}
		for len(rest) > 0 {
			n := min(size, len(rest))
			for n < len(rest) && rest[n].seq == rest[n-1].seq { // A segment ends with a message.
				n++
			}
			l.add(p, slices.Clone(rest[:n]), len(l.objects)%2 == 0, chunk)
			rest = rest[n:]
		}
	}
	return l
}

func (l *lake) add(partition int, rows []event, dict bool, chunk int) {
	start := rows[0].seq
	slices.SortFunc(rows, func(a, b event) int {
		return cmp.Or(cmp.Compare(a.time, b.time), cmp.Compare(a.seq, b.seq), cmp.Compare(a.index, b.index))
	})
	key := fmt.Sprintf("data/e/p%d-%d", partition, start)
	o := Object{Partition: partition, Start: uint64(start),
		Object: record.Object{Key: key, Type: "e", Rows: int64(len(rows))}}
	for _, e := range rows {
		b := window.Floor(e.time, time.Hour)
		if n := len(o.Buckets); n == 0 || o.Buckets[n-1].Bucket != b {
			o.Buckets = append(o.Buckets, record.BucketRows{Bucket: b})
		}
		run := &o.Buckets[len(o.Buckets)-1]
		run.Rows++
		run.Assigned += boolInt(e.assigned)
	}
	kind := len(l.objects) % 4
	o.Uniform = kind != 2
	l.objects = append(l.objects, o)
	l.files[key] = memFile{rows: rows, dict: dict, texts: kind == 0, late: kind == 1, mixed: kind == 2, chunk: chunk}
}

// markFresh marks the objects of segments that start at the sequence or later as fresh. It returns
// whether an event is in one of them.
func (l *lake) markFresh(from uint64) (fresh func(event) bool) {
	places := map[[2]int64]bool{}
	for i := range l.objects {
		o := &l.objects[i]
		o.Fresh = o.Start >= from
		for _, e := range l.files[o.Key].rows {
			places[[2]int64{e.seq, int64(e.index)}] = o.Fresh
		}
	}
	return func(e event) bool { return places[[2]int64{e.seq, int64(e.index)}] }
}

// lost reports whether the event is in an object of texts and has a text that is no number.
func (l *lake) lost(e event) bool {
	for _, f := range l.files {
		if f.texts && e.lost && slices.ContainsFunc(f.rows,
			func(o event) bool { return o.seq == e.seq && o.index == e.index }) {
			return true
		}
	}
	return false
}

func (l lake) open(_ context.Context, o record.Object) (File, error) {
	f, ok := l.files[o.Key]
	if !ok {
		return nil, fmt.Errorf("open %s: missing", o.Key)
	}
	return f, nil
}

func (l lake) buckets() (out []int64) {
	for _, o := range l.objects {
		for _, b := range o.Buckets {
			if !slices.Contains(out, b.Bucket) {
				out = append(out, b.Bucket)
			}
		}
	}
	slices.Sort(out)
	return out
}
