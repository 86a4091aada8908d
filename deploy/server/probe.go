package server

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"
)

// How ClickHouse is probed. Its state changes after three probes in a row with another outcome, so one slow or lucky
// answer does not make /readyz change to and fro.
const (
	probeEvery   = time.Second
	probeTimeout = 3 * time.Second
	probesInARow = 3
)

// probe says whether an external ClickHouse answers.
type probe struct {
	conn  driver.Conn
	ping  func(context.Context) error
	place string // where ClickHouse is, for the operator

	mu     sync.Mutex
	down   bool
	since  time.Time // of the first failed probe, if down
	err    error     // of the last failed probe
	others int       // probes in a row whose outcome is not that of down
	first  time.Time // when the first of them began
}

// openProbe opens a connection of its own, because the pool for queries has none left while all its connections work.
func openProbe(opts *clickhouse.Options, place string) (*probe, error) {
	alone := *opts
	alone.MaxOpenConns = 1
	alone.MaxIdleConns = 1
	conn, err := clickhouse.Open(&alone)
	if err != nil {
		return nil, err
	}
	return &probe{conn: conn, ping: conn.Ping, place: place}, nil
}

// collector says for Prometheus whether ClickHouse is down. An embedded one, which has no probe, is not.
func (p *probe) collector() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "recount_clickhouse_down",
		Help: "1 while an external ClickHouse does not answer this process, whose queries then fail."},
		func() float64 {
			if p != nil && p.check(context.Background()) != nil {
				return 1
			}
			return 0
		})
}

// run probes ClickHouse until ctx ends.
func (p *probe) run(ctx context.Context) error {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			p.ask(ctx)
		}
	}
}

// ask probes once. A probe that the end of ctx cut short says nothing.
func (p *probe) ask(ctx context.Context) {
	began := time.Now()
	bounded, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	err := p.ping(bounded)
	if ctx.Err() == nil {
		p.countOutcome(began, err)
	}
}

// countOutcome counts the outcome of a probe.
func (p *probe) countOutcome(began time.Time, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.err = err
	}
	if (err != nil) == p.down {
		p.others = 0
		return
	}
	if p.others == 0 {
		p.first = began
	}
	if p.others++; p.others < probesInARow {
		return
	}
	p.others = 0
	p.down = err != nil
	p.since = p.first
}

// check returns why the batch views cannot be read, or nil.
func (p *probe) check(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.down {
		return nil
	}
	return fmt.Errorf("the server %s has not answered since %s, so queries answer 503; start it, or make it "+
		"reachable, and recount continues by itself: %w", p.place, p.since.UTC().Format(time.RFC3339), p.err)
}
