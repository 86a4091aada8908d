package publish

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"

	"recount/batch/lake"
	"recount/schemas/record"
)

// TestLostObjects: an object that the store loses behind its publication comes back from the
// log when a run reads it, and before the log is trimmed; if the log cannot give it, the
// error says which and what to do, and nothing is published or trimmed.
func TestLostObjects(t *testing.T) {
	t.Parallel()
	w, r := start(t)
	p := w.publisher(catalogOf(wideView(), slimView()), nil)
	w.land("flight", randomEvents(r, 40, epoch.UnixMicro(), 2)...)
	w.recompute(p)

	log := maps.Clone(w.objects) // What the log would give.
	given := 0
	p.cfg.Rebuild = func(_ context.Context, o record.Object) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if log[o.Key] == nil {
			return errors.New("trimmed")
		}
		w.objects[o.Key] = log[o.Key]
		given++
		return nil
	}
	clear(w.objects)
	w.land("flight", randomEvents(r, 40, epoch.UnixMicro(), 2)...)
	w.recompute(p)
	w.checkWide("objects came back")
	if given != len(log) || given == 0 {
		t.Errorf("%d objects came back of %d that were lost", given, len(log))
	}

	first := []uint64{1, 1}
	bounds := []uint64{2, 2}
	if err := p.Secure(t.Context(), first, bounds); err != nil || given != len(log) {
		t.Errorf("nothing is missing: %v, %d came back", err, given)
	}
	var lost string
	for lost = range log {
		break
	}
	delete(w.objects, lost)
	if err := p.Secure(t.Context(), []uint64{2, 2}, []uint64{3, 3}); err != nil || w.objects[lost] != nil {
		t.Errorf("beyond the log: %v", err)
	}
	if err := p.Secure(t.Context(), first, bounds); err != nil || w.objects[lost] == nil {
		t.Errorf("before the log is trimmed: %v", err)
	}
	delete(w.objects, lost)
	delete(log, lost)
	if err := p.Secure(t.Context(), first, bounds); err == nil || !strings.Contains(err.Error(), lost) ||
		!strings.Contains(err.Error(), "restore it") {
		t.Errorf("the log has it no longer: %v, want an error that names %s and what to do", err, lost)
	}
	w.land("flight", randomEvents(r, 40, epoch.UnixMicro(), 2)...)
	n := p.State().N
	if _, err := p.Recompute(t.Context()); err == nil || !strings.Contains(err.Error(), lost) || p.State().N != n {
		t.Errorf("a run that reads it: %v, publication %d, want an error and %d", err, p.State().N, n)
	}
	p.cfg.Rebuild = nil
	if err := p.Secure(t.Context(), first, bounds); !errors.Is(err, lake.ErrNotFound) {
		t.Errorf("nobody rebuilds: %v", err)
	}
}
