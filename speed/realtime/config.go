package realtime

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"recount/schemas/setting"
)

// Defaults of Config.
const (
	DefaultWindow        = 24 * time.Hour
	DefaultWindowEntries = 50_000_000
	DefaultMemory        = 2 << 30
	DefaultSnapshotEvery = 30 * time.Second
)

// maxWindowEntries is the most ids of one partition: it keeps entry numbers distinguishable by their low 32 bits.
const maxWindowEntries = 1 << 31

// Config says where the snapshots are and what the views may hold in memory.
type Config struct {
	// Dir is the folder of the snapshots; it is created. One process owns it.
	Dir string
	// Window is how long an id is remembered after its message was appended (D2).
	Window time.Duration
	// WindowEntries bounds the ids that all partitions remember; each has an even share, and its oldest ids go
	// first. An id takes about 27 bytes.
	WindowEntries int64
	// Memory bounds the aggregates of all partitions in bytes; each has an even share.
	Memory int64
	// Partitions is how many share WindowEntries and Memory, 0 if that is not known yet. Open sets it.
	Partitions int
	// SnapshotEvery is the time between snapshots. What came after the last one is replayed after a crash.
	SnapshotEvery time.Duration
	// Logger may be nil.
	Logger *slog.Logger
	// Registerer takes the metrics; nil registers none.
	Registerer prometheus.Registerer
}

// DefaultConfig returns the settings for snapshots in dir.
func DefaultConfig(dir string) Config {
	return Config{
		Dir: dir, Window: DefaultWindow, WindowEntries: DefaultWindowEntries,
		Memory: DefaultMemory, SnapshotEvery: DefaultSnapshotEvery,
	}
}

// Settings lists what an operator may set.
func (c *Config) Settings() []setting.Setting {
	return []setting.Setting{
		setting.Size("speed.memory", setting.AtLeast(16<<20), "Largest memory of the real-time views; at the limit "+
			"they stop following the log until a publication lets them evict.", &c.Memory),
		setting.Duration("speed.dedup_window", setting.AtLeast(time.Minute),
			"How long the speed layer remembers ids.", &c.Window),
		setting.Count("speed.dedup_entries", "ids", setting.AtLeast(1000),
			"Most ids the speed layer remembers, over all partitions.", &c.WindowEntries).
			Where(fmt.Sprintf("and at most %d for each partition", maxWindowEntries), func() bool {
				return c.Partitions == 0 || c.WindowEntries/int64(c.Partitions) <= maxWindowEntries
			}),
		setting.Duration("speed.snapshot_interval", setting.AtLeast(100*time.Millisecond),
			"How often the real-time views are written to disk; what came after the last snapshot is replayed after "+
				"a crash.", &c.SnapshotEvery),
	}
}

// Validate returns an error for each setting the views could not run with, joined.
func (c Config) Validate() error {
	err := setting.Check(c.Settings())
	if c.Dir == "" {
		err = errors.Join(err, errors.New("realtime dir is empty: name the folder of the snapshots"))
	}
	return err
}
