package sim

import (
	"context"
	"errors"

	"recount/batch/landing"
)

// runOperator is an operator who finds that a message has vanished, and some time later gives it up (C7).
// Before that, the operator tries to give up a message that can be read.
func (w *world) runOperator(p *proc) {
	rng := p.newRand("")
	for p.sleep(5 + rng.IntN(40)) {
		for i := range w.logs {
			w.synchronize()
			if v := w.logs[i].vanished; v > 0 && !w.logs[i].isGivenUp() {
				w.giveUp(p, i, landing.Hole{From: v - 1, To: v + 1, Reason: "a mistake"})
				w.giveUp(p, i, landing.Hole{From: v, To: v + 1, Reason: "the message vanished"})
			}
		}
	}
}

// giveUp runs recount hole once. It may fail like any other process, and the operator then tries again.
func (w *world) giveUp(p *proc, partition int, hole landing.Hole) {
	records := openRecords(w, p, "")
	chain, err := landing.LoadChain(p.ctx, records, partition)
	if err != nil {
		return
	}
	readable := func(_ context.Context, seq uint64) (bool, error) {
		w.synchronize()
		l := &w.logs[partition]
		return seq >= l.first && seq < l.next && seq != l.vanished, nil
	}
	err = landing.GiveUp(p.ctx, landing.Config{Encode: encode}, chain, hole, landingLog{processLog{w, p}}, records,
		processObjects{w, p}, readable)
	if errors.Is(err, landing.ErrRefused) {
		w.observe("a hole is refused")
	}
}

// isGivenUp reports whether the vanished message is in a hole.
func (l *partitionLog) isGivenUp() bool { return l.vanished > 0 && l.vanished < l.givenUp }
