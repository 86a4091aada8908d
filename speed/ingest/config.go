package ingest

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"recount/schemas/eventbatch"
	"recount/schemas/setting"
)

// Config is what an operator may set. The limits bound every request; the queues
// and Memory bound the whole server.
type Config struct {
	BodyBytes    int // of a request as sent
	DecodedBytes int // of a request after gzip or zstd
	Events       int // per request
	EventBytes   int // of one event
	Depth        int // nested objects and arrays of one event, the event itself included
	Fields       int // members of all objects of one event

	Past   time.Duration // how old an event may be; 0 is unlimited
	Future time.Duration // how far ahead of the server's clock an event may be

	Linger        time.Duration // how long a group waits for more events before it is appended (L2)
	GroupEvents   int           // a group this large is appended at once
	GroupBytes    int           // estimated size of a log message; at most MaxGroupBytes
	InFlight      int           // appends under way per partition
	AppendTimeout time.Duration

	Letters     int // dead letters kept per second; rejections beyond them are only counted
	LetterBytes int // bytes of rejected events kept per second
	Values      int // of a dimension, from one tenant in a UTC day; further ones become catalog.Overflow; 0 is no limit

	Fair bool // several tenants share: none may hold more of Memory or QueueBytes than is left for the others

	QueueBytes int // columns waiting for the log, or in it, per partition; more is shed with 429
	// Memory bounds bodies, columns and answers of all requests together; more is shed with 429. 0 is enough for
	// four of the largest bodies, and at least 512 MiB.
	Memory     int
	Wait       time.Duration // longest wait for a processor, and again for the log; more is shed with 429
	RetryAfter time.Duration // told to clients that were shed, in whole seconds
}

// MaxGroupBytes leaves room in a frame for one more event and the Arrow metadata.
const MaxGroupBytes = eventbatch.MaxFrame * 3 / 4

// maxEventBytes is the largest limit for one event.
const maxEventBytes = 1 << 20

// maxDepth bounds the recursion of the scanner.
const maxDepth = 512

// maxBodyBytes is the largest limit for a body.
const maxBodyBytes = 1 << 30

// DefaultConfig accepts any past and 5 minutes of future.
func DefaultConfig() Config {
	return Config{
		BodyBytes: 64 << 20, DecodedBytes: 64 << 20, Events: 100_000, EventBytes: 256 << 10, Depth: 32, Fields: 1000,
		Future: 5 * time.Minute,
		Linger: 2 * time.Millisecond, GroupEvents: 16_384, GroupBytes: 4 << 20, InFlight: 4,
		AppendTimeout: 10 * time.Second,
		Letters:       1000, LetterBytes: 1 << 20, Values: 1_000_000,
		QueueBytes: 64 << 20, Wait: 250 * time.Millisecond, RetryAfter: time.Second,
	}
}

// Settings lists what an operator may set.
func (c *Config) Settings() []setting.Setting {
	return []setting.Setting{
		setting.Size("ingest.max_body", setting.Between(c.EventBytes, maxBodyBytes),
			"Largest request body, before and after decompression.", &c.BodyBytes, &c.DecodedBytes),
		setting.Count("ingest.max_events", "events", setting.Between(1, eventbatch.MaxEvents),
			"Most events in one request.", &c.Events),
		setting.Duration("ingest.max_wait", setting.Between(time.Millisecond, time.Minute), "Longest wait for a "+
			"processor, and again for the log, before a request is refused with 429.", &c.Wait),
		setting.Duration("ingest.linger", setting.Between(0, time.Second),
			"How long a group commit waits for more events.", &c.Linger),
		setting.DurationOr("unlimited", "accept.past", "How old an event time may be.", &c.Past),
		setting.Duration("accept.future", setting.AtLeast(0),
			"How far ahead of the server's clock an event time may be.", &c.Future),
		setting.Count("dead_letters.max_per_second", "rejected events", setting.Between(0, 1_000_000), "Most "+
			"rejected events kept per second by one process, at most half of them of one tenant where there are "+
			"keys; 0 keeps none, and all are counted.", &c.Letters),
		setting.Count("limits.cardinality", "values", setting.Between(1, 1<<40).OrZero("no limit"), "Most values of "+
			"a dimension from a tenant in a UTC day; further ones are counted as ~overflow.", &c.Values),
	}
}

// memory returns Memory, or what 0 stands for.
func (c Config) memory() int {
	if c.Memory != 0 {
		return c.Memory
	}
	return max(512<<20, 4*c.DecodedBytes)
}

// Validate returns an error for each setting that is out of bounds, joined.
func (c Config) Validate() error {
	errs := []error{setting.Check(c.Settings())}
	between := func(name string, v, lo, hi int) {
		if v < lo || v > hi {
			errs = append(errs, fmt.Errorf("ingest.%s: %d; set it to %d to %d", name, v, lo, hi))
		}
	}
	between("event_bytes", c.EventBytes, 256, maxEventBytes)
	between("decoded_bytes", c.DecodedBytes, c.BodyBytes, maxBodyBytes)
	between("depth", c.Depth, 3, maxDepth)
	between("fields", c.Fields, 8, 100_000)
	between("group_events", c.GroupEvents, 1, eventbatch.MaxEvents/2)
	between("group_bytes", c.GroupBytes, 64<<10, MaxGroupBytes)
	between("in_flight", c.InFlight, 1, 64)
	between("letter_bytes", c.LetterBytes, 1<<10, 1<<30)
	between("queue_bytes", c.QueueBytes, 2*(c.GroupBytes+c.EventBytes), 1<<40)
	between("memory", c.memory(), 2*c.DecodedBytes, 1<<40)
	if c.AppendTimeout <= 0 {
		errs = append(errs, fmt.Errorf("ingest.append_timeout: %s must be positive", c.AppendTimeout))
	}
	if c.RetryAfter < time.Second {
		errs = append(errs, fmt.Errorf("ingest.retry_after: %s; set it to 1s or more", c.RetryAfter))
	}
	return errors.Join(errs...)
}

// Options are what the process injects; each may be zero.
type Options struct {
	// Epochs is the epoch of each partition, fixed since boot (L5); nil means all are 0. Receipts name it.
	Epochs []uint32
	// Admit takes so many bytes of bodies or events for a tenant, or says how long it has to wait; nil lets
	// everybody. It is asked for nothing before a body is read, for its bytes before it is decoded, and
	// for its events, refused ones included, before anything goes to the log.
	Admit func(tenant string, bytes, events int) (wait time.Duration)
	// Acknowledged is told of events that are durable, before their sender is; nil: nobody is.
	Acknowledged func(partition int, seq uint64, tenant string, events int)

	Now        func() time.Time
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}
