package eventlog_test

import (
	"maps"
	"sync"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"recount/speed/eventlog"
)

// alterMetadata replaces the metadata of a stream.
func alterMetadata(t *testing.T, js jetstream.JetStream, stream string, change func(map[string]string)) {
	t.Helper()
	s, err := js.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	c := s.CachedInfo().Config
	c.Metadata = maps.Clone(c.Metadata)
	change(c.Metadata)
	if _, err := js.UpdateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

// TestIdentity follows the ids of a log: it keeps the first, a stream that was lost gets it again and is told from it
// until the log is claimed, and another installation, or streams of two logs, are refused (I8, L8).
func TestIdentity(t *testing.T) {
	t.Parallel()
	h := newHost(t, t.TempDir())
	l := openLog(t, small(h))
	id := l.ID()
	if used, err := l.Used(t.Context()); id == "" || l.Installation() != "" || used || err != nil {
		t.Fatalf("a new log: id %q, installation %q, used %t, %v", id, l.Installation(), used, err)
	}
	if err := l.Claim(t.Context(), "mine"); err != nil {
		t.Fatal(err)
	}
	wantError(t, l.Claim(t.Context(), "other"), eventlog.ErrAltered)
	js := admin(t, h)
	if err := js.DeleteStream(t.Context(), "recount-p0"); err != nil {
		t.Fatal(err)
	}
	again := openLog(t, small(h))
	if again.ID() != id || again.Installation() != "mine" {
		t.Errorf("opened again: %q of %q, want %q of mine", again.ID(), again.Installation(), id)
	}
	for _, want := range []int{1, 0} {
		if lost, err := again.Unclaimed(t.Context()); err != nil || len(lost) != want {
			t.Errorf("the unclaimed streams are %v, %v; want %d", lost, err, want)
		}
		if err := again.Claim(t.Context(), "mine"); err != nil {
			t.Fatal(err)
		}
	}
	alterMetadata(t, js, "recount-p0", func(m map[string]string) {
		if m["recount_log"] != id || m["recount_installation"] != "mine" {
			t.Errorf("the stream that was created again has %v", m)
		}
		m["recount_log"] = "another"
	})
	wantRefused(t, small(h), "recount-p1", "another stream to another")
}

// TestIdentityOfOldStreams gives a log from before there were ids the same id at every start.
func TestIdentityOfOldStreams(t *testing.T) {
	t.Parallel()
	h := newHost(t, t.TempDir())
	first := openLog(t, small(h)).ID()
	for _, stream := range []string{"recount-p0", "recount-p1"} {
		alterMetadata(t, admin(t, h), stream, func(m map[string]string) { delete(m, "recount_log") })
	}
	one := openLog(t, small(h))
	if two := openLog(t, small(h)); one.ID() == "" || one.ID() == first || one.ID() != two.ID() {
		t.Errorf("got the ids %q and %q", one.ID(), two.ID())
	}
	if err := one.Claim(t.Context(), "mine"); err != nil {
		t.Fatal(err)
	}
	if l := openLog(t, small(h)); l.ID() != one.ID() || l.Installation() != "mine" {
		t.Errorf("claimed: got %q of %q, want %q of mine", l.ID(), l.Installation(), one.ID())
	}
	appendN(t, one, 1, 1)
	if used, err := one.Used(t.Context()); !used || err != nil {
		t.Errorf("a log with a message: used %t, %v", used, err)
	}
}

// TestIdentityIsThatOfTheFirst opens a new log from several processes at once.
func TestIdentityIsThatOfTheFirst(t *testing.T) {
	t.Parallel()
	h := newHost(t, t.TempDir())
	logs := make([]*eventlog.Log, 4)
	errs := make([]error, len(logs))
	var wg sync.WaitGroup
	for i := range logs {
		wg.Go(func() { logs[i], errs[i] = eventlog.Open(t.Context(), small(h)) })
	}
	wg.Wait()
	for i, l := range logs {
		if errs[i] != nil {
			t.Fatal(errs[i])
		}
		defer l.Close()
		if l.ID() != logs[0].ID() {
			t.Errorf("got the ids %q and %q", l.ID(), logs[0].ID())
		}
	}
}
