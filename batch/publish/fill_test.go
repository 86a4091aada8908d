package publish

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"recount/schemas/catalog"
	"recount/schemas/record"
	"recount/schemas/window"
)

// checkFill compares what the newest publication says of a view that is being filled with what has landed, and the rows
// of the view wide with the oracle of the events from the fill's bound on (B8). It returns the bound.
func (w *world) checkFill(p *Publisher, name string) (from int64) {
	w.t.Helper()
	v := p.State().Views[name]
	from = math.MinInt64
	comment := ""
	if v.Fill != nil {
		from = v.Fill.From
		comment = " filled from " + time.UnixMicro(from).UTC().Format(time.RFC3339)
	}
	want := map[int64]int64{}
	for _, list := range w.landed {
		for _, e := range list {
			if e.time < from {
				want[window.Floor(e.time, time.Hour)]++
			}
		}
	}
	var rows int64
	for _, n := range want {
		rows += n
	}
	if v.Fill != nil && (v.Fill.Buckets != len(want) || v.Fill.Rows != rows) {
		w.t.Errorf("view %s: the publication has %+v, want %d buckets with %d rows", name, *v.Fill, len(want), rows)
	}
	var got string
	if err := w.db.QueryRow(w.t.Context(), "SELECT comment FROM system.tables WHERE database = currentDatabase() AND "+
		"name = '"+name+"'").Scan(&got); err != nil || strings.Contains(got, "filled") != (v.Fill != nil) ||
		!strings.HasSuffix(got, comment) {
		w.t.Errorf("view %s: the VIEW has the comment %q, %v; want it to end in %q", name, got, err, comment)
	}
	if name == "wide" {
		events := slices.DeleteFunc(w.countedEvents(), func(e event) bool { return e.time < from })
		if diff := cmp.Diff(wideRows(events, w.limit), w.readWide()); diff != "" {
			w.t.Fatalf("filled from %d: rows (-oracle +VIEW): %s", from, diff)
		}
	}
	return from
}

// checkCounts checks that the ledger of the type flight has the rows of the buckets that are counted.
func (w *world) checkCounts(p *Publisher) {
	w.t.Helper()
	s := p.State()
	var counted, entered record.Account
	for _, c := range s.Types["flight"] {
		counted = counted.Plus(record.Account{Rows: c.Rows, Duplicates: c.Duplicates, Conflicts: c.Conflicts})
	}
	ledger := s.Ledgers["flight"]
	for _, accounts := range ledger.Tenants {
		entered = entered.Plus(record.Sum(accounts))
	}
	if counted != entered || !ledger.IsComplete() {
		w.t.Errorf("the ledger from %v on has %+v, and the buckets have %+v", ledger.From, entered, counted)
	}
}

// runUntilItEnds recomputes with a new process that dies at a random operation, then with one that lives.
func (w *world) runUntilItEnds(c *catalog.Catalog, r *rand.Rand) (*Publisher, Result) {
	w.t.Helper()
	f := &faults{at: -1, after: r.IntN(2) == 0}
	dying := w.publisher(c, f)
	f.arm(r.IntN(40))
	_, _ = dying.Recompute(w.t.Context())
	p := w.publisher(c, nil)
	return p, w.recompute(p)
}

// TestFillsInSteps adds a view to a history. Every publication computes what has landed for the other view, and a step
// for the new one, the newest buckets first. Processes die in between, and late events come for all buckets.
func TestFillsInSteps(t *testing.T) {
	t.Parallel()
	w, r := newRandomWorld(t)
	w.land("flight", randomEvents(r, 400, epoch.UnixMicro(), 30)...)
	w.recompute(w.publisher(catalogOf(slimView()), nil))
	w.stepRows = 40
	c := catalogOf(slimView(), wideView())
	before := int64(math.MaxInt64)
	steps := 0
	for before != math.MinInt64 {
		w.land("flight", randomEvents(r, 6, epoch.UnixMicro(), 30)...)
		p, result := w.runUntilItEnds(c, r)
		from := w.checkFill(p, "wide")
		if slim := p.State().Views["slim"].Fill; from >= before || slim != nil {
			t.Fatalf("filled from %d, and before from %d; the other view %+v", from, before, slim)
		}
		if fill := p.State().Views["wide"].Fill; fill != nil && result.Left != fill.Rows ||
			fill == nil && result.Left > 0 {
			t.Errorf("got %+v, want as many rows left as in %+v", result, fill)
		}
		w.checkLedger(p)
		before = from
		steps++
	}
	if steps < 5 {
		t.Errorf("the view was filled in %d steps, want more", steps)
	}
	p := w.publisher(c, nil)
	w.recompute(p)
	if got := w.recompute(p); !got.Nothing || p.State().Publication.Requires != nil {
		t.Errorf("after the last step: got %+v and a record that requires %v", got, p.State().Publication.Requires)
	}
	w.checkWide("after the last step")
}

// TestFirstViewsFillInSteps fills the first views of a type. Each bucket is counted once, when the first view takes it.
// Meanwhile one view is redefined, and catches up before the other goes on. Then it is redefined again and the other is
// removed for some time, so that the type has counts of buckets which no view has.
func TestFirstViewsFillInSteps(t *testing.T) {
	t.Parallel()
	w, r := newRandomWorld(t)
	w.stepRows = 30
	w.land("flight", randomEvents(r, 300, epoch.UnixMicro(), 24)...)
	c := catalogOf(slimView(), wideView())
	waited := false
	for i := 0; ; i++ {
		p, result := w.runUntilItEnds(c, r)
		slim := w.checkFill(p, "slim")
		wide := slim
		if c.Views["wide"] != nil {
			wide = w.checkFill(p, "wide")
		}
		w.checkCounts(p)
		if i < 3 && (wide != slim || result.Buckets > 5) {
			t.Errorf("got %+v, with the views filled from %d and %d; want a few buckets that they share", result, wide,
				slim)
		}
		waited = waited || wide < slim
		w.land("flight", randomEvents(r, 6, epoch.UnixMicro(), 30)...)
		changed := slimView()
		changed.Cell = time.Minute
		switch i {
		case 3:
			c = catalogOf(changed, wideView())
		case 6:
			c = catalogOf(slimView())
		case 8:
			c = catalogOf(slimView(), wideView())
		}
		if result.Left == 0 && i > 8 {
			break
		}
	}
	if !waited {
		t.Error("the view that was not redefined never waited for the other")
	}
	p := w.publisher(c, nil)
	w.recompute(p)
	w.checkWide("after the last step")
	w.checkLedger(p)
}

// TestOneStepIsEnough publishes a history that fits a step. It is one publication, which needs no newer reader.
func TestOneStepIsEnough(t *testing.T) {
	t.Parallel()
	w, r := newRandomWorld(t)
	w.land("flight", randomEvents(r, 100, epoch.UnixMicro(), 30)...)
	p := w.publisher(catalogOf(wideView()), nil)
	if got := w.recompute(p); got.Left > 0 || p.State().Publication.Requires != nil {
		t.Errorf("got %+v, and a record that requires %v", got, p.State().Publication.Requires)
	}
	w.checkWide("after one step")
	w.checkLedger(p)
	if got := DefaultConfig(catalogOf(), 1).stepRows(); got != stepRows {
		t.Errorf("a step has %d rows by default, want %d", got, stepRows)
	}
	if got := (Config{Memory: 64 << 20}).stepRows(); got != 64<<20/stepRowBytes {
		t.Errorf("a step has %d rows with 64 MiB, want %d", got, 64<<20/stepRowBytes)
	}
}
