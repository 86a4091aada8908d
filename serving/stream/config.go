package stream

import (
	"time"

	"recount/schemas/setting"
)

// The bounds of an interval between two rounds of a query.
const (
	LeastInterval   = 100 * time.Millisecond
	DefaultInterval = time.Second
	MostInterval    = time.Hour
)

// Config bounds what readers may hold.
type Config struct {
	Readers int // of all queries together
	Queries int // that run at the same time
	// Fair says that there are several tenants. No tenant may then have more than three quarters of the readers and of
	// the queries.
	Fair bool
}

// DefaultConfig allows 1,000 readers of 64 queries.
func DefaultConfig() Config { return Config{Readers: 1000, Queries: 64} }

// Settings lists what an operator may set.
func (c *Config) Settings() []setting.Setting {
	return []setting.Setting{
		setting.Count("stream.readers", "readers", setting.Range(1, 1_000_000), "Most clients of GET /v1/stream at "+
			"once, but at most half of the connections that are accepted.", &c.Readers),
		setting.Count("stream.queries", "queries", setting.Range(1, 100_000), "Most different queries of GET "+
			"/v1/stream that run at once; any number of clients may share one.", &c.Queries),
	}
}

// share returns how many of all one tenant may have.
func (c Config) share(all int) int {
	if c.Fair {
		return max(1, all-all/4)
	}
	return all
}
