package server

import (
	"context"
	"runtime"
	"sync"

	"recount/batch/landing"
	"recount/batch/object"
	"recount/schemas/failpoint"
	"recount/schemas/record"
)

func (s *Server) openLanding(context.Context) (err error) {
	if !s.roles.Has(Landing) {
		return nil
	}
	// All partitions are cut at about the same time. At most half of the processors encode, for the
	// reason that giveWay states.
	turns := make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))
	encoders := sync.Pool{New: func() any { return new(object.Encoder) }} // No memory is kept when nothing is cut.
	lc := landing.Config{Log: s.engines.log.ID(), Logger: s.logger, Registerer: s.registry, Now: failpoint.Now,
		Published: s.publisher.Published,
		Encode: func(t *object.Table) ([]byte, record.Object, error) {
			turns <- struct{}{}
			defer func() { <-turns }()
			e := encoders.Get().(*object.Encoder)
			defer encoders.Put(e)
			return e.Encode(t)
		}}
	s.lander, err = landing.New(lc, s.chains, s.roleSource(), s.engines.records, s.engines.lake)
	return err
}
