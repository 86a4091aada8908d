package sim

import (
	"testing/synctest"
)

// troubles happens to whole processes, once a step of the clock.
func (w *world) troubles(nodes []*node) {
	if w.ackEarly && w.rng.IntN(3) == 0 {
		for p := range w.logs {
			for _, m := range w.logs[p].line {
				m.durable = true
			}
		}
	}
	if w.rot && w.ticks > 25 {
		l := &w.logs[1]
		if m := l.line[l.next-1]; l.gone == 0 && m != nil && len(m.events) > 0 && l.next-1 >= l.head {
			l.gone = l.next - 1
			w.meet("a message vanishes")
			w.note("message %d of partition 1 vanishes", l.gone)
		}
	}
	if w.forgets && w.rng.IntN(20) == 0 {
		w.loses()
	}
	if w.ticks > 20 && w.rng.IntN(120) == 0 {
		w.outage(nodes)
		return
	}
	if w.rng.IntN(20) == 0 {
		w.losesObject()
	}
	if w.views && w.catalog == 0 && w.ticks > 25 {
		w.catalog = 1
		w.note("the views are changed")
		w.meet("the views are changed")
		for _, n := range nodes {
			n.kill()
		}
		return
	}
	if w.newRule && w.rule == cutRules[0] && w.ticks > 40 {
		w.rule = cutRules[1]
		w.note("the cut rule is changed")
		w.meet("the cut rule is changed")
		nodes[0].kill()
		return
	}
	if (w.lossy || w.ackEarly) && w.rng.IntN(18) == 0 && nodes[0].up && (len(nodes) == 1 || nodes[1].up) {
		w.power(nodes)
		return
	}
	for _, n := range nodes {
		if n.p.paused() && w.rng.IntN(8) > 0 {
			continue // Most wake again, and find what was done meanwhile.
		}
		switch w.rng.IntN(60) {
		case 0:
			w.meet("kill")
			n.kill()
		case 1:
			w.meet("pause")
			n.p.pausedUntil = w.ticks + 5 + w.rng.IntN(60)
			if w.rng.IntN(5) == 0 {
				w.meet("pause longer than any lease")
				n.p.pausedUntil += 400
			}
			w.note("%s is paused until %d", n.p.name, n.p.pausedUntil)
		}
	}
	w.watches(nodes)
}

// outage ends every process, and lets more time pass than anybody's orphans may live.
func (w *world) outage(nodes []*node) {
	w.meet("an outage of hours")
	w.note("everything stops for an hour")
	for _, n := range nodes {
		n.kill()
	}
	w.passes(int(collectAfter/step) + 1)
	synctest.Wait()
}

// watches looks for processes that have stopped, which nobody restarts: they go on by themselves.
func (w *world) watches(nodes []*node) {
	for _, n := range nodes {
		if n.up {
			n.lands()
		}
	}
}

// power fails for the log and the nodes with it; node C is elsewhere.
func (w *world) power(nodes []*node) {
	w.note("the power fails")
	for _, n := range nodes {
		if n.name != "C" {
			_ = n.marks.Advance(w.root)
			n.kill()
		}
	}
	w.powerFails()
}
