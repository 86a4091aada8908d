package verify

import (
	"encoding/json"
	"math/big"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"recount/schemas/catalog"
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

// TestDecimalsOfAnswers: what the events give for decimals is what an answer states: texts, and a number for a mean.
func TestDecimalsOfAnswers(t *testing.T) {
	t.Parallel()
	for kind, want := range map[catalog.MeasureKind]any{catalog.Sum: "9999999999999999.94", catalog.Min: "-0.05",
		catalog.Max: "9999999999999999.99", catalog.Avg: json.Number("5000000000000000")} {
		declared := query.Measure{Measure: catalog.Measure{Name: "m", Kind: kind, Field: "price"},
			Type: "decimal(18,2)"}
		var m measure
		m.add(kind, int64(-5))
		m.add(kind, int64(999_999_999_999_999_999))
		got := m.value(declared)
		if err := sameValue(want, got, declared.Type); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if err := sameValue("1.00", got, declared.Type); err == nil {
			t.Errorf("%s: another value is taken for %v", kind, got)
		}
	}
	large := measure{n: 1}
	large.sum.Exp(big.NewInt(10), big.NewInt(38), nil)
	sum := query.Measure{Measure: catalog.Measure{Kind: catalog.Sum}, Type: "decimal(18,2)"}
	if got := large.value(sum); got != nil {
		t.Errorf("a sum of 39 digits: got %v", got)
	}
}
