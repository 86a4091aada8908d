package sim

import (
	"fmt"
	"math/rand/v2"
	"time"

	"recount/schemas/eventbatch"
)

// runWriter is a client. It sends events with the same ids and times until they are acknowledged, and
// now and then sends them once more.
func (w *world) runWriter(p *proc, batches int) {
	var sent [][]event
	rng := p.newRand("") // The label is part of the seed.
	for n := range batches {
		if !p.sleep(rng.IntN(6)) {
			return
		}
		events := newEvents(rng, n)
		if w.manyUsers && n == 9 {
			events = manyUsersEvents(n)
		}
		w.sendUntilAcknowledged(p, rng, events)
		sent = append(sent, events)
		if rng.IntN(3) == 0 {
			w.sendUntilAcknowledged(p, rng, sent[rng.IntN(len(sent))])
		}
	}
	w.written = true
}

// manyUsersEvents returns events of more users in one cell than are counted one by one. Their live
// count is an estimate with bounds.
func manyUsersEvents(n int) (out []event) {
	for i := range 1500 {
		out = append(out, event{eventType: "seen", tenant: "acme", id: fmt.Sprintf("e%d-%d", n, i),
			time: time.Now().UnixMicro(), kind: "a", user: fmt.Sprint("c", i)})
	}
	return out
}

// newEvents draws the events of a request: some late, some twice, some with an assigned time.
func newEvents(r *rand.Rand, n int) (out []event) {
	eventType := []string{"click", "click", "seen"}[r.IntN(3)]
	assigned := r.IntN(4) == 0
	for i := range 1 + r.IntN(4) {
		eventTime := time.Now().Add(-time.Duration(r.IntN(90)) * time.Second)
		if r.IntN(4) == 0 {
			eventTime = eventTime.Add(-time.Duration(r.IntN(120)) * time.Minute) // late
		}
		e := event{eventType: eventType, tenant: []string{"acme", "default"}[r.IntN(2)],
			id: fmt.Sprintf("e%d-%d", n, i), time: eventTime.UnixMicro(), assigned: assigned,
			kind: []string{"a", "b", "c"}[r.IntN(3)], user: fmt.Sprint("u", r.IntN(12)), amount: r.Int64N(10)}
		out = append(out, e)
		if r.IntN(10) == 0 {
			out = append(out, e) // twice in one request
		}
	}
	return out
}

// promise tells a node that it has acknowledged everything in the log of a partition, as the ingest of its
// process does. The nodes with views take turns, by the log's length.
func (w *world) promise(p int) {
	end := w.logs[p].next
	n := w.nodes[end%uint64(min(2, len(w.nodes)))]
	if !n.running || n.views == nil {
		return // Another process has accepted the events.
	}
	n.views.Observe(p, end)
	n.promised[p] = max(n.promised[p], end)
}

// sendUntilAcknowledged sends events until every partition has acknowledged its part (L2).
func (w *world) sendUntilAcknowledged(p *proc, rng *rand.Rand, events []event) {
	unacknowledged := events
	for len(unacknowledged) > 0 {
		parts := [partitions][]event{}
		before := w.catalog == 0
		if w.liveCatalog { // Ingest of one process knows a change, and that of another does not.
			before = rng.IntN(2) == 0
		}
		for _, e := range unacknowledged {
			e.before = before
			e.over = w.limit > 0 && (w.acks+len(unacknowledged))%5 == 0
			if e.assigned {
				e.time = time.Now().UnixMicro() // The server assigns a new time at every try (D1).
			}
			partition := eventbatch.TenantID.Key(e.tenant, "", e.id).Partition(partitions)
			if w.scatter {
				partition = rng.IntN(partitions)
			}
			parts[partition] = append(parts[partition], e)
		}
		unacknowledged = nil
		for i, part := range parts {
			if len(part) == 0 {
				continue
			}
			f := frame(part)
			fates := writeFates
			if part[0].assigned {
				fates = writeFates[:2] // A delayed message would turn assigned times back (D1).
			}
			err := p.perform(p.ctx, op{kind: "append", key: fmt.Sprint(i), fates: fates, ready: w.accepts,
				effect: func() error {
					err := w.appendMessage(i, f, part, fmt.Sprint(part))
					if err == nil {
						w.promise(i)
					}
					return err
				}})
			switch {
			case p.ctx.Err() != nil:
				return
			case err == nil || w.partialAck && i > 0:
				for _, e := range part {
					w.acked[e.eventType+"/"+e.tenant+"/"+e.id] = i
					w.acks++
				}
			default:
				unacknowledged = append(unacknowledged, part...)
			}
		}
		if len(unacknowledged) > 0 && !p.sleep(1+rng.IntN(40)) {
			return
		}
	}
}
