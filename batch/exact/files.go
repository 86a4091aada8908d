package exact

import (
	"context"
	"sync"
)

// files opens each object at most once in a run and closes it after the last span that reads it (B3).
type files struct {
	ctx   context.Context // the run's own, because a file outlives the task that opened it
	open  Open
	plan  *plan
	slots []slot
}

type slot struct {
	mu    sync.Mutex
	file  File
	spans int // spans that still need the file
}

func newFiles(ctx context.Context, open Open, p *plan) *files {
	f := &files{ctx: ctx, open: open, plan: p, slots: make([]slot, len(p.objects))}
	for _, s := range p.spans {
		for _, o := range s.objects {
			f.slots[o].spans++
		}
	}
	return f
}

// get returns the open object. The caller must not have released its span yet.
func (f *files) get(object int) (File, error) {
	s := &f.slots[object]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		file, err := f.open(f.ctx, f.plan.objects[object].Object)
		if err != nil {
			return nil, err
		}
		s.file = file
	}
	return s.file, nil
}

// release ends the use of the span's objects. Errors of Close are ignored: closing a file that
// was only read cannot lose anything.
func (f *files) release(span *span) {
	for _, o := range span.objects {
		s := &f.slots[o]
		s.mu.Lock()
		if s.spans--; s.spans == 0 {
			s.close()
		}
		s.mu.Unlock()
	}
}

// closeAll closes the files that a failed run left open.
func (f *files) closeAll() {
	for i := range f.slots {
		f.slots[i].close()
	}
}

func (s *slot) close() {
	if s.file != nil {
		_ = s.file.Close()
		s.file = nil
	}
}
