package deadletters

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"recount/batch/exact"
	"recount/batch/lake"
	"recount/schemas/position"
	"recount/schemas/record"
)

// Records keeps the retirements. lake.CommitLog is one.
type Records interface {
	Create(ctx context.Context, key string, body []byte) (record.Outcome, []byte, error)
	List(ctx context.Context, prefix string) ([]string, error)
}

// Objects is the lake as far as retiring needs it. lake.Store is one.
type Objects interface {
	List(ctx context.Context, prefix, startAfter string) iter.Seq2[lake.Info, error]
	Delete(ctx context.Context, keys ...string) error
}

// Config describes a Store.
type Config struct {
	Chains    func(context.Context) ([]*record.Chain, error) // as publish.Chains
	Open      exact.Open
	Records   Records
	Objects   Objects
	Published func() []position.Offset // H of the newest publication

	Keep     time.Duration // objects that landed longer ago are retired
	MaxBytes int64         // of all objects; the oldest are retired first

	Logger     *slog.Logger // nil discards
	Registerer prometheus.Registerer
	Now        func() time.Time
}

// Store is the dead letters that have landed. It is safe for concurrent use.
type Store struct {
	cfg     Config
	metrics *metrics
}

// New returns the store.
func New(cfg Config) (*Store, error) {
	if cfg.Keep < time.Second || cfg.MaxBytes <= 0 {
		return nil, errors.New("dead_letters: keep is at least 1s and max_bytes positive")
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

// horizons says what is retired. An error would show what may be gone at any moment, so it is one.
func (s *Store) horizons(ctx context.Context) (record.Horizons, error) {
	keys, err := s.cfg.Records.List(ctx, record.RetiredPrefix)
	if err != nil {
		return nil, fmt.Errorf("read retirements: %w", err)
	}
	return record.HorizonsOf(keys)
}

// metrics are what the last retirement found.
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
		oldest: gauge("oldest_timestamp_seconds", "When the oldest dead letter landed that is kept; 0 without one."),
		retired: prometheus.NewCounter(prometheus.CounterOpts{Namespace: "recount", Subsystem: "dead_letters",
			Name: "retired_total",
			Help: "Dead letters retired, by age or for want of room."}),
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
