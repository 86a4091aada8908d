package realtime

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"recount/schemas/failpoint"
	"recount/schemas/position"
	"recount/schemas/query"
)

// Scan answers for the messages [cut, S) of every partition. A partition that has not reached its cut,
// counts in an older epoch or has stopped gives nothing and is listed as stale (Q2). So does one that cannot
// answer from its cut on. It also says why: query.ErrPinExpired (S4) or ErrNotBoundary (S2). One that lags the
// log by more than Config.MaxLag gives what it has and is listed as lagging. Errors wrap query.ErrViewNotReady
// (S5) or are ctx's.
func (v *Views) Scan(ctx context.Context, s *query.Scan, cut []position.Offset) (*query.LivePart, error) {
	result := v.ScanAll(ctx, []*query.Scan{s}, cut)[0]
	return result.Live, result.Err
}

// ScanAll answers several scans, each as Scan does. A partition answers all of them as of one moment, so their S is the
// same but where it does not count a view yet. An error concerns its scan alone.
func (v *Views) ScanAll(ctx context.Context, scans []*query.Scan, cut []position.Offset) []query.LiveResult {
	return v.scanAll(ctx, scans, cut, nil)
}

// Reach returns how far a scan from the cut on would come: its part without rows. It takes no longer for more events.
// Errors are those of Scan.
func (v *Views) Reach(s *query.Scan, cut []position.Offset) (*query.LivePart, error) {
	if len(cut) != len(v.partitions) {
		return nil, fmt.Errorf("reach of real-time views: %d offsets in the cut for %d partitions", len(cut),
			len(v.partitions))
	}
	view := viewKey{s.View.Name, s.Digest}
	if v.find(view) == nil {
		return nil, fmt.Errorf("reach of real-time view %s, digest %s: %w", s.View.Name, s.Digest,
			query.ErrViewNotReady)
	}
	live := &query.LivePart{}
	for i, p := range v.partitions {
		p.mu.RLock()
		p.reach(view, scanRange{from: cut[i]}, live)
		p.mu.RUnlock()
	}
	return live, nil
}

// ScanBetween answers for the messages [from, to) of every partition, to compare the answer with batch's
// answer for the same messages (A2). Both offsets must be boundaries. A partition that has not reached
// its end is stale. The errors are those of Scan, and those with which a partition refuses its range.
func (v *Views) ScanBetween(ctx context.Context, s *query.Scan, from, to []position.Offset) (*query.LivePart, error) {
	if to == nil {
		return nil, errors.New("scan real-time views: the end is missing")
	}
	result := v.scanAll(ctx, []*query.Scan{s}, from, to)[0]
	err := result.Err
	if err != nil {
		return nil, err
	}
	for _, r := range result.Live.Refused {
		err = errors.Join(err, fmt.Errorf("scan real-time view %s: partition %d: %w", s.View.Name, r.Partition, r.Err))
	}
	return result.Live, err
}

// scanAll answers for [cut, through), or for [cut, S) if through is nil.
func (v *Views) scanAll(ctx context.Context, scans []*query.Scan, cut, through []position.Offset) []query.LiveResult {
	results := make([]query.LiveResult, len(scans))
	scanners := make([]*scanner, len(scans))
	ranges, err := v.ranges(cut, through)
	for i, s := range scans {
		results[i] = query.LiveResult{Live: &query.LivePart{}, Err: err}
		if err == nil {
			scanners[i], results[i].Err = v.newScanner(s)
		}
	}
	for p, r := range ranges {
		v.partitions[p].scan(ctx, scanners, r, results)
	}
	for i, sc := range scanners {
		if results[i].Err != nil {
			results[i].Live = nil
			continue
		}
		results[i].Live.Part = sc.answer()
	}
	return results
}

// ranges returns the range of each partition.
func (v *Views) ranges(cut, through []position.Offset) ([]scanRange, error) {
	if len(cut) != len(v.partitions) || through != nil && len(through) != len(v.partitions) {
		return nil, fmt.Errorf("scan real-time views: %d offsets in the cut and %d in the end for %d partitions",
			len(cut), len(through), len(v.partitions))
	}
	out := make([]scanRange, len(cut))
	for p := range cut {
		out[p].from = cut[p]
		if through != nil {
			out[p].to = &through[p]
		}
	}
	return out, nil
}

// newScanner returns a scanner for a scan of all partitions.
func (v *Views) newScanner(s *query.Scan) (*scanner, error) {
	view := v.find(viewKey{s.View.Name, s.Digest})
	if view == nil {
		return nil, fmt.Errorf("scan real-time view %s, digest %s: %w", s.View.Name, s.Digest, query.ErrViewNotReady)
	}
	return newScanner(s, view)
}

// find returns the plan of a view in any partition, or nil. After Declare, one partition may have it before another.
func (v *Views) find(k viewKey) *viewPlan {
	for _, p := range v.partitions {
		p.mu.RLock()
		view := p.plan.find(k)
		p.mu.RUnlock()
		if view != nil {
			return view
		}
	}
	return nil
}

// scanRange is the range of one partition that a scan asks for. A nil to means S.
type scanRange struct {
	from position.Offset
	to   *position.Offset
}

// scan adds the partition's parts of scans to their scanners and results, as of one moment. It holds the lock only
// while it reads the open segment, and reads the closed segments after that. It skips scans that have an error.
func (p *partition) scan(ctx context.Context, scanners []*scanner, r scanRange, results []query.LiveResult) {
	closed := p.scanTails(scanners, r, results)
	for i, sc := range scanners {
		if results[i].Err != nil {
			continue
		}
		if err := sc.addSegments(ctx, closed[i]); err != nil {
			results[i].Err = fmt.Errorf("scan real-time view %s: partition %d: %w", sc.scan.View.Name, p.id, err)
		}
	}
}

// addSegments adds the rows of closed segments.
func (sc *scanner) addSegments(ctx context.Context, closed []*segment) error {
	for _, s := range closed {
		if err := errors.Join(ctx.Err(), sc.hold(ctx)); err != nil {
			return err
		}
		sc.addSegment(s)
	}
	return sc.hold(ctx)
}

// scanTails does scanTail for every scan, under one lock. It returns the closed segments of each.
func (p *partition) scanTails(scanners []*scanner, r scanRange, results []query.LiveResult) [][]*segment {
	p.mu.RLock()
	defer p.mu.RUnlock()
	closed := make([][]*segment, len(scanners))
	for i, sc := range scanners {
		if results[i].Err == nil {
			closed[i] = p.scanTail(sc, r, results[i].Live)
		}
	}
	return closed
}

// scanTail records the partition's state in live, adds the open segment to sc if it is in the range, and
// returns the closed segments of the range. A partition that gives nothing leaves sc as it is. mu must be held.
func (p *partition) scanTail(sc *scanner, r scanRange, live *query.LivePart) []*segment {
	view, segments := p.reach(viewKey{sc.view.view.Name, sc.view.digest}, r, live)
	if view == nil {
		return nil
	}
	sc.enterPlan(view)
	if n := len(segments); n > 0 && segments[n-1] == p.open {
		sc.addSegment(p.open)
		segments = segments[:n-1]
	}
	return segments
}

// reach records the partition's state in live, and returns the view with the segments of the range. The view is nil
// where the partition gives nothing. mu must be held.
func (p *partition) reach(k viewKey, r scanRange, live *query.LivePart) (*viewPlan, []*segment) {
	view := p.plan.find(k)
	if p.isStale(r) || view == nil { // A partition that does not count the view yet gives nothing of it.
		if failpoint.Off(failpoint.Q2) {
			live.Through = append(live.Through, position.Offset{Epoch: r.from.Epoch, Seq: p.next})
			return nil, nil
		}
		live.Stale = append(live.Stale, p.id)
		live.Through = append(live.Through, r.from)
		return nil, nil
	}
	segments, through, err := p.segmentsIn(r)
	if err != nil {
		live.Stale = append(live.Stale, p.id)
		live.Through = append(live.Through, r.from)
		live.Refused = append(live.Refused, query.Refusal{Partition: p.id, Err: err})
		return nil, nil
	}
	for _, s := range segments {
		live.Pending += s.events
		live.Appended = max(live.Appended, s.appended)
	}
	live.Through = append(live.Through, position.Offset{Epoch: epochAt(p.epochs, through), Seq: through})
	if r.to == nil && p.logEnd.lags(through) {
		live.Lagging = append(live.Lagging, p.id)
	}
	return view, segments
}

// isStale reports whether the partition must give nothing. If the cut is of a later epoch, the messages
// that were read may no longer be those of the log (L5). mu must be held.
func (p *partition) isStale(r scanRange) bool {
	lags := r.from.Seq > p.next || r.to != nil && r.to.Seq > p.next
	return lags || p.state.failed != nil || p.state.ended || r.from.Epoch > p.epochs[len(p.epochs)-1].Epoch
}

// segmentsIn returns the segments of the range and its end. Both ends must be boundaries (S2), and none may be
// below the base (S4). next counts as a boundary, because no message at or after it is counted. mu must be held.
func (p *partition) segmentsIn(r scanRange) ([]*segment, uint64, error) {
	if r.from.Seq < p.base && !failpoint.Off(failpoint.S4) {
		return nil, 0, fmt.Errorf("%w: cut %d, base %d", query.ErrPinExpired, r.from.Seq, p.base)
	}
	all := append(p.closed[:len(p.closed):len(p.closed)], p.open)
	from, err := p.segmentIndex(all, r.from.Seq)
	if err != nil || r.to == nil {
		return all[from:], p.next, err
	}
	to, err := p.segmentIndex(all, r.to.Seq)
	return all[from:max(from, to)], r.to.Seq, err
}

// segmentIndex returns the index of the segment that begins at seq. It is len(all) for next.
func (p *partition) segmentIndex(all []*segment, seq uint64) (int, error) {
	for i, s := range all {
		if s.start == seq {
			return i, nil
		}
	}
	if seq == p.next {
		return len(all), nil
	}
	if failpoint.Off(failpoint.S2) || failpoint.Off(failpoint.S4) && seq < p.base {
		i := slices.IndexFunc(all, func(s *segment) bool { return s.start > seq })
		return max(i, 0), nil
	}
	return 0, fmt.Errorf("%w: %d", ErrNotBoundary, seq)
}
