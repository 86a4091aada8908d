package batchview

import (
	"testing"

	"recount/schemas/catalog"
	"recount/schemas/query"
	"recount/serving/oracle"
)

// TestOverflowOfNumbers queries an int64 dimension that overflowed. TestScanAgainstOracle does so
// with strings.
func TestOverflowOfNumbers(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	var events []oracle.Event
	for _, delay := range []any{int64(1), int64(catalog.OverflowInt), nil, int64(2)} {
		events = append(events, oracle.Event{Time: start.UnixMicro(),
			Fields: map[string]any{"delay": delay, "cancelled": delay == nil}})
	}
	state := s.state(s.write(events))
	for _, c := range []struct {
		where []query.Condition
		group []string
		want  query.Overflow
	}{
		{nil, nil, query.Overflow{}},
		{nil, []string{"delay"}, query.Overflow{Events: 1}},
		{[]query.Condition{{Dimension: "delay", Op: query.Eq, Value: int64(1)}}, nil,
			query.Overflow{Events: 1, LeftOut: 1}},
		{[]query.Condition{{Dimension: "delay", Op: query.Ne, Value: int64(1)}}, nil, query.Overflow{Events: 1}},
		{[]query.Condition{{Dimension: "delay", Op: query.Eq, Value: int64(1)},
			{Dimension: "cancelled", Op: query.Eq, Value: true}}, nil, query.Overflow{}},
		{[]query.Condition{{Dimension: "delay", Op: query.Exists, Value: true}}, []string{"delay"},
			query.Overflow{Events: 1}},
		{[]query.Condition{{Dimension: "delay", Op: query.Exists, Value: false}}, []string{"delay"}, query.Overflow{}},
	} {
		q := wholeRange()
		q.Where = c.where
		q.GroupBy = c.group
		scan := s.resolve(q)
		got, err := s.views().Scan(t.Context(), state, scan, Options{})
		if err != nil || got.Overflow != c.want || oracle.Overflow(scan, events) != c.want {
			t.Errorf("%+v by %v: got %+v, want %+v (%v)", c.where, c.group, got.Overflow, c.want, err)
		}
	}
}
