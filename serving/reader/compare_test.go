package reader

import (
	"context"
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"recount/schemas/query"
	"recount/schemas/record"
	"recount/schemas/window"
	"recount/schemas/window/windowtest"
	"recount/serving/batchview"
	"recount/serving/oracle"
)

// halfHourly is a batch layer with an event in each half hour, which it counts one by one.
type halfHourly struct{}

func (halfHourly) Scan(_ context.Context, _ *record.State, s *query.Scan, _ batchview.Options) (*query.Part, error) {
	const half = 30 * time.Minute
	counts := make([]uint64, s.Windows.Len())
	for t := window.Floor(s.Windows.From, half); t < s.Windows.To; t += half.Microseconds() {
		if w := s.Windows.Index(t); w >= 0 {
			counts[w]++
		}
	}
	p := &query.Part{Measures: make([][]query.Acc, 1)}
	for w, n := range counts {
		if n > 0 {
			p.Windows = append(p.Windows, int32(w))
			p.Events = append(p.Events, n)
			p.Measures[0] = append(p.Measures[0], query.Acc{N: n})
		}
	}
	return p, nil
}

// comparedCounts returns how many earlier events the rows have, and all.
func comparedCounts(t rapid.TB, c windowtest.Calendar, compare query.Compare, cumulative bool) (rows, all int64,
	err error) {
	r, err := New(Config{Catalog: oracle.Catalog(), Publications: kept{published()}, Batch: halfHourly{}})
	if err != nil {
		t.Fatal(err)
	}
	q := &query.Query{View: "flights", Measures: []string{"n"}, From: c.From, To: c.To, Granularity: c.Granularity,
		TimeZone: c.Zone, Compare: compare, Totals: true, Mode: query.Exact, Limit: query.MaxLimit,
		Cumulative: cumulative}
	a, err := r.Answer(context.Background(), q, "default")
	if err != nil {
		return 0, 0, err
	}
	last := int64(0)
	for i, n := range a.Previous.Measures[0].Value.Ints {
		if !a.Previous.Missing[i] {
			rows += n
			last = max(last, n)
		}
	}
	if cumulative {
		rows = last
	}
	return rows, a.Totals.Previous.Measures[0].Value.Ints[0], nil
}

// lacksDays reports whether the earlier range has dates that the later one lacks, such as 30 January beside February.
func lacksDays(c windowtest.Calendar, compare query.Compare) bool {
	loc := c.Location()
	g, _ := window.ParseGranularity(c.Granularity)
	shift := window.PreviousPeriod(c.From, c.To, g, loc)
	if compare == query.PreviousYear {
		shift, _ = window.YearBefore(g)
	}
	have := map[string]bool{}
	date := func(t time.Time) string { return t.In(loc).Format(time.DateOnly) }
	for t := c.From; t.Before(c.To); t = t.Add(30 * time.Minute) {
		if at, exists := shift.Window(t, loc); exists {
			have[date(at)] = true
		}
	}
	for t := shift.Begin(c.From, loc); t.Before(shift.End(c.To, loc)); t = t.Add(30 * time.Minute) {
		if !have[date(t)] {
			return true
		}
	}
	return false
}

// TestEveryEarlierEventIsInARow: with windows shorter than a day, the earlier values of all rows add up to their total,
// in all zones and across all clock changes. Only the events of whole days that the later range lacks are in no row.
func TestEveryEarlierEventIsInARow(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		calendar windowtest.Calendar
		compare  query.Compare
	}{
		{windowtest.Parse("2024-10-28T00:00:00+01:00", "2024-11-04T12:00:00+01:00", "6h", "Europe/Berlin"),
			query.PreviousPeriod},
		{windowtest.Parse("2024-10-28T00:00:00+01:00", "2024-11-04T00:00:00+01:00", "1h", "Europe/Berlin"),
			query.PreviousPeriod},
		{windowtest.Parse("2024-10-21T00:00:00+02:00", "2024-10-28T00:00:00+01:00", "1h", "Europe/Berlin"),
			query.PreviousPeriod},
		{windowtest.Parse("2024-03-01T00:00:00-05:00", "2024-04-01T00:00:00-04:00", "6h", "America/New_York"),
			query.PreviousYear},
		{windowtest.Parse("2024-04-07T06:00:00+10:30", "2024-04-08T09:00:00+10:30", "1h", "Australia/Lord_Howe"),
			query.PreviousPeriod},
	} {
		rows, all, err := comparedCounts(t, c.calendar, c.compare, false)
		if err != nil || rows != all || all == 0 {
			t.Errorf("%s of %s: the rows have %d of %d earlier events, %v", c.compare, c.calendar, rows, all, err)
		}
	}
	compared := 0
	rapid.Check(t, func(t *rapid.T) {
		c := windowtest.Draw(t, 30*time.Minute)
		c.Granularity = rapid.SampledFrom([]string{"30m", "1h", "2h", "3h", "6h", "8h", "12h"}).Draw(t, "by")
		compare := rapid.SampledFrom([]query.Compare{query.PreviousPeriod, query.PreviousYear}).Draw(t, "compare")
		rows, all, err := comparedCounts(t, c, compare, rapid.Bool().Draw(t, "cumulative"))
		if wrong := (*query.Error)(nil); errors.As(err, &wrong) {
			t.Skip(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		if rows != all && !lacksDays(c, compare) {
			t.Fatalf("%s of %s: the rows have %d of %d earlier events", compare, c, rows, all)
		}
		compared++
	})
	if compared < 50 {
		t.Errorf("only %d ranges were compared", compared)
	}
}
