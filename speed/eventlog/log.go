package eventlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/semaphore"
)

// maxPending is above what MaxInFlight lets through, so the client library's own
// limit, which fails instead of waiting, is never reached.
const maxPending = 1 << 20

// A connection that is half open answers nothing and fails nothing. The library would
// notice after six minutes, in which no event could be accepted.
const (
	pingEvery       = 2 * time.Second
	pingsUnanswered = 2
)

// Log is an open log. It is safe for concurrent use.
type Log struct {
	cfg     Config
	log     *slog.Logger
	metrics *metrics

	// Appends and readers have a connection each, so that a reader catching up at
	// full speed does not sit in front of acks.
	appends, reads *nats.Conn
	js, readJS     jetstream.JetStream
	streams        []jetstream.Stream // by partition

	room     *semaphore.Weighted // bytes of MaxInFlight
	inFlight inFlight
	suspect  atomic.Bool   // an append had no answer: ask the server before the next one
	full     []atomic.Bool // by partition: the last append found no space
	closed   atomic.Bool
}

// Open connects, makes missing streams and checks the durability and settings in force
// (L1, L4). Its errors wrap ErrAltered, ErrFull or ErrUnavailable where they apply.
func Open(ctx context.Context, cfg Config) (*Log, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := cfg.checkDurability(); err != nil {
		return nil, err
	}
	l := &Log{
		cfg: cfg, log: cfg.Logger, room: semaphore.NewWeighted(cfg.MaxInFlight),
		full: make([]atomic.Bool, cfg.Partitions),
	}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	if err := l.open(ctx); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

func (l *Log) open(ctx context.Context) (err error) {
	if err := l.connect(); err != nil {
		return fmt.Errorf("connect to the log: %w", err)
	}
	got := l.appends.MaxPayload()
	want := int64(l.cfg.MaxFrame + headerRoom)
	if got < want {
		return fmt.Errorf("the log server's max_payload is %d bytes: set it to at least %d", got, want)
	}
	if err := l.openStreams(ctx); err != nil {
		return err
	}
	l.metrics, err = newMetrics(l.cfg.Registerer, l)
	return err
}

// checkDurability is the refusal of L1. Whether an external server fsyncs cannot be
// read by a client, so there only the number of copies counts.
func (c Config) checkDurability() error {
	switch {
	case c.Durability != Strict:
		return nil
	case c.Server != nil && !c.Server.SyncAlways():
		return errors.New("log durability is strict but the embedded server does not fsync every write: turn sync " +
			"always on, or set durability: relaxed")
	case c.Server == nil && c.Replicas < 3:
		return fmt.Errorf("log durability is strict but log replicas is %d: set at least 3 for an external server, "+
			"or durability: relaxed", c.Replicas)
	}
	return nil
}

func (l *Log) connect() (err error) {
	if l.appends, err = l.dial("appends"); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if l.reads, err = l.dial("reads"); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if l.readJS, err = jetstream.New(l.reads); err != nil {
		return err
	}
	l.js, err = jetstream.New(l.appends,
		jetstream.WithPublishAsyncMaxPending(maxPending),
		jetstream.WithPublishAsyncTimeout(l.cfg.AckTimeout),
		jetstream.WithPublishAsyncAckHandler(func(_ jetstream.JetStream, m *nats.Msg,
			ack *jetstream.PubAck) {
			l.settle(m, ack, nil)
		}),
		jetstream.WithPublishAsyncErrHandler(func(_ jetstream.JetStream, m *nats.Msg,
			err error) {
			l.settle(m, nil, err)
		}))
	return err
}

// dial opens a connection that reconnects for ever. Nothing is buffered while it is
// down: an append that cannot be sent fails at once rather than arriving much later.
func (l *Log) dial(purpose string) (*nats.Conn, error) {
	opts := []nats.Option{
		nats.Name("recount " + purpose),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(100 * time.Millisecond),
		nats.ReconnectJitter(50*time.Millisecond, 50*time.Millisecond),
		nats.ReconnectBufSize(-1),
		nats.PingInterval(pingEvery),
		nats.MaxPingsOutstanding(pingsUnanswered),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if !l.closed.Load() {
				l.log.Warn("log connection lost", "connection", purpose, "error", err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { l.log.Info("log connection restored", "connection", purpose) }),
	}
	if l.cfg.Server != nil {
		opts = append(opts, nats.InProcessServer(l.cfg.Server))
	}
	if l.cfg.Credentials != "" {
		opts = append(opts, nats.UserCredentials(l.cfg.Credentials))
	}
	return nats.Connect(l.cfg.URL, opts...)
}

// Healthy returns why appends would not succeed now, or nil. It is the alarm for a
// full disk, a lost log directory, a full partition and a lost connection.
func (l *Log) Healthy() error {
	if l.closed.Load() {
		return ErrClosed
	}
	if l.cfg.Server != nil {
		if err := l.cfg.Server.Healthy(); err != nil {
			return fmt.Errorf("%w: %w", ErrHalted, err)
		}
	}
	if s := l.appends.Status(); s != nats.CONNECTED {
		return fmt.Errorf("%w: connection is %s", ErrUnavailable, s)
	}
	for p := range l.full {
		if l.full[p].Load() {
			return fmt.Errorf("%w: partition %d: let landing and publication catch up, or raise log max bytes", ErrFull,
				p)
		}
	}
	return nil
}

// Partitions is P.
func (l *Log) Partitions() int { return l.cfg.Partitions }

// Close fails the appends still without an ack with ErrUnavailable and disconnects.
// Readers return ErrClosed. It may be called again.
func (l *Log) Close() {
	if l.closed.Swap(true) {
		return
	}
	l.metrics.unregister()
	var done sync.WaitGroup
	for _, nc := range []*nats.Conn{l.appends, l.reads} {
		if nc != nil {
			done.Go(nc.Close)
		}
	}
	done.Wait()
	l.inFlight.failAll(func(p *Pending) { l.finish(p, 0, fmt.Errorf("%w: %w", ErrUnavailable, ErrClosed)) })
}

func (l *Log) checkPartition(p int) error {
	if p < 0 || p >= l.cfg.Partitions {
		return fmt.Errorf("partition %d: the log has %d", p, l.cfg.Partitions)
	}
	return nil
}
