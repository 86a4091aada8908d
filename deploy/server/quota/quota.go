// Package quota limits the rates of each tenant: events, bytes and queries a second, and buckets of event time a
// minute (spread.go).
//
// A rate is a token bucket. It holds at most one second's worth of tokens and is refilled
// continuously. A request passes if the bucket is not empty, even if it needs more tokens than the
// bucket has. The tenant is then in debt, and its next requests wait until the debt is refilled. So a
// request of any size passes at some time, and on average no tenant exceeds its rate.
// golang.org/x/time/rate has no debt: a request larger than its burst would never pass.
//
// Rates hold in one process. Two processes that ingest for one tenant let through twice as much.
package quota

import (
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"recount/schemas/setting"
)

// Rates are how much a tenant may use in a second. 0 means no limit.
type Rates struct {
	Events, Bytes, Queries float64
	// Buckets is how many buckets of event time a tenant may touch in a minute, and in one request.
	Buckets int
}

// DefaultRates are those of a tenant of which nothing is said.
func DefaultRates() Rates { return Rates{Buckets: DefaultBuckets} }

// Settings lists the rates that an operator may set below a key: limits, or tenants.NAME.
func (r *Rates) Settings(below string) []setting.Setting {
	noLimit := setting.Range(0, int64(1e12)).OrZero("no limit")
	return []setting.Setting{
		setting.Rate(below+".events_per_second", "events", noLimit,
			"Most events of a tenant in a second, on average.", &r.Events),
		setting.Size(below+".bytes_per_second", setting.AtLeast(0).OrZero("no limit"),
			"Most bytes of a tenant's request bodies in a second, decompressed.", &r.Bytes),
		setting.Rate(below+".queries_per_second", "queries", noLimit,
			"Most queries of a tenant in a second, on average.", &r.Queries),
		setting.Count(below+".buckets_per_minute", "buckets", setting.AtLeast(0).OrZero("no limit"),
			"Most buckets of event time (batch.bucket) over which a tenant's events may be spread in a minute, and in "+
				"one request; raise it for an import of many years that is not in order of time.", &r.Buckets),
	}
}

// Config sets the rates; Now and Registerer may be nil.
type Config struct {
	Default    Rates
	Tenants    map[string]Rates // rates of the tenants that have their own
	Now        func() time.Time
	Registerer prometheus.Registerer
}

// Quotas counts how much every tenant uses. It is safe for concurrent use.
type Quotas struct {
	cfg     Config
	mu      sync.Mutex
	tenants map[string]*tenant // every tenant that has sent a request; only tenants with a key can
	collect map[string]*bucket // of each key of scope collect that has sent a request, by its id
	taken   *prometheus.CounterVec
	refused *prometheus.CounterVec

	collectRefused prometheus.Counter
}

// tenant has one bucket of each kind.
type tenant struct {
	mu      sync.Mutex
	buckets [kinds]bucket
	spread  spread
	taken   [kinds]prometheus.Counter
	refused [kinds]prometheus.Counter

	spreadRefused prometheus.Counter
}

// kind is what a rate limits.
type kind int

const (
	events kind = iota
	bytes
	queries
	kinds // how many kinds there are
)

var kindNames = [kinds]string{"events", "bytes", "queries"}

// others is the label of all tenants after the first maxLabels. Time series for thousands of tenants
// would cost more than they are worth.
const (
	maxLabels = 200
	others    = "~others"
)

// New returns quotas of which nothing is used.
func New(cfg Config) (*Quotas, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	q := &Quotas{cfg: cfg, tenants: map[string]*tenant{}, collect: map[string]*bucket{},
		taken: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "recount_tenant_taken_total",
			Help: "Events, bytes and queries that a tenant asked for and was allowed."}, []string{"tenant", "kind"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "recount_tenant_refused_total",
			Help: "Requests that were refused because a tenant was over its rate of events, bytes, queries or " +
				"buckets."},
			[]string{"tenant", "kind"}),
		collectRefused: prometheus.NewCounter(prometheus.CounterOpts{Name: "recount_collect_refused_total",
			Help: "Requests that were refused because a key of scope collect was over its rate."})}
	if cfg.Registerer == nil {
		return q, nil
	}
	for _, c := range []prometheus.Collector{q.taken, q.refused, q.collectRefused} {
		if err := cfg.Registerer.Register(c); err != nil {
			return nil, fmt.Errorf("new quotas: %w", err)
		}
	}
	return q, nil
}

// Ingest spends bytes and events of a tenant's quota. If the tenant is in debt it spends nothing and
// returns how long the tenant has to wait. With both counts 0 it only asks.
func (q *Quotas) Ingest(name string, byteCount, eventCount int) (wait time.Duration) {
	return q.tenant(name).spend(q.cfg.Now(), [kinds]int{events: eventCount, bytes: byteCount}, events, bytes)
}

// Query spends queries of a tenant's quota, or returns how long the tenant has to wait.
func (q *Quotas) Query(name string, count int) (wait time.Duration) {
	return q.tenant(name).spend(q.cfg.Now(), [kinds]int{queries: count}, queries)
}

// tenant returns the tenant with a name. The first request of a tenant creates it.
func (q *Quotas) tenant(name string) *tenant {
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
	t = &tenant{spread: spread{limit: rates.Buckets}, spreadRefused: q.refused.WithLabelValues(label, "buckets")}
	for k, rate := range [kinds]float64{rates.Events, rates.Bytes, rates.Queries} {
		t.buckets[k] = bucket{rate: rate, level: max(rate, 1), at: q.cfg.Now()}
		t.taken[k] = q.taken.WithLabelValues(label, kindNames[k])
		t.refused[k] = q.refused.WithLabelValues(label, kindNames[k])
	}
	q.tenants[name] = t
	return t
}

// spend spends n of each of the asked kinds, unless one of them is in debt.
func (t *tenant) spend(now time.Time, n [kinds]int, asked ...kind) (wait time.Duration) {
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
	level float64 // how much may be spent now; negative in debt
	at    time.Time
}

// wait refills the bucket and returns how long it will stay empty.
func (b *bucket) wait(now time.Time) time.Duration {
	if b.rate == 0 {
		b.level = 0 // Without a limit nothing is counted.
		return 0
	}
	if passed := now.Sub(b.at).Seconds(); passed > 0 { // A clock may jump back.
		b.level = min(b.level+passed*b.rate, max(b.rate, 1))
	}
	b.at = now
	if b.level > 0 {
		return 0
	}
	return max(time.Nanosecond, time.Duration(min(-b.level/b.rate*float64(time.Second), math.MaxInt64/2)))
}
