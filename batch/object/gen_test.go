package object

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"recount/schemas/catalog"
	"recount/schemas/eventbatch"
)

// flightType is the event type of most tests. It has a field of each type, and two more strings.
var flightType = &catalog.EventType{Name: "flight.departed", Fields: []catalog.Field{
	{Name: "delay", Type: catalog.Int64}, {Name: "destination", Type: catalog.String},
	{Name: "diverted", Type: catalog.Bool}, {Name: "fare", Type: catalog.Float64},
	{Name: "gate_closed", Type: catalog.Timestamp}, {Name: "origin", Type: catalog.String},
	{Name: "tail", Type: catalog.String},
}}

// benchStart is a time in 2001, in microseconds.
const benchStart = int64(1_000_000_000_000_000)

// flights returns a batch of n events. Their times advance by one second each from at, plus or minus
// up to a minute, so they are nearly in order, as live events are.
func flights(r *rand.Rand, n int, at int64) eventbatch.Columns {
	b := array.NewRecordBuilder(memory.DefaultAllocator, eventbatch.Schema(flightType))
	defer b.Release()
	for i := range n {
		id := fmt.Sprintf("%016x-%016x", r.Uint64(), r.Uint64())
		k := eventbatch.TenantID.Key(eventbatch.DefaultTenant, "", id)
		b.Field(0).(*array.FixedSizeBinaryBuilder).Append(k[:])
		b.Field(1).(*array.StringBuilder).Append(eventbatch.DefaultTenant)
		b.Field(2).(*array.Uint8Builder).Append(uint8(r.IntN(50) / 49))
		b.Field(3).(*array.Uint64Builder).Append(r.Uint64())
		b.Field(4).(*array.StringBuilder).Append(id)
		b.Field(5).(*array.TimestampBuilder).Append(arrow.Timestamp(at + int64(i)*1e6 + r.Int64N(120e6) - 60e6))
		b.Field(6).(*array.StringBuilder).Append("https://example.org/airline")
		b.Field(7).AppendNull()
		b.Field(8).AppendNull()
		b.Field(9).(*array.Int64Builder).Append(r.Int64N(200) - 20)
		b.Field(10).(*array.StringBuilder).Append(airport(r))
		b.Field(11).(*array.BooleanBuilder).Append(r.IntN(100) == 0)
		b.Field(12).(*array.Float64Builder).Append(float64(r.IntN(100000)) / 100)
		b.Field(13).(*array.TimestampBuilder).Append(arrow.Timestamp(at + int64(i)*1e6))
		b.Field(14).(*array.StringBuilder).Append(airport(r))
		if r.IntN(10) == 0 {
			b.Field(15).AppendNull()
		} else {
			b.Field(15).(*array.StringBuilder).Append(fmt.Sprintf("N%05d", r.IntN(5000)))
		}
	}
	c, err := eventbatch.NewColumns(b.NewRecord())
	if err != nil {
		panic(err)
	}
	return c
}

func airport(r *rand.Rand) string {
	return string([]byte{'A' + byte(r.IntN(4)), 'A' + byte(r.IntN(8)), 'A' + byte(r.IntN(8))})
}

// replaceColumn returns the batch with other values in a column of strings or int64. value returns a string,
// an int64 or nil for a null.
func replaceColumn(c eventbatch.Columns, name string, value func(row int) any) eventbatch.Columns {
	columns := slices.Clone(c.Rec.Columns())
	at := c.Rec.Schema().FieldIndices(name)[0]
	b := array.NewBuilder(memory.DefaultAllocator, columns[at].DataType())
	defer b.Release()
	for i := range int(c.Rec.NumRows()) {
		switch v := value(i).(type) {
		case nil:
			b.AppendNull()
		case string:
			b.(*array.StringBuilder).Append(v)
		case float64:
			b.(*array.Float64Builder).Append(v)
		case int64:
			b.(*array.Int64Builder).Append(v)
		}
	}
	columns[at] = b.NewArray()
	out, err := eventbatch.NewColumns(array.NewRecord(c.Rec.Schema(), columns, c.Rec.NumRows()))
	if err != nil {
		panic(err)
	}
	return out
}
