package server

import (
	"context"
	"time"

	"recount/deploy/server/quota"
	"recount/schemas/access"
	"recount/schemas/catalog"
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
	ic.Discovery.On = s.cfg.Discovers()
	ic.Discovery.Apart = s.cfg.Admin.Listen != ""
	ic.Discovery.All = s.cfg.Discover == DiscoverOn
	s.ingest, err = ingest.New(ic, s.generations, s.cfg.Log.Partitions, s.engines.log,
		ingest.Options{Installation: s.installation.ID, Epochs: epochs, Acknowledged: s.acknowledged,
			Look:    s.generations.Look,
			Propose: s.propose, Now: failpoint.Now, Begin: s.begin, Admit: s.admit, Spread: s.quotas.Buckets,
			Logger: s.logger, Registerer: s.registry})
	return err
}

// begin spends one event of the rate of a key of scope collect, before the request costs its tenant anything. So a key
// that everybody can read does not use up its tenant's bytes with requests that have no event, such as broken JSON.
func (s *Server) begin(p access.Principal) time.Duration {
	if p.Collect != nil {
		if wait := s.quotas.Collect(p.KeyID, p.Collect.Rate); wait > 0 {
			return wait
		}
	}
	return s.quotas.Ingest(p.Tenant, 0, 0)
}

// admit spends the rate of a key of scope collect, beyond the event of begin, and then the rates of its tenant.
func (s *Server) admit(p access.Principal, bytes, events int) time.Duration {
	if p.Collect != nil && events > 1 {
		if wait := s.quotas.CollectMore(p.KeyID, p.Collect.Rate, events-1); wait > 0 {
			return wait
		}
	}
	return s.quotas.Ingest(p.Tenant, bytes, events)
}

// propose makes a generation of what ingest has discovered (G6).
func (s *Server) propose(ctx context.Context, change func(*catalog.Catalog) (*catalog.Catalog, error)) error {
	_, err := s.generations.Propose(ctx, change)
	return err
}

// AwaitsFirst reports whether everybody can send the first event of all: no event type is declared, one that is sent
// becomes declared, and no key is needed.
func (s *Server) AwaitsFirst() bool {
	return s.cfg.Discovers() && s.keys == nil && s.roles.Has(Ingest|Serving) && s.generations.Catalog().Declared() == 0
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
