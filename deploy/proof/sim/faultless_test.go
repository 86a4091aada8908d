package sim

import (
	"context"
	"io"
	"slices"

	"recount/schemas/eventbatch"
	"recount/schemas/position"
)

// plain is the log and the store without faults.
type plain struct{ w *world }

type plainReader struct {
	w    *world
	p    int
	next uint64
}

func (x plain) Read(_ context.Context, p int, from uint64) (eventbatch.Reader, error) {
	return &plainReader{x.w, p, from}, nil
}

func (x plain) Heartbeat(context.Context, int) error { return nil }

func (r *plainReader) Next(context.Context) (eventbatch.Message, error) {
	l := &r.w.logs[r.p]
	r.next++
	if m := l.line[r.next-1]; m != nil && r.next-1 >= l.first && r.next-1 < l.next {
		return eventbatch.Message{Seq: r.next - 1, Frame: slices.Clone(m.frame)}, nil
	}
	return eventbatch.Message{}, position.ErrTrimmed
}

func (r *plainReader) Close() {}

// Put and Get are the store without faults, for what runs outside the bubble.
func (x plain) Put(_ context.Context, key string, body io.ReaderAt, size int64) error {
	raw := make([]byte, size)
	if _, err := body.ReadAt(raw, 0); err != nil && err != io.EOF {
		return err
	}
	x.w.put(key, raw, false)
	return nil
}

func (x plain) Get(_ context.Context, key string) ([]byte, error) { return x.w.objects[key].body, nil }
