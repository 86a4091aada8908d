package reader

import (
	"context"
	"math"
	"slices"
	"time"

	"recount/schemas/query"
	"recount/schemas/record"
	"recount/schemas/window"
)

// ends finds the first and the last cell of a view in which a tenant has events, as the layers of one attempt have
// them. It asks both layers for the events in a few hundred windows over all time, then in those of the window that
// has the end, and so on. These are ordinary scans of pinned rows, so the ends are those of the publication and of the
// live part, and say nothing about other tenants. Three pairs of scans find a cell of a second in three centuries.
//
// Rejected: the first bucket of the publication. It costs no scan, but another tenant may have it, and an event of 1970
// there would give everybody more windows than a query may have.
type ends struct {
	reader *Reader
	query  *query.Query
	state  *record.State
	known  []uint64
	last   bool // the attempt is the last one
	// short says that the live part lacked something, so the ends may be those of less.
	short bool
}

// levels is how many times the windows get narrower, until they are cells.
const levels = 3

// bound gives an open query the ends of the data (query.Bound). Another query is returned as it is.
func (e *ends) bound(ctx context.Context, scan *query.Scan, explanation *query.Explanation) (*query.Query,
	*query.Scan, error) {
	if !e.query.IsOpen() {
		return e.query, scan, nil
	}
	defer e.reader.time("range", explanation)()
	cell := scan.View.Cell.Microseconds()
	begin := window.Floor(e.newest().UnixMicro(), scan.View.Cell)
	end := begin + cell
	if e.query.From.IsZero() {
		first, found, err := e.find(ctx, scan, slices.Min[[]int32])
		switch {
		case err != nil:
			return nil, nil, err
		case found:
			begin = first
			end = first + cell
		}
	}
	if e.query.To.IsZero() {
		last, found, err := e.find(ctx, scan, slices.Max[[]int32])
		switch {
		case err != nil:
			return nil, nil, err
		case found:
			end = last + cell
		}
	}
	return e.query.Bound(scan, begin, end)
}

// newest is when there was no event at all, for a range that then has one cell. An answer as of a publication must not
// depend on the time at which it is asked for.
func (e *ends) newest() time.Time {
	if e.state.Publication != nil {
		return e.state.Publication.Created
	}
	return e.reader.Now()
}

// find returns the start of the first or last cell with events, whichever choose returns.
func (e *ends) find(ctx context.Context, scan *query.Scan, choose func([]int32) int32) (cell int64, found bool,
	err error) {
	probe := *scan
	probe.GroupBy = nil
	probe.Where = nil
	probe.Measures = nil
	from := window.MinTime
	to := window.MaxTime + 1
	cells := float64(to-from) / float64(scan.View.Cell.Microseconds())
	factor := time.Duration(math.Ceil(math.Pow(cells, 1.0/levels)))
	width := scan.View.Cell
	for range levels - 1 {
		width *= factor
	}
	for ; width >= scan.View.Cell; width /= factor {
		probe.Windows = window.Even(from, to, width)
		filled, err := e.windowsWithEvents(ctx, &probe)
		if err != nil || len(filled) == 0 {
			return from, found, err
		}
		found = true
		from = probe.Windows.Start(int(choose(filled)))
		to = from + width.Microseconds()
	}
	return from, found, nil
}

// windowsWithEvents returns the windows of a scan in which a layer has events.
func (e *ends) windowsWithEvents(ctx context.Context, probe *query.Scan) ([]int32, error) {
	live, err := e.reader.live(ctx, e.query, probe, e.state, nil, e.last)
	if err != nil {
		return nil, err
	}
	e.short = e.short || isShort(live, e.known) || len(live.Stale)+len(live.Lagging) > 0
	batch, err := e.reader.batch(ctx, e.query, probe, e.state, live.Part, nil)
	if err != nil {
		return nil, err
	}
	var filled []int32
	for _, part := range []*query.Part{live.Part, batch} {
		if part != nil {
			filled = append(filled, part.Windows...)
		}
	}
	return filled, nil
}
