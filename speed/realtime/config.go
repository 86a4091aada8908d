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
	DefaultMaxLag        = 10 * time.Second
)

// maxWindowEntries bounds the ids of one partition, so that the low 32 bits of entry numbers differ.
const maxWindowEntries = 1 << 31

// Config says where the snapshots are and how much memory the views may use.
type Config struct {
	// Dir is the folder of the snapshots. Open creates it, and only one process may use it.
	Dir string
	// Installation is the id of the installation (I8). Snapshots name it, and those that name another are not used.
	Installation string
	// Window is how long an id is remembered after its message was appended (D2).
	Window time.Duration
	// WindowEntries bounds the ids that all partitions together remember. Each has an even share and
	// forgets its oldest ids first. An id needs about 27 bytes.
	WindowEntries int64
	// Memory bounds the aggregates of all partitions together, in bytes. Each has an even share.
	Memory int64
	// Partitions is how many partitions share WindowEntries and Memory, or 0 if that is not known yet.
	// Open sets it.
	Partitions int
	// SnapshotEvery is the time between snapshots. After a crash, the messages after the last snapshot
	// are read again.
	SnapshotEvery time.Duration
	// MaxLag is how long a message may be known to be in the log before a partition that has not
	// consumed it is reported as lagging.
	MaxLag time.Duration
	// Logger may be nil.
	Logger *slog.Logger
	// Registerer receives the metrics; nil registers none.
	Registerer prometheus.Registerer
}

// DefaultConfig returns the settings for snapshots in dir.
func DefaultConfig(dir string) Config {
	return Config{
		Dir: dir, Window: DefaultWindow, WindowEntries: DefaultWindowEntries,
		Memory: DefaultMemory, SnapshotEvery: DefaultSnapshotEvery, MaxLag: DefaultMaxLag,
	}
}

// Settings returns the settings that an operator may change.
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
		setting.Duration("speed.max_lag", setting.AtLeast(time.Second),
			"How far the real-time views of a partition may lag the log before answers list the partition in "+
				"stale_partitions.", &c.MaxLag),
	}
}

// Validate reports every setting with which the views cannot run.
func (c Config) Validate() error {
	err := setting.Check(c.Settings())
	if c.Dir == "" {
		err = errors.Join(err, errors.New("realtime dir is empty: name the folder of the snapshots"))
	}
	return err
}
