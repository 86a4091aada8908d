package ingest

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"recount/schemas/eventbatch"
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

	QueueBytes int           // columns waiting for the log, or in it, per partition; more is shed with 429
	Memory     int           // bodies, columns and answers of all requests together; more is shed with 429
	Wait       time.Duration // longest wait for a processor, and again for the log; more is shed with 429
	RetryAfter time.Duration // told to clients that were shed, in whole seconds
}

// MaxGroupBytes leaves room in a frame for one more event and the Arrow metadata.
const MaxGroupBytes = eventbatch.MaxFrame * 3 / 4

// maxEventBytes is the largest limit for one event.
const maxEventBytes = 1 << 20

// maxDepth bounds the recursion of the scanner.
const maxDepth = 512

// DefaultConfig accepts any past and 5 minutes of future.
func DefaultConfig() Config {
	return Config{
		BodyBytes: 16 << 20, DecodedBytes: 32 << 20, Events: 100_000, EventBytes: 256 << 10, Depth: 32, Fields: 1000,
		Future: 5 * time.Minute,
		Linger: 2 * time.Millisecond, GroupEvents: 16_384, GroupBytes: 4 << 20, InFlight: 4,
		AppendTimeout: 10 * time.Second,
		Letters:       1000, LetterBytes: 1 << 20,
		QueueBytes: 64 << 20, Memory: 512 << 20, Wait: 250 * time.Millisecond, RetryAfter: time.Second,
	}
}

// Validate returns every fault of the configuration, joined.
func (c Config) Validate() error {
	var errs []error
	between := func(name string, v, lo, hi int) {
		if v < lo || v > hi {
			errs = append(errs, fmt.Errorf("ingest.%s: %d; set it to %d to %d", name, v, lo, hi))
		}
	}
	between("event_bytes", c.EventBytes, 256, maxEventBytes)
	between("decoded_bytes", c.DecodedBytes, c.EventBytes, 1<<30)
	between("body_bytes", c.BodyBytes, 256, c.DecodedBytes)
	between("events", c.Events, 1, eventbatch.MaxEvents)
	between("depth", c.Depth, 3, maxDepth)
	between("fields", c.Fields, 8, 100_000)
	between("group_events", c.GroupEvents, 1, eventbatch.MaxEvents/2)
	between("group_bytes", c.GroupBytes, 64<<10, MaxGroupBytes)
	between("in_flight", c.InFlight, 1, 64)
	between("letters", c.Letters, 0, 1_000_000)
	between("letter_bytes", c.LetterBytes, 1<<10, 1<<30)
	between("queue_bytes", c.QueueBytes, 2*(c.GroupBytes+c.EventBytes), 1<<40)
	between("values", c.Values, 0, 1<<40)
	between("memory", c.Memory, 2*c.DecodedBytes, 1<<40)
	return errors.Join(append(errs, c.validateTimes())...)
}

func (c Config) validateTimes() error {
	switch {
	case c.Past < 0 || c.Future < 0:
		return fmt.Errorf("accept: past %s and future %s must not be negative; past 0 is unlimited", c.Past, c.Future)
	case c.Linger < 0 || c.Linger > time.Second:
		return fmt.Errorf("ingest.linger: %s; set it to 0s to 1s", c.Linger)
	case c.AppendTimeout <= 0:
		return fmt.Errorf("ingest.append_timeout: %s must be positive", c.AppendTimeout)
	case c.Wait < time.Millisecond || c.Wait > time.Minute:
		return fmt.Errorf("ingest.max_wait: %s; set it to 1ms to 1m", c.Wait)
	case c.RetryAfter < time.Second:
		return fmt.Errorf("ingest.retry_after: %s; set it to 1s or more", c.RetryAfter)
	}
	return nil
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
