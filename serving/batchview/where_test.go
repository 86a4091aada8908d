package batchview

import (
	"strings"
	"testing"

	"recount/schemas/query"
	"recount/serving/oracle"
)

// TestNoConditionReachesAnotherTenant: conditions that hold for every row, or name what the statement names itself,
// keep to the rows of the scan's tenant. Both tenants have rows in the same buckets and versions.
func TestNoConditionReachesAnotherTenant(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	own := []oracle.Event{{Time: start.UnixMicro(), Fields: map[string]any{"origin": "ORD"}},
		{Time: start.UnixMicro(), Fields: map[string]any{}}}
	pinned := s.prepare("default", 4, own)
	for _, b := range s.prepare("other", 4, append(own, events48()[:30]...)) {
		pinned[0].Rows += b.Rows
	}
	s.flush()
	views := s.views()
	for _, text := range []string{
		"origin exists or not origin exists",
		"not (origin exists and not origin exists)",
		"origin = ORD or origin != ORD",
		"not (delay > 0 and delay <= 0) or cancelled = true",
		"not not not (delay = 1 and delay = 2)",
		"origin contains ''  or origin = null",
		`origin = "' OR tenant = 'other" or origin != ") OR (tenant != ''"`,
		`origin != "{p0:String}" or origin = "\u0000"`,
		"origin not in (default, other)",
	} {
		q := wholeRange()
		q.GroupBy = nil
		var err error
		if q.Where, err = query.ParseWhere(text); err != nil {
			t.Fatal(err)
		}
		part, err := views.Scan(t.Context(), s.state(pinned), s.resolve(q), Options{})
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if part.Rows() != 1 || part.Events[0] != uint64(len(own)) {
			t.Errorf("%s: got the events %v, want %d", text, part.Events, len(own))
		}
	}
}

// TestLargestConditions: what Resolve accepts, ClickHouse accepts too.
func TestLargestConditions(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	state := s.state(s.write(events48()))
	views := s.views()
	some := func(one string) string {
		return one + strings.Repeat(" or "+one, query.MaxConditions-1)
	}
	for name, text := range map[string]string{
		"comparisons": some("origin between 'A' and 'B'"),
		"depth": strings.Repeat("(origin = A1 or not (delay = 5 and ", query.MaxDepth/3) + "origin prefix A" +
			strings.Repeat("))", query.MaxDepth/3),
		"values": "origin in (A1" + strings.Repeat(",A2", query.MaxValues-1) + ")",
		"text":   "origin != " + strings.Repeat("x", query.MaxText),
	} {
		q := wholeRange()
		var err error
		if q.Where, err = query.ParseWhere(text); err != nil {
			t.Fatal(err)
		}
		part, err := views.Scan(t.Context(), state, s.resolve(q), Options{})
		if err != nil || part.Rows() == 0 {
			t.Errorf("%s: got %d rows, %v", name, part.Rows(), err)
		}
	}
}
