package batchview

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"recount/schemas/query"
	"recount/schemas/record"
	"recount/schemas/window/windowtest"
	"recount/serving/oracle"
)

// compareSets compares a scan of sets by windows that overlap with a naive grouping. Windows from the first on that
// needs a sketch have registers.
func compareSets(t *rapid.T, views *Views, state *record.State, scan *query.Scan, events []oracle.Event) {
	var sketches []int32
	if first := rapid.IntRange(0, scan.Windows.Len()).Draw(t, "first sketch"); first < scan.Windows.Len() {
		sketches = []int32{int32(first)}
	}
	got, err := views.Scan(context.Background(), state, scan, Options{Sketches: sketches})
	if err != nil {
		t.Fatal(err)
	}
	want := oracle.Part(scan, events, oracle.Batch)
	for i, w := range want.Windows {
		for j := range want.Measures {
			if len(sketches) == 0 || w < sketches[0] {
				want.Measures[j][i].Set = nil
			}
		}
	}
	if diff := cmp.Diff(byKey(want), byKey(got), sameSets()); diff != "" {
		t.Fatalf("%s\n%s", query.FormatWhere(scan.Where), diff)
	}
}

// TestOverlappingSetsAgainstOracle scans sets by rolling and cumulative windows over calendars, with rows of another
// tenant and of versions that are not pinned.
func TestOverlappingSetsAgainstOracle(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	views := s.views()
	rapid.Check(t, func(t *rapid.T) {
		q := drawQuery(t)
		c := windowtest.Draw(t, time.Minute)
		setCalendar(q, c)
		if q.Cumulative = rapid.Bool().Draw(t, "cumulative"); !q.Cumulative {
			q.Rolling = rapid.SampledFrom([]string{"30m", "12h", "2d", "1w", "30d", "1q", "1y"}).Draw(t, "rolling")
		}
		whole, err := q.Resolve(s.catalog, "default")
		if err != nil || whole.Windows.Len() > 300 {
			t.Skip("a window begins inside a cell, or there are too many")
		}
		events := oracle.DrawIn(t, whole.Windows, 30)
		s.ver++
		pinned := s.prepare("default", s.ver, events)
		for _, b := range s.prepare("other", s.ver, oracle.DrawIn(t, whole.Windows, 10)) {
			at := slices.IndexFunc(pinned, func(p record.BucketVersion) bool { return p.Bucket == b.Bucket })
			if at < 0 {
				pinned = append(pinned, b)
			} else {
				pinned[at].Rows += b.Rows
			}
		}
		sortVersions(pinned)
		s.ver++
		s.prepare("default", s.ver, oracle.DrawIn(t, whole.Windows, 10))
		s.flush()
		compareSets(t, views, s.state(pinned), whole.Sets(), events)
	})
}

// TestRollingUniquesAgainstClickHouse compares the distinct counts of seven days, for each day, with those that a plain
// statement of ClickHouse has.
func TestRollingUniquesAgainstClickHouse(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.exec("CREATE TABLE visits (at DateTime('America/Chicago'), tail String) ENGINE = Memory")
	const days = 40
	var events []oracle.Event
	for i := range 4000 {
		at := start.Add(time.Duration(i*i*7919%(days*24*60)) * time.Minute)
		tail := fmt.Sprint("N", i*i%23, i%26, i%19)
		events = append(events, oracle.Event{Time: at.UnixMicro(), Fields: map[string]any{"tail": tail}})
	}
	b, err := s.conn.PrepareBatch(t.Context(), "INSERT INTO visits")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if err := b.Append(time.UnixMicro(e.Time), e.Fields["tail"]); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Send(); err != nil {
		t.Fatal(err)
	}
	q := &query.Query{View: "flights", Measures: []string{"tails"}, From: start.AddDate(0, 0, 10),
		To: start.AddDate(0, 0, days), Granularity: "1d", TimeZone: "America/Chicago", Rolling: "7d"}
	scan := s.resolve(q)
	got, err := s.views().Scan(t.Context(), s.state(s.write(events)), scan.Sets(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	rows, err := s.conn.Query(t.Context(), `SELECT day, uniqExact(tail) FROM
		(SELECT arrayJoin(arrayMap(n -> addDays(toDate(at, 'America/Chicago'), n), range(7))) AS day, tail FROM visits)
		WHERE day BETWEEN toDate(?, 'America/Chicago') AND toDate(?, 'America/Chicago') GROUP BY day`, q.From,
		q.To.Add(-time.Second))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	want := map[string]uint64{}
	for rows.Next() {
		var day time.Time
		var n uint64
		if err := rows.Scan(&day, &n); err != nil {
			t.Fatal(err)
		}
		want[day.Format(time.DateOnly)] = n
	}
	have := map[string]uint64{}
	loc, _ := q.Location()
	for i, w := range got.Windows {
		have[time.UnixMicro(scan.Windows.Start(int(w))).In(loc).Format(time.DateOnly)] = got.Measures[0][i].Exact
	}
	if diff := cmp.Diff(want, have); diff != "" || len(want) < 30 {
		t.Errorf("%d days: %s", len(want), diff)
	}
}
