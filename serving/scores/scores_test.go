package scores

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"recount/schemas/catalog"
	"recount/schemas/openapi"
	"recount/schemas/position"
	"recount/schemas/query"
	"recount/schemas/record"
	"recount/serving/batchview"
	"recount/serving/merge"
	"recount/serving/oracle"
)

var hour = time.Date(2024, 5, 1, 10, 0, 0, 0, time.UTC)

// layers is a batch layer that has counted old in publication 1, and old and fresh in publication 2,
// and a speed layer that has counted live instead of fresh.
type layers struct{ old, fresh, live []oracle.Event }

func (l layers) Scan(_ context.Context, s *record.State, scan *query.Scan, _ batchview.Options) (*query.Part, error) {
	events := l.old
	if s.N == 2 {
		events = slices.Concat(l.old, l.fresh)
	}
	return oracle.Part(scan, events, oracle.Batch), nil
}

func (l layers) ScanBetween(_ context.Context, scan *query.Scan, from, to []position.Offset) (*query.LivePart, error) {
	if from[0].Seq != 11 || to[0].Seq != 21 {
		return nil, errors.New("not the range between the publications")
	}
	return &query.LivePart{Part: oracle.Part(scan, l.live, oracle.Speed), Through: to}, nil
}

// states returns the publications 1 and 2 of the catalog. Publication 2 changed the bucket of hour.
func states(c *catalog.Catalog) (before, now *record.State) {
	view := c.Digest(c.Views["flights"])
	state := func(n, end uint64) *record.State {
		return &record.State{N: n, Publication: &record.Publication{N: n}, H: []position.Offset{{Seq: end}},
			Views: map[string]record.ViewState{"flights": {Digest: view, Buckets: []record.BucketVersion{
				{Bucket: hour.Add(-time.Hour).UnixMicro(), Ver: 1}, {Bucket: hour.UnixMicro(), Ver: n}}}},
			Ledgers: map[string]record.Ledger{"flight": {Tenants: map[string][]record.Account{
				"default": {{Rows: int64(n)}}, "quiet": {{Rows: 7}}}}},
		}
	}
	return state(1, 11), state(2, 21)
}

// TestGradeIsTheError compares grades with errors that are computed group by group from the events.
// In some runs both layers counted the same events. In others the speed layer counted some events
// twice and lacks others.
func TestGradeIsTheError(t *testing.T) {
	t.Parallel()
	c := oracle.Catalog()
	rapid.Check(t, func(t *rapid.T) {
		l := layers{old: oracle.Draw(t, hour, 60, 12), fresh: oracle.Draw(t, hour, 60, 20)}
		l.live = slices.Clone(l.fresh)
		if rapid.Bool().Draw(t, "differ") {
			for i, e := range l.fresh {
				switch rapid.IntRange(0, 3).Draw(t, "fate") {
				case 0:
					l.live = append(l.live, e)
				case 1:
					l.live = slices.Delete(l.live, min(i, len(l.live)-1), min(i, len(l.live)-1)+1)
				}
			}
		}
		before, now := states(c)
		g, err := DefaultConfig(c, l, l).Run(t.Context(), before, now)
		if err != nil {
			t.Fatal(err)
		}
		scan, err := (&query.Query{View: "flights", From: hour, To: hour.Add(time.Hour),
			GroupBy: c.Views["flights"].Dimensions}).Resolve(c, "default")
		if err != nil {
			t.Fatal(err)
		}
		check(t, g, scan, oracle.Rows(scan, slices.Concat(l.old, l.live)),
			oracle.Rows(scan, slices.Concat(l.old, l.fresh)))
	})
}

func check(t *rapid.T, g *openapi.Scores, scan *query.Scan, given, exact []*oracle.Row) {
	groups := len(exact)
	for _, r := range given {
		if !slices.ContainsFunc(exact, r.Same) {
			groups++
		}
	}
	if groups == 0 {
		if len(g.Views) > 0 {
			t.Fatalf("there is nothing to compare, got %+v", g.Views)
		}
		return
	}
	v := g.Views[0]
	if v.Groups != groups || v.Buckets != 1 {
		t.Fatalf("%d groups of %d buckets, want %d of 1", v.Groups, v.Buckets, groups)
	}
	for j, m := range scan.Measures {
		var want []float64
		for _, e := range exact {
			i := slices.IndexFunc(given, e.Same)
			if i < 0 {
				want = append(want, 1)
				continue
			}
			want = append(want, relativeError(given[i].Measure(m), e.Measure(m)))
		}
		for range groups - len(exact) {
			want = append(want, 1)
		}
		slices.Sort(want)
		got := v.Measures[j]
		for _, q := range [][2]float64{{got.P50, want[groups/2]}, {got.P99, want[groups*99/100]},
			{got.Max, want[groups-1]}} {
			if math.Abs(q[0]-q[1]) > 1e-9 {
				t.Fatalf("measure %s: got %+v, want %v", m.Name, got, want)
			}
		}
	}
}

func relativeError(given, exact any) float64 {
	if given == nil || exact == nil {
		if given == exact {
			return 0
		}
		return 1
	}
	float := func(v any) float64 {
		if n, ok := v.(int64); ok {
			return float64(n)
		}
		return v.(float64)
	}
	return math.Abs(float(given)-float(exact)) / max(1, math.Abs(float(exact)))
}

// TestBoundsAreGraded checks that the bounds of a sketch are compared with the exact number.
func TestBoundsAreGraded(t *testing.T) {
	t.Parallel()
	c := oracle.Catalog()
	tails := func(from, to int) (out []oracle.Event) {
		for i := from; i < to; i++ {
			out = append(out, oracle.Event{Time: hour.UnixMicro(), Fields: map[string]any{"tail": string(rune(i))}})
		}
		return out
	}
	before, now := states(c)
	for _, test := range []struct {
		layers
		held int
	}{
		{layers{old: tails(1, 20_000), fresh: tails(10_000, 40_000), live: tails(10_000, 40_000)}, 1},
		{layers{old: tails(1, 20_000), fresh: tails(10_000, 40_000), live: tails(10_000, 50_000)}, 0},
	} {
		g, err := DefaultConfig(c, test, test).Run(t.Context(), before, now)
		if err != nil {
			t.Fatal(err)
		}
		measures := g.Views[0].Measures
		m := measures[slices.IndexFunc(measures, func(m openapi.ScoredMeasure) bool { return m.Measure == "tails" })]
		if m.BoundsStated != 1 || m.BoundsHeld != test.held {
			t.Errorf("got %+v, want bounds that are stated once and held %d times", m, test.held)
		}
	}
}

// TestQuantilesAreGraded checks that the bounds of a quantile are compared too: an answer that lacked the slow events
// has others.
func TestQuantilesAreGraded(t *testing.T) {
	t.Parallel()
	c := oracle.Catalog()
	late := func(delays ...int64) (out []oracle.Event) {
		for _, d := range delays {
			out = append(out, oracle.Event{Time: hour.UnixMicro(), Fields: map[string]any{"miles": float64(d)}})
		}
		return out
	}
	before, now := states(c)
	for live, held := range map[int64]int{900: 1, 300: 0} {
		test := layers{old: late(100, 200), fresh: late(100, 200, 900), live: late(live)}
		g, err := DefaultConfig(c, test, test).Run(t.Context(), before, now)
		if err != nil {
			t.Fatal(err)
		}
		measures := g.Views[0].Measures
		named := func(m openapi.ScoredMeasure) bool { return m.Measure == "length.p99" }
		m := measures[slices.IndexFunc(measures, named)]
		if m.BoundsStated != 1 || m.BoundsHeld != held || (m.Max == 0) != (held == 1) {
			t.Errorf("got %+v, want bounds that are stated once and held %d times", m, held)
		}
	}
}

// TestLimitIsNoError has more groups than are compared. A group that the limit cut off in only one
// of the answers does not count as missing.
func TestLimitIsNoError(t *testing.T) {
	t.Parallel()
	c := oracle.Catalog()
	events := func(from, to int64) (out []oracle.Event) {
		for delay := from; delay < to; delay++ {
			out = append(out, oracle.Event{Time: hour.UnixMicro(), Fields: map[string]any{"delay": delay}})
		}
		return out
	}
	cfg := DefaultConfig(c, layers{fresh: events(0, 100)}, layers{live: events(5, 100)})
	cfg.Groups = 10
	before, now := states(c)
	g, err := cfg.Run(t.Context(), before, now)
	if err != nil {
		t.Fatal(err)
	}
	if v := g.Views[0]; v.Groups != 5 || v.Measures[0].Max != 0 {
		t.Errorf("got %+v, want the 5 groups that both answers have, without error", v)
	}
}

// TestAnswersBeyondLimits checks that answers that are too large are left out and counted.
func TestAnswersBeyondLimits(t *testing.T) {
	t.Parallel()
	c := oracle.Catalog()
	before, now := states(c)
	g, err := DefaultConfig(c, tooLarge{}, layers{}).Run(t.Context(), before, now)
	if err != nil || len(g.Views) != 1 || g.Views[0].LeftOut != 1 || g.Views[0].Groups != 0 ||
		g.Views[0].Measures == nil {
		t.Errorf("got %+v, %v", g, err)
	}
}

type tooLarge struct{}

func (tooLarge) Scan(context.Context, *record.State, *query.Scan, batchview.Options) (*query.Part, error) {
	return nil, &batchview.LimitError{}
}

func TestLargestTenantsAreGraded(t *testing.T) {
	t.Parallel()
	before := record.Ledger{Tenants: map[string][]record.Account{"a": {{Rows: 1}, {}}, "c": {{Rows: 9}, {}}}}
	now := record.Ledger{Tenants: map[string][]record.Account{"a": {{Rows: 2}, {Rows: 1}}, "b": {{Rows: 3}, {}},
		"c": {{Rows: 9}, {}}, "d": {{}, {Rows: 1}}}}
	if got := busiestTenants(before, now, 2); !slices.Equal(got, []string{"b", "a"}) {
		t.Errorf("got %v", got)
	}
	if got := busiestTenants(before, now, 9); !slices.Equal(got, []string{"b", "a", "d"}) {
		t.Errorf("got %v, want b, a and d, because c has nothing new", got)
	}
}

// TestViewsOfAnotherDefinition checks that views of another definition are not compared, nor buckets that the earlier
// publication had not filled, and that a
// stale partition is ErrStale.
func TestViewsOfAnotherDefinition(t *testing.T) {
	t.Parallel()
	c := oracle.Catalog()
	before, now := states(c)
	before.Views = map[string]record.ViewState{"flights": {Digest: "another"}}
	l := layers{fresh: []oracle.Event{{Time: hour.UnixMicro()}}}
	g, err := DefaultConfig(c, l, l).Run(t.Context(), before, now)
	if err != nil || len(g.Views) != 0 {
		t.Errorf("got %+v, %v", g, err)
	}
	before, now = states(c)
	filling := before.Views["flights"]
	filling.Fill = &record.Fill{From: hour.Add(time.Hour).UnixMicro(), Buckets: 1, Rows: 1}
	before.Views["flights"] = filling
	if g, err = DefaultConfig(c, l, l).Run(t.Context(), before, now); err != nil || len(g.Views) != 0 {
		t.Errorf("the view was not filled down to the bucket: got %+v, %v", g, err)
	}
	before, now = states(c)
	if _, err := DefaultConfig(c, l, lagging{}).Run(t.Context(), before, now); !errors.Is(err, ErrStale) {
		t.Errorf("got %v, want ErrStale", err)
	}
}

type lagging struct{}

func (lagging) ScanBetween(context.Context, *query.Scan, []position.Offset,
	[]position.Offset) (*query.LivePart, error) {
	return &query.LivePart{Stale: []int{0}}, nil
}

// TestDecimalErrors: the error of a decimal is that of its number, whatever its sign and its size.
func TestDecimalErrors(t *testing.T) {
	t.Parallel()
	sum := func(high, low int64) *merge.Measure {
		return &merge.Measure{Type: "decimal(38,2)", Value: merge.Values{Highs: []int64{high}, Ints: []int64{low}}}
	}
	least := func(units int64) *merge.Measure {
		return &merge.Measure{Type: "decimal(18,2)", Value: merge.Values{Ints: []int64{units}}}
	}
	for _, test := range []struct {
		given, exact *merge.Measure
		want         float64
	}{
		{sum(-1, -500), sum(-1, -1000), 0.5},
		{sum(-1, -500), sum(0, 500), 2},
		{sum(0, 50), sum(0, 25), 0.25}, // Of a number below 1, the difference itself.
		{sum(-2, 0), sum(-1, 0), 1},
		{least(-500), least(-1000), 0.5},
		{least(-1), least(0), 0.01},
	} {
		if got := difference(test.given, 0, test.exact, 0); got != test.want {
			t.Errorf("%+v instead of %+v: error %v, want %v", test.given.Value, test.exact.Value, got, test.want)
		}
	}
}
