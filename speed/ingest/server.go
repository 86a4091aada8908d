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
	"recount/schemas/deadletter"
	points "recount/schemas/failpoint" // A refused event or request is a fault here.
	"recount/schemas/problem"
)

// Server accepts events over HTTP and brings them into the log. Its handler and
// Run work together: without Run, requests wait.
type Server struct {
	cfg          Config
	types        map[string]*eventType
	fields       int // most fields of one type
	epochs       []uint32
	log          Log
	logger       *slog.Logger
	now          func() time.Time
	metrics      *metrics
	limit        func(tenant string, bytes, events int) (wait time.Duration) // may be nil
	acknowledged func(partition int, seq uint64, tenant string, events int)  // may be nil
	// unique to this Server, part of message ids (L7)
	process    string
	memory     budget
	caps       *caps
	letterType *eventType
	rates      *rates // of dead letters
	gate       *gate
	committers []*committer

	requests, gzips, zstds sync.Pool
}

// New returns a server for the catalog's event types over a log of the given number of partitions.
func New(cfg Config, cat *catalog.Catalog, partitions int, log Log, opts Options) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("new ingest: %w", err)
	}
	cfg.Memory = cfg.memory()
	if partitions < 1 || opts.Epochs != nil && len(opts.Epochs) != partitions {
		return nil, fmt.Errorf("new ingest: %d partitions with %d epochs", partitions, len(opts.Epochs))
	}
	s := &Server{cfg: cfg, log: log, epochs: opts.Epochs, logger: opts.Logger, now: opts.Now, limit: opts.Admit,
		acknowledged: opts.Acknowledged, process: rand.Text()[:12]}
	if s.epochs == nil {
		s.epochs = make([]uint32, partitions)
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	s.types, s.fields = compileTypes(cat)
	s.letterType = compileType(len(s.types), deadletter.EventType())
	s.rates = newRates(&s.cfg)
	s.letterType.findCapped(cat) // Senders choose what they get wrong.
	s.memory.left.Store(int64(cfg.Memory))
	s.gate = newGate(cfg.Wait)
	queues := make([]*queue, partitions)
	for i := range queues {
		queues[i] = newQueue(cfg.QueueBytes, cfg.Wait, cfg.Fair)
		s.committers = append(s.committers,
			&committer{Server: s, partition: i, queue: queues[i], slots: make(chan struct{}, cfg.InFlight)})
	}
	s.requests.New = func() any { return s.newRequest() }
	var err error
	if s.metrics, err = newMetrics(opts.Registerer, queues, s.gate, &s.memory, cfg.Memory); err != nil {
		return nil, fmt.Errorf("new ingest: register metrics: %w", err)
	}
	s.caps = newCaps(cfg.Values, s.logger, s.metrics)
	return s, nil
}

func (s *Server) newRequest() *request {
	partitions := len(s.committers)
	return &request{cfg: &s.cfg, budget: &s.memory, mine: new(atomic.Int64), partitions: partitions,
		types: len(s.types),
		dec:   newDecoder(s.cfg, s.types, s.fields), open: make([]*chunk, partitions*len(s.types)),
		letters: letters{typ: s.letterType, rates: s.rates, open: make([]*chunk, partitions),
			row: row{slots: make([]slot, 0, len(s.letterType.fields))}}}
}

// Run commits events until ctx ends, then finishes those already accepted into its
// queues and returns. Requests that come later get 503.
func (s *Server) Run(ctx context.Context) error {
	var g errgroup.Group
	for _, c := range s.committers {
		g.Go(func() error { return c.run(ctx) })
	}
	return g.Wait()
}

// Handler serves POST /v1/events, wherever it is mounted. The tenant is that of the
// request's principal (package access).
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.serve) }

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	start := s.now()
	q := s.requests.Get().(*request)
	a := s.handle(w, r, q, start)
	s.metrics.answered(&a, len(q.body), s.now().Sub(start))
	s.metrics.lettered(&q.letters)
	points.Point("ingest.answer.before")
	s.write(w, q, a)
	points.Point("ingest.answer.after")
	q.recycle()
	s.requests.Put(q)
}

// handle does everything but answering.
func (s *Server) handle(w http.ResponseWriter, r *http.Request, q *request, now time.Time) answer {
	q.body = q.body[:0]
	if f := s.accept(w, r, q, now); f != nil {
		if f.code == problem.InvalidJSON {
			s.keepWhole(q, f)
		}
		return answer{status: f.status, problem: f, letter: q.letters.whole}
	}
	if f := s.admit(q.dec.tenant, 0, q.events); f != nil {
		return answer{status: f.status, problem: f}
	}
	if f := s.submit(q.chunks); f != nil {
		return answer{status: f.status, problem: f}
	}
	s.deliver(q)
	accepted, places := q.settle(s.epochs)
	return judge(accepted, q.rejected, places)
}

// accept reads and decodes the request into q.
func (s *Server) accept(w http.ResponseWriter, r *http.Request, q *request, now time.Time) *fault {
	if r.Method != http.MethodPost {
		return &fault{code: problem.MethodNotAllowed, status: http.StatusMethodNotAllowed, msg: "send events with POST"}
	}
	who, ok := access.FromContext(r.Context())
	if !ok {
		return &fault{code: problem.Unauthorized, status: http.StatusUnauthorized, msg: "the request has no owner"}
	}
	q.mine = s.memory.of(who.Tenant)
	q.dec.serve(who.Tenant, s.caps.of(who.Tenant, now.UnixMicro()))
	kind, f := kindOf(r.Header)
	if f != nil {
		return f
	}
	if s.shedding() {
		return tooBusy
	}
	if f := s.admit(who.Tenant, 0, 0); f != nil {
		return f
	}
	if f := q.pay(baseCost); f != nil {
		return f
	}
	if f := s.read(w, r, q); f != nil {
		return f
	}
	if f := s.gate.enter(r.Context()); f != nil {
		return f
	}
	defer s.gate.leave()
	if f := s.admit(who.Tenant, len(q.body), 0); f != nil {
		return f
	}
	return q.decode(kind, r.Header, now)
}

// admit holds a tenant to its rates.
func (s *Server) admit(tenant string, bytes, events int) *fault {
	if s.limit == nil {
		return nil
	}
	wait := s.limit(tenant, bytes, events)
	if wait <= 0 {
		return nil
	}
	return &fault{code: problem.RateLimited, status: http.StatusTooManyRequests, retry: wait,
		msg: "the rate of events or bytes allowed to this tenant is used up; send the request again after Retry-After"}
}

// Busy says that events come in: work that nobody waits for should give way.
func (s *Server) Busy() bool { return s.gate.busy() }

// shedding says that a request that comes now would wait too long, wherever its events belong.
// It is refused before its body is read: decoding what is refused afterwards would take the
// time of what is not.
func (s *Server) shedding() bool {
	return s.gate.behind() || !slices.ContainsFunc(s.committers, func(c *committer) bool { return !c.queue.behind() })
}

// submit queues all chunks or none: an overloaded partition sheds the whole request,
// which is then easy to send again.
func (s *Server) submit(chunks []*chunk) *fault {
	for i, c := range chunks {
		f := s.committers[c.partition].queue.reserve(c)
		if f == nil {
			continue
		}
		held := c.cost()
		for _, before := range chunks[:i] {
			s.committers[before.partition].queue.release(before)
			if before.partition == c.partition {
				held += before.cost()
			}
		}
		if held > s.cfg.most(s.cfg.QueueBytes) {
			return tooMuch
		}
		return f
	}
	for _, c := range chunks {
		c.done.Add(1)
	}
	for _, c := range chunks {
		s.committers[c.partition].queue.push(c)
	}
	return nil
}
