package reader

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"recount/schemas/catalog"
	"recount/schemas/position"
	"recount/schemas/query"
	"recount/schemas/record"
	"recount/serving/batchview"
	"recount/serving/merge"
	"recount/serving/oracle"
)

func (w *world) reader(t testing.TB) *Reader {
	r, err := New(Config{Catalog: oracle.Catalog(), Publications: w, Batch: batchLayer{w},
		Reach: func(s *query.Scan, cut []position.Offset) (*query.LivePart, error) {
			return speedLayer{w}.scan(s, cut), nil
		},
		Live: speedLayer{w}, Memory: query.NewBudget(1<<30, time.Second, false), CacheBytes: w.cacheBytes,
		Now: func() time.Time { return start.Add(time.Second) }})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// held returns how many bytes the reader's queries hold.
func held(r *Reader) int64 {
	bytes, _, _ := r.Memory.Held()
	return bytes
}

// play runs queries in a world that changes all the time. It returns an error for the first answer
// that is not an exact prefix of the log (Q5), or nil.
func play(t testing.TB, seed uint64, prepare func(*world)) error {
	w := newWorld(seed)
	prepare(w)
	r := w.reader(t)
	for range 12 {
		w.step()
		q := w.query()
		if w.rng.IntN(5) == 0 {
			n := uint64(w.rng.IntN(len(w.states) + 2))
			q.AsOf = &n
		}
		w.chooseOverTime(q)
		w.chooseOthers(q)
		minimum := w.minThrough()
		if !w.noMinThrough {
			q.MinThrough = minimum
		}
		if err := r.Await(t.Context(), q, "default", 0); err != nil && !expected(err) {
			return fmt.Errorf("seed %d: unexpected error of Await: %w", seed, err)
		}
		a, err := r.Answer(t.Context(), q, "default")
		if err == nil {
			a.Close()
			if err := w.see(minimum, a.Accuracy.Through); err != nil {
				return fmt.Errorf("seed %d: mode %s: %w", seed, q.Mode, err)
			}
		}
		if n := held(r); n != 0 {
			return fmt.Errorf("%d bytes are held after an answer with the error %w", n, err)
		}
		if err != nil {
			if !expected(err) {
				return fmt.Errorf("seed %d: unexpected error: %w", seed, err)
			}
			continue
		}
		if err := w.check(q, a); err != nil {
			return fmt.Errorf("seed %d: mode %s, %+v: %w", seed, q.Mode, a.Accuracy, err)
		}
	}
	return nil
}

// query returns a query of a random mode and range.
func (w *world) query() *query.Query {
	q := &query.Query{View: "flights", Measures: []string{"n", "late", "tails", "lateness"}, From: start,
		To: start.Add(3 * time.Hour), Granularity: "1h", GroupBy: []string{"origin"}}
	q.Totals = w.rng.IntN(2) == 0
	q.Derived = oracle.AllDerived()[:w.rng.IntN(4)]
	q.Mode = []query.Mode{query.Merged, query.Merged, query.Exact, query.Live}[w.rng.IntN(4)]
	if w.rng.IntN(6) == 0 {
		q.From = time.Time{}
		q.To = []time.Time{{}, q.To}[w.rng.IntN(2)]
	}
	return q
}

func expected(err error) bool {
	if wrong := (*query.Error)(nil); isUnmet(err) || errors.As(err, &wrong) && wrong.Field == "min_through" {
		return true
	}
	return slices.ContainsFunc([]error{ErrBatch, ErrLive, ErrRestarts, ErrLost, ErrNotPublished, query.ErrNoPublication,
		query.ErrCollected},
		func(e error) bool { return errors.Is(err, e) })
}

// check compares an answer with a naive grouping of the log prefix that the answer says it covers.
func (w *world) check(q *query.Query, a *merge.Answer) error {
	if q.IsOpen() {
		q.From = a.Accuracy.Range.From
		q.To = a.Accuracy.Range.To
	}
	scan, err := q.Resolve(oracle.Catalog(), "default")
	if err != nil {
		return err
	}
	if got := a.Accuracy.StalePartitions; q.Mode != query.Exact && !slices.Equal(got, w.stale) {
		return fmt.Errorf("stale partitions %v, but the speed layer gave nothing for %v", got, w.stale)
	}
	from := []uint64{1, 1}
	if q.Mode == query.Live {
		from = a.Accuracy.Cut
	}
	events := w.events(from, a.Accuracy.Through)
	rows := withEarlierGroups(scan, oracle.Rows(scan, events), events)
	if q.Others {
		return checkOthers(q, scan, a, rows, events)
	}
	if a.Rows() != len(rows) {
		return fmt.Errorf("%d rows, want %d", a.Rows(), len(rows))
	}
	overflow := overflowOverTime(scan, events)
	if q.Mode != query.Exact {
		overflow.Live = overflowOverTime(scan, w.events(a.Accuracy.Cut, a.Accuracy.Through)).Events
	}
	if got := a.Accuracy.Overflow; (got == nil) != (overflow.Events == 0) || got != nil && *got != overflow {
		return fmt.Errorf("overflow %+v, want %+v", got, overflow)
	}
	for _, r := range rows {
		i := findRow(a, scan.Windows.Start(r.Window), r.Keys[0])
		if i == a.Rows() {
			return fmt.Errorf("no row for %v", r.Keys)
		}
		if err := checkMeasures(scan, a, i, r); err != nil {
			return err
		}
		if err := checkPrevious(scan, a, i, r, events); err != nil {
			return err
		}
	}
	switch {
	case q.Totals != (a.Totals != nil):
		return fmt.Errorf("totals: %t, want %t", a.Totals != nil, q.Totals)
	case !q.Totals:
		return nil
	}
	_, totals, err := q.AllGroups(scan)
	if err != nil {
		return err
	}
	return checkMeasures(totals, a.Totals, 0, append(oracle.Rows(totals, events), &oracle.Row{})[0])
}

// checkMeasures compares a row of an answer with a naive one.
func checkMeasures(scan *query.Scan, a *merge.Answer, i int, r *oracle.Row) error {
	for _, m := range a.Measures {
		want := r.Value(scan, m.Name)
		if m.Bounded(i) && m.Kind != catalog.Quantile { // The world has 30 values, and small sets are counted exactly.
			return fmt.Errorf("%s of %v: has the bounds %v to %v", m.Name, r.Keys, anyValue(&m.Low, i),
				anyValue(&m.High, i))
		}
		if got := anyValue(&m.Value, i); got != want {
			return fmt.Errorf("%s of %v: got %v, want %v", m.Name, r.Keys, got, want)
		}
	}
	return nil
}

func anyValue(v *merge.Values, row int) any {
	switch {
	case v.Null[row]:
		return nil
	case v.Floats != nil:
		return v.Floats[row]
	}
	return v.Ints[row]
}

// findRow returns the row with the time and key, or the number of rows if there is none.
func findRow(a *merge.Answer, time int64, key any) int {
	for i := range a.Rows() {
		isNull := a.Dims[0].IsNull(i)
		if a.Times[i] == time && isNull == (key == nil) && (isNull || a.Dims[0].Strings[i] == key) {
			return i
		}
	}
	return a.Rows()
}

func TestAnswersAreExactPrefixes(t *testing.T) {
	t.Parallel()
	for seed := range uint64(1500) {
		if err := play(t, seed, func(*world) {}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestEveryRuleIsNeeded turns off one rule at a time. At least one of the seeds must notice.
func TestEveryRuleIsNeeded(t *testing.T) {
	t.Parallel()
	for name, off := range map[string]func(*world){
		"Q1 one pin": func(w *world) { w.repin = true }, "Q3 guard": func(w *world) { w.noGuard = true },
		"S4 base":        func(w *world) { w.noBase = true },
		"Q7 min_through": func(w *world) { w.noMinThrough = true },
	} {
		caught := false
		for seed := uint64(0); seed < 1500 && !caught; seed++ {
			caught = play(t, seed, off) != nil
		}
		if !caught {
			t.Errorf("%s: no seed noticed that the rule is off", name)
		}
	}
}

// fixed answers each query with the same parts.
type fixed struct {
	state *record.State
	live  *query.LivePart
	err   error
	asked int
}

func (f *fixed) Newest(context.Context) (*record.State, error) { return f.state, nil }
func (f *fixed) StateAt(context.Context, uint64) (*record.State, error) {
	return nil, query.ErrCollected
}
func (f *fixed) ScanAll(_ context.Context, scans []*query.Scan, _ []position.Offset) []query.LiveResult {
	f.asked++
	return slices.Repeat([]query.LiveResult{{Live: f.live, Err: f.err}}, len(scans))
}

type noRows struct{}

func (noRows) Scan(_ context.Context, _ *record.State, scan *query.Scan, _ batchview.Options) (*query.Part, error) {
	return oracle.Part(scan, nil, oracle.Batch), nil
}

func ask(t *testing.T, f *fixed, live RealtimeViews, mode query.Mode) (*merge.Answer, error) {
	r, err := New(Config{Catalog: oracle.Catalog(), Publications: f, Batch: noRows{}, Live: live,
		Now: func() time.Time { return start.Add(time.Second) }})
	if err != nil {
		t.Fatal(err)
	}
	return r.Answer(t.Context(), &query.Query{View: "flights", From: start, To: start.Add(time.Hour), Mode: mode},
		"default")
}

func published() *record.State {
	c := oracle.Catalog()
	return &record.State{N: 3, H: []position.Offset{{Seq: 5}}, Publication: &record.Publication{N: 3, Created: start},
		Views: map[string]record.ViewState{"flights": {Digest: c.Digest(c.Views["flights"])}}}
}

// TestRoundedRowsAnswer: a publication from before sums of floats were exact has another digest of the view, and
// answers until the next recompute replaces its rows.
func TestRoundedRowsAnswer(t *testing.T) {
	t.Parallel()
	c := oracle.Catalog()
	state := published()
	state.Views["flights"] = record.ViewState{Digest: c.RoundedDigest(c.Views["flights"])}
	for _, mode := range []query.Mode{query.Merged, query.Exact} {
		live := &query.LivePart{Through: state.H}
		if _, err := ask(t, &fixed{state: state, live: live}, &fixed{live: live}, mode); err != nil {
			t.Errorf("%s: %v", mode, err)
		}
	}
}

func TestSpeedDownIsStaleNotWrong(t *testing.T) {
	t.Parallel()
	f := &fixed{state: published(), err: query.ErrViewNotReady}
	for name, live := range map[string]RealtimeViews{"not ready": f, "none": nil} {
		a, err := ask(t, f, live, query.Merged)
		if err != nil {
			t.Fatal(err)
		}
		if got := a.Accuracy; got.Complete || !slices.Equal(got.StalePartitions, []int{0}) || got.Through[0] != 5 ||
			!got.Exact || *got.LagMS != 1000 {
			t.Errorf("%s: got %+v", name, got)
		}
		if _, err := ask(t, f, live, query.Live); !errors.Is(err, ErrLive) {
			t.Errorf("%s: mode live: got %v", name, err)
		}
		if a, err := ask(t, f, live, query.Exact); err != nil || !a.Accuracy.Complete {
			t.Errorf("%s: mode exact: got %v, %v", name, a, err)
		}
	}
}

// TestRetiredEvents: an answer says how many events of its tenant and buckets retention had removed, and is then not
// exact.
func TestRetiredEvents(t *testing.T) {
	t.Parallel()
	f := &fixed{state: published()}
	view := f.state.Views["flights"]
	hour := time.Hour.Microseconds()
	view.Retired = []record.BucketEvents{{Bucket: start.UnixMicro() - hour, Tenant: "default", Events: 5},
		{Bucket: start.UnixMicro(), Tenant: "default", Events: 70},
		{Bucket: start.UnixMicro(), Tenant: "other", Events: 8}}
	f.state.Views["flights"] = view
	a, err := ask(t, f, nil, query.Exact)
	if err != nil {
		t.Fatal(err)
	}
	if got := a.Accuracy; got.Retired != 70 || got.Exact || !got.Complete {
		t.Errorf("got %+v, want 70 retired events, complete and not exact", got)
	}
}

// TestFilledFrom: an answer that reaches back before its view is filled says so, but for mode live, which does not ask
// the batch view. An answer about later events is as of any view (B8).
func TestFilledFrom(t *testing.T) {
	t.Parallel()
	f := &fixed{state: published()}
	live := &fixed{live: &query.LivePart{Through: f.state.H}}
	view := f.state.Views["flights"]
	for after, isFilled := range map[time.Duration]bool{time.Hour: false, time.Microsecond: false, 0: true,
		-time.Hour: true} {
		from := start.Add(after)
		view.Fill = &record.Fill{From: from.UnixMicro(), Buckets: 1, Rows: 1}
		f.state.Views["flights"] = view
		for _, mode := range []query.Mode{query.Exact, query.Merged, query.Live} {
			a, err := ask(t, f, live, mode)
			if err != nil {
				t.Fatal(err)
			}
			got := a.Accuracy
			want := isFilled || mode == query.Live
			if got.Complete != want || got.Exact != want || (got.FilledFrom == nil) != want ||
				!want && !got.FilledFrom.Equal(from) {
				t.Errorf("filled from %s, mode %s: got %+v", from, mode, got)
			}
		}
	}
}

// TestBothLayersAreAskedForTheTenant checks that both scans have the tenant of the query.
func TestBothLayersAreAskedForTheTenant(t *testing.T) {
	t.Parallel()
	var asked []string
	f := &fixed{state: published(), live: &query.LivePart{Through: published().H}}
	r, err := New(Config{Catalog: oracle.Catalog(), Publications: f,
		Batch: batchFunc(func(s *query.Scan) { asked = append(asked, "batch "+s.Tenant) }),
		Live: liveFunc(func(s *query.Scan) *query.LivePart {
			asked = append(asked, "live "+s.Tenant)
			return f.live
		})})
	if err != nil {
		t.Fatal(err)
	}
	for _, tenant := range []string{"acme", "rival"} {
		if _, err := r.Answer(t.Context(), &query.Query{View: "flights", From: start, To: start.Add(time.Hour)},
			tenant); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"live acme", "batch acme", "live rival", "batch rival"}; !slices.Equal(asked, want) {
		t.Errorf("asked %v, want %v", asked, want)
	}
}

// batchFunc and liveFunc are layers that call a function with each scan.
type (
	batchFunc func(*query.Scan)
	liveFunc  func(*query.Scan) *query.LivePart
)

func (f batchFunc) Scan(_ context.Context, _ *record.State, s *query.Scan, _ batchview.Options) (*query.Part, error) {
	f(s)
	return nil, nil
}

func (f liveFunc) ScanAll(_ context.Context, scans []*query.Scan, _ []position.Offset) []query.LiveResult {
	var out []query.LiveResult
	for _, s := range scans {
		out = append(out, query.LiveResult{Live: f(s)})
	}
	return out
}

// TestOldPublicationsAnswerAlone covers an as_of that is older than what the speed layer keeps.
func TestOldPublicationsAnswerAlone(t *testing.T) {
	t.Parallel()
	f := &fixed{state: published(), live: expired()}
	r, err := New(Config{Catalog: oracle.Catalog(), Publications: kept{f.state}, Batch: noRows{}, Live: f})
	if err != nil {
		t.Fatal(err)
	}
	n := f.state.N
	a, err := r.Answer(t.Context(), &query.Query{View: "flights", From: start, To: start.Add(time.Hour), AsOf: &n},
		"default")
	if err != nil || f.asked != 1 || a.Accuracy.Complete || !slices.Equal(a.Accuracy.Through, a.Accuracy.Cut) {
		t.Errorf("got %+v, %v after %d attempts", a, err, f.asked)
	}
}

// kept has one publication.
type kept struct{ state *record.State }

func (k kept) Newest(context.Context) (*record.State, error)          { return k.state, nil }
func (k kept) StateAt(context.Context, uint64) (*record.State, error) { return k.state, nil }

// expired is the live part of a partition that does not reach back to the cut of published.
func expired() *query.LivePart {
	return &query.LivePart{Through: published().H, Stale: []int{0},
		Refused: []query.Refusal{{Partition: 0, Err: query.ErrPinExpired}}}
}

// TestRestartsAreBounded: a query whose pin expired starts again if there is a newer publication, and not for ever.
func TestRestartsAreBounded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		newer bool
		asked int
	}{"no newer publication": {false, 1}, "a newer publication in each try": {true, 1 + MaxRestarts}} {
		f := &fixed{state: published(), live: expired()}
		live := liveFunc(func(*query.Scan) *query.LivePart {
			if f.asked++; c.newer {
				next := *f.state
				next.N++
				f.state = &next
			}
			return f.live
		})
		a, err := ask(t, f, live, query.Merged)
		if err != nil || f.asked != c.asked || a.Accuracy.Complete || a.Accuracy.Through[0] != 5 {
			t.Errorf("%s: got %+v, %v after %d attempts, want the publication alone after %d", name, a, err, f.asked,
				c.asked)
		}
	}
}

// TestOnePartitionRefuses: a partition that cannot answer from the cut on is left out, and the others answer (Q2). This
// is the state after a seal or a hole in one partition, until the next publication.
func TestOnePartitionRefuses(t *testing.T) {
	t.Parallel()
	state := published()
	state.H = []position.Offset{{Seq: 5}, {Seq: 8}}
	event := oracle.Event{Time: start.UnixMicro(), Fields: map[string]any{"origin": "ORD"}}
	for name, reason := range map[string]error{"the pin expired": query.ErrPinExpired,
		"the cut is no boundary": errors.New("offset is not a segment boundary")} {
		f := &fixed{state: state}
		live := liveFunc(func(s *query.Scan) *query.LivePart {
			f.asked++
			return &query.LivePart{Part: oracle.Part(s, []oracle.Event{event, event}, oracle.Speed), Pending: 2,
				Through: []position.Offset{{Seq: 5}, {Seq: 10}}, Stale: []int{0},
				Refused: []query.Refusal{{Partition: 0, Err: reason}}}
		})
		r, err := New(Config{Catalog: oracle.Catalog(), Publications: f, Batch: noRows{}, Live: live,
			Known: func() []uint64 { return []uint64{7, 10} }})
		if err != nil {
			t.Fatal(err)
		}
		for _, mode := range []query.Mode{query.Merged, query.Live} {
			f.asked = 0
			a, err := r.Answer(t.Context(), &query.Query{View: "flights", Measures: []string{"n"}, From: start,
				To: start.Add(time.Hour), Mode: mode}, "default")
			if err != nil {
				t.Fatalf("%s, mode %s: %v", name, mode, err)
			}
			got := a.Accuracy
			if a.Rows() != 1 || a.Measures[0].Value.Ints[0] != 2 || !slices.Equal(got.StalePartitions, []int{0}) ||
				!slices.Equal(got.Through, []uint64{5, 10}) || got.Complete || got.Exact || f.asked != 1 {
				t.Errorf("%s, mode %s: got %+v with %d rows after %d attempts, want partition 1 alone", name, mode, got,
					a.Rows(), f.asked)
			}
		}
	}
}

// TestLostRowsAreNotCollected tells lost rows from collected rows. If a restart finds the same
// publication, its rows were lost and another restart would not help. The rows of a newer
// publication may exist.
func TestLostRowsAreNotCollected(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		newer bool
		asked int
		want  error
	}{
		"the same publication":            {false, 2, ErrLost},
		"a newer publication in each try": {true, 1 + MaxRestarts, ErrRestarts},
	} {
		state := published()
		asked := 0
		r, err := New(Config{Catalog: oracle.Catalog(), Publications: kept{state}, Batch: goneRows(func() {
			if asked++; c.newer {
				state.N++
			}
		})})
		if err != nil {
			t.Fatal(err)
		}
		q := &query.Query{View: "flights", From: start, To: start.Add(time.Hour), Mode: query.Exact}
		if _, err := r.Answer(t.Context(), q, "default"); !errors.Is(err, c.want) || asked != c.asked {
			t.Errorf("%s: got %v after %d attempts, want %v after %d", name, err, asked, c.want, c.asked)
		}
	}
}

// goneRows is a batch layer in which the pinned rows are missing.
type goneRows func()

func (f goneRows) Scan(context.Context, *record.State, *query.Scan, batchview.Options) (*query.Part, error) {
	f()
	return nil, query.ErrCollected
}

// TestSpeedBelowTheCutIsRefused covers live parts with which messages would be counted twice.
func TestSpeedBelowTheCutIsRefused(t *testing.T) {
	t.Parallel()
	for name, live := range map[string]*query.LivePart{
		"below the cut": {Through: []position.Offset{{Seq: 4}}}, "too few partitions": {},
		"stale beyond the cut": {Through: []position.Offset{{Seq: 6}}, Stale: []int{0}},
		"refused and not stale": {Through: []position.Offset{{Seq: 5}},
			Refused: []query.Refusal{{Partition: 0, Err: query.ErrPinExpired}}},
	} {
		f := &fixed{state: published(), live: live}
		if _, err := ask(t, f, f, query.Merged); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestUnpublishedViewSaysSo(t *testing.T) {
	t.Parallel()
	f := &fixed{state: published(),
		live: &query.LivePart{Through: []position.Offset{{Seq: 7}}, Pending: 2, Appended: start.UnixMicro()}}
	f.state.Views = nil
	for mode, want := range map[query.Mode]error{query.Merged: ErrNotPublished, query.Exact: ErrNotPublished,
		query.Live: nil} {
		if _, err := ask(t, f, f, mode); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", mode, err, want)
		}
	}
}

// TestShortAnswersSaySo asks for answers that end before what the process knows to be acknowledged (Q6).
func TestShortAnswersSaySo(t *testing.T) {
	t.Parallel()
	through := []position.Offset{{Seq: 5}}
	for _, c := range []struct {
		name                    string
		known                   []uint64
		lagging                 []int
		mode                    query.Mode
		wantComplete, wantExact bool
		wantStale               []int
	}{
		{"nothing is known", nil, nil, query.Merged, true, true, nil},
		{"level", []uint64{5}, nil, query.Merged, true, true, nil},
		{"short", []uint64{6}, nil, query.Merged, false, false, nil},
		{"short in mode live", []uint64{6}, nil, query.Live, false, false, nil},
		{"short and lagging", []uint64{6}, []int{0}, query.Merged, false, false, []int{0}},
		{"mode exact asks for the publication", []uint64{6}, nil, query.Exact, true, true, nil},
	} {
		f := &fixed{state: published(), live: &query.LivePart{Through: through, Lagging: c.lagging}}
		r, err := New(Config{Catalog: oracle.Catalog(), Publications: f, Batch: noRows{}, Live: f,
			Known: func() []uint64 { return c.known }})
		if err != nil {
			t.Fatal(err)
		}
		q := &query.Query{View: "flights", From: start, To: start.Add(time.Hour), Mode: c.mode}
		a, err := r.Answer(t.Context(), q, "default")
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got := a.Accuracy; got.Complete != c.wantComplete || got.Exact != c.wantExact ||
			!slices.Equal(got.StalePartitions, c.wantStale) {
			t.Errorf("%s: got %+v", c.name, got)
		}
	}
}

// earlier has publication 1, which covers less than the newest publication.
type earlier struct {
	*fixed
	first *record.State
}

func (e earlier) StateAt(context.Context, uint64) (*record.State, error) { return e.first, nil }

// TestEarlierPublicationSaysSo pins a publication that covers less than answers before it, while the speed
// layer lags the newest publication (Q6). The simulation's seed 1 found the case.
func TestEarlierPublicationSaysSo(t *testing.T) {
	t.Parallel()
	newest := *published()
	newest.H = []position.Offset{{Seq: 12}}
	first := *published()
	first.H = []position.Offset{{Seq: 5}}
	f := &fixed{state: &newest, live: &query.LivePart{Through: []position.Offset{{Seq: 6}}}}
	r, err := New(Config{Catalog: oracle.Catalog(), Publications: earlier{f, &first}, Batch: noRows{}, Live: f,
		Known: func() []uint64 { return []uint64{6} }})
	if err != nil {
		t.Fatal(err)
	}
	n := uint64(1)
	for mode, want := range map[query.Mode]bool{query.Merged: false, query.Live: false, query.Exact: true} {
		q := &query.Query{View: "flights", From: start, To: start.Add(time.Hour), Mode: mode, AsOf: &n}
		a, err := r.Answer(t.Context(), q, "default")
		if err != nil {
			t.Fatalf("%s: %v", mode, err)
		}
		if a.Accuracy.Complete != want || a.Accuracy.Exact != want {
			t.Errorf("%s: got %+v, want complete and exact %v", mode, a.Accuracy, want)
		}
	}
}

// TestMemoryIsRefused asks while another query holds all memory, and asks for more than there is. Neither is
// answered without a layer, as if that layer were down.
func TestMemoryIsRefused(t *testing.T) {
	t.Parallel()
	f := &fixed{state: published(), live: &query.LivePart{Through: published().H}}
	layers := map[string]Config{
		"live": {Batch: noRows{}, Live: oracle.OneByOne(func(ctx context.Context, s *query.Scan,
			cut []position.Offset) (*query.LivePart, error) {
			return &query.LivePart{Through: cut}, s.Memory.Grow(ctx, 3<<20)
		})},
		"batch": {Live: f, Batch: batchScan(func(ctx context.Context, s *query.Scan) error {
			return s.Memory.Grow(ctx, 3<<20)
		})},
	}
	for name, cfg := range layers {
		cfg.Catalog = oracle.Catalog()
		cfg.Publications = f
		cfg.Memory = query.NewBudget(4<<20, time.Millisecond, false)
		r, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		other := r.Memory.Open("other")
		if err := other.Grow(t.Context(), 2<<20); err != nil {
			t.Fatal(err)
		}
		q := &query.Query{View: "flights", From: start, To: start.Add(time.Hour)}
		if _, err := r.Answer(t.Context(), q, "default"); !errors.Is(err, query.ErrMemoryBusy) {
			t.Errorf("%s: got %v, want %v", name, err, query.ErrMemoryBusy)
		}
		other.Close()
		r.Memory = query.NewBudget(2<<20, time.Millisecond, false)
		var tooMuch *query.TooMuchMemoryError
		if _, err := r.Answer(t.Context(), q, "default"); !errors.As(err, &tooMuch) {
			t.Errorf("%s: got %v, want a *query.TooMuchMemoryError", name, err)
		}
	}
}

// batchScan is a batch layer without rows.
type batchScan func(ctx context.Context, s *query.Scan) error

func (f batchScan) Scan(ctx context.Context, _ *record.State, s *query.Scan, _ batchview.Options) (*query.Part,
	error) {
	return nil, f(ctx, s)
}

// TestExpiredAsOfIsQuiet: the real-time views no longer reach back to an early publication that a query names. That is
// no warning. It is one for the newest publication.
func TestExpiredAsOfIsQuiet(t *testing.T) {
	t.Parallel()
	w := newWorld(1)
	w.publishAll()
	w.publishAll()
	var log strings.Builder
	r := pagesReader(t, w)
	r.Logger = slog.New(slog.NewTextHandler(&log, nil))
	r.Live = liveFunc(func(s *query.Scan) *query.LivePart {
		return &query.LivePart{Part: oracle.Part(s, nil, oracle.Speed), Through: w.newest().H, Stale: []int{0, 1},
			Refused: []query.Refusal{{Partition: 0, Err: query.ErrPinExpired},
				{Partition: 1, Err: query.ErrPinExpired}}}
	})
	for asOf, warnings := range map[uint64]int{1: 0, 0: 2} {
		q := &query.Query{View: "flights", From: start, To: start.Add(time.Hour)}
		if asOf > 0 {
			q.AsOf = &asOf
		}
		log.Reset()
		a, err := r.Answer(t.Context(), q, "default")
		if err != nil || len(a.Accuracy.StalePartitions) != 2 {
			t.Fatalf("got %+v, %v", a, err)
		}
		if n := strings.Count(log.String(), "level=WARN"); n != warnings {
			t.Errorf("as_of %d: %d warnings, want %d: %s", asOf, n, warnings, log.String())
		}
	}
}
