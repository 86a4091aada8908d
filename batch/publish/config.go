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
	"recount/schemas/query"
	"recount/schemas/record"
	"recount/schemas/setting"
)

// Config describes one publisher. Two publishers of one chain must agree on Catalog and Partitions.
type Config struct {
	Catalog    *catalog.Catalog
	Partitions int // Partitions is P (L3).
	// Newest returns the newest generation of the catalog that exists, and its number. Each attempt at a publication
	// asks it once, and uses nothing else (G4). If Newest is nil, Catalog never changes.
	Newest func(context.Context) (n uint64, c *catalog.Catalog, err error)
	// Installation is the id that publications name (I8). If it is empty, they name none.
	Installation string
	// Keep is how many of the newest publications stay readable whatever their age (P3).
	Keep int
	// LongestQuery is how long a query may take. A publication stays readable for twice as long
	// after the next one replaced it.
	LongestQuery time.Duration
	// Limit is how many values a dimension of a view may have from a tenant in a bucket (B7). 0 means any number.
	Limit   int
	Memory  int64                      // Memory is how many bytes a run may hold, by estimate.
	Workers int                        // Workers is how many tasks run at once.
	GiveWay func(worked time.Duration) // GiveWay is that of exact.Config.
	// CollectAfter is G: an object that is in no record is collected when it is older (C8), and a publication
	// that none needs when one that stays is older (P3).
	CollectAfter time.Duration
	// StepRows is how many rows the steps of one publication may have that fill views (B8). With 0, Memory decides.
	StepRows int64
	// BaseEvery is how often a publication is a base (P1). It is at least 2.
	BaseEvery int
	// CheckEvery is how often a run checks the rows of the newest publication in ClickHouse (B3). It is longer
	// where a check takes more than a twentieth of it.
	CheckEvery time.Duration
	Code       string // Code is the version of the program. Publications hold it.

	// Rebuild writes an object again that a commit record names and the store has lost (C8). Its error wraps
	// record.ErrObjectLost if the log cannot give the object, whenever it is asked. If Rebuild is nil, a lost object
	// is an error.
	Rebuild func(context.Context, record.Object) error

	// Runs returns the highest publication that a recorded run of the job recompute names, and the run's name. It is
	// one of the witnesses of publications (P2). If Runs is nil, no run is asked.
	Runs func(context.Context) (n uint64, name string, err error)

	// OnPublish is called once, in order, for every publication that becomes the newest known. It
	// must not call Refresh, At or any other method that may read publications.
	OnPublish  func(*record.State)
	Logger     *slog.Logger // nil discards
	Registerer prometheus.Registerer
	Now        func() time.Time
}

// DefaultConfig keeps three publications.
func DefaultConfig(c *catalog.Catalog, partitions int) Config {
	return Config{
		Catalog: c, Partitions: partitions, Keep: 3, LongestQuery: query.DefaultTimeout,
		Memory:  exact.DefaultConfig().Memory,
		Workers: runtime.GOMAXPROCS(0), CollectAfter: 24 * time.Hour, BaseEvery: record.BaseEvery,
		CheckEvery: time.Minute, Code: "unknown", Now: time.Now,
	}
}

// Settings lists what an operator may set.
func (c *Config) Settings() []setting.Setting {
	return []setting.Setting{
		setting.Size("batch.memory", setting.AtLeast(64<<20), "Largest memory of one recomputation.", &c.Memory),
		setting.Count("batch.keep", "publications", setting.Range(1, 1000),
			"Newest publications that stay readable whatever their age.", &c.Keep),
	}
}

// Validate returns an error that names each wrong field and says what to write instead.
func (c Config) Validate() error {
	errs := []error{setting.Check(c.Settings())}
	check := func(name string, wrong bool, hint string) {
		if wrong {
			errs = append(errs, fmt.Errorf("publish: %s: %s", name, hint))
		}
	}
	check("catalog", c.Catalog == nil, "is missing; pass the declared views")
	check("partitions", c.Partitions < 1, "use at least 1")
	check("longest_query", c.LongestQuery <= 0, "use a duration such as 5m")
	check("limit", c.Limit < 0, "use 0 or more")
	check("collect_after", c.CollectAfter < time.Hour, "use at least 1h, because an object is written before the "+
		"record that names it")
	if err := c.exact().Validate(); err != nil {
		errs = append(errs, fmt.Errorf("publish: %w", err))
	}
	return errors.Join(errs...)
}

// exact returns the configuration of the batch engine. It leaves a quarter of the memory: an eighth to blocks
// that wait to be written to ClickHouse, and an eighth to objects that are held in memory while they are read.
func (c Config) exact() exact.Config {
	return exact.Config{Workers: c.Workers, GiveWay: c.GiveWay, Memory: c.Memory / 4 * 3}
}

// withDefaults fills the fields that a caller may leave out.
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
	if c.BaseEvery == 0 {
		c.BaseEvery = d.BaseEvery
	}
	if c.CheckEvery == 0 {
		c.CheckEvery = d.CheckEvery
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = d.Now
	}
	return c
}
