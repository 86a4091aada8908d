package batchview

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

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

// TestLongListsStayConstants: no list of a condition reaches the size from which ClickHouse builds its set for each
// block, and together the lists have all texts.
func TestLongListsStayConstants(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	pinned := s.write(events48())
	views := s.views()
	for _, shape := range [][2]int{{10_000, 100}, {5_000, 400}, {10_000, 400}, {64, query.MaxText}, {1, 3}} {
		texts := []any{"A1"}
		for i := range shape[0] - 1 {
			texts = append(texts, fmt.Sprintf("%0*d", shape[1], i))
		}
		q := wholeRange()
		q.Where = []query.Condition{{Dimension: "origin", Op: query.In, Values: texts}}
		scan := s.resolve(q)
		st := &statement{}
		st.comparison(scan.Predicate().Test)
		var got int
		for _, arg := range st.args {
			list := arg.(driver.NamedValue).Value.([]string)
			if size := len(strings.Join(list, "")); size >= 1<<20 {
				t.Errorf("%v: a list of %d bytes", shape, size)
			}
			got += len(list)
		}
		if got != shape[0] {
			t.Errorf("%v: got %d texts", shape, got)
		}
		part, err := views.Scan(t.Context(), s.state(pinned), scan, Options{})
		if err != nil || part.Rows() == 0 {
			t.Errorf("%v: got %d rows, %v", shape, part.Rows(), err)
		}
	}
}
