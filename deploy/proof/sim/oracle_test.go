package sim

import (
	"fmt"
	"maps"
	"math/big"
	"slices"
	"time"

	"recount/schemas/catalog"
	"recount/schemas/position"
	"recount/schemas/query"
	"recount/schemas/window"
	"recount/schemas/window/windowtest"
	"recount/serving/merge"
)

// eventsBelow returns the events of the messages below end of a partition, in position order.
func (w *world) eventsBelow(p int, end uint64) []event { return w.eventsWithHoles(p, end, false) }

// eventsWithHoles is eventsBelow, with the message that was given up if holes is true.
func (w *world) eventsWithHoles(p int, end uint64, holes bool) (out []event) {
	l := &w.logs[p]
	for seq := uint64(1); seq < end; seq++ {
		m := l.messages[seq]
		if holes && l.isGivenUp() && seq == l.vanished {
			m = l.hole
		}
		if m == nil {
			continue // An epoch ended here: the sequence was never used.
		}
		for _, e := range m.events {
			e.bucket = window.Floor(e.time, bucket)
			e.previous = e.bucket - bucket.Microseconds()
			out = append(out, e)
		}
	}
	return out
}

// identity is the identity of an event, which its copies share (D1).
type identity struct{ eventType, tenant, id string }

func (e *event) identity() identity { return identity{e.eventType, e.tenant, e.id} }

// placesByIdentity returns the indexes of the copies of each event, in position order.
func placesByIdentity(copies []event) map[identity][]int {
	places := map[identity][]int{}
	for i := range copies {
		id := copies[i].identity()
		places[id] = append(places[id], i)
	}
	return places
}

// exactEvents returns the events of a prefix that count: the first copy in a bucket (I2), unless its time was
// assigned and a bucket beside holds an earlier copy with an assigned time (I3).
func exactEvents(copies []event) (out []event) {
	places := placesByIdentity(copies)
	for i := range copies {
		e := &copies[i]
		drop := false
		for _, j := range places[e.identity()] {
			o := &copies[j]
			drop = drop || j < i && (o.bucket == e.bucket || isCarried(o, e))
		}
		if !drop {
			out = append(out, *e)
		}
	}
	return out
}

// isCarried reports whether both times were assigned, in neighbouring buckets.
func isCarried(o, e *event) bool {
	return e.assigned && o.assigned && (o.bucket == e.previous || e.bucket == o.previous)
}

// liveEvents returns the events of the messages from cut on that count live, for a reader that
// remembers identities from start on and for the given span. It may remember some from before start too, from a
// snapshot whose end it did not use. The events in must are counted, and those in may are counted if the reader has
// forgotten the first copy (D3).
func liveEvents(copies []event, cut, start uint64, span time.Duration) (must, may []event) {
	places := placesByIdentity(copies)
	for i := range copies {
		e := &copies[i]
		if e.seq < cut {
			continue
		}
		known := false
		knownSinceFirst := false // with what may be remembered from before start
		copied := false
		var seen, seenSinceFirst [3]bool // Later copies do not renew the memory of an identity.
		for _, j := range places[e.identity()] {
			o := &copies[j]
			sameBucket := o.bucket == e.bucket
			if j >= i || !sameBucket && !isCarried(o, e) {
				continue
			}
			copied = true
			kind := 0
			switch {
			case sameBucket:
				kind = 1
			case e.bucket == o.previous:
				kind = 2
			}
			remembered := e.newest-o.appended < (span - 2*time.Minute).Microseconds()
			if o.seq >= start && !seen[kind] {
				seen[kind] = true
				known = known || remembered
			}
			if !seenSinceFirst[kind] {
				seenSinceFirst[kind] = true
				knownSinceFirst = knownSinceFirst || remembered
			}
		}
		switch {
		case !copied:
			must = append(must, *e)
		case !known || !knownSinceFirst:
			may = append(may, *e)
		}
	}
	return must, may
}

// dedupWindow says how far back a node's real-time views remember identities.
type dedupWindow struct {
	start [partitions]uint64
	span  time.Duration
}

// checkAnswer compares an answer with a naive count of the prefix that it states. Real-time views may have
// counted a message before it vanished. Until they hear that an operator gave it up, they count it (C7).
func (w *world) checkAnswer(c *catalog.Catalog, q *query.Query, tenant string, a *merge.Answer,
	window dedupWindow, promised [partitions]uint64) error {
	if err := w.checkHoles(q, a); err != nil {
		return err
	}
	if err := w.checkFilled(q, a); err != nil {
		return err
	}
	if q.IsOpen() {
		w.observe("answer: of a range without an end")
		if err := w.checkEnds(c, q, tenant, a, promised); err != nil {
			return err
		}
		bounded := *q
		bounded.From = a.Accuracy.Range.From
		bounded.To = a.Accuracy.Range.To
		q = &bounded
	}
	err := w.compareAnswer(c, q, tenant, a, window, false)
	for p := range w.logs {
		l := &w.logs[p]
		if err == nil || l.hole == nil || a.Accuracy.Cut[p] >= l.givenUp || a.Accuracy.Through[p] < l.givenUp {
			continue
		}
		err = w.compareAnswer(c, q, tenant, a, window, true)
	}
	return err
}

// checkEnds fails if an event that an answer without a beginning or an end must count is outside of its range. Of the
// live part these are the events that were acknowledged before the question, because later ones may arrive between the
// search for the ends and the scan. An answer that is not complete may lack any.
func (w *world) checkEnds(c *catalog.Catalog, q *query.Query, tenant string, a *merge.Answer,
	promised [partitions]uint64) error {
	if q.Mode == query.Exact && a.Accuracy.FilledFrom != nil || q.Mode != query.Exact && !a.Accuracy.Complete {
		return nil
	}
	scan, err := q.Resolve(c, tenant)
	if err != nil {
		return err
	}
	from := a.Accuracy.Range.From
	to := a.Accuracy.Range.To
	for p := range partitions {
		var events []event
		cut := a.Accuracy.Cut[p]
		if q.Mode != query.Live {
			events = exactEvents(w.eventsBelow(p, cut))
		}
		if q.Mode != query.Exact {
			live, _ := liveEvents(w.eventsBelow(p, min(a.Accuracy.Through[p], promised[p])), cut, cut, 0)
			events = append(events, live...)
		}
		for i := range events {
			e := &events[i]
			at := time.UnixMicro(e.time)
			outside := q.From.IsZero() && at.Before(from) && (q.To.IsZero() || at.Before(q.To)) ||
				q.To.IsZero() && !at.Before(to) && !at.Before(q.From)
			if isCounted(scan, e) && outside {
				return fmt.Errorf("the range is %s to %s, but event %s of partition %d at sequence %d is of %s", from,
					to, e.id, p, e.seq, at.UTC())
			}
		}
	}
	return nil
}

// checkHoles fails if an answer does not name the holes in its batch part (Q4).
func (w *world) checkHoles(q *query.Query, a *merge.Answer) error {
	var want []position.Hole
	for p := range w.logs {
		l := &w.logs[p]
		if l.givenUp > 0 && l.givenUp <= a.Accuracy.Cut[p] && q.Mode != query.Live {
			w.observe("answer: names a hole")
			want = append(want, position.Hole{Partition: p, From: l.vanished, To: l.givenUp})
		}
	}
	if !slices.Equal(a.Accuracy.Holes, want) {
		return fmt.Errorf("the answer names the holes %v, want %v", a.Accuracy.Holes, want)
	}
	return nil
}

// checkFilled fails if an answer does not say from when its view is filled, or calls itself complete although the view
// is not (B8).
func (w *world) checkFilled(q *query.Query, a *merge.Answer) error {
	var want *time.Time
	if n := a.Accuracy.Publication; n > 0 && q.Mode != query.Live {
		if fill := w.states[n-1].Views[q.View].Fill; fill != nil && q.From.UnixMicro() < fill.From {
			from := time.UnixMicro(fill.From).UTC()
			want = &from
		}
	}
	got := a.Accuracy.FilledFrom
	if (got == nil) != (want == nil) || got != nil && !got.Equal(*want) {
		return fmt.Errorf("the answer says that the view is filled from %v, want %v", got, want)
	}
	if got != nil && (a.Accuracy.Complete || a.Accuracy.Exact) {
		return fmt.Errorf("the answer lacks what was before %v, and calls itself complete or exact", got)
	}
	if got != nil {
		w.observe("answer: from before the view is filled")
	}
	return nil
}

// filled returns the events of a batch part that an answer must have: those of the buckets to which the view is filled.
func filled(events []event, from *time.Time) []event {
	if from == nil {
		return events
	}
	return slices.DeleteFunc(events, func(e event) bool { return e.bucket < from.UnixMicro() })
}

// compareAnswer compares an answer with the messages that are in the log or were. With holes, it also counts
// those that were given up.
func (w *world) compareAnswer(c *catalog.Catalog, q *query.Query, tenant string, a *merge.Answer,
	window dedupWindow, holes bool) error {
	scan, err := q.Resolve(c, tenant)
	if err != nil {
		return err
	}
	var batch, must, may []event
	for p := range partitions {
		cut := a.Accuracy.Cut[p]
		through := a.Accuracy.Through[p]
		if through > w.logs[p].next && through > w.logs[p].chainHead {
			return fmt.Errorf("partition %d: the answer covers the log through %d, but the log ends at %d", p, through,
				w.logs[p].next)
		}
		if q.Mode != query.Live {
			batch = append(batch, filled(exactEvents(w.eventsBelow(p, cut)), a.Accuracy.FilledFrom)...)
		}
		start := window.start[p]
		if v := w.logs[p].vanished; v > 0 && v < cut {
			start = max(start, cut) // The views may have jumped over the vanished message (D3).
		}
		liveMust, liveMay := liveEvents(w.eventsWithHoles(p, through, holes), cut, start, window.span)
		must = append(must, liveMust...)
		may = append(may, liveMay...)
	}
	if n := a.Accuracy.Publication; n > 0 {
		w.limitValues(scan, batch, w.states[n-1].Limit())
	}
	if slices.ContainsFunc(must, func(e event) bool { return e.over }) {
		w.observe("answer: a value overflows live")
	}
	live := must
	must = slices.Concat(must, batch)
	if len(may) > 0 {
		w.observe("copies beyond the dedup window")
	}
	if a.Rows() > 0 && slices.ContainsFunc(a.Measures, func(m merge.Measure) bool { return m.Name == "users" }) {
		w.observe("answer: distinct")
	}
	runs := scan.Windows.Runs()
	if last := runs[len(runs)-1]; len(runs) > 1 && slices.Contains(a.Times, last.Start) {
		w.observe("answer: a last window longer than those before it")
	}
	for j := range a.Measures {
		for i := range a.Rows() {
			if m := &a.Measures[j]; m.Bounded(i) {
				w.observe("answer: an estimate and its bounds")
			}
		}
	}
	if err := checkOverflow(scan, batch, live, may, a.Accuracy); err != nil {
		return err
	}
	if err := w.checkUnconverted(scan, must, may, a.Accuracy); err != nil {
		return err
	}
	return compare(scan, groupEvents(scan, must), groupEvents(scan, may), a)
}

// limitValues decides which values of the events of a batch part overflow (B7), whatever ingest decided.
func (w *world) limitValues(scan *query.Scan, events []event, limit int) {
	first := map[int64]map[string]int64{} // by bucket and value, the first cell
	for i := range events {
		e := &events[i]
		if e.over {
			w.observe("answer: a value that ingest found too many")
		}
		e.over = false
		if len(scan.View.Dimensions) == 0 || !isCounted(scan, e) {
			continue
		}
		if first[e.bucket] == nil {
			first[e.bucket] = map[string]int64{}
		}
		cell := window.Floor(e.time, scan.View.Cell)
		value := e.text(scan.View.Dimensions[0])
		if at, seen := first[e.bucket][value]; !seen || cell < at {
			first[e.bucket][value] = cell
		}
	}
	for i := range events {
		e := &events[i]
		if limit == 0 || len(scan.View.Dimensions) == 0 || !isCounted(scan, e) {
			continue
		}
		cells := first[e.bucket]
		value := e.text(scan.View.Dimensions[0])
		earlier := 0
		for other, cell := range cells {
			if cell < cells[value] || cell == cells[value] && other < value {
				earlier++
			}
		}
		if e.over = earlier >= limit; e.over {
			w.observe("answer: a value overflows in the batch part")
		}
	}
}

// checkOverflow compares how many events an answer says to have overflowed.
func checkOverflow(scan *query.Scan, batch, live, may []event, stated query.Accuracy) error {
	count := func(events []event) (n uint64) {
		for _, e := range events {
			if len(scan.GroupBy) > 0 && e.over && isCounted(scan, &e) && windowtest.Index(scan.Windows, e.time) >= 0 {
				n++
			}
		}
		return n
	}
	got := query.Overflow{}
	if stated.Overflow != nil {
		got = *stated.Overflow
	}
	low := count(live)
	if high := low + count(may); got.Live < low || got.Live > high || got.Events-got.Live != count(batch) ||
		got.LeftOut > 0 {
		return fmt.Errorf("%d events are stated as overflowed, %d of them live and %d in no row, want %d to %d live, "+
			"%d others, and 0", got.Events, got.Live, got.LeftOut, low, high, count(batch))
	}
	return nil
}

// checkUnconverted compares how many events an answer says to lack a value, because it does not fit its field's present
// type. Answers count them by buckets.
func (w *world) checkUnconverted(scan *query.Scan, must, may []event, stated query.Accuracy) error {
	count := func(events []event) (n uint64) {
		for _, e := range events {
			_, isNumber := e.code()
			if e.eventType == scan.View.Event && e.tenant == scan.Tenant && !isNumber &&
				slices.Contains(scan.View.Columns(), "code") && e.bucket < scan.Windows.To &&
				e.bucket+bucket.Microseconds() > scan.Windows.From {
				n++
			}
		}
		return n
	}
	low := count(must)
	if high := low + count(may); stated.Unconverted < low || stated.Unconverted > high {
		return fmt.Errorf("%d events are stated as unconverted, want %d to %d", stated.Unconverted, low, high)
	}
	if stated.Retired > 0 {
		return fmt.Errorf("%d events are stated as removed by retention, but the expire job does not run here",
			stated.Retired)
	}
	if low > 0 && stated.Exact {
		return fmt.Errorf("the answer lacks %d values and says that it is exact", low)
	}
	if low > 0 {
		w.observe("answer: a value does not fit its field's present type")
	}
	return nil
}

// group is a group of an answer: a window and the value of the dimension.
type group struct {
	win  int
	kind string
}

// isCounted reports whether an event is of the scan's tenant and passes its view's filter.
func isCounted(scan *query.Scan, e *event) bool {
	return e.eventType == scan.View.Event && e.tenant == scan.Tenant &&
		!slices.ContainsFunc(scan.View.Where, func(f catalog.Filter) bool { return e.amount < f.Values[0].(int64) })
}

func groupEvents(scan *query.Scan, events []event) map[group][]event {
	out := map[group][]event{}
	for _, e := range events {
		g := group{win: windowtest.Index(scan.Windows, e.time)}
		if !isCounted(scan, &e) || g.win < 0 {
			continue
		}
		if len(scan.GroupBy) > 0 {
			g.kind = e.text(scan.GroupBy[0].Name)
			if e.over {
				g.kind = catalog.Overflow
			}
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
			g.win = slices.Index(windowtest.Starts(scan.Windows), a.Times[i])
		}
		if len(a.Dims) > 0 {
			g.kind = a.Dims[0].Strings[i]
		}
		isTotal := !a.Windowed && len(a.Dims) == 0 // A total exists without events.
		if seen[g] || len(must[g])+len(may[g]) == 0 && !isTotal {
			return fmt.Errorf("row %v is unexpected or occurs twice", g)
		}
		seen[g] = true
		for j := range a.Measures {
			if err := compareMeasure(scan.Measures[j], must[g], may[g], &a.Measures[j], i); err != nil {
				return fmt.Errorf("row %v: %w; events that must count %s, events that may count %s", g, err,
					describeEvents(must[g]), describeEvents(may[g]))
			}
		}
	}
	for _, g := range slices.Collect(maps.Keys(must)) {
		if !seen[g] {
			return fmt.Errorf("row %v of %d events is missing", g, len(must[g]))
		}
	}
	return nil
}

// compareMeasure accepts every value between that of must and that of must and may together. Amounts
// are not negative, so a value cannot be outside that range.
func compareMeasure(m query.Measure, must, may []event, got *merge.Measure, i int) error {
	hasNull := m.Kind != catalog.Count && m.Kind != catalog.Distinct
	switch {
	case hasNull && len(must) == 0 && got.Value.Null[i]:
		return nil // It is the total of no events.
	case hasNull && len(must)+len(may) == 0:
		return fmt.Errorf("%s is not null, but there are no events", m.Name)
	}
	if m.SumsFloats() {
		low := sumCosts(must)
		high := sumCosts(append(slices.Clone(must), may...))
		if v := got.Value.Floats[i]; got.Value.Null[i] || v < low || v > high {
			return fmt.Errorf("%s is %v, want %v to %v", m.Name, v, low, high)
		}
		return nil
	}
	low := computeMeasure(m, must)
	high := computeMeasure(m, append(slices.Clone(must), may...))
	if got.Value.Null != nil && got.Value.Null[i] && (m.Field == "amount" || low > 0) {
		return fmt.Errorf("%s is null, want %d to %d", m.Name, low, high)
	}
	value := got.Value.Ints[i]
	if got.Bounded(i) {
		least := got.Low.Ints[i]
		most := got.High.Ints[i]
		if most < low || least > high {
			return fmt.Errorf("%s has the bounds %d to %d, want bounds that include %d to %d", m.Name, least, most, low,
				high)
		}
		return nil
	}
	if value < low || value > high {
		return fmt.Errorf("%s is %d, want %d to %d", m.Name, value, low, high)
	}
	return nil
}

// sumCosts adds with so many bits that nothing is rounded before the end.
func sumCosts(events []event) float64 {
	sum := new(big.Float).SetPrec(2400)
	for _, e := range events {
		sum.Add(sum, big.NewFloat(e.cost()))
	}
	rounded, _ := sum.Float64()
	return rounded
}

// computeMeasure computes a measure of events one by one.
func computeMeasure(m query.Measure, events []event) (v int64) {
	users := map[string]bool{}
	for _, e := range events {
		users[e.user] = true
		switch m.Kind {
		case catalog.Count:
			v++
		case catalog.Sum:
			if value, has := e.number(m.Field); has {
				v += value
			}
		case catalog.Max:
			v = max(v, e.amount)
		}
	}
	if m.Kind == catalog.Distinct {
		return int64(len(users))
	}
	return v
}

// describeEvents lists events with their positions, for an error.
func describeEvents(events []event) (s string) {
	for _, e := range events {
		s += fmt.Sprintf("%s@%d(%d/%t) ", e.id, e.seq, e.bucket/bucket.Microseconds()%1000, e.assigned)
	}
	return s
}
