package merge

import (
	"testing"
	"time"

	"recount/schemas/catalog"
	"recount/schemas/query"
)

// TestCompare: null is not zero, sums of decimals are compared in all of their 128 bits, and two sums that do not fit
// their type differ if there are more events.
func TestCompare(t *testing.T) {
	t.Parallel()
	c := &catalog.Catalog{Bucket: time.Hour, Events: map[string]*catalog.EventType{"sale": {Name: "sale",
		Fields: []catalog.Field{{Name: "price", Type: "decimal(18,2)"}, {Name: "n", Type: catalog.Int64}}}},
		Views: map[string]*catalog.View{"sales": {Name: "sales", Event: "sale", Cell: time.Minute,
			Measures: []catalog.Measure{{Name: "total", Kind: catalog.Sum, Field: "price"},
				{Name: "most", Kind: catalog.Sum, Field: "n"}}}}}
	q := &query.Query{View: "sales", From: time.Unix(0, 0), To: time.Unix(3600, 0)}
	scan, err := q.Resolve(c, "default")
	if err != nil {
		t.Fatal(err)
	}
	part := func(events uint64, total, most query.Acc) *query.Part {
		return &query.Part{Windows: []int32{0}, Events: []uint64{events}, Measures: [][]query.Acc{{total}, {most}}}
	}
	beyond := query.Acc{N: 2, Hi: 1}
	for _, c := range []struct {
		name     string
		old, new *query.Part
		changed  bool
	}{
		{"nothing", nil, nil, false},
		{"the same", part(1, query.Acc{N: 1, Lo: 5}, query.Acc{}), part(2, query.Acc{N: 2, Lo: 5}, query.Acc{}), false},
		{"null and zero", part(1, query.Acc{}, query.Acc{}), part(1, query.Acc{N: 1}, query.Acc{}), true},
		{"the high half", part(1, query.Acc{N: 1, Lo: 5}, query.Acc{}), part(1, query.Acc{N: 1, Lo: 5, Hi: 1},
			query.Acc{}), true},
		{"too large, and more", part(2, query.Acc{}, beyond), part(3, query.Acc{}, beyond), true},
		{"too large", part(2, query.Acc{}, beyond), part(2, query.Acc{}, beyond), false},
		{"null and too large", part(2, query.Acc{}, query.Acc{}), part(2, query.Acc{}, beyond), true},
		{"only old", part(1, query.Acc{}, query.Acc{}), nil, true},
		{"only new", nil, part(1, query.Acc{}, query.Acc{}), true},
	} {
		got, err := Compare(scan, scan, c.old, c.new, false, time.UTC, 9)
		if err != nil {
			t.Fatal(err)
		}
		if changed := len(got.Groups) == 1; changed != c.changed || got.Listed != len(got.Groups) {
			t.Errorf("%s: %+v, want a change: %t", c.name, got.Groups, c.changed)
		}
		isBeyond := c.new != nil && c.new.Measures[1][0].Hi != 0 && c.changed
		if (len(got.OutOfRange) > 0) != isBeyond {
			t.Errorf("%s: out of range %v", c.name, got.OutOfRange)
		}
	}
}
