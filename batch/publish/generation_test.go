package publish

import (
	"context"
	"testing"

	"recount/schemas/catalog"
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
