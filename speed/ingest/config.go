package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"recount/schemas/access"
	"recount/schemas/catalog"
	"recount/schemas/eventbatch"
	"recount/schemas/setting"
)

// Config has the limits of ingest. A request beyond QueueBytes, Memory or Wait is answered 429.
type Config struct {
	// Identity is the rule by which two events are copies (I1). It is that of the installation.
	Identity eventbatch.Identity
	// BodyBytes is the largest body of a request as it is sent.
	BodyBytes int
	// DecodedBytes is the largest body after gzip or zstd.
	DecodedBytes int
	// Events is how many events a request may have.
	Events int
	// EventBytes is the largest event.
	EventBytes int
	// Depth is how deep objects and arrays of an event may be nested. The event itself counts as one.
	Depth int
	// Fields is how many members all objects of an event may have together.
	Fields int

	// Past is how old an event may be. 0 means unlimited.
	Past time.Duration
	// Future is how far ahead of the server's clock an event may be.
	Future time.Duration

	// Linger is how long a group waits for more events before it is appended (L2).
	Linger time.Duration
	// GroupEvents is the number of events at which a group is appended at once.
	GroupEvents int
	// GroupBytes is the estimated size at which a group is appended at once. It is at most MaxGroupBytes.
	GroupBytes int
	// InFlight is how many appends of a partition may be under way.
	InFlight int
	// AppendTimeout is how long an append may take. After it, the outcome counts as unknown.
	AppendTimeout time.Duration

	// DeadLetters is how many dead letters are kept per second. Further rejections are only counted.
	DeadLetters int
	// DeadLetterBytes is how many bytes of dead letters are kept per second.
	DeadLetterBytes int
	// Values is how many values a dimension may have from one tenant: in a UTC day in the live part, and in a bucket in
	// a publication (B7). Further values become catalog.Overflow. 0 means no limit.
	Values int

	// Discovery says whether and how event types are declared from the events that arrive.
	Discovery DiscoveryConfig

	// Fair is set where there are several tenants. None may then hold more of Memory or QueueBytes
	// than is left for all others.
	Fair bool

	// QueueBytes bounds the columns of a partition that wait for the log or are being appended.
	QueueBytes int
	// Memory bounds bodies, columns and answers of all requests together. 0 means enough for four
	// of the largest bodies, and at least 512 MiB.
	Memory int
	// Wait is how long a request may wait for a processor, and how long the oldest events of a
	// queue may wait for the log.
	Wait time.Duration
	// RetryAfter is the least Retry-After of an answer 429 or 503. It is sent in whole seconds.
	RetryAfter time.Duration
}

// MaxGroupBytes is the largest GroupBytes. It leaves room in a frame for one more event and the
// metadata of Arrow.
const MaxGroupBytes = eventbatch.MaxFrame * 3 / 4

// maxEventBytes is the largest EventBytes.
const maxEventBytes = 1 << 20

// maxDepth is the largest Depth. It bounds the recursion of the scanner.
const maxDepth = 512

// maxBodyBytes is the largest BodyBytes and DecodedBytes.
const maxBodyBytes = 1 << 30

// DefaultConfig accepts events of any past time, and up to 5 minutes in the future.
func DefaultConfig() Config {
	return Config{
		Identity:  eventbatch.TenantSourceID,
		BodyBytes: 64 << 20, DecodedBytes: 64 << 20, Events: 100_000, EventBytes: 256 << 10, Depth: 32, Fields: 1000,
		Future: 5 * time.Minute,
		Linger: 2 * time.Millisecond, GroupEvents: 16_384, GroupBytes: 4 << 20, InFlight: 4,
		AppendTimeout: 10 * time.Second,
		DeadLetters:   1000, DeadLetterBytes: 1 << 20, Values: 1_000_000, Discovery: DefaultDiscovery(),
		QueueBytes: 64 << 20, Wait: 250 * time.Millisecond, RetryAfter: time.Second,
	}
}

// Settings lists the limits that an operator may set.
func (c *Config) Settings() []setting.Setting {
	return append(c.Discovery.Settings(), []setting.Setting{
		setting.Size("ingest.max_body", setting.Range(c.EventBytes, maxBodyBytes),
			"Largest request body, before and after decompression.", &c.BodyBytes, &c.DecodedBytes),
		setting.Count("ingest.max_events", "events", setting.Range(1, eventbatch.MaxEvents),
			"Most events in one request.", &c.Events),
		setting.Duration("ingest.max_wait", setting.Range(time.Millisecond, time.Minute), "Longest wait of a "+
			"request for a processor, and again for the log, before it is refused with 429.", &c.Wait),
		setting.Duration("ingest.linger", setting.Range(0, time.Second),
			"How long a group commit waits for more events.", &c.Linger),
		setting.DurationOr("unlimited", "accept.past", "How old an event time may be.", &c.Past),
		setting.Duration("accept.future", setting.AtLeast(0),
			"How far ahead of the server's clock an event time may be.", &c.Future),
		setting.Count("dead_letters.max_per_second", "rejected events", setting.Range(0, 1_000_000), "Most "+
			"rejected events that one process keeps per second, at most half of them of one tenant where there are "+
			"keys; 0 keeps none, and all are counted.", &c.DeadLetters),
		setting.Count("limits.cardinality", "values", setting.Range(1, 1<<40).OrZero("no limit"), "Most values of "+
			"a dimension from a tenant: live in a UTC day of event time, published in a bucket; further ones are "+
			"counted as ~overflow.", &c.Values),
	}...)
}

// memory returns Memory, or what 0 means.
func (c Config) memory() int {
	if c.Memory != 0 {
		return c.Memory
	}
	return max(512<<20, 4*c.DecodedBytes)
}

// Validate returns an error for each setting that is out of bounds, joined.
func (c Config) Validate() error {
	errs := []error{setting.Check(c.Settings())}
	between := func(name string, value, least, most int) {
		if value < least || value > most {
			errs = append(errs, fmt.Errorf("ingest.%s: %d; set it to %d to %d", name, value, least, most))
		}
	}
	between("event_bytes", c.EventBytes, 256, maxEventBytes)
	between("decoded_bytes", c.DecodedBytes, c.BodyBytes, maxBodyBytes)
	between("depth", c.Depth, 3, maxDepth)
	between("fields", c.Fields, 8, 100_000)
	between("group_events", c.GroupEvents, 1, eventbatch.MaxEvents/2)
	between("group_bytes", c.GroupBytes, 64<<10, MaxGroupBytes)
	between("in_flight", c.InFlight, 1, 64)
	between("dead_letter_bytes", c.DeadLetterBytes, 1<<10, 1<<30)
	between("queue_bytes", c.QueueBytes, 2*(c.GroupBytes+c.EventBytes), 1<<40)
	between("memory", c.memory(), 2*c.DecodedBytes, 1<<40)
	if !c.Identity.Known() {
		errs = append(errs, fmt.Errorf("ingest.identity: %q is no rule of identity", c.Identity))
	}
	if c.AppendTimeout <= 0 {
		errs = append(errs, fmt.Errorf("ingest.append_timeout: %s; set it to more than 0s", c.AppendTimeout))
	}
	if c.RetryAfter < time.Second {
		errs = append(errs, fmt.Errorf("ingest.retry_after: %s; set it to 1s or more", c.RetryAfter))
	}
	return errors.Join(errs...)
}

// Options are what the process passes in. Each may be zero.
type Options struct {
	// Installation is the id of the installation, which receipts name.
	Installation string
	// Epochs has the epoch of each partition (L5), which receipts name. Nil means that all are 0.
	Epochs []uint32
	// Begin is called once for a request, before its body is read, and returns how long the sender has to wait. It may
	// count the request for the rates of the sender. Nil admits every request.
	Begin func(p access.Principal) (wait time.Duration)
	// Admit counts bytes or events for the rates of a sender, or returns how long it has to
	// wait. Nil admits everything. It is called twice for a request that Begin has admitted: with the
	// bytes of the body before it is decoded, and with the number of events, rejected ones included,
	// before any of them goes to the log.
	Admit func(p access.Principal, bytes, events int) (wait time.Duration)
	// Spread counts the buckets of event time that a request touches. It returns how long the tenant has
	// to wait, or the limit that the request alone exceeds. Nil allows any. It is called once for a
	// request, after it was decoded.
	Spread func(tenant string, buckets map[int64]struct{}) (wait time.Duration, limit int)
	// Acknowledged is called for events that are durable, before their request is answered. It may
	// be nil.
	Acknowledged func(partition int, seq uint64, tenant string, events int)
	// Look reads whether there is a newer catalog. It is called for a request that names an unknown event type, and
	// bounds how long and how often it really looks. Nil never looks.
	Look func(context.Context) error
	// Propose makes a generation of the catalog that change returns for the newest one, like
	// generations.Chain.Propose. Without it nothing is discovered.
	Propose func(ctx context.Context, change func(*catalog.Catalog) (*catalog.Catalog, error)) error

	Now        func() time.Time
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}
