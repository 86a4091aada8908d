package sim

import (
	"fmt"
	"math/rand/v2"
	"time"

	"recount/schemas/eventbatch"
)

// writes is a client: it sends events again, with the same ids and times, until they are
// acknowledged, and now and then once more.
func (w *world) writes(p *proc, batches int) {
	var sent [][]event
	rng := p.random("")
	for n := range batches {
		if !p.sleep(rng.IntN(6)) {
			return
		}
		events := newEvents(rng, n)
		if w.crowd && n == 9 {
			events = crowd(n)
		}
		w.sends(p, rng, events)
		sent = append(sent, events)
		if rng.IntN(3) == 0 {
			w.sends(p, rng, sent[rng.IntN(len(sent))])
		}
	}
	w.written = true
}

// crowd are events of more users in one cell than are counted one by one: what is live of
// them is an estimate, and says how far it may be off.
func crowd(n int) (out []event) {
	for i := range 1500 {
		out = append(out, event{typ: "seen", tenant: "acme", id: fmt.Sprintf("e%d-%d", n, i),
			time: time.Now().UnixMicro(), kind: "a", user: fmt.Sprint("c", i)})
	}
	return out
}

func newEvents(r *rand.Rand, n int) (out []event) {
	typ := []string{"click", "click", "seen"}[r.IntN(3)]
	assigned := r.IntN(4) == 0
	for i := range 1 + r.IntN(4) {
		at := time.Now().Add(-time.Duration(r.IntN(90)) * time.Second)
		if r.IntN(4) == 0 {
			at = at.Add(-time.Duration(r.IntN(120)) * time.Minute) // late
		}
		e := event{typ: typ, tenant: []string{"acme", "default"}[r.IntN(2)], id: fmt.Sprintf("e%d-%d", n, i),
			time: at.UnixMicro(), assigned: assigned,
			kind: []string{"a", "b", "c"}[r.IntN(3)], user: fmt.Sprint("u", r.IntN(12)), amount: r.Int64N(10)}
		out = append(out, e)
		if r.IntN(10) == 0 {
			out = append(out, e) // twice in one request
		}
	}
	return out
}

// sends sends until every partition has acknowledged its part (L2).
func (w *world) sends(p *proc, rng *rand.Rand, events []event) {
	open := events
	for len(open) > 0 {
		parts := [partitions][]event{}
		for _, e := range open {
			if e.assigned {
				e.time = time.Now().UnixMicro() // Assigned anew at every try (D1).
			}
			to := eventbatch.KeyOf(e.tenant, e.id).Partition(partitions)
			if w.scatter {
				to = rng.IntN(partitions)
			}
			parts[to] = append(parts[to], e)
		}
		open = nil
		for i, part := range parts {
			if len(part) == 0 {
				continue
			}
			f := frame(part)
			fates := writeFates
			if part[0].assigned {
				fates = writeFates[:2] // A late arrival would turn time back, which D1 leaves to the next publication.
			}
			err := p.do(p.ctx, op{kind: "append", key: fmt.Sprint(i), fates: fates, ready: w.accepts,
				effect: func() error { return w.append(i, f, part, fmt.Sprint(part)) }})
			switch {
			case p.ctx.Err() != nil:
				return
			case err == nil || w.partialAck && i > 0:
				for _, e := range part {
					w.acked[e.typ+"/"+e.tenant+"/"+e.id] = i
					w.acks++
				}
			default:
				open = append(open, part...)
			}
		}
		if len(open) > 0 && !p.sleep(1+rng.IntN(40)) {
			return
		}
	}
}
