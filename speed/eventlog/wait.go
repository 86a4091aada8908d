package eventlog

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	waitInterval = 250 * time.Millisecond
	waitReport   = 5 * time.Second // how often a wait at start says what it waits for
)

// await repeats a step of Open until it succeeds, fails for good, or was unavailable for StartTimeout. The servers of
// a cluster need a while to elect leaders and to read large streams, and the process that opens the log may be faster.
// Every step has the whole StartTimeout, so Open does not give up while one step after the other succeeds.
func (l *Log) await(ctx context.Context, what string, step func(context.Context) error) error {
	began := time.Now()
	var reported time.Time
	for {
		err := step(ctx)
		if err == nil || !errors.Is(err, ErrUnavailable) || ctx.Err() != nil {
			return err
		}
		waited := time.Since(began)
		if waited > l.cfg.StartTimeout {
			return fmt.Errorf("waited %s for %s: start the servers of the log, or raise log.start_timeout: %w",
				l.cfg.StartTimeout, what, err)
		}
		if time.Since(reported) >= waitReport {
			reported = time.Now()
			l.logger.Warn("waiting for "+what, "waited", waited.Round(time.Second), "gives_up_after",
				l.cfg.StartTimeout, "error", err)
		}
		if err := sleep(ctx, waitInterval); err != nil {
			return err
		}
	}
}
