package exact

import (
	"cmp"
	"slices"

	"recount/schemas/catalog"
	"recount/schemas/conversion"
)

// Estimates and sizes. They only steer how work is cut; no result depends on them.
const (
	// dedupBytes is what a row needs during deduplication: key, hash, position, tenant, flags, two table slots.
	dedupBytes = 69
	maxSpan    = 4 << 20 // rows of a span of several buckets
	sliceRows  = 512 << 10
	maxSlices  = 256
	// maxWidth is how many microseconds a span may cover. A cell is at least a second long, so the
	// number of any cell in the span fits 32 bits.
	maxWidth = int64(1<<31) * 1_000_000
)

// piece is the rows [from, to) of one object that are in one bucket.
type piece struct {
	object   int // index in plan.objects
	bucket   int64
	from, to int64
	assigned int64   // rows with assigned times
	beside   bool    // the bucket is read only for its keys with assigned times (I3)
	offset   int64   // index of the first row in its part's flat arrays
	cuts     []int64 // file row at which each slice begins, then to; nil in a span of one slice
}

// part is the pieces of a span in one partition, in the order of segment and file.
type part struct {
	partition int
	pieces    []*piece
	rows      int64
	fresh     int64  // first row of the fresh objects, which come after the others
	drop      []bool // set by dedup: the row is a duplicate
}

// span is a run of buckets that are computed together (B3).
type span struct {
	buckets    []int64
	views      []*catalog.View
	columns    []string          // of objects, that the fields and the views need
	fields     conversion.Fields // that the views read
	parts      []*part
	objects    []int // the objects that the pieces use, each once
	rows       int64
	rowBytes   int64 // what a row needs while it is aggregated, by estimate
	slices     int
	sliceWidth int64       // microseconds
	admissions *admissions // of its slices, while it is computed; nil if nothing can overflow or there is one slice
}

// plan is the cutting of an input into spans.
type plan struct {
	cfg     Config
	in      Input
	objects []Object // by partition, then start
	width   int64    // of a bucket, in microseconds
	spans   []span
}

func newPlan(cfg Config, in Input) *plan {
	p := &plan{cfg: cfg, in: in, objects: slices.Clone(in.Objects), width: in.Catalog.Bucket.Microseconds()}
	slices.SortStableFunc(p.objects, func(a, b Object) int {
		return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Start, b.Start))
	})
	pieces := p.indexPieces()
	p.cutSpans(pieces)
	for i := range p.spans {
		p.addPieces(&p.spans[i], pieces)
	}
	return p
}

// cutSpans cuts the buckets into spans of similar size. The buckets of a span have the same views.
func (p *plan) cutSpans(pieces map[int64][]piece) {
	var total int64
	for _, b := range p.in.Buckets {
		total += rowsOf(pieces[b])
	}
	// With four spans a worker, the workers end at about the same time. More spans would only repeat
	// the cost of starting one.
	target := cmp.Or(p.cfg.span, min(max(total/int64(4*p.cfg.Workers), 64<<10), maxSpan))
	cursors := make([]int, len(p.in.Targets))
	var s *span
	var limit int64
	for _, bucket := range p.in.Buckets {
		views := p.viewsAt(cursors, bucket)
		rows := rowsOf(pieces[bucket])
		if s == nil || s.rows+rows > limit || bucket-s.buckets[0] > maxWidth || !slices.Equal(s.views, views) {
			p.spans = append(p.spans, span{views: views, rowBytes: rowBytes(views)})
			s = &p.spans[len(p.spans)-1]
			limit = max(min(target, p.cfg.Memory/int64(p.cfg.Workers)/(s.rowBytes+dedupBytes)), 1)
		}
		s.buckets = append(s.buckets, bucket)
		s.rows += rows
	}
}

func rowsOf(pieces []piece) (n int64) {
	for _, x := range pieces {
		n += x.to - x.from
	}
	return n
}

// indexPieces finds the pieces of every wanted bucket and of the buckets beside them, in visiting order.
func (p *plan) indexPieces() map[int64][]piece {
	pieces := make(map[int64][]piece, len(p.in.Buckets))
	for _, b := range p.in.Buckets {
		pieces[b-p.width] = nil
		pieces[b] = nil
		pieces[b+p.width] = nil
	}
	for i, o := range p.objects {
		var row int64
		for _, run := range o.Buckets {
			if list, ok := pieces[run.Bucket]; ok {
				pieces[run.Bucket] = append(list,
					piece{object: i, bucket: run.Bucket, from: row, to: row + run.Rows, assigned: run.Assigned})
			}
			row += run.Rows
		}
	}
	return pieces
}

// viewsAt returns the views that want the bucket. Calls must ask for buckets in ascending order,
// because cursors remember how far each target's list has been read.
func (p *plan) viewsAt(cursors []int, bucket int64) (views []*catalog.View) {
	for i, t := range p.in.Targets {
		for cursors[i] < len(t.Buckets) && t.Buckets[cursors[i]] < bucket {
			cursors[i]++
		}
		if cursors[i] < len(t.Buckets) && t.Buckets[cursors[i]] == bucket {
			views = append(views, t.View)
		}
	}
	return views
}

// addPieces adds the pieces of the span's buckets by partition, and cuts the span into slices. Where a
// bucket and one beside it both have assigned times, it adds the pieces of both (I3).
func (p *plan) addPieces(s *span, pieces map[int64][]piece) {
	var use []*piece
	seen := map[int64]bool{}
	add := func(bucket int64, beside bool) {
		for i := range pieces[bucket] {
			x := pieces[bucket][i] // A copy: another span may read the same bucket beside its own.
			x.beside = beside
			use = append(use, &x)
		}
		seen[bucket] = true
	}
	for _, b := range s.buckets {
		add(b, false)
	}
	for _, b := range s.buckets {
		for _, beside := range []int64{b - p.width, b + p.width} {
			if !seen[beside] && holdsAssigned(pieces[b]) && holdsAssigned(pieces[beside]) {
				add(beside, true)
			}
		}
	}
	slices.SortStableFunc(use,
		func(a, b *piece) int { return cmp.Or(cmp.Compare(a.object, b.object), cmp.Compare(a.from, b.from)) })
	for i, x := range use {
		if i == 0 || p.objects[use[i-1].object].Partition != p.objects[x.object].Partition {
			s.parts = append(s.parts, &part{partition: p.objects[x.object].Partition})
		}
		if i == 0 || use[i-1].object != x.object {
			s.objects = append(s.objects, x.object)
		}
		t := s.parts[len(s.parts)-1]
		x.offset = t.rows
		t.rows += x.to - x.from
		if !p.objects[x.object].Fresh {
			t.fresh = t.rows
		}
		t.pieces = append(t.pieces, x)
	}
	s.columns = append(columnsOf(s.views), p.in.Columns...)
	if len(s.views) > 0 || p.in.OnRows != nil {
		s.fields = conversion.FieldsOf(p.in.Catalog.Events[p.in.Type], s.columns)
		s.columns = s.fields.Stored(s.columns)
	}
	s.slices, s.sliceWidth = p.cutSlices(s)
}

func holdsAssigned(pieces []piece) bool {
	return slices.ContainsFunc(pieces, func(x piece) bool { return x.assigned > 0 })
}

// cutSlices cuts the span of one large bucket at multiples of every view's cell, so that all cores
// work on it and no task holds all its groups. It returns the number and width of the slices.
func (p *plan) cutSlices(s *span) (n int, width int64) {
	rows := cmp.Or(p.cfg.slice, sliceRows)
	if len(s.buckets) > 1 || s.rows <= rows || len(s.views) == 0 {
		return 1, p.width
	}
	unit := int64(1)
	for _, v := range s.views {
		unit = leastCommonMultiple(unit, v.Cell.Microseconds())
	}
	want := min(s.rows/rows+1, maxSlices)
	cells := p.width / unit
	width = (cells + want - 1) / want * unit
	return int((p.width + width - 1) / width), width
}

func leastCommonMultiple(a, b int64) int64 {
	x := a
	y := b
	for y != 0 {
		x, y = y, x%y
	}
	return a / x * b
}

// rowBytes estimates how many bytes a row needs in the aggregation if every row is a group of its own.
func rowBytes(views []*catalog.View) (n int64) {
	for _, v := range views {
		n += 64 + 8*int64(len(v.Dimensions)) + 48*int64(len(v.Measures))
	}
	return n
}
