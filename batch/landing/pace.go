package landing

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	firstPause = 50 * time.Millisecond
	mostPause  = 5 * time.Second
)

// pause returns how long to wait after the try-th failure (from 0): between half and all
// of a doubling time, so that partitions that failed together do not come back together
// and none comes back at once.
func pause(try int) time.Duration {
	d := mostPause
	if try < 7 {
		d = min(mostPause, firstPause<<try)
	}
	return d/2 + rand.N(d/2+1)
}

// sleep waits, or returns the context's error.
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
