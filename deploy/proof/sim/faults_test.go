package sim

import "testing/synctest"

// injectFaults injects faults of whole processes and stores. It is called after each step of the clock.
func (w *world) injectFaults(nodes []*node) {
	if w.ackEarly && w.rng.IntN(3) == 0 {
		for p := range w.logs {
			for _, m := range w.logs[p].messages {
				m.durable = true
			}
		}
	}
	if w.vanish && w.ticks > 25 {
		l := &w.logs[1]
		if m := l.messages[l.next-1]; l.vanished == 0 && m != nil && len(m.events) > 0 && l.next-1 >= l.chainHead {
			l.vanished = l.next - 1
			w.observe("a message vanishes")
			w.tracef("message %d of partition 1 vanishes", l.vanished)
		}
	}
	if w.rowDamage && w.rng.IntN(20) == 0 {
		w.damageRows()
	}
	if w.ticks > 20 && w.rng.IntN(120) == 0 {
		w.stopForAnHour(nodes)
		return
	}
	if w.rng.IntN(20) == 0 {
		w.loseObject()
	}
	if w.changeViews && w.catalog == 0 && w.ticks > 25 {
		w.catalog = 1
		w.tracef("the views are changed")
		w.observe("the views are changed")
		for _, n := range nodes {
			n.kill()
		}
		return
	}
	if w.limit == lowLimit && w.ticks > 30 {
		w.limit = highLimit
		w.tracef("the limit of values is raised")
		w.observe("the limit of values is raised")
		for _, n := range nodes {
			n.kill()
		}
		return
	}
	if w.changeRule && w.rule == cutRules[0] && w.ticks > 40 {
		w.rule = cutRules[1]
		w.tracef("the cut rule is changed")
		w.observe("the cut rule is changed")
		nodes[0].kill()
		return
	}
	if (w.lossy || w.ackEarly) && w.rng.IntN(18) == 0 && nodes[0].running && (len(nodes) == 1 || nodes[1].running) {
		w.failPower(nodes)
		return
	}
	for _, n := range nodes {
		if n.p.paused() && w.rng.IntN(8) > 0 {
			continue // Most paused processes must wake, and find what others did meanwhile.
		}
		switch w.rng.IntN(60) {
		case 0:
			w.observe("kill")
			n.kill()
		case 1:
			w.observe("pause")
			n.p.pausedUntil = w.ticks + 5 + w.rng.IntN(60)
			if w.rng.IntN(5) == 0 {
				w.observe("pause longer than any lease")
				n.p.pausedUntil += 400
			}
			w.tracef("%s is paused until %d", n.p.name, n.p.pausedUntil)
		}
	}
	w.checkLanders(nodes)
}

// stopForAnHour ends every process and lets more time pass than the age at which orphans are collected.
func (w *world) stopForAnHour(nodes []*node) {
	w.observe("an outage of an hour")
	w.tracef("everything stops for an hour")
	for _, n := range nodes {
		n.kill()
	}
	w.advanceClock(int(collectAfter/step) + 1)
	synctest.Wait()
}

// checkLanders fails the seed if landing has stopped in a running process: nothing restarts it.
func (w *world) checkLanders(nodes []*node) {
	for _, n := range nodes {
		if n.running {
			n.checkLanding()
		}
	}
}

// failPower fails the power of the log and of nodes A and B. Node C is elsewhere.
func (w *world) failPower(nodes []*node) {
	w.tracef("the power fails")
	for _, n := range nodes {
		if n.name != "C" {
			_ = n.marks.Advance(w.root)
			n.kill()
		}
	}
	w.losePower()
}
