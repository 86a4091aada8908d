package server

import (
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"
)

// waitReportEvery is how long a start works on one step before it says so, and how often it says so again.
const waitReportEvery = 5 * time.Second

// progress says in the log what a start waits for. Every wait ends: requests to engines have deadlines, the
// embedded log has readyWait, and a message of the log has messageWait.
type progress struct {
	logger *slog.Logger
	detail atomic.Pointer[string] // how far the step is; nil if the step does not say
}

// report says how far the present step is.
func (p *progress) report(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	p.detail.Store(&text)
}

// watch logs every waitReportEvery that a step still runs, until the returned function is called.
func (p *progress) watch(step string) (stop func()) {
	p.detail.Store(nil)
	begun := time.Now()
	ended := make(chan struct{})
	go func() {
		tick := time.NewTicker(waitReportEvery)
		defer tick.Stop()
		for {
			select {
			case <-ended:
				return
			case <-tick.C:
				p.log(step, time.Since(begun))
			}
		}
	}()
	return func() { close(ended) }
}

func (p *progress) log(step string, since time.Duration) {
	args := []any{"step", step, "for", since.Round(time.Second).String()}
	if d := p.detail.Load(); d != nil {
		args = append(args, "progress", *d)
	}
	p.logger.Info("the start is not done yet", args...)
}
