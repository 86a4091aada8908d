package sim

import (
	"fmt"
	"maps"
	"slices"

	"recount/schemas/eventbatch"
	"recount/schemas/record"
)

// verdict looks at what is left when everything has settled. It goes through maps in order, so
// that a seed that fails says the same every time.
func (w *world) verdict(nodes []*node) error {
	if !w.settled(nodes) {
		return fmt.Errorf("not everything became exact: %s", w.state(nodes))
	}
	all := map[string]bool{}
	var copies []event
	for p := range w.logs {
		copies = append(copies, w.copies(p, 1, max(w.logs[p].next, w.logs[p].head))...)
	}
	at := map[string]int{}
	for _, e := range copies {
		id := e.typ + "/" + e.tenant + "/" + e.id
		all[id] = true
		if to := eventbatch.KeyOf(e.tenant, e.id).Partition(partitions); w.logs[to].line[e.seq] == nil ||
			!slices.Contains(w.logs[to].line[e.seq].events, e.raw()) {
			at[id]++
		}
	}
	for _, id := range slices.Sorted(maps.Keys(at)) {
		return fmt.Errorf("copies of event %s are in more than one partition and count twice (L3)", id)
	}
	for _, id := range slices.Sorted(maps.Keys(w.acked)) {
		p := w.acked[id]
		if !all[id] && w.losses == 0 || !all[id] && w.ackEarly {
			return fmt.Errorf("event %s of partition %d was acknowledged and is lost", id, p)
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
	return w.conserved()
}

// conserved compares what publications say they counted with the log (A1).
func (w *world) conserved() error {
	s := w.states[len(w.states)-1]
	for _, typ := range slices.Sorted(maps.Keys(s.Types)) {
		counts := s.Types[typ]
		var rows, dropped, landed, counted int64
		for _, c := range counts {
			rows = rows + c.Rows
			dropped = dropped + c.Duplicates
		}
		for p := range w.logs {
			copies := w.copies(p, 1, s.H[p].Seq)
			for _, e := range copies {
				if e.typ == typ {
					landed++
				}
			}
			for _, e := range exactly(copies) {
				if e.typ == typ {
					counted++
				}
			}
		}
		if rows != landed || rows-dropped != counted {
			return fmt.Errorf("type %s: publication %d has %d rows of %d landed and drops %d, %d count", typ, s.N, rows,
				landed, dropped, counted)
		}
		if err := w.accounted(s, typ); err != nil {
			return err
		}
	}
	return nil
}

// accounted compares the ledger of a type, to which every publication has added, with the log: by
// tenant and partition.
func (w *world) accounted(s *record.State, typ string) error {
	want := map[string][]record.Account{}
	for p := range w.logs {
		add := func(events []event, rows, dropped int64) {
			for _, e := range events {
				if e.typ != typ {
					continue
				}
				if want[e.tenant] == nil {
					want[e.tenant] = make([]record.Account, len(w.logs))
				}
				want[e.tenant][p].Rows += rows
				want[e.tenant][p].Duplicates += dropped
			}
		}
		copies := w.copies(p, 1, s.H[p].Seq)
		add(copies, 1, 1)
		add(exactly(copies), 0, -1)
	}
	if got := s.Ledgers[typ].Tenants; !maps.EqualFunc(got, want, slices.Equal) {
		return fmt.Errorf("type %s: the ledger of publication %d has %v, the log %v", typ, s.N, got, want)
	}
	return nil
}
