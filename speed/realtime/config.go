package realtime

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Defaults of Config.
const (
	DefaultWindow        = 24 * time.Hour
	DefaultWindowEntries = 10_000_000
	DefaultMemory        = 1 << 30
	DefaultSnapshotEvery = time.Minute
)

// MaxWindowEntries is the largest Config.WindowEntries: it keeps entry numbers distinguishable by their low 32 bits.
const MaxWindowEntries = 1 << 31

// Config says where the snapshots are and what the views may hold in memory.
type Config struct {
	// Dir is the folder of the snapshots; it is created. One process owns it.
	Dir string
	// Window is how long an id is remembered after its message was appended (D2).
	Window time.Duration
	// WindowEntries bounds the ids a partition remembers; the oldest go first. About 27 bytes each.
	WindowEntries int64
	// Memory bounds the aggregates of all partitions in bytes; each has an even share.
	Memory int64
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

// Validate reports every setting the views could not run with.
func (c Config) Validate() error {
	var errs []error
	check := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.Dir == "", "realtime dir is empty: name the folder of the snapshots")
	check(c.Window <= 0, "realtime window is %v: set a positive duration such as 24h", c.Window)
	check(c.WindowEntries < 1 || c.WindowEntries > MaxWindowEntries, "realtime window entries is %d: set 1 to %d",
		c.WindowEntries, MaxWindowEntries)
	check(c.Memory < 1, "realtime memory is %d bytes: set a positive number, usually 1 GiB or more", c.Memory)
	check(c.SnapshotEvery <= 0, "realtime snapshot interval is %v: set a positive duration such as 1m", c.SnapshotEvery)
	return errors.Join(errs...)
}
