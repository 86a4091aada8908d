package ingest

import (
	"context"
	"sync"
	"testing"
	"time"

	"recount/schemas/deadletter"
	"recount/schemas/eventbatch"
)

// TestMessagesNameTheirGeneration: events and dead letters that wait for the log together, and were decoded by two
// generations of the catalog, are in a message of each.
func TestMessagesNameTheirGeneration(t *testing.T) {
	t.Parallel()
	log := &memoryLog{}
	source := &changingCatalog{testCatalog()}
	s, err := New(testConfig(), source, 1, log, Options{Now: func() time.Time { return testNow }})
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for generation := range 2 {
		source.now = testCatalog()
		source.now.Generation = uint64(7 + generation)
		group.Go(func() {
			post(t, s, flight(generation)+"\n"+`{"type":"none"}`, "Content-Type", ndjson)
		})
		for {
			if events, _ := s.committers[0].queue.waiting(); events == 2*(generation+1) {
				break
			}
			time.Sleep(time.Millisecond)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan error)
	go func() { stopped <- s.Run(ctx) }()
	group.Wait()
	cancel()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	got := map[eventbatch.Header]int{}
	for _, frame := range log.frames[0] {
		h, err := eventbatch.ReadHeader(frame)
		if err != nil {
			t.Fatal(err)
		}
		got[eventbatch.Header{Type: h.Type, Events: h.Events, Generation: h.Generation}]++
	}
	for _, name := range []string{"flight.departed", deadletter.Type} {
		for generation := range uint64(2) {
			if h := (eventbatch.Header{Type: name, Events: 1, Generation: 7 + generation}); got[h] != 1 {
				t.Errorf("got %+v, want one message %+v", got, h)
			}
		}
	}
}
