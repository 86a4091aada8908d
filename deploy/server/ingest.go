package server

import (
	"context"

	"recount/deploy/server/quota"
	"recount/schemas/failpoint"
	"recount/schemas/openapi"
	"recount/speed/ingest"
)

func (s *Server) openIngest(context.Context) (err error) {
	if !s.roles.Has(Ingest) {
		return nil
	}
	ic := s.cfg.Ingest
	ic.Identity = s.installation.Identity
	epochs := make([]uint32, len(s.chains))
	for p, c := range s.chains {
		epochs[p] = c.Head.Epoch
	}
	ic.Fair = s.keys != nil // Without keys there is one tenant.
	s.ingest, err = ingest.New(ic, s.generations, s.cfg.Log.Partitions, s.engines.log,
		ingest.Options{Epochs: epochs, Acknowledged: s.acknowledged, Look: s.generations.Look, Now: failpoint.Now,
			Admit: s.quotas.Ingest, Spread: s.quotas.Buckets, Logger: s.logger, Registerer: s.registry})
	return err
}

// acknowledged records the events of a message that ingest has acknowledged.
func (s *Server) acknowledged(partition int, seq uint64, tenant string, events int) {
	s.tally.acknowledged(partition, seq, tenant, events)
	if s.views != nil {
		s.views.Observe(partition, seq+1)
	}
}

// cardinality returns how many values of a dimension a tenant has sent today, and its limit.
func (s *Server) cardinality(tenant, event, dimension string) *openapi.Cap {
	if s.ingest == nil {
		return nil
	}
	c, ok := s.ingest.Cap(tenant, event, dimension)
	if !ok {
		return nil
	}
	return &openapi.Cap{Limit: c.Limit, Values: c.Values, Overflowed: c.Overflowed}
}

func (s *Server) openQuotas() (err error) {
	qc := s.cfg.Limits
	qc.Registerer = s.registry
	s.quotas, err = quota.New(qc)
	return err
}
