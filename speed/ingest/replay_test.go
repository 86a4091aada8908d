package ingest

import (
	"errors"
	"testing"
	"time"

	"recount/schemas/deadletter"
	"recount/schemas/eventbatch"
	"recount/schemas/problem"
)

// TestReplay checks that dead letters pass the same checks as before with the same ids, and that
// an event without a time gets the time when it was first received.
func TestReplay(t *testing.T) {
	t.Parallel()
	log := &memoryLog{}
	s := run(t, testConfig(), 2, log)
	received := testNow.Add(-26 * time.Hour)
	kept := []DeadLetter{
		{Raw: []byte(`{"id":"timeless","type":"all"}`), Received: received},
		{Raw: []byte(event("")), Strict: true, Received: received},
		{Raw: []byte(`{"id":"still","type":"none"}`), Received: received},
		{Raw: []byte(`{"id":"strict","type":"all"}`), Strict: true, Received: received},
		{Raw: []byte(`{"id":"two","type":"all"} {}`), Received: received},
		{Raw: []byte(`[{"id":"array","type":"all"}]`), Received: received},
		{Raw: []byte(`{"id":"soon","type":"all","time":"2026-11-23T12:05:00Z"}`), Received: received},
		{Raw: nil, Received: received},
	}
	want := []problem.Code{"", "", problem.UnknownType, problem.InvalidSpecVersion, problem.InvalidJSON,
		problem.InvalidEvent, "", problem.InvalidJSON}
	for _, dry := range []bool{true, false} {
		out, err := s.Replay("acme", kept, dry)
		if err != nil {
			t.Fatal(err)
		}
		for i, o := range out {
			if o.Code != want[i] || (o.Code == "") != (o.Message == "") {
				t.Errorf("dead letter %d: got %+v, want %q", i, o, want[i])
			}
		}
		if dry && len(log.all(t, 2)) > 0 {
			t.Error("a dry run stored something")
		}
	}
	events := log.events(t, 2)
	if e := events["timeless"]; len(events) != 3 || e.Time != received.UnixMicro() ||
		e.Flags != eventbatch.FlagTimeAssigned|eventbatch.FlagHashOfValues || e.Tenant != "acme" {
		t.Errorf("got %+v, one of %d events", e, len(events))
	}
	if n := len(log.deadLetters(t, 2)); n != 0 {
		t.Errorf("%d dead letters were kept again", n)
	}
	busy := blocker(s.cfg.QueueBytes)
	for _, c := range s.committers {
		if p := c.queue.reserve(busy); p != nil {
			t.Fatal(p)
		}
	}
	_, err := s.Replay("acme", kept, false)
	for _, c := range s.committers {
		c.queue.release(busy)
	}
	if !errors.Is(err, deadletter.ErrOverloaded) {
		t.Errorf("full queues: got %v", err)
	}
}
