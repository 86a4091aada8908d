package verify

import (
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"recount/schemas/eventbatch"
	"recount/schemas/query"
	"recount/schemas/window/windowtest"
	"recount/serving/oracle"
)

// TestTallyOfLongLastWindow counts events at both ends of windows of which the last is longer than the others.
func TestTallyOfLongLastWindow(t *testing.T) {
	t.Parallel()
	for _, c := range windowtest.LongLast() {
		q := &query.Query{View: "flights", Measures: []string{"n"}, From: c.From, To: c.To, Granularity: c.Granularity,
			TimeZone: c.Zone}
		scan, err := q.Resolve(oracle.Catalog(), "default")
		if err != nil {
			t.Fatal(err)
		}
		w := scan.Windows
		count := &tally{scan: scan, groups: map[string]*group{}}
		b := flightsAt(t, w.From-1, w.From, w.To-1, w.To)
		for i := range b.n {
			count.add(&event{b: b, i: i, at: 1})
		}
		for _, start := range []int64{w.Start(0), w.Start(w.Len() - 1)} {
			if g := count.groups[groupKey(start, nil)]; g == nil || g.events != 1 {
				t.Errorf("%s: the window of %s has %+v, want one event", c, time.UnixMicro(start).UTC(), g)
			}
		}
		if len(count.groups) != 2 {
			t.Errorf("%s: got %d groups, want 2", c, len(count.groups))
		}
	}
}

// flightsAt returns rows of flights at the times.
func flightsAt(t *testing.T, times ...int64) *rows {
	t.Helper()
	schema := arrow.NewSchema([]arrow.Field{{Name: eventbatch.ColTenant, Type: arrow.BinaryTypes.String},
		{Name: eventbatch.ColTime, Type: eventbatch.TimestampType}}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for _, at := range times {
		b.Field(0).(*array.StringBuilder).Append("default")
		b.Field(1).(*array.TimestampBuilder).Append(arrow.Timestamp(at))
	}
	columns, err := eventbatch.NewColumns(b.NewRecord())
	if err != nil {
		t.Fatal(err)
	}
	return &rows{eventType: "flight", n: len(times), cols: columns, tenant: columns.Tenant}
}
