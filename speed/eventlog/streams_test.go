package eventlog_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"recount/deploy/embedded/natsserver"
	"recount/speed/eventlog"
)

// L1, L4: a stream with a changed setting is refused, and the error names the setting.
func TestAlteredStreamIsRefused(t *testing.T) {
	t.Parallel()
	for field, alter := range map[string]func(*jetstream.StreamConfig){
		"max_age is 3600000000000, want 0":        func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour },
		"discard is old, want new":                func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld },
		"no_ack is true, want not set":            func(c *jetstream.StreamConfig) { c.NoAck = true },
		"allow_rollup_hdrs is true, want not set": func(c *jetstream.StreamConfig) { c.AllowRollup = true },
		"max_msgs is 10, want -1":                 func(c *jetstream.StreamConfig) { c.MaxMsgs = 10 },
		"compression is s2, want none": func(c *jetstream.StreamConfig) {
			c.Compression = jetstream.S2Compression
		},
		"subjects is [recount.p0 other]": func(c *jetstream.StreamConfig) {
			c.Subjects = append(c.Subjects, "other")
		},
		"republish is map": func(c *jetstream.StreamConfig) {
			c.RePublish = &jetstream.RePublish{Source: ">", Destination: "copy.>"}
		},
	} {
		t.Run(field, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, t.TempDir())
			openLog(t, small(h)).Close()
			js := admin(t, h)
			s, err := js.Stream(t.Context(), "recount-p0")
			if err != nil {
				t.Fatal(err)
			}
			c := s.CachedInfo().Config
			alter(&c)
			if _, err := js.UpdateStream(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			wantRefused(t, small(h), "recount-p0", strings.TrimSuffix(field, ", want 0"))
		})
	}
}

// A stream with unsafe settings is refused. For example, asynchronous persistence silently turns
// SyncAlways off.
func TestUnsafeStreamIsRefused(t *testing.T) {
	t.Parallel()
	for field, unsafe := range map[string]func(*jetstream.StreamConfig){
		"persist_mode is async":  func(c *jetstream.StreamConfig) { c.PersistMode = jetstream.AsyncPersistMode },
		"storage is memory":      func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage },
		"deny_delete is not set": func(c *jetstream.StreamConfig) { c.DenyDelete = false },
		"deny_purge is true":     func(c *jetstream.StreamConfig) { c.DenyPurge = true },
		"retention is workqueue": func(c *jetstream.StreamConfig) { c.Retention = jetstream.WorkQueuePolicy },
	} {
		t.Run(field, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, t.TempDir())
			c := jetstream.StreamConfig{
				Name: "recount-p1", Subjects: []string{"recount.p1"}, Discard: jetstream.DiscardNew, MaxBytes: 1 << 20,
				DenyDelete: true, Metadata: map[string]string{"recount_partitions": "2"},
			}
			unsafe(&c)
			if _, err := admin(t, h).CreateStream(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			wantRefused(t, small(h), "recount-p1", field)
		})
	}
}

func wantRefused(t *testing.T, c eventlog.Config, words ...string) {
	t.Helper()
	l, err := eventlog.Open(t.Context(), c)
	if err == nil {
		l.Close()
	}
	wantError(t, err, eventlog.ErrAltered)
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not say %q", err, w)
		}
	}
}

// L3: P is fixed, even if only some of the streams exist.
func TestPartitionsAreFixed(t *testing.T) {
	t.Parallel()
	h := newHost(t, t.TempDir())
	openLog(t, small(h)).Close()
	for _, n := range []int{1, 3} {
		c := small(h)
		c.Partitions = n
		wantRefused(t, c, "log partitions", `was made for "2"`)
	}
	if err := admin(t, h).DeleteStream(t.Context(), "recount-p1"); err != nil {
		t.Fatal(err)
	}
	l := openLog(t, small(h)) // An interrupted first start left one of two streams.
	appendN(t, l, 1, 1)
}

// An Open with the same prefix, server and settings opens the same log.
func TestReopen(t *testing.T) {
	t.Parallel()
	h := newHost(t, t.TempDir())
	l := openLog(t, small(h))
	appendN(t, l, 0, 5)
	l.Close()
	c := small(h)
	c.MaxBytes *= 4 // MaxBytes is the one setting that may change.
	l = openLog(t, c)
	wantBounds(t, l, 0, 1, 6)
	l.Close()
	c.MaxBytes /= 2
	l = openLog(t, c)
	wantBounds(t, l, 0, 1, 6)
}

// L4: limits that do not fit on the disk are refused before the log accepts a message.
func TestLimitsBeyondTheServerAreRefused(t *testing.T) {
	t.Parallel()
	h := &host{t: t}
	c := natsserver.DefaultConfig(t.TempDir())
	c.MaxStore = 100 << 20
	h.start(c)
	t.Cleanup(h.stop)
	_, err := eventlog.Open(t.Context(), small(h)) // twice 64 MiB
	wantError(t, err, eventlog.ErrFull)
	if !strings.Contains(err.Error(), "log max bytes") {
		t.Errorf("error %q does not name the setting", err)
	}
}

// L1: strict durability refuses a server that does not fsync, and a single external server, whose
// fsync setting a client cannot see.
func TestStrictDurability(t *testing.T) {
	t.Parallel()
	h := &host{t: t}
	sc := natsserver.DefaultConfig(t.TempDir())
	sc.SyncAlways = false
	sc.Listen = "127.0.0.1:0"
	h.start(sc)
	t.Cleanup(h.stop)
	external := small(nil)
	external.Server = nil
	external.URL = h.current().ClientURL()
	for name, c := range map[string]eventlog.Config{"embedded": small(h), "external": external} {
		if _, err := eventlog.Open(t.Context(), c); err == nil ||
			!strings.Contains(err.Error(), "durability is strict") {
			t.Errorf("%s: got %v, want a refusal", name, err)
		}
		c.Durability = eventlog.Relaxed
		l := openLog(t, c)
		appendN(t, l, 0, 1)
		l.Close()
	}
}

func TestServerThatAcceptsNoFrame(t *testing.T) {
	t.Parallel()
	h := &host{t: t}
	c := natsserver.DefaultConfig(t.TempDir())
	c.MaxPayload = 1 << 20
	h.start(c)
	t.Cleanup(h.stop)
	if _, err := eventlog.Open(t.Context(), small(h)); err == nil || !strings.Contains(err.Error(), "max_payload") {
		t.Fatalf("got error %v, want one that names max_payload", err)
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	if err := eventlog.DefaultConfig(&host{}).Validate(); err != nil {
		t.Fatalf("defaults: %v", err)
	}
	for field, c := range map[string]eventlog.Config{
		"log url": {}, "log prefix": {Prefix: "Recount.x"}, "log.partitions": {Partitions: 300},
		"log.durability": {Durability: "some"}, "log.replicas": {Replicas: 6}, "log max frame": {MaxFrame: 1 << 30},
		"log.max_bytes": {}, "log max in flight": {}, "log prefetch": {}, "log ack timeout": {},
	} {
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: got %v", field, err)
		}
	}
}
