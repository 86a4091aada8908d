package publish

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"recount/batch/exact"
	"recount/schemas/catalog"
	"recount/schemas/record"
)

// Config describes one publisher. Two publishers of one chain must agree on Catalog and Partitions.
type Config struct {
	Catalog    *catalog.Catalog
	Partitions int // P (L3)
	Keep       int // publications that stay readable whatever their age (P3)
	// a publication stays readable for twice this after the next one replaced it
	LongestQuery time.Duration
	Memory       int64                      // bytes a run may hold, by estimate
	Workers      int                        // tasks at once
	GiveWay      func(worked time.Duration) // as of exact.Config: work that others wait for goes first; nil never waits
	CollectAfter time.Duration              // G: an object in no record is collected when older (C8)
	Code         string                     // version of the program, kept in publications

	// Rebuild puts an object back that a commit record names and the store has lost (C8);
	// nil: such an object is an error.
	Rebuild func(context.Context, record.Object) error

	// called once for every publication that becomes the newest known, in order; it must not call the
	// publisher's methods that read on
	OnPublish  func(*record.State)
	Logger     *slog.Logger // nil discards
	Registerer prometheus.Registerer
	Now        func() time.Time
}

// DefaultConfig keeps three publications and lets a query take five minutes.
func DefaultConfig(c *catalog.Catalog, partitions int) Config {
	return Config{
		Catalog: c, Partitions: partitions, Keep: 3, LongestQuery: 5 * time.Minute, Memory: 2 << 30,
		Workers: runtime.GOMAXPROCS(0), CollectAfter: 24 * time.Hour, Code: "unknown", Now: time.Now,
	}
}

// Validate names each wrong field and what to write instead.
func (c Config) Validate() error {
	var errs []error
	bad := func(name string, wrong bool, hint string) {
		if wrong {
			errs = append(errs, fmt.Errorf("publish: %s: %s", name, hint))
		}
	}
	bad("catalog", c.Catalog == nil, "is missing; pass the declared views")
	bad("partitions", c.Partitions < 1, "use at least 1")
	bad("keep", c.Keep < 1, "use at least 1 publication, such as 3")
	bad("longest_query", c.LongestQuery <= 0, "use a duration such as 5m")
	bad("collect_after", c.CollectAfter < time.Hour, "use at least 1h: an object is written before the record that "+
		"names it")
	if err := c.exact().Validate(); err != nil {
		errs = append(errs, fmt.Errorf("publish: %w", err))
	}
	return errors.Join(errs...)
}

// exact leaves a quarter of the memory to blocks on their way into ClickHouse.
func (c Config) exact() exact.Config {
	return exact.Config{Workers: c.Workers, GiveWay: c.GiveWay, Memory: c.Memory / 4 * 3}
}

// withDefaults fills the fields a caller may leave out.
func (c Config) withDefaults() Config {
	d := DefaultConfig(c.Catalog, c.Partitions)
	if c.Keep == 0 {
		c.Keep = d.Keep
	}
	if c.LongestQuery == 0 {
		c.LongestQuery = d.LongestQuery
	}
	if c.Memory == 0 {
		c.Memory = d.Memory
	}
	if c.Workers == 0 {
		c.Workers = d.Workers
	}
	if c.CollectAfter == 0 {
		c.CollectAfter = d.CollectAfter
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = d.Now
	}
	return c
}
