package deadletters

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"recount/batch/exact"
	"recount/batch/lake"
	"recount/schemas/position"
	"recount/schemas/record"
	"recount/schemas/setting"
)

// Objects is the part of the lake that retiring needs. lake.Store implements it.
type Objects interface {
	List(ctx context.Context, prefix, startAfter string) iter.Seq2[lake.Info, error]
	Delete(ctx context.Context, keys ...string) error
}

// Config describes a Store.
type Config struct {
	Chains    func(context.Context) ([]*record.Chain, error) // reads the commit chains, as publish.Chains does
	Open      exact.Open
	Records   record.CommitLog // keeps the retirements
	Objects   Objects
	Published func() []position.Offset // returns H of the newest publication
	// Retiring is called after a horizon was raised and before objects are deleted. It may be nil.
	Retiring func(context.Context)

	Keep     time.Duration // objects that landed longer ago are retired
	MaxBytes int64         // if all objects together are larger, the oldest are retired

	Logger     *slog.Logger // nil discards
	Registerer prometheus.Registerer
	Now        func() time.Time
}

// DefaultConfig keeps dead letters for 30 days, and at most 10 GiB of them.
func DefaultConfig() Config { return Config{Keep: 30 * 24 * time.Hour, MaxBytes: 10 << 30} }

// Settings lists what an operator may set.
func (c *Config) Settings() []setting.Setting {
	return []setting.Setting{
		setting.Duration("dead_letters.keep", setting.AtLeast(time.Second),
			"How long rejected events are kept in the lake.", &c.Keep),
		setting.Size("dead_letters.max_bytes", setting.AtLeast(1<<20),
			"Most bytes of rejected events in the lake; the oldest go first.", &c.MaxBytes),
	}
}

// Validate returns a *setting.Error for each setting that is out of bounds, joined.
func (c Config) Validate() error { return setting.Check(c.Settings()) }

// Store reads and retires the dead letters that have landed. It is safe for concurrent use.
type Store struct {
	cfg     Config
	metrics *metrics
}

// New returns the store.
func New(cfg Config) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	m, err := newMetrics(cfg.Registerer)
	if err != nil {
		return nil, fmt.Errorf("dead letters: register metrics: %w", err)
	}
	return &Store{cfg: cfg, metrics: m}, nil
}

// horizons reads which objects are retired. If it fails, its caller must fail too: a list would
// otherwise show dead letters whose objects may be deleted at any moment.
func (s *Store) horizons(ctx context.Context) (record.Horizons, error) {
	keys, err := s.cfg.Records.List(ctx, record.RetiredPrefix)
	if err != nil {
		return nil, fmt.Errorf("read retirements: %w", err)
	}
	return record.HorizonsOf(keys)
}

// metrics are the numbers that the last run of Retire found.
type metrics struct {
	stored, bytes, oldest prometheus.Gauge
	retired               prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "recount", Subsystem: "dead_letters", Name: name,
			Help: help})
	}
	m := &metrics{
		stored: gauge("stored", "Dead letters in the lake, copies included, as of the last run of the job expire."),
		bytes: gauge("stored_bytes", "Bytes of the objects that hold dead letters, as of the last run of the job "+
			"expire."),
		oldest: gauge("oldest_timestamp_seconds", "Unix time at which the oldest dead letter that is kept landed; 0 "+
			"if none is kept."),
		retired: prometheus.NewCounter(prometheus.CounterOpts{Namespace: "recount", Subsystem: "dead_letters",
			Name: "retired_total",
			Help: "Dead letters retired, because of their age or to stay within dead_letters.max_bytes."}),
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.stored, m.bytes, m.oldest, m.retired} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}
