package ingest

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"recount/schemas/access"
	"recount/schemas/catalog"
	"recount/schemas/failpoint"
	"recount/schemas/problem"
)

// Server accepts events over HTTP and appends them to the log. A request that Handler serves
// waits until Run commits its events.
type Server struct {
	cfg          Config
	catalog      catalog.Source
	look         func(context.Context) error // Options.Look
	name         []byte                      // of the installation, in receipts
	declared     atomic.Pointer[declared]    // of the newest catalog that current was called with
	declaring    sync.Mutex                  // held while declared is replaced
	epochs       []uint32
	log          Log
	logger       *slog.Logger
	now          func() time.Time
	metrics      *metrics
	begin        func(p access.Principal) (wait time.Duration)                    // may be nil
	rateLimit    func(p access.Principal, bytes, events int) (wait time.Duration) // may be nil
	spread       func(tenant string, buckets map[int64]struct{}) (wait time.Duration, limit int)
	bucket       time.Duration                                              // width of a bucket
	acknowledged func(partition int, seq uint64, tenant string, events int) // may be nil
	process      string                                                     // random, part of message ids (L7)
	discovery    *discovery
	memory       budget
	caps         *caps
	rates        *rates // of dead letters
	gate         *gate
	committers   []*committer

	gzips, zstds sync.Pool
}

// New returns a server for the declared event types over a log of the given number of partitions.
func New(cfg Config, c catalog.Source, partitions int, log Log, opts Options) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("new ingest: %w", err)
	}
	cfg.Memory = cfg.memory()
	if partitions < 1 || opts.Epochs != nil && len(opts.Epochs) != partitions {
		return nil, fmt.Errorf("new ingest: %d partitions with %d epochs: use at least one partition, and one epoch "+
			"for each", partitions, len(opts.Epochs))
	}
	s := &Server{cfg: cfg, log: log, epochs: opts.Epochs, logger: opts.Logger, now: opts.Now, begin: opts.Begin,
		rateLimit: opts.Admit, spread: opts.Spread, bucket: c.Catalog().Bucket, catalog: c, look: opts.Look,
		acknowledged: opts.Acknowledged, process: rand.Text()[:12], name: nameOf(opts.Installation)}
	if s.epochs == nil {
		s.epochs = make([]uint32, partitions)
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	s.discovery = newDiscovery(cfg.Discovery, &opts)
	s.declared.Store(s.declare(c.Catalog(), nil))
	s.rates = newRates(&s.cfg)
	s.memory.left.Store(int64(cfg.Memory))
	s.gate = newGate(cfg.Wait)
	queues := make([]*queue, partitions)
	for i := range queues {
		queues[i] = newQueue(&s.cfg)
		s.committers = append(s.committers,
			&committer{Server: s, partition: i, queue: queues[i], slots: make(chan struct{}, cfg.InFlight)})
	}
	var err error
	if s.metrics, err = newMetrics(opts.Registerer, queues, s.gate, &s.memory, cfg.Memory); err != nil {
		return nil, fmt.Errorf("new ingest: register metrics: %w", err)
	}
	s.caps = newCaps(cfg.Values, s.logger, s.metrics)
	return s, nil
}

func (s *Server) newRequest(d *declared) *request {
	partitions := len(s.committers)
	return &request{declared: d, cfg: &s.cfg, budget: &s.memory, held: new(atomic.Int64), partitions: partitions,
		typeCount: len(d.types), decoder: newDecoder(s.cfg, d.types, d.maxFields),
		bucket: s.bucket, touched: map[int64]struct{}{},
		openChunks: make([]*chunk, partitions*len(d.types)),
		deadLetters: deadLetters{eventType: d.deadLetterType, rates: s.rates, openChunks: make([]*chunk, partitions),
			row: row{slots: make([]slot, 0, len(d.deadLetterType.fields))}}}
}

// Run commits events until ctx ends. It then refuses new requests with 503, commits
// everything that its queues have accepted, and returns.
func (s *Server) Run(ctx context.Context) error {
	var g errgroup.Group
	for _, c := range s.committers {
		g.Go(func() error { return c.run(ctx) })
	}
	g.Go(func() error { return s.addFields(ctx) })
	return g.Wait()
}

// Handler serves POST /v1/events at whatever path it is mounted. The tenant is that of the
// request's principal (package access).
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.serve) }

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	start := s.now()
	q := s.current().requests.Get().(*request)
	a := s.handle(w, r, q, start)
	s.metrics.countRequest(&a, len(q.body), s.now().Sub(start))
	s.metrics.countDeadLetters(&q.deadLetters)
	failpoint.Point("ingest.answer.before")
	s.writeAnswer(w, q, a)
	failpoint.Point("ingest.answer.after")
	q.recycle()
	q.declared.requests.Put(q)
}

// handle does everything except sending the answer.
func (s *Server) handle(w http.ResponseWriter, r *http.Request, q *request, now time.Time) answer {
	q.body = q.body[:0]
	if p := s.receive(w, r, q, now); p != nil {
		if p.Code == problem.InvalidJSON {
			s.keepWhole(q, p)
		}
		return answer{problem: p, deadLetter: q.deadLetters.wholeName}
	}
	if p := s.checkSpread(q); p != nil {
		return answer{problem: p}
	}
	if p := s.checkRates(q.principal, 0, q.events); p != nil {
		return answer{problem: p}
	}
	if p := s.submit(q.chunks); p != nil {
		return answer{problem: p}
	}
	s.queueDeadLetters(q)
	accepted, places := q.settle(s.epochs)
	if !q.maySeePlaces() {
		places = nil
	}
	a := newAnswer(accepted, q.rejected, places)
	a.coerced = s.countCoerced(q)
	a.discovered = q.discovered
	return a
}

// receive reads and decodes the request into q.
func (s *Server) receive(w http.ResponseWriter, r *http.Request, q *request, now time.Time) *problem.Problem {
	if r.Method != http.MethodPost {
		return problem.New(http.StatusMethodNotAllowed, problem.MethodNotAllowed, "send events with POST")
	}
	principal, ok := access.FromContext(r.Context())
	if !ok {
		return problem.New(http.StatusUnauthorized, problem.Unauthorized,
			"the request has no principal, so its events would have no tenant")
	}
	tenant := principal.Tenant
	q.held = s.memory.held(tenant)
	q.setPrincipal(principal)
	q.decoder.setTenant(tenant, s.caps.setsOf(tenant, now.UnixMicro()))
	q.decoder.permission = s.discovery.allow(principal)
	if q.decoder.permission == discoveryAllowed {
		q.decoder.room = q.declared.room
		q.decoder.noRoom = q.decoder.room == 0
		q.decoder.bounds = &s.discovery.cfg
	}
	kind, p := kindOf(r.Header, principal.Collect != nil)
	if p != nil {
		return p
	}
	if s.shedding() {
		return tooBusy
	}
	if s.begin != nil {
		if p := overRate(s.begin(principal)); p != nil {
			return p
		}
	}
	if p := q.pay(baseCost); p != nil {
		return p
	}
	if p := s.readBody(w, r, q); p != nil {
		return p
	}
	p = s.atGate(r.Context(), func() *problem.Problem {
		if p := s.checkRates(principal, len(q.body), 0); p != nil {
			return p
		}
		return q.decode(kind, r.Header, now)
	})
	if p == nil && q.unknown {
		p = s.decodeUnknown(r, q, kind, now)
	}
	if q.decoder.full {
		s.meetLimits("", limitTypes)
	}
	if q.sawMore {
		notify(s.discovery.wake) // The other events of the request were looked at, too.
	}
	return p
}

// atGate waits at the gate, and does work that needs a processor.
func (s *Server) atGate(ctx context.Context, work func() *problem.Problem) *problem.Problem {
	if p := s.gate.enter(ctx); p != nil {
		return p
	}
	defer s.gate.leave()
	return work()
}

// decodeUnknown decodes a request again that names an event type which this process does not know, if a look at the
// catalog finds it (G3), or if the request may declare it (G6). So an event type can be declared at one process and
// sent to another at once. Waiting for the catalog keeps no other request from being decoded.
func (s *Server) decodeUnknown(r *http.Request, q *request, kind contentKind, now time.Time) *problem.Problem {
	newest, done, p := s.learn(r.Context(), q)
	if p != nil {
		return p
	}
	if newest == q.declared && q.decoder.room == 0 {
		return nil
	}
	first := q.decoder
	q.restart(newest)
	q.decoder.setTenant(first.tenant, s.caps.setsOf(first.tenant, now.UnixMicro()))
	q.decoder.continues(first, &done)
	return s.atGate(r.Context(), func() *problem.Problem { return q.decode(kind, r.Header, now) })
}

// checkRates refuses a request whose tenant or key is beyond its rates.
func (s *Server) checkRates(sender access.Principal, bytes, events int) *problem.Problem {
	if s.rateLimit == nil {
		return nil
	}
	return overRate(s.rateLimit(sender, bytes, events))
}

// overRate refuses a request whose sender has to wait, if it has to.
func overRate(wait time.Duration) *problem.Problem {
	if wait <= 0 {
		return nil
	}
	return &problem.Problem{Status: http.StatusTooManyRequests, Code: problem.RateLimited, RetryAfter: wait,
		Detail: "the rate of events or bytes allowed to this tenant or key is used up; send the request again after " +
			"Retry-After"}
}

// checkSpread refuses a request whose events are in too many buckets of event time. Each of them would be
// computed anew, for all tenants.
func (s *Server) checkSpread(q *request) *problem.Problem {
	if s.spread == nil || len(q.touched) == 0 {
		return nil
	}
	wait, limit := s.spread(q.decoder.tenant, q.touched)
	switch {
	case limit > 0:
		return problem.New(http.StatusRequestEntityTooLarge, problem.TooManyBuckets, fmt.Sprintf("the times of these "+
			"events are in %d buckets of %s, and limits.buckets_per_minute allows %d; send the events in order of "+
			"time, fewer in one request, or let an operator raise the limit for this tenant", len(q.touched), s.bucket,
			limit))
	case wait > 0:
		return &problem.Problem{Status: http.StatusTooManyRequests, Code: problem.RateLimited, RetryAfter: wait,
			Detail: "the times of this tenant's events are in more buckets than limits.buckets_per_minute allows; " +
				"send the request again after Retry-After, and events in order of time"}
	}
	return nil
}

// Busy reports whether requests arrive. Background work should then give way.
func (s *Server) Busy() bool { return s.gate.busy() }

// shedding reports whether a new request would wait too long, whatever the partitions of its
// events. It is then refused before its body is read, because decoding a request that is
// refused afterwards takes time from those that are not.
func (s *Server) shedding() bool {
	return s.gate.lagging() || !slices.ContainsFunc(s.committers, func(c *committer) bool { return !c.queue.lagging() })
}

// submit queues all chunks or none. One overloaded partition refuses the whole request, which
// the client can simply send again.
func (s *Server) submit(chunks []*chunk) *problem.Problem {
	for i, c := range chunks {
		p := s.committers[c.partition].queue.reserve(c)
		if p == nil {
			continue
		}
		needed := c.cost()
		for _, earlier := range chunks[:i] {
			s.committers[earlier.partition].queue.release(earlier)
			if earlier.partition == c.partition {
				needed += earlier.cost()
			}
		}
		if needed > s.cfg.maxShare(s.cfg.QueueBytes) {
			return requestTooLarge
		}
		return p
	}
	for _, c := range chunks {
		c.done.Add(1)
	}
	for _, c := range chunks {
		s.committers[c.partition].queue.push(c)
	}
	return nil
}
