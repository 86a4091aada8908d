package reader

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"recount/schemas/catalog"
	"recount/schemas/query"
	"recount/schemas/record"
	"recount/schemas/window"
	"recount/serving/batchview"
	"recount/serving/changes"
	"recount/serving/merge"
)

// Bounds of one pair of scans of a comparison, so that its memory does not grow with its range. Rows are those of both
// publications. The buckets of one window are never split.
const (
	maxComparedRows    = 500_000
	maxComparedWindows = 200_000
)

// PublicationError says that one publication of a comparison cannot answer.
type PublicationError struct {
	Field string // from_publication or to_publication
	N     uint64
	Err   error
}

func (e *PublicationError) Error() string {
	return fmt.Sprintf("%s: publication %d: %v", e.Field, e.N, e.Err)
}

// Unwrap makes the errors of Answer known.
func (e *PublicationError) Unwrap() error { return e.Err }

// comparison is a question about two publications while it is answered.
type comparison struct {
	*Reader
	q        *changes.Question
	tenant   string
	old, new compared
	pair     changes.Pair
	// from and to are the range in whole cells, in microseconds since 1970.
	from, to int64
	// width is about the width of a window.
	width int64
}

// compared is one of the publications.
type compared struct {
	field   string
	n       uint64
	state   *record.State
	catalog *catalog.Catalog
	query   *query.Query // the question, of the whole range
	scan    *query.Scan
	missing uint64 // the publication, if its rows were missing or changed once
}

// Changes says what changed in a view between two publications. The caller must close the answer.
//
// The errors are those of Answer. One that is about one of the publications is a *PublicationError.
func (r *Reader) Changes(ctx context.Context, q *changes.Question, tenant string) (*changes.Answer, error) {
	c := &comparison{Reader: r, q: q, tenant: tenant}
	if err := c.pin(ctx); err != nil {
		return nil, err
	}
	if err := c.resolve(); err != nil {
		return nil, err
	}
	location, err := q.Location()
	if err != nil {
		return nil, err
	}
	a := &changes.Answer{View: q.View, Location: location, Windowed: q.Granularity != "all",
		Dims: c.new.query.GroupBy, Measures: c.new.query.Measures, Memory: r.Memory.Open(tenant)}
	if err := c.fill(ctx, a); err != nil {
		a.Close()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, err
	}
	return a, nil
}

// pin reads both publications, and the definitions that they have of the view.
func (c *comparison) pin(ctx context.Context) error {
	n := c.q.ToPublication
	if n == 0 {
		newest, err := c.Reader.pin(ctx, &query.Query{})
		if err != nil {
			return err
		}
		n = newest.N
	}
	from := c.q.FromPublication
	switch {
	case from == 0:
		return &query.Error{Field: "from_publication", Msg: "give the number of the publication to compare with, " +
			"such as one that was pinned for a bill"}
	case from == c.q.ToPublication:
		return &query.Error{Field: "to_publication", Msg: fmt.Sprintf("it is publication %d too; leave it out for the "+
			"newest", from)}
	case from > n && c.q.ToPublication > 0:
		return &query.Error{Field: "from_publication", Msg: fmt.Sprintf("publication %d is later than to_publication "+
			"%d; exchange the two", from, n)}
	}
	c.old = compared{field: "from_publication", n: from}
	c.new = compared{field: "to_publication", n: n}
	sides := []*compared{&c.old, &c.new}
	for _, s := range sides {
		var err error
		if s.state, err = c.Reader.pin(ctx, &query.Query{AsOf: &s.n}); err != nil {
			return s.wrap(err)
		}
	}
	_, inOld := c.old.state.Views[c.q.View]
	_, inNew := c.new.state.Views[c.q.View]
	for i, s := range sides {
		if inOld != inNew && !([]bool{inOld, inNew}[i]) {
			return s.wrap(ErrNotInPublication)
		}
		var err error
		if s.catalog, err = c.definition(ctx, &query.Query{View: c.q.View, AsOf: &s.n}, s.state); err != nil {
			return s.wrap(err)
		}
	}
	return nil
}

// wrap says which publication an error is about.
func (s *compared) wrap(err error) error {
	var wrong *query.Error
	if errors.As(err, &wrong) {
		if wrong.Field == "view" {
			return err
		}
		return &query.Error{Field: wrong.Field, Msg: fmt.Sprintf("in publication %d, %s", s.n, wrong.Msg)}
	}
	return &PublicationError{Field: s.field, N: s.n, Err: err}
}

// resolve makes the scans of both publications. They ask for the same columns and the same range.
func (c *comparison) resolve() error {
	whole := c.q.Query
	whole.Granularity = "all"
	whole.Mode = query.Exact
	if whole.From.IsZero() {
		whole.From = time.UnixMicro(window.MinTime).UTC()
	}
	if whole.To.IsZero() {
		whole.To = time.UnixMicro(window.MaxTime + 1).UTC()
	}
	measures, dimensions := shared(&c.old, &c.new, whole.View)
	if len(whole.Measures) == 0 {
		whole.Measures = measures
	}
	if len(whole.GroupBy) == 0 && !c.q.Ungrouped {
		whole.GroupBy = dimensions
	}
	for _, s := range []*compared{&c.old, &c.new, &c.old} { // The second may have widened the range.
		q := whole
		q.AsOf = &s.n
		var err error
		if s.scan, err = q.Resolve(s.catalog, c.tenant); err != nil {
			return s.wrap(err)
		}
		if len(whole.Measures) == 0 {
			return &query.Error{Field: "measures", Msg: fmt.Sprintf("the view has no measure of one type in both "+
				"publication %d and %d", c.old.n, c.new.n)}
		}
		s.query = &q
		whole.From = q.From
		whole.To = q.To
		whole.Widened = q.Widened
	}
	if err := c.checkColumns(); err != nil {
		return err
	}
	c.from = c.new.scan.Windows.From
	c.to = c.new.scan.Windows.To
	c.pair = changes.Pair{View: whole.View, Tenant: c.tenant, Width: c.Catalog.Catalog().Bucket.Microseconds(),
		Old: c.old.side(), New: c.new.side()}
	first, err := c.windows(c.from, c.from+c.cell().Microseconds())
	if err == nil {
		c.width = first.Runs()[0].Width
	}
	return err
}

// cell returns the wider one of the two cells of the view.
func (c *comparison) cell() time.Duration { return max(c.old.scan.View.Cell, c.new.scan.View.Cell) }

// shared returns the measures and dimensions of a view that both publications have with one type.
func shared(a, b *compared, view string) (measures, dimensions []string) {
	v := a.catalog.Views[view]
	w := b.catalog.Views[view]
	if v == nil || w == nil {
		return nil, nil // Resolve says so.
	}
	for _, m := range v.Measures {
		other, found := w.Measure(m.Name)
		x := query.Measure{Measure: m, Type: a.catalog.MeasureType(v, m)}
		y := query.Measure{Measure: other, Type: b.catalog.MeasureType(w, other)}
		if found && x.ResultType() == y.ResultType() && isQuantile(m) == isQuantile(other) {
			measures = append(measures, m.Name)
		}
	}
	for _, d := range v.Dimensions {
		if slices.Contains(w.Dimensions, d) && a.catalog.DimensionType(v, d) == b.catalog.DimensionType(w, d) {
			dimensions = append(dimensions, d)
		}
	}
	return measures, dimensions
}

func isQuantile(m catalog.Measure) bool { return m.Kind == catalog.Quantile }

// checkColumns refuses columns that have another type in each publication, and cells that do not fit each other.
func (c *comparison) checkColumns() error {
	differs := func(field, name string, oldType, newType any, remedy string) error {
		return &query.Error{Field: field, Msg: fmt.Sprintf("%s is %v in publication %d and %v in publication %d; %s",
			name, oldType, c.old.n, newType, c.new.n, remedy)}
	}
	a := c.old.scan.View.Cell
	b := c.new.scan.View.Cell
	w := c.old.scan.Windows
	sameRange := w.From == c.new.scan.Windows.From && w.To == c.new.scan.Windows.To
	if a != b && (c.q.Granularity == "" || max(a, b)%min(a, b) != 0 || !sameRange) {
		return differs("granularity", "the cell", a, b, "give a granularity that both divide, such as 1d or all, and "+
			"a range of such windows")
	}
	const remedy = "values of two types cannot be compared, so leave it out"
	for i, d := range c.old.scan.GroupBy {
		if other := c.new.scan.GroupBy[i]; d != other {
			return differs("group_by", d.Name, d.Type, other.Type, remedy)
		}
	}
	for _, name := range c.q.Measures { // The name of a quantile may stand for several numbers.
		m, _ := c.old.scan.View.Measure(name)
		if other, _ := c.new.scan.View.Measure(name); isQuantile(m) != isQuantile(other) {
			return differs("measures", name, m.Kind, other.Kind, remedy)
		}
	}
	for i, m := range c.old.scan.Measures {
		if other := c.new.scan.Measures[i]; m.ResultType() != other.ResultType() {
			return differs("measures", m.Name, m.ResultType(), other.ResultType(), remedy)
		}
	}
	return nil
}

func (s *compared) side() changes.Side {
	published := s.state.Views[s.scan.View.Name].Digest
	return changes.Side{State: s.state, Event: s.scan.View.Event, Digest: s.scan.Digest,
		Rounded: published == s.scan.Rounded && s.scan.Rounded != s.scan.Sketched}
}

// windows returns the windows of the question in [from, to).
func (c *comparison) windows(from, to int64) (window.Windows, error) {
	if c.q.Granularity == "" {
		return window.Even(from, to, c.cell()), nil
	}
	open := c.q.Query
	open.From = time.Time{}
	open.To = time.Time{}
	scan := c.new.scan
	if c.cell() != scan.View.Cell {
		scan = c.old.scan
	}
	_, bounded, err := open.Bound(scan, from, to)
	return bounded.Windows, err
}

// fill answers the question.
func (c *comparison) fill(ctx context.Context, a *changes.Answer) error {
	for _, s := range []struct {
		*compared
		total *changes.Total
	}{{&c.old, &a.Old}, {&c.new, &a.New}} {
		q, _, err := s.query.AllGroups(s.scan)
		if err != nil {
			return err
		}
		q.Widened = s.query.Widened
		*s.total = changes.Total{Publication: s.n, Digest: s.scan.Digest}
		if s.total.Answer, err = c.Answer(ctx, q, c.tenant); err != nil {
			return s.wrap(err)
		}
	}
	if landed, known := c.pair.Landed(); known {
		a.Landed = &landed
	}
	buckets := c.pair.Changed(c.from, c.to)
	chunks, err := c.chunks(buckets)
	if err != nil {
		return err
	}
	for _, part := range chunks {
		if err := c.compare(ctx, a, part, buckets); err != nil {
			return err
		}
	}
	return nil
}

// chunk is whole windows that are compared at once.
type chunk struct {
	from, to int64 // of the windows, in the question's range
	// spans are the windows with changed buckets. What is between them is the same in both publications.
	spans []changes.Span
	rows  int64
}

// chunks divides changed buckets. Each window is in one chunk.
func (c *comparison) chunks(buckets []changes.Bucket) (out []chunk, err error) {
	for _, b := range buckets {
		s := changes.Span{From: max(b.Start, c.from), To: min(b.Start+c.pair.Width, c.to)}
		last := len(out) - 1
		if last >= 0 && s.To <= out[last].to {
			continue // Its windows are there already.
		}
		if s, err = c.wholeWindows(s); err != nil {
			return nil, err
		}
		rows := c.pair.Rows(s.From, s.To)
		if last < 0 || s.From >= out[last].to && (out[last].rows+rows > c.comparedRows ||
			(s.To-out[last].from)/c.width > maxComparedWindows) {
			out = append(out, chunk{from: s.From})
			last++
		}
		out[last].to = s.To
		out[last].spans = append(out[last].spans, s)
		out[last].rows += rows
	}
	return out, nil
}

// wholeWindows widens a span to the windows that it touches, within the question's range.
func (c *comparison) wholeWindows(s changes.Span) (changes.Span, error) {
	switch c.q.Granularity {
	case "": // A bucket and the range have whole cells.
		return s, nil
	case "all":
		return changes.Span{From: c.from, To: c.to}, nil
	}
	w, err := c.windows(s.From, s.To)
	if err != nil {
		return s, err
	}
	runs := w.Runs()
	end := w.Start(w.Len()-1) + runs[len(runs)-1].Width
	return changes.Span{From: max(w.Start(0), c.from), To: min(end, c.to)}, nil
}

// compare reads one chunk of both publications, and adds what changed to the answer.
func (c *comparison) compare(ctx context.Context, a *changes.Answer, part chunk, buckets []changes.Bucket) error {
	w, err := c.windows(part.from, part.to)
	if err != nil {
		return err
	}
	memory := c.Memory.Open(c.tenant)
	defer memory.Close()
	var scans [2]query.Scan
	var parts [2]*query.Part
	for i, s := range []*compared{&c.old, &c.new} {
		scans[i] = *s.scan
		scans[i].Windows = w
		scans[i].Memory = memory
		side := []*changes.Side{&c.pair.Old, &c.pair.New}[i]
		if parts[i], err = c.scan(ctx, s, c.pair.Pins(side, part.spans), &scans[i]); err != nil {
			return s.wrap(err)
		}
	}
	if err := memory.Grow(ctx, merge.Bytes(&scans[1], c.new.query, parts[0], parts[1])); err != nil {
		return err
	}
	found, err := merge.Compare(&scans[0], &scans[1], parts[0], parts[1], a.Windowed, a.Location,
		c.new.query.Limit-a.Rows())
	if err != nil {
		return err
	}
	const value = 2 * 17 // old and new
	const key = 64
	row := int64(16 + key*len(scans[1].GroupBy) + value*len(scans[1].Measures))
	if err := a.Memory.Grow(ctx, row*int64(found.Listed)); err != nil {
		return err
	}
	a.Add(found, w, func(from, to int64) changes.Causes { return c.pair.Causes(buckets, from, to) })
	return nil
}

// scan reads the rows that a state pins. If some are missing, it reads once more, as Answer does.
func (c *comparison) scan(ctx context.Context, s *compared, pins *record.State, scan *query.Scan) (*query.Part, error) {
	for {
		part, err := c.Batch.Scan(ctx, pins, scan, batchview.Options{})
		if err == nil {
			return part, nil
		}
		newest, newestErr := c.Publications.Newest(ctx)
		isNewest := newestErr == nil && newest.N == s.n
		if err := c.restart(scan.View.Name, batchError(s.state, err), &s.missing, isNewest); err != nil {
			return nil, err
		}
		if _, err := c.Reader.pin(ctx, &query.Query{AsOf: &s.n}); err != nil {
			return nil, err // It was collected meanwhile.
		}
	}
}
