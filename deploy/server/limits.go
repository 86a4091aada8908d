package server

import (
	"recount/deploy/server/quota"
	"recount/schemas/access"
	"recount/serving/api"
)

// LimitsConfig is what each tenant may take of this process, unless it has limits of its own.
type LimitsConfig struct {
	EventsPerSecond  float64 `yaml:"events_per_second" help:"Most events of a tenant a second, as an average; 0: no limit."`
	BytesPerSecond   Bytes   `yaml:"bytes_per_second" help:"Most bytes of bodies of a tenant a second, decompressed; 0: no limit."`
	QueriesPerSecond float64 `yaml:"queries_per_second" help:"Most queries of a tenant a second; 0: no limit."`
	Cardinality      int     `yaml:"cardinality" help:"Most values of a dimension from a tenant in a UTC day; further ones are counted as ~overflow; 0: no limit."`
}

// TenantConfig is a tenant's own limits; what it leaves out is as in LimitsConfig.
type TenantConfig struct {
	EventsPerSecond  *float64 `yaml:"events_per_second"`
	BytesPerSecond   *Bytes   `yaml:"bytes_per_second"`
	QueriesPerSecond *float64 `yaml:"queries_per_second"`
}

func (c *Config) validateLimits(check func(ok bool, msg string, path ...string)) {
	rate := func(n float64, path ...string) {
		check(n >= 0 && n <= 1e12, "use 0 for no limit, or a number of at most 1e12", path...)
	}
	rate(c.Limits.EventsPerSecond, "limits", "events_per_second")
	rate(c.Limits.QueriesPerSecond, "limits", "queries_per_second")
	check(c.Limits.Cardinality >= 0 && c.Limits.Cardinality <= 1<<40,
		"use 0 for no limit, or a number such as 1000000; at most 2^40", "limits", "cardinality")
	for name := range c.Tenants {
		if err := access.CheckTenant(name); err != nil {
			check(false, err.Error(), "tenants", name)
		}
		r := c.rates(name)
		rate(r.Events, "tenants", name, "events_per_second")
		rate(r.Queries, "tenants", name, "queries_per_second")
	}
}

// rates are those of a tenant, and of one that is not configured with an empty name.
func (c *Config) rates(tenant string) quota.Rates {
	r := quota.Rates{Events: c.Limits.EventsPerSecond, Bytes: float64(c.Limits.BytesPerSecond),
		Queries: c.Limits.QueriesPerSecond}
	t := c.Tenants[tenant]
	if t.EventsPerSecond != nil {
		r.Events = *t.EventsPerSecond
	}
	if t.BytesPerSecond != nil {
		r.Bytes = float64(*t.BytesPerSecond)
	}
	if t.QueriesPerSecond != nil {
		r.Queries = *t.QueriesPerSecond
	}
	return r
}

// capOf tells a tenant how many values of a dimension it has brought today.
func (s *Stack) capOf(tenant, event, dimension string) *api.Cap {
	if s.ingest == nil {
		return nil
	}
	c, ok := s.ingest.Cap(tenant, event, dimension)
	if !ok {
		return nil
	}
	return &api.Cap{Limit: c.Most, Values: c.Values, Overflowed: c.Overflowed}
}

func (s *Stack) openQuotas() (err error) {
	qc := quota.Config{Default: s.cfg.rates(""), Tenants: map[string]quota.Rates{}, Registerer: s.registry}
	for name := range s.cfg.Tenants {
		qc.Tenants[name] = s.cfg.rates(name)
	}
	s.quotas, err = quota.New(qc)
	return err
}
