package server

import (
	"context"
	"runtime"

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
	encoders := make(chan *object.Encoder, max(1, runtime.GOMAXPROCS(0)/2))
	for range cap(encoders) {
		encoders <- new(object.Encoder)
	}
	lc := landing.Config{Log: s.engines.log.ID(), Logger: s.logger, Registerer: s.registry, Now: failpoint.Now,
		Encode: func(t *object.Table) ([]byte, record.Object, error) {
			e := <-encoders
			defer func() { encoders <- e }()
			return e.Encode(t)
		}}
	s.lander, err = landing.New(lc, s.chains, source{s.engines.log}, s.engines.records, s.engines.lake)
	return err
}
