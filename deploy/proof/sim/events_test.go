package sim

import (
	"fmt"
	"slices"
	"strings"
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
	// before says that the message holds the event as the first catalog declares it: its code is a text, and "late" is
	// not declared.
	before bool
	// over says that the values of its dimensions are too many. In the log, ingest has decided it, for each copy anew.
	over     bool
	seq      uint64 // seq is the sequence of its message.
	appended int64  // appended is the append time of its message.
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
func (e event) code() (int64, bool) { return 3 * e.amount, !e.before || e.amount%4 != 3 }

// cost returns the event's cost. Costs of one cell have so many sizes that their sum in float64 would depend on
// the order, and on how they were spread over partitions and layers.
func (e event) cost() float64 {
	return []float64{0.1, 1e16, 0.7, 1e-300, 12.34, 3, 0.02, 1e300, 1.1, 1e-9}[e.amount]
}

// late returns the value of a field that is declared late, and false if the event lacks it.
func (e event) late() (int64, bool) { return 5*e.amount + 1, e.amount%2 == 0 }

// fields returns the declared fields of a type.
func fields(code catalog.FieldType, more ...catalog.Field) []catalog.Field {
	return slices.SortedFunc(slices.Values(append([]catalog.Field{{Name: "amount", Type: catalog.Int64},
		{Name: "code", Type: code}, {Name: "cost", Type: catalog.Float64}, {Name: "kind", Type: catalog.String},
		{Name: "name", Type: catalog.String},
		{Name: "user", Type: catalog.String}}, more...)),
		func(a, b catalog.Field) int { return strings.Compare(a.Name, b.Name) })
}

// catalogs are the configurations before and after the change that some seeds make. It changes views, corrects the
// type of the code of clicks, and declares another field of both types, which their events had before.
var catalogs = func() (c [3]*catalog.Catalog) {
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
			{Name: "users", Kind: catalog.Distinct, Field: "user"}, {Name: "lates", Kind: catalog.Sum, Field: "late"}}}
	for i := range c {
		c[i] = &catalog.Catalog{Bucket: bucket, Views: map[string]*catalog.View{"each": each},
			Events: map[string]*catalog.EventType{"click": {Name: "click", Fields: fields(catalog.String)},
				"seen": {Name: "seen", Fields: fields(catalog.String)}}}
	}
	late := catalog.Field{Name: "late", Type: catalog.Int64}
	c[1].Events["click"].Fields = fields(catalog.Int64, late)
	c[1].Events["seen"].Fields = fields(catalog.String, late)
	c[0].Views["by_kind"] = byKind()
	c[1].Views["by_kind"] = byKind(catalog.Filter{Field: "amount", Op: catalog.Ge, Values: []any{int64(5)}})
	c[1].Views["by_kind"].Measures = append(c[1].Views["by_kind"].Measures,
		catalog.Measure{Name: "codes", Kind: catalog.Sum, Field: "code"},
		catalog.Measure{Name: "lates", Kind: catalog.Sum, Field: "late"})
	c[1].Views["seen_users"] = seen
	c[2].Views["seen_users"] = seen
	c[2].Events = c[1].Events
	c[2].Views["by_kind"] = byKind(catalog.Filter{Field: "amount", Op: catalog.Ge, Values: []any{int64(2)}})
	return c
}()

// frame encodes events of one type as a message. All of them are of one catalog.
func frame(events []event) []byte {
	declared := catalogs[1]
	if events[0].before {
		declared = catalogs[0]
	}
	schema := eventbatch.Schema(declared.Events[events[0].eventType])
	if slices.ContainsFunc(events, func(e event) bool { return e.over }) {
		schema = eventbatch.OverflowSchema(schema)
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for _, e := range events {
		for i, f := range schema.Fields() {
			e.appendColumn(b.Field(i), f.Name)
		}
	}
	rec := b.NewRecord()
	defer rec.Release()
	f, err := eventbatch.Append(nil, events[0].eventType, 0, time.Now().UnixMicro(), rec)
	if err != nil {
		panic(err)
	}
	return f
}

func (e event) appendColumn(b array.Builder, name string) {
	switch b := b.(type) {
	case *array.FixedSizeBinaryBuilder:
		k := eventbatch.TenantID.Key(e.tenant, "", e.id)
		b.Append(k[:])
	case *array.Uint8Builder:
		flags := eventbatch.FlagHashOfValues
		if e.assigned {
			flags |= eventbatch.FlagTimeAssigned
		}
		b.Append(flags)
	case *array.Uint64Builder:
		b.Append(uint64(e.amount))
	case *array.TimestampBuilder:
		b.Append(arrow.Timestamp(e.time))
	case *array.Int64Builder:
		if v, has := e.number(name); has {
			b.Append(v)
		} else {
			b.AppendNull()
		}
	case *array.Float64Builder:
		b.Append(e.cost())
	case *array.StringBuilder:
		if v := e.text(name); v != "" {
			b.Append(v)
		} else {
			b.AppendNull()
		}
	}
}

// number returns the value of a field that is declared as an int64.
func (e event) number(name string) (int64, bool) {
	switch name {
	case "code":
		return e.code()
	case "late":
		return e.late()
	}
	return e.amount, true
}

// text returns the value of a column of strings, which is empty if it is null.
func (e event) text(name string) string {
	switch name {
	case eventbatch.ColTenant:
		return e.tenant
	case eventbatch.ColSource:
		return "sim"
	case eventbatch.ColExtra:
		if late, has := e.late(); has && e.before {
			return fmt.Sprintf(`{"data":{"late":%d}}`, late)
		}
	case eventbatch.ColOverflow:
		if e.over {
			return "kind,name"
		}
	case eventbatch.ColID, "name":
		return e.id
	case "code":
		if code, isNumber := e.code(); isNumber {
			return fmt.Sprint(code)
		}
		return "n/a"
	case "kind":
		return e.kind
	case "user":
		return e.user
	}
	return ""
}
