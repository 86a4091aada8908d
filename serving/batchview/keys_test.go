package batchview

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"recount/schemas/query"
	"recount/schemas/sqlschema"
	"recount/serving/oracle"
)

// eventsAt returns an event of each origin at a time. The origin nil is missing.
func eventsAt(at time.Time, origins ...any) (events []oracle.Event) {
	for _, o := range origins {
		e := oracle.Event{Time: at.UnixMicro(), Fields: map[string]any{"tail": fmt.Sprint(o)}}
		if o != nil {
			e.Fields["origin"] = o
		}
		events = append(events, e)
	}
	return events
}

// TestCodesOfValues scans one table again and again, while values appear that no answer had. Null, the empty string
// and what a code for null might be taken for are values of their own.
func TestCodesOfValues(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	views := s.views()
	all := []any{"", nil, "~", "A", "it's\t\\x\x00", "~overflow"}
	var events []oracle.Event
	for n := 1; n <= len(all); n++ {
		minute := start.Add(time.Duration(n) * time.Minute)
		events = append(eventsAt(minute, all[:n]...), eventsAt(minute.Add(time.Hour), all[n-1])...)
		s.ver++
		pinned := s.prepare("default", s.ver, events)
		s.flush()
		state := s.state(pinned)
		for _, granularity := range []string{"1m", "15m", "1h"} {
			for _, dims := range []int{1, 2} {
				scan := s.resolve(&query.Query{View: "flights", Measures: []string{"n", "late"}, From: start,
					To: start.Add(5 * time.Hour), Granularity: granularity, GroupBy: []string{"origin"}})
				for range dims - 1 {
					scan.GroupBy = append(scan.GroupBy, scan.GroupBy[0])
				}
				want := byKey(oracle.Part(scan, events, oracle.Batch))
				for range 2 {
					compare(t, want, s.mustScan(views, state, scan))
				}
				if views.proof(sqlschema.Table(scan.View, scan.Digest)).codes(scan) == nil {
					t.Errorf("%d values, %s: the values have no codes", n, granularity)
				}
			}
		}
	}
}

// TestCodesHaveALimit: a dimension with too many values, or too long ones, has no codes, also later.
func TestCodesHaveALimit(t *testing.T) {
	t.Parallel()
	many := make([]string, maxValues+1)
	for i := range many {
		many[i] = fmt.Sprint(i)
	}
	long := []string{strings.Repeat("x", maxValueBytes), "y"}
	s := newStore(t)
	scan := s.resolve(&query.Query{View: "flights", From: start, To: start.Add(time.Hour), Granularity: "1m",
		GroupBy: []string{"origin"}})
	for _, values := range [][]string{many, long} {
		p := s.views().proof("t")
		for n := range len(values) + 1 {
			p.learn(scan, &query.Part{Dims: []query.Column{{Strings: values[:n]}}})
			if got := p.codes(scan) != nil; got != (n < len(values)) {
				t.Fatalf("%d values: codes %v", n, got)
			}
		}
		if p.learn(scan, &query.Part{Dims: []query.Column{{Strings: values[:1]}}}); p.codes(scan) != nil {
			t.Error("a dimension has codes again")
		}
	}
	wide := &query.Scan{GroupBy: slices.Repeat(scan.GroupBy, 5)}
	p := s.views().proof("u")
	p.learn(scan, &query.Part{Dims: []query.Column{{Strings: many[:200]}}})
	if p.codes(wide) != nil || p.codes(scan) == nil {
		t.Error("codes of five dimensions with 200 values fit in 32 bits")
	}
}
