package landing

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	firstPause = 50 * time.Millisecond
	maxPause   = 5 * time.Second
)

// pause returns how long to wait after a failed try, counted from 0. It is a random time between
// half and all of a time that doubles with each try. So partitions that fail together do not try
// again together, and none tries again at once.
func pause(try int) time.Duration {
	d := maxPause
	if try < 7 {
		d = min(maxPause, firstPause<<try)
	}
	return d/2 + rand.N(d/2+1)
}

// sleep waits for d. It returns the error of ctx if ctx ends first.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
