package ingest

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"recount/schemas/deadletter"
	"recount/schemas/problem"
)

// DeadLetter is a rejected event as it was kept.
type DeadLetter struct {
	Raw      []byte
	Strict   bool      // it came with a content type of CloudEvents' own
	Received time.Time // becomes the time of an event without one, so that all replays of it share a bucket (D1)
}

// Outcome is what became of a dead letter. Without a code its event is durable, or would be
// accepted. However often the event is replayed, it counts once.
type Outcome struct {
	Code    problem.Code
	Message string
	Coerced bool // a value of the event was converted (catalog.Field.Coerce)
}

// Replay sends dead letters of a tenant through ingest again, as if they were one request. A
// dry run only decodes them. The limits of a request apply, and those of the process. After
// an error that wraps deadletter.ErrOverloaded nothing was stored.
func (s *Server) Replay(tenant string, deadLetters []DeadLetter, dry bool) ([]Outcome, error) {
	q := s.current().requests.Get().(*request)
	defer func() {
		q.recycle()
		q.declared.requests.Put(q)
	}()
	q.body = q.body[:0]
	q.held = s.memory.held(tenant)
	caps := s.caps.setsOf(tenant, s.now().UnixMicro())
	if dry {
		caps = nil // A dry run adds no values.
	}
	q.decoder.setTenant(tenant, caps)
	if p := q.pay(baseCost); p != nil {
		return nil, replayError(p)
	}
	outcomes := make([]Outcome, len(deadLetters))
	for i, l := range deadLetters {
		if refused := q.decoder.decodeDeadLetter(l, s.now()); refused != nil {
			outcomes[i] = Outcome{Code: refused.code, Message: refused.message}
			continue
		}
		outcomes[i].Coerced = q.decoder.row.isCoerced()
		if p := q.store(i); p != nil {
			return nil, replayError(p)
		}
	}
	if dry {
		return outcomes, nil
	}
	if p := s.submit(q.chunks); p != nil {
		return nil, replayError(p)
	}
	accepted, _ := q.settle(s.epochs)
	for _, e := range q.rejected {
		outcomes[e.index] = Outcome{Code: e.code, Message: e.message}
	}
	s.metrics.accepted.Add(float64(accepted))
	s.metrics.replayed.Add(float64(accepted))
	s.countCoerced(q)
	return outcomes, nil
}

// decodeDeadLetter decodes the bytes of a dead letter, which must be one event and nothing else.
func (d *decoder) decodeDeadLetter(l DeadLetter, now time.Time) *rejection {
	d.start(l.Raw, l.Strict, now)
	d.now = l.Received.UnixMicro()
	refused := d.decode()
	if (refused == nil || refused.code != problem.InvalidJSON) && !d.atEnd() {
		refused = &rejection{problem.InvalidJSON, "there is more after the event"}
	}
	return refused
}

func replayError(p *problem.Problem) error {
	err := fmt.Errorf("replay dead letters: %w", p)
	if p.Status == http.StatusTooManyRequests || p.Status == http.StatusServiceUnavailable {
		err = errors.Join(deadletter.ErrOverloaded, err)
	}
	return err
}
