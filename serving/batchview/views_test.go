package batchview

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"recount/schemas/query"
	"recount/schemas/record"
	"recount/schemas/window"
	"recount/schemas/window/windowtest"
	"recount/serving/oracle"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start is before the end of daylight saving time, so that windows have several widths.
var start = time.Date(2024, 11, 2, 20, 0, 0, 0, time.UTC)

const minutes = 24 * 60

func drawQuery(t *rapid.T) *query.Query {
	q := &query.Query{View: "flights"}
	from := rapid.IntRange(0, minutes-1).Draw(t, "from")
	q.From = start.Add(time.Duration(from) * time.Minute)
	q.To = q.From.Add(time.Duration(rapid.IntRange(1, minutes).Draw(t, "width")) * time.Minute)
	q.TimeZone = rapid.SampledFrom([]string{"", "America/Chicago", "Asia/Kathmandu", "Australia/Lord_Howe"}).Draw(t,
		"zone")
	q.Granularity = rapid.SampledFrom([]string{"", "15m", "1h", "6h", "1d", "1mo"}).Draw(t, "granularity")
	for _, d := range []string{"origin", "delay", "cancelled"} {
		if rapid.Bool().Draw(t, d) {
			q.GroupBy = append(q.GroupBy, d)
		}
	}
	q.Where = oracle.DrawWhere(t, 3)
	return q
}

// split assigns buckets to versions, so that only some neighbours have the same version.
func split(t *rapid.T, events []oracle.Event) map[uint64][]oracle.Event {
	vers := map[int64]uint64{}
	byVer := map[uint64][]oracle.Event{}
	for _, e := range events {
		b := window.Floor(e.Time, time.Hour)
		if _, ok := vers[b]; !ok {
			vers[b] = uint64(rapid.IntRange(1, 3).Draw(t, "ver"))
		}
		byVer[vers[b]] = append(byVer[vers[b]], e)
	}
	return byVer
}

// TestScanAgainstOracle stores random events in several versions, among rows of other versions,
// runs and tenants. It runs random queries and compares the answers with a naive grouping.
func TestScanAgainstOracle(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	views := s.views()
	rapid.Check(t, func(t *rapid.T) {
		views.maxStates = rapid.SampledFrom([]int64{-1, maxStates}).Draw(t, "states")
		events := oracle.Draw(t, start, minutes, 60)
		var pinned []record.BucketVersion
		for ver, group := range split(t, events) {
			pinned = append(pinned, s.prepare("default", s.ver+ver, group)...)
		}
		s.prepare("default", s.ver+9, oracle.Draw(t, start, minutes, 20))
		// Some buckets have only rows of another tenant. A bucket has one version for all tenants.
		for _, b := range s.prepare("other", s.ver+8, oracle.Draw(t, start, minutes, 5)) {
			if !slices.ContainsFunc(pinned, func(p record.BucketVersion) bool { return p.Bucket == b.Bucket }) {
				pinned = append(pinned, b)
			}
		}
		sortVersions(pinned)
		s.ver += 10
		s.flush()
		for range 4 {
			compareWithOracle(t, views, s.state(pinned), s.resolve(drawQuery(t)), events)
		}
	})
}

func compareWithOracle(t *rapid.T, views *Views, state *record.State, scan *query.Scan, events []oracle.Event) {
	var sketches []int32
	for w := range scan.Windows.Len() {
		if rapid.IntRange(0, 3).Draw(t, "sketch") == 0 && w < 40 {
			sketches = append(sketches, int32(w))
		}
	}
	got, err := views.Scan(context.Background(), state, scan, Options{Sketches: sketches})
	if err != nil {
		t.Fatal(err)
	}
	want := oracle.Part(scan, events, oracle.Batch)
	j := slices.IndexFunc(scan.Measures, func(m query.Measure) bool { return m.Name == "tails" })
	wide := spansOf(scan.Windows, sketches)
	for i, w := range want.Windows {
		first, _ := scan.Windows.Span(int(w))
		if !slices.ContainsFunc(wide, func(s span) bool { return first >= s.from && first < s.to }) {
			want.Measures[j][i].Set = nil
		}
	}
	if diff := cmp.Diff(byKey(want), byKey(got), sameSets()); diff != "" {
		t.Fatalf("%s\n%s", query.FormatWhere(scan.Where), diff)
	}
	if got.Overflow != want.Overflow {
		t.Fatalf("%s, by %v: overflow %+v, want %+v", query.FormatWhere(scan.Where), scan.GroupBy, got.Overflow,
			want.Overflow)
	}
}

// byKey lists a part's rows by group.
func byKey(p *query.Part) map[string][]query.Acc {
	out := map[string][]query.Acc{}
	for i, w := range p.Windows {
		key := fmt.Sprint(w)
		for d := range p.Dims {
			switch c := &p.Dims[d]; {
			case c.IsNull(i):
				key += " null"
			case c.Strings != nil:
				key += fmt.Sprintf(" %q", c.Strings[i])
			default:
				key += fmt.Sprint(" ", c.Ints[i])
			}
		}
		for j := range p.Measures {
			a := p.Measures[j][i]
			if j == 3 || j == 6 || j == 7 {
				a.N = min(a.N, 1) // For min and max, N only says whether there is a value.
			}
			out[key] = append(out[key], a)
		}
		out[key] = append(out[key], query.Acc{N: p.Events[i]})
	}
	return out
}

// events48 returns events in 48 buckets, one for each minute.
func events48() []oracle.Event {
	var events []oracle.Event
	for i := range 48 * 60 {
		events = append(events, oracle.Event{Time: start.Add(time.Duration(i) * time.Minute).UnixMicro(),
			Fields: map[string]any{"origin": fmt.Sprint("A", i%7), "tail": fmt.Sprint("N", i)}})
	}
	return events
}

func wholeRange() *query.Query {
	return &query.Query{View: "flights", From: start, To: start.Add(48 * time.Hour), GroupBy: []string{"origin"}}
}

func TestLimitsAreErrors(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	state := s.state(s.write(events48()))
	views := s.views()
	views.cfg.MaxGroups = 6
	var limit *LimitError
	if _, err := views.Scan(t.Context(), state, s.resolve(wholeRange()), Options{}); !errors.As(err, &limit) {
		t.Errorf("groups: got %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("gone"))
	if _, err := s.views().Scan(ctx, state, s.resolve(wholeRange()), Options{}); err == nil || errors.As(err, &limit) {
		t.Errorf("cancelled: got %v", err)
	}
	expired, cancel2 := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel2()
	if _, err := s.views().Scan(expired, state, s.resolve(wholeRange()), Options{}); !errors.Is(err,
		context.DeadlineExceeded) {
		t.Errorf("deadline: got %v", err)
	}
}

func TestNothingPublishedIsAnEmptyPart(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	scan := s.resolve(wholeRange())
	for name, state := range map[string]*record.State{"first": record.EmptyState(2), "no buckets": s.state(nil)} {
		p, err := s.views().Scan(t.Context(), state, scan, Options{})
		if err != nil || p.Rows() != 0 || len(p.Dims) != 1 || len(p.Measures) != len(scan.Measures) {
			t.Errorf("%s: got %+v, %v", name, p, err)
		}
	}
	redefined := s.state(nil)
	redefined.Views["flights"] = record.ViewState{Digest: "other"}
	if _, err := s.views().Scan(t.Context(), redefined, scan, Options{}); err == nil {
		t.Error("another definition's rows were accepted")
	}
}

// TestCalendarsAgainstOracle compares scans over ranges that are drawn from calendars: all zones, clock changes,
// months, leap years, and the first and last year. Many events are at the ends of windows.
func TestCalendarsAgainstOracle(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	views := s.views()
	rapid.Check(t, func(t *rapid.T) {
		q := drawQuery(t)
		c := windowtest.Draw(t, time.Minute)
		if rapid.IntRange(0, 3).Draw(t, "long last") == 0 {
			c = rapid.SampledFrom(windowtest.LongLast()).Draw(t, "calendar")
		}
		setCalendar(q, c)
		scan, err := q.Resolve(s.catalog, "default")
		if err != nil {
			t.Skip(err) // A window begins inside a cell, or there are too many.
		}
		events := oracle.DrawIn(t, scan.Windows, 30)
		s.ver++
		pinned := s.prepare("default", s.ver, events)
		s.flush()
		compareWithOracle(t, views, s.state(pinned), scan, events)
	})
}

func setCalendar(q *query.Query, c windowtest.Calendar) {
	q.From = c.From
	q.To = c.To
	q.Granularity = c.Granularity
	q.TimeZone = c.Zone
}

// TestLastWindowLonger scans windows that begin at equal distances, of which the last is longer. An event in its
// last cell belongs to it, and its registers can be had.
func TestLastWindowLonger(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	for _, c := range windowtest.LongLast() {
		q := &query.Query{View: "flights", Measures: []string{"n", "tails"}}
		setCalendar(q, c)
		scan := s.resolve(q)
		events := []oracle.Event{
			{Time: scan.Windows.From, Fields: map[string]any{"tail": "N1"}},
			{Time: scan.Windows.To - time.Minute.Microseconds(), Fields: map[string]any{"tail": "N2"}},
		}
		s.ver++
		pinned := s.prepare("default", s.ver, events)
		s.flush()
		live := oracle.Part(scan, events[1:], oracle.Speed)
		got, err := s.views().Scan(t.Context(), s.state(pinned), scan, Options{Sketches: live.Windows})
		if err != nil {
			t.Fatal(err)
		}
		want := []int32{0, int32(scan.Windows.Len() - 1)}
		if diff := cmp.Diff(want, slices.Sorted(slices.Values(got.Windows))); diff != "" {
			t.Errorf("%s: windows of the rows: %s", c, diff)
		}
	}
}
