package ingest

import (
	"errors"
	"fmt"
	"time"

	"recount/schemas/deadletter"
	"recount/schemas/problem"
)

// Letter is a rejected event as it was kept.
type Letter struct {
	Raw      []byte
	Strict   bool      // it came under a content type of CloudEvents' own
	Received time.Time // the time of an event without one: copies of a letter meet in one bucket (D1)
}

// Outcome is what became of a letter. Without a code its event is durable, or would be
// accepted; however often it is replayed, it counts once.
type Outcome struct {
	Code    problem.Code
	Message string
}

// Replay takes letters of a tenant through the door again, as if they were one request. A
// dry run only decodes them. The letters and the process must be within the limits of a
// request; an error that wraps deadletter.ErrOverloaded means that nothing was stored.
func (s *Server) Replay(tenant string, letters []Letter, dry bool) ([]Outcome, error) {
	q := s.requests.Get().(*request)
	defer func() {
		q.recycle()
		s.requests.Put(q)
	}()
	q.body = q.body[:0]
	q.mine = s.memory.of(tenant)
	caps := s.caps.of(tenant, s.now().UnixMicro())
	if dry {
		caps = nil // What is only tried takes no values' places.
	}
	q.dec.serve(tenant, caps)
	if f := q.pay(baseCost); f != nil {
		return nil, refusedReplay(f)
	}
	out := make([]Outcome, len(letters))
	for i, l := range letters {
		f := q.dec.letter(l, s.now())
		if f != nil {
			out[i] = Outcome{f.code, f.msg}
			continue
		}
		if f := q.store(i); f != nil {
			return nil, refusedReplay(f)
		}
	}
	if dry {
		return out, nil
	}
	if f := s.submit(q.chunks); f != nil {
		return nil, refusedReplay(f)
	}
	accepted, _ := q.settle(s.epochs)
	for _, r := range q.rejected {
		out[r.index] = Outcome{r.code, r.msg}
	}
	s.metrics.accepted.Add(float64(accepted))
	s.metrics.replayed.Add(float64(accepted))
	return out, nil
}

// letter decodes a kept event, which must be all there is of its bytes.
func (d *decoder) letter(l Letter, now time.Time) *fault {
	d.start(l.Raw, l.Strict, now)
	d.now = l.Received.UnixMicro()
	f := d.event()
	if (f == nil || f.code != problem.InvalidJSON) && (d.next() != 0 || d.pos < len(d.buf)) {
		f = &fault{code: problem.InvalidJSON, msg: "there is more behind the event"}
	}
	return f
}

func refusedReplay(f *fault) error {
	err := fmt.Errorf("replay: %s: %s", f.code, f.msg)
	if f.status == 429 || f.status == 503 {
		err = errors.Join(deadletter.ErrOverloaded, err)
	}
	return err
}
