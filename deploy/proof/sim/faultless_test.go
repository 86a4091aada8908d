package sim

import (
	"context"
	"io"
	"slices"

	"recount/schemas/eventbatch"
	"recount/schemas/position"
)

// faultless is the log and the object store without faults.
type faultless struct{ w *world }

type faultlessReader struct {
	w    *world
	p    int
	next uint64
}

func (f faultless) Read(_ context.Context, p int, from uint64) (eventbatch.Reader, error) {
	return &faultlessReader{f.w, p, from}, nil
}

func (f faultless) Heartbeat(context.Context, int) error { return nil }

func (r *faultlessReader) Next(context.Context) (eventbatch.Message, error) {
	l := &r.w.logs[r.p]
	r.next++
	if m := l.messages[r.next-1]; m != nil && r.next-1 >= l.first && r.next-1 < l.next {
		return eventbatch.Message{Seq: r.next - 1, Frame: slices.Clone(m.frame)}, nil
	}
	return eventbatch.Message{}, position.ErrTrimmed
}

func (r *faultlessReader) Close() {}

// Put stores an object without faults, for code that runs outside the bubble.
func (f faultless) Put(_ context.Context, key string, body io.ReaderAt, size int64) error {
	raw := make([]byte, size)
	if _, err := body.ReadAt(raw, 0); err != nil && err != io.EOF {
		return err
	}
	f.w.storeObject(key, raw, false)
	return nil
}

// Get reads an object without faults, for code that runs outside the bubble.
func (f faultless) Get(_ context.Context, key string) ([]byte, error) {
	return f.w.objects[key].body, nil
}
