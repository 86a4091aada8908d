package eventlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/semaphore"
)

// maxPending is the client library's limit of appends without an ack. Beyond it the library fails
// instead of waiting, so it is above the number that MaxInFlight allows.
const maxPending = 1 << 20

// The pings of a connection find one that is half open: it answers nothing and reports no error.
// By default the library would notice after six minutes without an accepted event.
const (
	pingEvery       = 2 * time.Second
	pingsUnanswered = 2
)

// Log is an open log. It is safe for concurrent use.
type Log struct {
	cfg     Config
	logger  *slog.Logger
	metrics *metrics

	// Appends and readers have a connection each, so that acks do not wait for the messages of
	// a reader that catches up at full speed.
	appends, reads *nats.Conn
	js, readJS     jetstream.JetStream
	streams        []jetstream.Stream // by partition

	id, installation string // as in the metadata of the streams

	budget   *semaphore.Weighted // bytes of MaxInFlight
	inFlight inFlight
	suspect  atomic.Bool   // an append got no answer: check the server before the next append
	full     []atomic.Bool // by partition: the last append found no space
	quorum   quorum
	closed   atomic.Bool
}

// Open connects, creates missing streams and checks their durability and effective settings
// (L1, L4). It waits for servers that do not answer yet, each time for StartTimeout. Its errors wrap
// ErrAltered, ErrFull or ErrUnavailable where they apply.
func Open(ctx context.Context, cfg Config) (*Log, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := cfg.checkDurability(); err != nil {
		return nil, err
	}
	l := &Log{
		cfg: cfg, logger: cfg.Logger, budget: semaphore.NewWeighted(cfg.MaxInFlight),
		full: make([]atomic.Bool, cfg.Partitions),
	}
	if l.logger == nil {
		l.logger = slog.New(slog.DiscardHandler)
	}
	if err := l.open(ctx); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

func (l *Log) open(ctx context.Context) (err error) {
	if err := l.await(ctx, "a connection to the log", l.connect); err != nil {
		return fmt.Errorf("connect to the log: %w", err)
	}
	got := l.appends.MaxPayload()
	want := int64(l.cfg.MaxFrame + maxHeaderBytes)
	if got < want {
		return fmt.Errorf("the log server's max_payload is %d bytes: set it to at least %d", got, want)
	}
	if err := l.openStreams(ctx); err != nil {
		return err
	}
	l.metrics, err = newMetrics(l.cfg.Registerer, l)
	return err
}

// checkDurability refuses a server that does not keep L1. A client cannot see whether an external
// server fsyncs, so for an external server only the number of copies counts.
func (c Config) checkDurability() error {
	switch {
	case c.Durability != Strict:
		return nil
	case c.Server != nil && !c.Server.SyncAlways():
		return errors.New("log durability is strict but the embedded server does not fsync every write: turn on " +
			"sync always, or set durability: relaxed")
	case c.Server == nil && c.Replicas < 3:
		return fmt.Errorf("log durability is strict but log replicas is %d: set at least 3 for an external server, "+
			"or durability: relaxed", c.Replicas)
	}
	return nil
}

func (l *Log) connect(context.Context) (err error) {
	if l.appends == nil {
		if l.appends, err = l.dial("appends"); err != nil {
			return err
		}
	}
	if l.reads, err = l.dial("reads"); err != nil {
		return err
	}
	if l.readJS, err = jetstream.New(l.reads); err != nil {
		return err
	}
	l.js, err = jetstream.New(l.appends,
		jetstream.WithPublishAsyncMaxPending(maxPending),
		jetstream.WithPublishAsyncTimeout(l.cfg.AckTimeout),
		jetstream.WithPublishAsyncAckHandler(func(_ jetstream.JetStream, m *nats.Msg, ack *jetstream.PubAck) {
			l.settle(m, ack, nil)
		}),
		jetstream.WithPublishAsyncErrHandler(func(_ jetstream.JetStream, m *nats.Msg, err error) {
			l.settle(m, nil, err)
		}))
	return err
}

// dial opens a connection that reconnects for ever. It buffers nothing while it is down, so an
// append that cannot be sent fails at once and does not arrive much later.
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
				l.logger.Warn("log connection lost", "connection", purpose, "error", err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { l.logger.Info("log connection restored", "connection", purpose) }),
	}
	if l.cfg.Server != nil {
		opts = append(opts, nats.InProcessServer(l.cfg.Server))
	}
	if l.cfg.Credentials != "" {
		opts = append(opts, nats.UserCredentials(l.cfg.Credentials))
	}
	conn, err := nats.Connect(l.cfg.URL, opts...)
	var timeout net.Error
	if errors.Is(err, nats.ErrNoServers) || errors.Is(err, nats.ErrTimeout) || errors.As(err, &timeout) {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return conn, err
}

// Healthy returns why appends cannot succeed now, or nil. It reports a full disk, a lost log
// directory, a full partition, a lost connection, and an external cluster without a quorum.
func (l *Log) Healthy(ctx context.Context) error {
	if l.closed.Load() {
		return ErrClosed
	}
	if l.cfg.Server != nil {
		if err := l.cfg.Server.Healthy(); err != nil {
			return fmt.Errorf("%w: %w", ErrHalted, err)
		}
	}
	if s := l.appends.Status(); s != nats.CONNECTED {
		return fmt.Errorf("%w: the connection is %s", ErrUnavailable, s)
	}
	for p := range l.full {
		if l.full[p].Load() {
			return fmt.Errorf("%w: partition %d: let landing and publication catch up, or raise log max bytes", ErrFull,
				p)
		}
	}
	if l.cfg.Server == nil {
		return l.checkQuorum(ctx)
	}
	return nil
}

// Partitions returns P, the number of partitions.
func (l *Log) Partitions() int { return l.cfg.Partitions }

// Close disconnects. Appends without an ack fail with ErrUnavailable, and readers return
// ErrClosed. Close may be called again.
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
		return fmt.Errorf("partition %d does not exist: the log has partitions 0 to %d", p, l.cfg.Partitions-1)
	}
	return nil
}
