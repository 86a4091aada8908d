package sim

import (
	"fmt"
	"maps"
	"slices"

	"recount/schemas/eventbatch"
	"recount/schemas/record"
)

// checkFinalState checks the world after everything has settled. It visits maps in order, so that a
// failing seed reports the same error every time.
func (w *world) checkFinalState(nodes []*node) error {
	if !w.settled(nodes) {
		return fmt.Errorf("not every answer became exact: %s", w.describe(nodes))
	}
	logged := map[string]bool{}
	var copies []event
	for p := range w.logs {
		copies = append(copies, w.eventsBelow(p, max(w.logs[p].next, w.logs[p].chainHead))...)
	}
	misplaced := map[string]bool{}
	for _, e := range copies {
		id := e.eventType + "/" + e.tenant + "/" + e.id
		logged[id] = true
		if to := eventbatch.TenantID.Key(e.tenant, "", e.id).Partition(partitions); w.logs[to].messages[e.seq] == nil ||
			!slices.Contains(w.logs[to].messages[e.seq].events, e.raw()) {
			misplaced[id] = true
		}
	}
	for _, id := range slices.Sorted(maps.Keys(misplaced)) {
		return fmt.Errorf("a copy of event %s is in another partition than its id says, so it counts twice (L3)", id)
	}
	for p := range w.logs {
		if m := w.logs[p].hole; m != nil {
			for _, e := range m.events {
				logged[e.eventType+"/"+e.tenant+"/"+e.id] = true // An operator gave it up.
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(w.acked)) {
		p := w.acked[id]
		if !logged[id] && w.losses == 0 || !logged[id] && w.ackEarly {
			return fmt.Errorf("event %s of partition %d was acknowledged but is lost", id, p)
		}
	}
	for _, c := range w.segments {
		for _, o := range c.Objects {
			if w.objects[o.Key].body == nil && c.Start < w.logs[c.Partition].first {
				return fmt.Errorf("the object of [%d, %d) of partition %d is lost, and the log was trimmed (C8)",
					c.Start, c.End, c.Partition)
			}
		}
	}
	return w.checkConservation()
}

// checkConservation compares the counts of the newest publication with the log (A1).
func (w *world) checkConservation() error {
	s := w.states[len(w.states)-1]
	for _, eventType := range slices.Sorted(maps.Keys(s.Types)) {
		counts := s.Types[eventType]
		var rows, dropped, landed, counted int64
		for _, c := range counts {
			rows += c.Rows
			dropped += c.Duplicates
		}
		for p := range w.logs {
			events := w.eventsBelow(p, s.H[p].Seq)
			for _, e := range events {
				if e.eventType == eventType {
					landed++
				}
			}
			for _, e := range exactEvents(events) {
				if e.eventType == eventType {
					counted++
				}
			}
		}
		if rows != landed || rows-dropped != counted {
			return fmt.Errorf("type %s: publication %d has %d rows, want %d; it drops %d duplicates and %d count",
				eventType, s.N, rows, landed, dropped, counted)
		}
		if err := w.checkLedger(s, eventType); err != nil {
			return err
		}
	}
	return nil
}

// checkLedger compares the ledger of a type with the log, by tenant and partition. Every publication
// has added to the ledger.
func (w *world) checkLedger(s *record.State, eventType string) error {
	want := map[string][]record.Account{}
	for p := range w.logs {
		add := func(events []event, rows, dropped int64) {
			for _, e := range events {
				if e.eventType != eventType {
					continue
				}
				if want[e.tenant] == nil {
					want[e.tenant] = make([]record.Account, len(w.logs))
				}
				want[e.tenant][p].Rows += rows
				want[e.tenant][p].Duplicates += dropped
			}
		}
		copies := w.eventsBelow(p, s.H[p].Seq)
		add(copies, 1, 1)
		add(exactEvents(copies), 0, -1)
	}
	conflicts := int64(0)
	for _, c := range s.Types[eventType] {
		conflicts += c.Conflicts
	}
	for tenant, accounts := range s.Ledgers[eventType].Tenants {
		for p, a := range accounts {
			conflicts -= a.Conflicts
			if p < len(want[tenant]) {
				want[tenant][p].Conflicts = a.Conflicts
			}
		}
	}
	if conflicts != 0 {
		return fmt.Errorf("type %s: publication %d has %d more conflicts by bucket than by tenant", eventType, s.N,
			conflicts)
	}
	if got := s.Ledgers[eventType].Tenants; !maps.EqualFunc(got, want, slices.Equal) {
		return fmt.Errorf("type %s: the ledger of publication %d has %v, but the log has %v", eventType, s.N, got, want)
	}
	return nil
}
