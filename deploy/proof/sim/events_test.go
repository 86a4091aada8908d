package sim

import (
	"fmt"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"recount/schemas/catalog"
	"recount/schemas/eventbatch"
)

const (
	partitions = 2
	bucket     = 10 * time.Minute
)

// event is one copy of an event.
type event struct {
	eventType, tenant, id string
	time                  int64 // time is in microseconds.
	assigned              bool  // assigned says that the server set the time.
	kind, user            string
	amount                int64
	text                  bool   // text says that the message holds the code as a string.
	seq                   uint64 // seq is the sequence of its message.
	appended              int64  // appended is the append time of its message.
	// newest is the newest append time in the log when the message arrived. The append time of a
	// request that hung for hours is older.
	newest           int64
	bucket, previous int64 // bucket and the bucket before it; set by eventsBelow.
}

// raw returns the copy without its buckets, as its message holds it.
func (e event) raw() event {
	e.bucket = 0
	e.previous = 0
	return e
}

// code returns the event's code, and false if it was sent as a text that is not a number.
func (e event) code() (int64, bool) { return 3 * e.amount, !e.text || e.amount%4 != 3 }

// cost returns the event's cost. Costs of one cell have so many sizes that their sum in float64 would depend on
// the order, and on how they were spread over partitions and layers.
func (e event) cost() float64 {
	return []float64{0.1, 1e16, 0.7, 1e-300, 12.34, 3, 0.02, 1e300, 1.1, 1e-9}[e.amount]
}

// clickFields returns the fields with a code of the type.
func clickFields(code catalog.FieldType) []catalog.Field {
	return []catalog.Field{{Name: "amount", Type: catalog.Int64}, {Name: "code", Type: code},
		{Name: "cost", Type: catalog.Float64}, {Name: "kind", Type: catalog.String},
		{Name: "name", Type: catalog.String}, {Name: "user", Type: catalog.String}}
}

// catalogs are the configurations before and after the change that some seeds make. It changes views, and it corrects
// the type of the code, which no view has read before.
var catalogs = func() (c [2]*catalog.Catalog) {
	byKind := func(where ...catalog.Filter) *catalog.View {
		return &catalog.View{Name: "by_kind", Event: "click", Dimensions: []string{"kind"}, Cell: time.Minute,
			Where: where, Measures: []catalog.Measure{
				{Name: "n", Kind: catalog.Count}, {Name: "total", Kind: catalog.Sum, Field: "amount"},
				{Name: "cost", Kind: catalog.Sum, Field: "cost"}, {Name: "top", Kind: catalog.Max, Field: "amount"},
				{Name: "users", Kind: catalog.Distinct, Field: "user"}}}
	}
	each := &catalog.View{Name: "each", Event: "click", Dimensions: []string{"name"}, Cell: time.Minute,
		Measures: []catalog.Measure{{Name: "n", Kind: catalog.Count}}}
	seen := &catalog.View{Name: "seen_users", Event: "seen", Cell: time.Minute,
		Measures: []catalog.Measure{{Name: "n", Kind: catalog.Count},
			{Name: "users", Kind: catalog.Distinct, Field: "user"}}}
	for i := range c {
		c[i] = &catalog.Catalog{Bucket: bucket, Views: map[string]*catalog.View{"each": each},
			Events: map[string]*catalog.EventType{"click": {Name: "click", Fields: clickFields(catalog.String)},
				"seen": {Name: "seen", Fields: clickFields(catalog.String)}}}
	}
	for _, e := range c[1].Events {
		e.Fields = clickFields(catalog.Int64)
	}
	c[0].Views["by_kind"] = byKind()
	c[1].Views["by_kind"] = byKind(catalog.Filter{Field: "amount", Op: catalog.Ge, Values: []any{int64(5)}})
	c[1].Views["by_kind"].Measures = append(c[1].Views["by_kind"].Measures,
		catalog.Measure{Name: "codes", Kind: catalog.Sum, Field: "code"})
	c[1].Views["seen_users"] = seen
	return c
}()

// frame encodes events of one type as a message. All of them have their code as a string, or none.
func frame(events []event) []byte {
	declared := catalogs[1]
	if events[0].text {
		declared = catalogs[0]
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, eventbatch.Schema(declared.Events[events[0].eventType]))
	defer b.Release()
	for _, e := range events {
		k := eventbatch.TenantID.Key(e.tenant, "", e.id)
		b.Field(0).(*array.FixedSizeBinaryBuilder).Append(k[:])
		b.Field(1).(*array.StringBuilder).Append(e.tenant)
		flags := uint8(0)
		if e.assigned {
			flags = eventbatch.FlagTimeAssigned
		}
		b.Field(2).(*array.Uint8Builder).Append(flags)
		b.Field(3).(*array.Uint64Builder).Append(uint64(e.amount))
		b.Field(4).(*array.StringBuilder).Append(e.id)
		b.Field(5).(*array.TimestampBuilder).Append(arrow.Timestamp(e.time))
		b.Field(6).(*array.StringBuilder).Append("sim")
		b.Field(7).AppendNull()
		b.Field(8).AppendNull()
		b.Field(9).(*array.Int64Builder).Append(e.amount)
		e.appendCode(b.Field(10))
		b.Field(11).(*array.Float64Builder).Append(e.cost())
		b.Field(12).(*array.StringBuilder).Append(e.kind)
		b.Field(13).(*array.StringBuilder).Append(e.id)
		b.Field(14).(*array.StringBuilder).Append(e.user)
	}
	rec := b.NewRecord()
	defer rec.Release()
	f, err := eventbatch.Append(nil, events[0].eventType, time.Now().UnixMicro(), rec)
	if err != nil {
		panic(err)
	}
	return f
}

// appendCode appends the code in the type that the message has it in.
func (e event) appendCode(b array.Builder) {
	code, isNumber := e.code()
	switch b := b.(type) {
	case *array.Int64Builder:
		b.Append(code)
	case *array.StringBuilder:
		if isNumber {
			b.Append(fmt.Sprint(code))
		} else {
			b.Append("n/a")
		}
	}
}
