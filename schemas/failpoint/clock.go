//go:build failpoints

package failpoint

import (
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

var clock struct {
	start  sync.Once
	offset atomic.Int64 // nanoseconds
}

// clockEvery is how soon a changed offset is seen.
const clockEvery = 20 * time.Millisecond

// Now is time.Now plus the duration in the file that ClockEnv names. The file may change
// while the process runs: that is a clock that jumps. Unlike with a real jump, a
// difference of two times spans it too, which is the worse case of the two.
func Now() time.Time {
	clock.start.Do(func() {
		file := os.Getenv(ClockEnv)
		if file == "" {
			return
		}
		readOffset(file)
		go func() {
			for range time.Tick(clockEvery) {
				readOffset(file)
			}
		}()
	})
	return time.Now().Add(time.Duration(clock.offset.Load()))
}

// readOffset keeps the old offset where the file cannot be read or is half written.
func readOffset(file string) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return
	}
	if d, err := time.ParseDuration(strings.TrimSpace(string(raw))); err == nil {
		clock.offset.Store(int64(d))
	}
}
