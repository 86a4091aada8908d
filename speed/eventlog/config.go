package eventlog

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"recount/schemas/setting"
)

// The values of Config.Durability.
const (
	// Strict opens the log only where an ack means that the message is durable (L1).
	Strict = "strict"
	// Relaxed accepts any server: a power failure may lose acknowledged messages.
	Relaxed = "relaxed"
)

// Defaults of Config.
const (
	DefaultPartitions  = 4
	DefaultReplicas    = 3 // of an external cluster: strict wants as many
	DefaultMaxBytes    = 4 << 30
	DefaultMaxFrame    = 8<<20 - 64<<10
	DefaultMaxInFlight = 64 << 20
	DefaultPrefetch    = 16 << 20
	DefaultAckTimeout  = 10 * time.Second

	DefaultStartTimeout = 2 * time.Minute
)

// maxPartitions bounds the number of streams, readers and metrics. It is far above any useful number.
const maxPartitions = 256

// maxHeaderBytes bounds what headers and protocol overhead add to a frame.
const maxHeaderBytes = 4 << 10

// maxMsgID bounds a message id in bytes, so that the headers stay below maxHeaderBytes.
const maxMsgID = 256

var prefixPattern = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

// Server is a NATS server in the same process.
type Server interface {
	// InProcessConn returns a new connection that uses no network.
	InProcessConn() (net.Conn, error)
	// SyncAlways reports whether the running server fsyncs every message before its ack.
	SyncAlways() bool
	// Healthy returns why the server accepts no writes, or nil.
	Healthy() error
}

// Config says where the log is and which settings its streams must have.
type Config struct {
	// URL is the address of an external server or cluster, nats://host:port[,…]. It is empty if Server is set.
	URL string
	// Server is the embedded server. It is nil if URL is set.
	Server Server
	// Credentials is the path of a NATS credentials file for URL. Empty means no credentials.
	Credentials string
	// Prefix begins the names of streams and subjects: lower-case letters, digits and dashes.
	Prefix string
	// Partitions is P, the number of partitions. It is fixed once the streams exist (L3).
	Partitions int
	// Replicas is the number of copies of a stream: 1 for an embedded server, at least 3 for
	// an external server with strict durability.
	Replicas int
	// Durability is Strict or Relaxed.
	Durability string
	// MaxBytes bounds the size of each partition in bytes (L4). It may change between starts.
	MaxBytes int64
	// MaxFrame is the size of the largest frame in bytes.
	MaxFrame int
	// MaxInFlight bounds the bytes of appends that have no ack yet. Each message counts as at
	// least 16 KiB, so their number is bounded too.
	MaxInFlight int64
	// Prefetch bounds the bytes of one request of a Reader. At most two requests overlap.
	// A request is never below the server's largest message.
	Prefetch int
	// ReadOnly makes Open accept the streams as they are: it creates, changes and checks nothing,
	// and a missing stream is an error. The caller must not append.
	ReadOnly bool
	// AckTimeout is how long an append waits for its ack. After that its outcome is unknown.
	AckTimeout time.Duration
	// StartTimeout is how long Open waits for each of its steps: a connection, then one stream after the other.
	StartTimeout time.Duration
	// Logger may be nil.
	Logger *slog.Logger
	// Registerer receives the metrics; nil registers none.
	Registerer prometheus.Registerer
}

// DefaultConfig returns the settings for the embedded server s, or for an external cluster if s is nil.
func DefaultConfig(s Server) Config {
	replicas := DefaultReplicas
	if s != nil {
		replicas = 1
	}
	return Config{
		Server: s, Prefix: "recount", Partitions: DefaultPartitions, Replicas: replicas, Durability: Strict,
		MaxBytes: DefaultMaxBytes, MaxFrame: DefaultMaxFrame, MaxInFlight: DefaultMaxInFlight,
		Prefetch: DefaultPrefetch, AckTimeout: DefaultAckTimeout, StartTimeout: DefaultStartTimeout,
	}
}

// Settings returns the settings that an operator may change, except for the log's address.
func (c *Config) Settings() []setting.Setting {
	return []setting.Setting{
		setting.Count("log.partitions", "partitions", setting.Range(1, maxPartitions),
			"Partitions of the log; the number is fixed once data exists.", &c.Partitions),
		setting.Choice("log.durability", []string{Strict, Relaxed}, "strict acknowledges only what is fsynced or "+
			"replicated; relaxed trusts the settings of the server.", &c.Durability),
		setting.Count("log.replicas", "copies", setting.Range(1, 5), "Copies of the log on an external cluster; "+
			"strict wants 3, and the embedded log keeps one.", &c.Replicas),
		setting.Size("log.max_bytes", setting.AtLeast(64<<20),
			"Largest size of one partition of the log; a full log answers 503.", &c.MaxBytes),
		setting.Duration("log.start_timeout", setting.Range(time.Second, 24*time.Hour), "Longest wait of a start for "+
			"the log's servers, and then for each of its streams.", &c.StartTimeout),
	}
}

// Validate reports every setting with which the log cannot run.
func (c Config) Validate() error {
	errs := []error{setting.Check(c.Settings())}
	check := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check((c.URL == "") == (c.Server == nil), "log url is %q: set either a server's address or the embedded server",
		c.URL)
	check(!prefixPattern.MatchString(c.Prefix),
		"log prefix is %q: use up to 32 lower-case letters, digits and dashes, a letter first", c.Prefix)
	check(c.Server != nil && c.Replicas > 1, "log replicas is %d: set 1, the embedded server keeps no copies",
		c.Replicas)
	check(c.MaxFrame < 1 || c.MaxFrame > 32<<20, "log max frame is %d bytes: set 1 to %d", c.MaxFrame, 32<<20)
	least := int64(c.MaxFrame + maxHeaderBytes)
	check(c.MaxInFlight < least, "log max in flight is %d bytes: set at least %d, the size of one message",
		c.MaxInFlight, least)
	check(int64(c.Prefetch) < least, "log prefetch is %d bytes: set at least %d, the size of one message",
		c.Prefetch, least)
	check(c.AckTimeout <= 0, "log ack timeout is %v: set a positive duration", c.AckTimeout)
	return errors.Join(errs...)
}
