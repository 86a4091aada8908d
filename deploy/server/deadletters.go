package server

import (
	"context"

	"recount/batch/deadletters"
	"recount/schemas/deadletter"
	"recount/schemas/failpoint"
	"recount/schemas/position"
	"recount/speed/ingest"
)

func (s *Server) openDeadLetters(context.Context) (err error) {
	dc := s.cfg.DeadLetters
	dc.Chains = s.currentChains
	dc.Open = s.openObject
	dc.Records = s.engines.records
	dc.Objects = s.engines.lake
	dc.Retiring = s.leaveTable
	dc.Published = func() []position.Offset { return s.publisher.State().H }
	dc.Logger = s.logger
	dc.Registerer = s.registry
	dc.Now = failpoint.Now
	s.deadLetters, err = deadletters.New(dc)
	return err
}

// servedDeadLetters serves dead letters to the API. It reads them from the lake, and replays them
// through the ingest role of this process if it has that role.
type servedDeadLetters struct {
	store  *deadletters.Store
	ingest *ingest.Server
}

func (l servedDeadLetters) List(ctx context.Context, tenant string, f deadletter.Filter) (deadletter.Page, error) {
	return l.store.List(ctx, tenant, f, false)
}

func (l servedDeadLetters) Get(ctx context.Context, tenant, name string) (deadletter.Letter, error) {
	return l.store.Get(ctx, tenant, name)
}

// Replay replays one page of dead letters.
func (l servedDeadLetters) Replay(ctx context.Context, tenant string, f deadletter.Filter,
	dry bool) (deadletter.Replay, error) {
	if l.ingest == nil {
		return deadletter.Replay{}, deadletter.ErrUnavailable
	}
	page, err := l.page(ctx, tenant, f)
	if err != nil {
		return deadletter.Replay{}, err
	}
	out := deadletter.Replay{Replayed: len(page.Letters), Failed: []deadletter.Failure{}, Cursor: page.Cursor}
	fail := func(x *deadletter.Letter, code, message string) {
		out.Failed = append(out.Failed,
			deadletter.Failure{Name: x.Name, EventID: x.EventID, Code: code, Message: message})
	}
	var tried []*deadletter.Letter
	var events []ingest.DeadLetter
	for i := range page.Letters {
		x := &page.Letters[i]
		if !x.Replayable() {
			fail(x, deadletter.CodeNotReplayable, "the dead letter does not hold a whole event: it was truncated, or "+
				"the request was not JSON")
			continue
		}
		raw, err := deadletter.Decode(x.Raw, x.RawBase64)
		if err != nil {
			return deadletter.Replay{}, err
		}
		tried = append(tried, x)
		events = append(events, ingest.DeadLetter{Raw: raw, Strict: x.Strict, Received: x.Received})
	}
	outcomes, err := l.ingest.Replay(tenant, events, dry)
	if err != nil {
		return deadletter.Replay{}, err
	}
	for i, o := range outcomes {
		switch {
		case o.Code != "":
			fail(tried[i], string(o.Code), o.Message)
			continue
		case o.Coerced:
			out.Coerced++
		}
		out.Accepted++
	}
	return out, nil
}

func (l servedDeadLetters) page(ctx context.Context, tenant string, f deadletter.Filter) (deadletter.Page, error) {
	if f.Name == "" {
		return l.store.List(ctx, tenant, f, true)
	}
	x, err := l.store.Get(ctx, tenant, f.Name)
	return deadletter.Page{Letters: []deadletter.Letter{x}}, err
}
