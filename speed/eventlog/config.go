package eventlog

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The values of Config.Durability.
const (
	// Strict opens the log only where an ack means durable (L1).
	Strict = "strict"
	// Relaxed takes the server as it is: a power failure may lose acknowledged messages.
	Relaxed = "relaxed"
)

// Defaults of Config.
const (
	DefaultPartitions  = 4
	DefaultMaxBytes    = 4 << 30
	DefaultMaxFrame    = 8<<20 - 64<<10
	DefaultMaxInFlight = 64 << 20
	DefaultPrefetch    = 16 << 20
	DefaultAckTimeout  = 10 * time.Second
)

// maxPartitions bounds streams, readers and metrics; it is far above any useful number.
const maxPartitions = 256

// headerRoom is what a message's headers and protocol overhead add to its frame, at most, in bytes.
const headerRoom = 4 << 10

// maxMsgID bounds a message id in bytes, for headerRoom's sake.
const maxMsgID = 256

var prefixForm = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

// Server is what the log needs of a server in the same process.
type Server interface {
	// InProcessConn returns a new connection that uses no network.
	InProcessConn() (net.Conn, error)
	// SyncAlways reports whether the running server fsyncs before it acks.
	SyncAlways() bool
	// Healthy returns why the server takes no writes, or nil.
	Healthy() error
}

// Config says where the log is and what its streams must be.
type Config struct {
	// URL is the address of an external server or cluster, nats://host:port[,…]. Empty with Server.
	URL string
	// Server is the embedded server. Nil with URL.
	Server Server
	// Credentials is a NATS credentials file for URL. Empty means none.
	Credentials string
	// Prefix begins the names of streams and subjects: lower-case letters, digits and dashes.
	Prefix string
	// Partitions is P. It is fixed once the streams exist (L3).
	Partitions int
	// Replicas is the number of copies of a stream, 1 embedded, at least 3 outside for strict.
	Replicas int
	// Durability is Strict or Relaxed.
	Durability string
	// MaxBytes bounds each partition in bytes (L4). It may be changed between starts.
	MaxBytes int64
	// MaxFrame is the largest frame in bytes.
	MaxFrame int
	// MaxInFlight bounds the bytes of appends without an ack. A message counts with at
	// least 16 KiB, which bounds their number too.
	MaxInFlight int64
	// Prefetch bounds the bytes of one request of a Reader, of which at most two overlap.
	// It is never below the server's largest message.
	Prefetch int
	// ReadOnly makes Open take the streams as they are: a missing one is an error, no setting
	// is changed, and none is judged. Appending is for the caller to leave out.
	ReadOnly bool
	// AckTimeout is how long an append waits for its ack before its outcome is called unknown.
	AckTimeout time.Duration
	// Logger may be nil.
	Logger *slog.Logger
	// Registerer takes the metrics; nil registers none.
	Registerer prometheus.Registerer
}

// DefaultConfig returns the settings for the embedded server s.
func DefaultConfig(s Server) Config {
	return Config{
		Server: s, Prefix: "recount", Partitions: DefaultPartitions, Replicas: 1, Durability: Strict,
		MaxBytes: DefaultMaxBytes, MaxFrame: DefaultMaxFrame, MaxInFlight: DefaultMaxInFlight,
		Prefetch: DefaultPrefetch, AckTimeout: DefaultAckTimeout,
	}
}

// Validate reports every setting the log could not run with.
func (c Config) Validate() error {
	var errs []error
	check := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check((c.URL == "") == (c.Server == nil), "log url %q: set a server's address or use the embedded server, not both",
		c.URL)
	check(!prefixForm.MatchString(c.Prefix), "log prefix %q: use up to 32 lower-case letters, digits and dashes",
		c.Prefix)
	check(c.Partitions < 1 || c.Partitions > maxPartitions, "log partitions is %d: set 1 to %d", c.Partitions,
		maxPartitions)
	check(c.Replicas < 1 || c.Replicas > 5, "log replicas is %d: set 1 to 5", c.Replicas)
	check(c.Server != nil && c.Replicas > 1, "log replicas is %d: the embedded server keeps 1", c.Replicas)
	check(c.Durability != Strict && c.Durability != Relaxed, "log durability is %q: set %s or %s", c.Durability, Strict,
		Relaxed)
	check(c.MaxFrame < 1 || c.MaxFrame > 32<<20, "log max frame is %d bytes: set 1 to %d", c.MaxFrame, 32<<20)
	least := int64(c.MaxFrame + headerRoom)
	check(c.MaxBytes < least, "log max bytes is %d: set at least %d, one message", c.MaxBytes, least)
	check(c.MaxInFlight < least, "log max in flight is %d bytes: set at least %d, one message", c.MaxInFlight, least)
	check(int64(c.Prefetch) < least, "log prefetch is %d bytes: set at least %d, one message", c.Prefetch, least)
	check(c.AckTimeout <= 0, "log ack timeout is %v: set a positive duration", c.AckTimeout)
	return errors.Join(errs...)
}
