package realtime

import (
	"testing"
	"time"

	"recount/schemas/eventbatch"
)

// TestSmallSegmentAfterLarge closes a segment of one event after one of many. It must not keep the room that the large
// one needed, because closed segments share the budget of views.
func TestSmallSegmentAfterLarge(t *testing.T) {
	t.Parallel()
	const messages = 10
	log := flights(t, messages, 2000, 100, 6*time.Hour)
	p := openBench(t, flightCatalog(aircraft), log)
	for seq := uint64(1); seq <= messages; seq++ {
		if err := p.consume(eventbatch.Message{Seq: seq, Frame: log.partitions[0][seq-1].frame}); err != nil {
			t.Fatal(err)
		}
	}
	_, recs, err := eventbatch.Decode(flights(t, 1, 1, 100, time.Minute).partitions[0][0].frame)
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	large := p.open.bytes()
	p.closeSegment(messages + 1)
	p.open.add(p.plan.findTypes("flight")[0], recs[0], []int32{0}, &p.scratch)
	p.closeSegment(messages + 2)
	if small := p.closed[1].bytes(); small > large/100 {
		t.Errorf("a segment of one event takes %d bytes, and one of %d events %d", small, messages*2000, large)
	}
}
