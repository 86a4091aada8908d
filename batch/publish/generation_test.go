package publish

import (
	"context"
	"testing"
	"time"

	"recount/schemas/catalog"
	"recount/schemas/record"
)

// TestViewIsAddedWhileAProcessRuns declares another view between two runs of one process. Its table is created before
// its SQL VIEW, also in a run that does not check rows.
func TestViewIsAddedWhileAProcessRuns(t *testing.T) {
	t.Parallel()
	w, r := newRandomWorld(t)
	w.land("flight", randomEvents(r, 40, epoch.UnixMicro(), 2)...)
	generation := uint64(1)
	declared := catalogOf(wideView())
	p := w.unstarted(declared, nil)
	p.cfg.Newest = func(context.Context) (uint64, *catalog.Catalog, error) { return generation, declared, nil }
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.recompute(p)
	generation++
	declared = catalogOf(wideView(), slimView())
	w.recompute(p)
	if p.State().Generation() != generation || p.State().Views["slim"].Digest == "" {
		t.Errorf("got generation %d and views %+v", p.State().Generation(), p.State().Views)
	}
}

// TestLedgerOfOldDataWhileViewsFill redefines the view of a type whose publication is from before there were ledgers.
// The ledger begins at that publication's H, and has every row that lands from there on, also one of an hour that had
// none before and to which no view is filled yet.
func TestLedgerOfOldDataWhileViewsFill(t *testing.T) {
	t.Parallel()
	w, r := newRandomWorld(t)
	w.stepRows = 20
	w.land("flight", randomEvents(r, 100, epoch.UnixMicro()+10*hour, 20)...)
	generation := uint64(1)
	declared := catalogOf(slimView())
	p := w.unstarted(declared, nil)
	p.cfg.Newest = func(context.Context) (uint64, *catalog.Catalog, error) { return generation, declared, nil }
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for left := int64(1); left > 0; {
		left = w.recompute(p).Left
	}
	delete(p.State().Ledgers, "flight")
	changed := slimView()
	changed.Cell = time.Minute
	generation++
	declared = catalogOf(changed)
	late := 0
	for i, left := 0, int64(1); left > 0; i++ {
		if i < 2 {
			w.land("flight", randomEvents(r, 30, epoch.UnixMicro(), 20)...)
			late += 30
		}
		left = w.recompute(p).Left
	}
	entered := int64(0)
	ledger := p.State().Ledgers["flight"]
	for _, accounts := range ledger.Tenants {
		entered += record.Sum(accounts).Rows
	}
	if entered != int64(late) || ledger.IsComplete() {
		t.Errorf("the ledger has %d rows from %v on, and %d landed", entered, ledger.From, late)
	}
}

// TestViewComesBack removes a view and declares it again. Until a publication has it, its SQL VIEW shows nothing: the
// rows from before it was removed lack what came meanwhile.
func TestViewComesBack(t *testing.T) {
	t.Parallel()
	w, r := newRandomWorld(t)
	generation := uint64(1)
	both := catalogOf(wideView(), slimView())
	declared := both
	p := w.unstarted(declared, nil)
	p.cfg.Newest = func(context.Context) (uint64, *catalog.Catalog, error) { return generation, declared, nil }
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	publish := func(c *catalog.Catalog) {
		w.land("flight", randomEvents(r, 20, epoch.UnixMicro(), 2)...)
		generation++
		declared = c
		w.recompute(p)
	}
	publish(both)
	publish(catalogOf(slimView()))
	generation++
	declared = both
	if err := p.useNewest(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.project(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := w.queryNumber("SELECT count() FROM wide"); n > 0 {
		t.Errorf("the VIEW shows %d rows before a publication has the view", n)
	}
	publish(both)
	w.checkWide("after the view came back")
}
