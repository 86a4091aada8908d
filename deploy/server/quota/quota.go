// Package quota holds each tenant to its rates: events, bytes and queries a second.
//
// A rate is a bucket of one second's worth, refilled all the time. Who has something in the
// bucket may take more than there is, and is in debt until it is refilled: so a
// request may be of any size the server takes, none can starve waiting for a bucket that
// is never full enough, and over time nobody gets more than the rate. golang.org/x/time/rate has
// no debts; a request larger than its burst would never pass.
//
// Rates are of one process. Two that ingest for one tenant let through twice as much.
package quota

import (
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"recount/schemas/setting"
)

// Rates are what a tenant may take a second; 0 is without limit.
type Rates struct {
	Events, Bytes, Queries float64
}

// Settings lists the rates an operator may set below a key: limits, or tenants.NAME.
func (r *Rates) Settings(below string) []setting.Setting {
	noLimit := setting.Between(0, int64(1e12)).OrZero("no limit")
	return []setting.Setting{
		setting.Rate(below+".events_per_second", "events", noLimit,
			"Most events of a tenant in a second, on average.", &r.Events),
		setting.Size(below+".bytes_per_second", setting.AtLeast(0).OrZero("no limit"),
			"Most bytes of a tenant's request bodies in a second, decompressed.", &r.Bytes),
		setting.Rate(below+".queries_per_second", "queries", noLimit,
			"Most queries of a tenant in a second, on average.", &r.Queries),
	}
}

// Config sets the rates; Now and Registerer may be nil.
type Config struct {
	Default    Rates
	Tenants    map[string]Rates // of those that have their own
	Now        func() time.Time
	Registerer prometheus.Registerer
}

// Quotas knows what every tenant took. It is safe for concurrent use.
type Quotas struct {
	cfg     Config
	mu      sync.Mutex
	tenants map[string]*tenant // of those that ever asked: keys bound them
	taken   *prometheus.CounterVec
	refused *prometheus.CounterVec
}

// tenant is what one tenant took of each of kinds.
type tenant struct {
	mu      sync.Mutex
	buckets [kinds]bucket
	taken   [kinds]prometheus.Counter
	refused [kinds]prometheus.Counter
}

// kind is what a rate is about.
type kind int

const (
	events kind = iota
	bytes
	queries
	kinds
)

var kindNames = [kinds]string{"events", "bytes", "queries"}

// others is the label of tenants beyond maxLabels: metrics of thousands would cost more than they tell.
const (
	maxLabels = 200
	others    = "~others"
)

// New returns quotas nobody has taken of.
func New(cfg Config) (*Quotas, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	q := &Quotas{cfg: cfg, tenants: map[string]*tenant{},
		taken: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "recount_tenant_taken_total",
			Help: "Events, bytes and queries that a tenant asked for and was allowed."}, []string{"tenant", "kind"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "recount_tenant_refused_total",
			Help: "Requests that were refused because a tenant was over its rate of events, bytes or queries."},
			[]string{"tenant", "kind"})}
	if cfg.Registerer == nil {
		return q, nil
	}
	for _, c := range []prometheus.Collector{q.taken, q.refused} {
		if err := cfg.Registerer.Register(c); err != nil {
			return nil, fmt.Errorf("new quotas: %w", err)
		}
	}
	return q, nil
}

// Ingest takes so many bytes and events for a tenant, or says how long it has to wait and
// takes nothing. Taking none of both only asks.
func (q *Quotas) Ingest(name string, byteCount, eventCount int) (wait time.Duration) {
	return q.of(name).take(q.cfg.Now(), [kinds]int{events: eventCount, bytes: byteCount}, events, bytes)
}

// Query takes one query for a tenant, or says how long it has to wait.
func (q *Quotas) Query(name string) (wait time.Duration) {
	return q.of(name).take(q.cfg.Now(), [kinds]int{queries: 1}, queries)
}

func (q *Quotas) of(name string) *tenant {
	q.mu.Lock()
	defer q.mu.Unlock()
	t := q.tenants[name]
	if t != nil {
		return t
	}
	rates, ok := q.cfg.Tenants[name]
	if !ok {
		rates = q.cfg.Default
	}
	label := name
	if len(q.tenants) >= maxLabels {
		label = others
	}
	t = &tenant{}
	for k, rate := range [kinds]float64{rates.Events, rates.Bytes, rates.Queries} {
		t.buckets[k] = bucket{rate: rate, level: max(rate, 1), at: q.cfg.Now()}
		t.taken[k] = q.taken.WithLabelValues(label, kindNames[k])
		t.refused[k] = q.refused.WithLabelValues(label, kindNames[k])
	}
	q.tenants[name] = t
	return t
}

// take takes n of each kind unless one that is asked about is in debt.
func (t *tenant) take(now time.Time, n [kinds]int, asked ...kind) (wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range asked {
		if w := t.buckets[k].wait(now); w > 0 {
			t.refused[k].Inc()
			return w
		}
	}
	for _, k := range asked {
		t.buckets[k].level -= float64(n[k])
		t.taken[k].Add(float64(n[k]))
	}
	return 0
}

// bucket is one rate of one tenant.
type bucket struct {
	rate  float64 // a second; 0 is no limit
	level float64 // what may be taken now; negative in debt
	at    time.Time
}

// wait refills the bucket and returns how long it will be empty.
func (b *bucket) wait(now time.Time) time.Duration {
	if b.rate == 0 {
		b.level = 0 // Nobody counts.
		return 0
	}
	if passed := now.Sub(b.at).Seconds(); passed > 0 { // Clocks jump back.
		b.level = min(b.level+passed*b.rate, max(b.rate, 1))
	}
	b.at = now
	if b.level > 0 {
		return 0
	}
	return max(time.Nanosecond, time.Duration(min(-b.level/b.rate*float64(time.Second), math.MaxInt64/2)))
}
