package server

import (
	"recount/deploy/server/quota"
	"recount/schemas/openapi"
)

// capOf tells a tenant how many values of a dimension it has brought today.
func (s *Stack) capOf(tenant, event, dimension string) *openapi.Cap {
	if s.ingest == nil {
		return nil
	}
	c, ok := s.ingest.Cap(tenant, event, dimension)
	if !ok {
		return nil
	}
	return &openapi.Cap{Limit: c.Limit, Values: c.Values, Overflowed: c.Overflowed}
}

func (s *Stack) openQuotas() (err error) {
	qc := s.cfg.Limits
	qc.Registerer = s.registry
	s.quotas, err = quota.New(qc)
	return err
}
