package publish

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"recount/schemas/record"
)

// TestLostObjects lets the store lose an object after its publication. The object is rebuilt from the
// log when a run reads it, and before the log is trimmed. If the log cannot give it, the error names
// it and says what to do, and nothing is published or trimmed.
func TestLostObjects(t *testing.T) {
	t.Parallel()
	w, r := newRandomWorld(t)
	p := w.publisher(catalogOf(wideView(), slimView()), nil)
	w.land("flight", randomEvents(r, 40, epoch.UnixMicro(), 2)...)
	w.recompute(p)

	log := maps.Clone(w.objects) // The objects that can be rebuilt from the log.
	given := 0
	p.cfg.Rebuild = func(_ context.Context, o record.Object) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if log[o.Key] == nil {
			return fmt.Errorf("%w: trimmed", record.ErrObjectLost)
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
		t.Errorf("%d of %d lost objects came back", given, len(log))
	}

	first := []uint64{1, 1}
	bounds := []uint64{2, 2}
	if err := p.EnsureObjects(t.Context(), first, bounds); err != nil || given != len(log) {
		t.Errorf("nothing is missing: got error %v, and %d objects were rebuilt so far, want %d", err, given, len(log))
	}
	var lost string
	for lost = range log {
		break
	}
	delete(w.objects, lost)
	if err := p.EnsureObjects(t.Context(), []uint64{2, 2}, []uint64{3, 3}); err != nil || w.objects[lost] != nil {
		t.Errorf("the lost object is outside the range: got %v, want it left alone", err)
	}
	if err := p.EnsureObjects(t.Context(), first, bounds); err != nil || w.objects[lost] == nil {
		t.Errorf("before the log is trimmed: got %v, want the object rebuilt", err)
	}
	delete(w.objects, lost)
	delete(log, lost)
	if err := p.EnsureObjects(t.Context(), first, bounds); err == nil || !strings.Contains(err.Error(), lost) ||
		!strings.Contains(err.Error(), "restore it") {
		t.Errorf("the log no longer has the events: got %v, want an error that names %s and what to do", err, lost)
	}
	w.land("flight", randomEvents(r, 40, epoch.UnixMicro(), 2)...)
	n := p.State().N
	if _, err := p.Recompute(t.Context()); err == nil || !strings.Contains(err.Error(), lost) || p.State().N != n {
		t.Errorf("a run that reads the object: got %v and publication %d, want an error and publication %d", err,
			p.State().N, n)
	}
	p.cfg.Rebuild = nil
	if err := p.EnsureObjects(t.Context(), first, bounds); !errors.Is(err, record.ErrNotFound) {
		t.Errorf("without Rebuild: got %v, want ErrNotFound", err)
	}
}

// TestRefusesOnlyLostObjects lets rebuilding fail in two ways. An object that the log cannot give needs an operator. A
// log that does not answer needs another run.
func TestRefusesOnlyLostObjects(t *testing.T) {
	t.Parallel()
	for _, failure := range []error{context.DeadlineExceeded, context.Canceled, record.ErrObjectLost} {
		t.Run(failure.Error(), func(t *testing.T) {
			t.Parallel()
			w, r := newRandomWorld(t)
			p := w.publisher(catalogOf(slimView()), nil)
			w.land("flight", randomEvents(r, 10, epoch.UnixMicro(), 2)...)
			clear(w.objects)
			p.cfg.Rebuild = func(context.Context, record.Object) error { return failure }
			_, err := p.Recompute(t.Context())
			if !errors.Is(err, failure) {
				t.Errorf("got %v, want %v", err, failure)
			}
			if refused := p.Refused() != nil; refused != errors.Is(failure, record.ErrObjectLost) {
				t.Errorf("every run counts as refused: %v, after %v", refused, err)
			}
		})
	}
}
