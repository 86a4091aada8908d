package sim

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"recount/schemas/catalog"
	"recount/schemas/query"
	"recount/schemas/window"
	"recount/serving/merge"
)

// copies are the events of the messages [from, to) of a partition, in position order.
func (w *world) copies(p int, from, to uint64) (out []event) {
	for seq := from; seq < to; seq++ {
		m := w.logs[p].line[seq]
		if m == nil {
			continue // The end of an epoch: a sequence that was never used.
		}
		for _, e := range m.events {
			e.bucket = window.Floor(e.time, bucket)
			e.previous = e.bucket - bucket.Microseconds()
			out = append(out, e)
		}
	}
	return out
}

// identity is what copies of an event share (D1).
type identity struct{ typ, tenant, id string }

func (e *event) identity() identity { return identity{e.typ, e.tenant, e.id} }

// byIdentity are the places of each event's copies, in position order.
func byIdentity(copies []event) map[identity][]int {
	places := map[identity][]int{}
	for i := range copies {
		id := copies[i].identity()
		places[id] = append(places[id], i)
	}
	return places
}

// exactly is what counts of a whole prefix: the first copy in a bucket (I2), unless its time was
// assigned and the bucket before holds another such copy (I3).
func exactly(copies []event) (out []event) {
	places := byIdentity(copies)
	for i := range copies {
		e := &copies[i]
		drop := false
		for _, j := range places[e.identity()] {
			o := &copies[j]
			drop = drop || j < i && o.bucket == e.bucket || e.assigned && o.assigned && o.bucket == e.previous
		}
		if !drop {
			out = append(out, *e)
		}
	}
	return out
}

// live is what counts of the messages from cut on, for a reader that remembers identities
// from start on and for the span of time: what must count, and what may count besides (D3).
func live(copies []event, cut, start uint64, span time.Duration) (must, may []event) {
	places := byIdentity(copies)
	for i := range copies {
		e := &copies[i]
		if e.seq < cut {
			continue
		}
		known := false
		copied := false
		var seen [2]bool // An identity is remembered from its first copy on, not from later ones.
		for _, j := range places[e.identity()] {
			o := &copies[j]
			same := o.bucket == e.bucket
			before := e.assigned && o.assigned && o.bucket == e.previous
			if j >= i || !same && !before {
				continue
			}
			copied = true
			kind := map[bool]int{true: 1}[same]
			if o.seq >= start && !seen[kind] {
				seen[kind] = true
				known = known || e.clock-o.appended < (span-2*time.Minute).Microseconds()
			}
		}
		switch {
		case !copied:
			must = append(must, *e)
		case !known:
			may = append(may, *e)
		}
	}
	return must, may
}

// recall is how far back a node's real-time views remember identities.
type recall struct {
	start [partitions]uint64
	span  time.Duration
}

// check compares an answer with a naive count of the prefix it states.
func (w *world) check(c *catalog.Catalog, q *query.Query, tenant string, a *merge.Answer, m recall) error {
	scan, err := q.Resolve(c, tenant)
	if err != nil {
		return err
	}
	var must, may []event
	for p := range partitions {
		cut := a.Accuracy.Cut[p]
		through := a.Accuracy.Through[p]
		if through > w.logs[p].next && through > w.logs[p].head {
			return fmt.Errorf("partition %d: through %d, the log ends at %d", p, through, w.logs[p].next)
		}
		if q.Mode != query.Live {
			must = append(must, exactly(w.copies(p, 1, cut))...)
		}
		x, y := live(w.copies(p, 1, through), cut, m.start[p], m.span)
		must = append(must, x...)
		may = append(may, y...)
	}
	if len(may) > 0 {
		w.meet("copies beyond the dedup window")
	}
	if a.Rows() > 0 && slices.ContainsFunc(a.Measures, func(m merge.Measure) bool { return m.Name == "users" }) {
		w.meet("answer: distinct")
	}
	for j := range a.Measures {
		for i := range a.Rows() {
			if m := &a.Measures[j]; m.Bounded(i) {
				w.meet("answer: an estimate and its bounds")
			}
		}
	}
	return compare(scan, grouped(scan, must), grouped(scan, may), a)
}

type group struct {
	win  int
	kind string
}

func grouped(scan *query.Scan, events []event) map[group][]event {
	out := map[group][]event{}
	for _, e := range events {
		g := group{win: scan.Windows.Index(e.time)}
		keeps := e.typ == scan.View.Event && e.tenant == scan.Tenant && g.win >= 0
		for _, f := range scan.View.Where {
			keeps = keeps && e.amount >= f.Values[0].(int64)
		}
		if !keeps {
			continue
		}
		if len(scan.GroupBy) > 0 {
			g.kind = map[string]string{"kind": e.kind, "name": e.id}[scan.GroupBy[0].Name]
		}
		out[g] = append(out[g], e)
	}
	return out
}

func compare(scan *query.Scan, must, may map[group][]event, a *merge.Answer) error {
	seen := map[group]bool{}
	for i := range a.Rows() {
		g := group{}
		if a.Windowed {
			g.win = slices.Index(scan.Windows.Starts, a.Times[i])
		}
		if len(a.Dims) > 0 {
			g.kind = a.Dims[0].Strings[i]
		}
		if seen[g] || len(must[g])+len(may[g]) == 0 {
			return fmt.Errorf("a row %v that must not be, or twice", g)
		}
		seen[g] = true
		for j := range a.Measures {
			if err := compareMeasure(scan.Measures[j], must[g], may[g], &a.Measures[j], i); err != nil {
				return fmt.Errorf("%v: %w; must %s, may %s", g, err, names(must[g]), names(may[g]))
			}
		}
	}
	for _, g := range slices.Collect(maps.Keys(must)) {
		if !seen[g] {
			return fmt.Errorf("no row %v of %d events", g, len(must[g]))
		}
	}
	return nil
}

// compareMeasure wants the value of must, or one that some of may explain. Amounts are not negative.
func compareMeasure(m query.Measure, must, may []event, got *merge.Measure, i int) error {
	low := naive(m, must)
	high := naive(m, append(slices.Clone(must), may...))
	if got.Value.Null != nil && got.Value.Null[i] {
		return fmt.Errorf("%s is null, want %d to %d", m.Name, low, high)
	}
	value := got.Value.Ints[i]
	if got.Bounded(i) {
		if got.High[i] < low || got.Low[i] > high {
			return fmt.Errorf("%s is said to be %d to %d, it is %d to %d", m.Name, got.Low[i], got.High[i], low, high)
		}
		return nil
	}
	if value < low || value > high {
		return fmt.Errorf("%s is %d, want %d to %d", m.Name, value, low, high)
	}
	return nil
}

func naive(m query.Measure, events []event) (v int64) {
	users := map[string]bool{}
	for _, e := range events {
		users[e.user] = true
		switch m.Kind {
		case catalog.Count:
			v++
		case catalog.Sum:
			v += e.amount
		case catalog.Max:
			v = max(v, e.amount)
		}
	}
	if m.Kind == catalog.Distinct {
		return int64(len(users))
	}
	return v
}

// names lists events with their places, for an error.
func names(events []event) (s string) {
	for _, e := range events {
		s += fmt.Sprintf("%s@%d(%d/%t) ", e.id, e.seq, e.bucket/bucket.Microseconds()%1000, e.assigned)
	}
	return s
}
