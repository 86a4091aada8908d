package exact

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/apache/arrow/go/v15/arrow/array"

	"recount/schemas/catalog"
	"recount/schemas/conversion"
	"recount/schemas/eventbatch"
	"recount/schemas/viewplan"
	"recount/schemas/window"
)

// columnsOf returns the columns that the views read.
func columnsOf(views []*catalog.View) []string {
	columns := []string{eventbatch.ColTime, eventbatch.ColTenant}
	for _, v := range views {
		for _, c := range v.Columns() {
			if !slices.Contains(columns, c) {
				columns = append(columns, c)
			}
		}
	}
	return columns
}

// aggregate computes the span's views over slice k, without the rows that dedup dropped, and
// emits them. Views with values beyond the limit are computed again without these values (B7).
func (r *run) aggregate(ctx context.Context, s *span, k int) error {
	t := r.newTask(s)
	defer r.recycle(t)
	if err := r.addSlice(ctx, s, k, t); err != nil {
		return err
	}
	over, err := r.capValues(ctx, s, k, t.views)
	if err != nil {
		return err
	}
	if len(over) > 0 {
		for _, v := range over {
			v.reset(s)
		}
		if err := r.addSlice(ctx, s, k, &task{coders: t.coders, views: over}); err != nil {
			return err
		}
	}
	for i := range t.views {
		if err := r.send(t.views[i].block(r.width)); err != nil {
			return err
		}
	}
	return nil
}

// addSlice adds the rows of slice k to the task.
func (r *run) addSlice(ctx context.Context, s *span, k int, t *task) error {
	return r.eachChunk(ctx, s, k, t.add)
}

// eachChunk calls add with the rows of slice k, the values of them that could not be converted, and which of them
// dedup has dropped.
func (r *run) eachChunk(ctx context.Context, s *span, k int,
	add func(c eventbatch.Columns, lost conversion.Lost, drop []bool) error) error {
	for _, p := range s.parts {
		pieces := slices.DeleteFunc(slices.Clone(p.pieces), func(x *piece) bool { return x.beside })
		for _, f := range stretches(pieces, k, s.slices) {
			drop := p.drop[f.offset:]
			mixed := !r.objects[f.object].Uniform
			columns, err := r.columnsFor(s, f.object)
			if err != nil {
				return err
			}
			err = r.read(ctx, f.object, columns, f.from, f.to, func(c eventbatch.Columns) error {
				n := int(c.Rec.NumRows())
				c, lost := s.fields.Read(c, mixed)
				err := add(c, lost, drop[:n])
				drop = drop[n:]
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// columnsFor returns the columns of an object to aggregate.
func (r *run) columnsFor(s *span, object int) ([]string, error) {
	f, err := r.files.get(object)
	if err != nil || !s.fields.NeedsExtra(f.Has, !r.objects[object].Uniform) {
		return s.columns, err
	}
	return append(slices.Clone(s.columns), eventbatch.ColExtra), nil
}

func (r *run) send(b *Block) error {
	if b.Rows() == 0 && len(b.Unconverted) == 0 {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.emit(b)
}

// task aggregates the rows of one slice of a span for all views at once.
type task struct {
	coders map[string]*coder // by column; the views share them
	views  []*viewTask
	keep   []bool
}

// viewTask is the state of one view in a task.
type viewTask struct {
	view     *catalog.View
	origin   int64 // time of cell 0
	cell     int64 // microseconds
	bucket   time.Duration
	cells    []uint32
	coders   []*coder // tenant, then dimensions
	types    []catalog.FieldType
	groups   groups
	measures []accumulator
	keep     []bool
	columns  [][]uint32

	unconverted map[bucketTenant]int64

	over       []map[capped]struct{}  // by dimension, the values beyond the limit; nil if there are none
	overRows   []bool                 // the rows of the current chunk that have one
	overflowed map[bucketTenant]int64 // the events that have one
}

// newTask reuses each view's state from a finished task if there is one, so that tables which
// have grown need not grow again in every span.
func (r *run) newTask(s *span) *task {
	t := &task{coders: map[string]*coder{}}
	for _, view := range s.views {
		v := r.pool(view).Get().(*viewTask)
		v.origin = s.buckets[0]
		v.coders = v.coders[:0]
		v.over = nil
		v.reset(s)
		for _, name := range append([]string{eventbatch.ColTenant}, view.Dimensions...) {
			if t.coders[name] == nil {
				t.coders[name] = newCoder(name, r.in.Catalog.DimensionType(view, name))
			}
			v.coders = append(v.coders, t.coders[name])
		}
		t.views = append(t.views, v)
	}
	return t
}

// reset empties the view's groups. It keeps the memory, and what is beyond the limit.
func (v *viewTask) reset(s *span) {
	clear(v.unconverted)
	clear(v.overflowed)
	v.groups.reset(s.rows)
	for i := range v.measures {
		v.measures[i].reset()
	}
}

func (r *run) recycle(t *task) {
	for _, v := range t.views {
		r.pool(v.view).Put(v)
	}
}

// pool returns the pool of the view's task states.
func (r *run) pool(view *catalog.View) *sync.Pool {
	i := slices.IndexFunc(r.in.Targets, func(t Target) bool { return t.View == view })
	return &r.pools[i]
}

func (r *run) newViewTask(view *catalog.View) *viewTask {
	v := &viewTask{view: view, cell: view.Cell.Microseconds(), bucket: r.in.Catalog.Bucket,
		unconverted: map[bucketTenant]int64{}, overflowed: map[bucketTenant]int64{}}
	for _, d := range view.Dimensions {
		v.types = append(v.types, r.in.Catalog.DimensionType(view, d))
	}
	for _, m := range view.Measures {
		v.measures = append(v.measures, accumulator{measure: m, fieldType: r.in.Catalog.MeasureType(view, m)})
	}
	return v
}

// add aggregates a chunk of rows; drop marks the duplicates among them, and lost the values that are null because
// they could not be converted.
func (t *task) add(c eventbatch.Columns, lost conversion.Lost, drop []bool) error {
	if c.Time == nil || c.Field(eventbatch.ColTenant) == nil {
		return fmt.Errorf("column %s or %s is missing or of another type", eventbatch.ColTime, eventbatch.ColTenant)
	}
	t.keep = resize(t.keep, len(drop))
	for i, d := range drop {
		t.keep[i] = !d
	}
	for name, k := range t.coders {
		if err := k.code(c.Field(name), len(drop)); err != nil {
			return err
		}
	}
	for i := range t.views {
		if err := t.views[i].add(c, t.keep); err != nil {
			return fmt.Errorf("view %s: %w", t.views[i].view.Name, err)
		}
		if lost != nil {
			t.views[i].countLost(c, lost, drop)
		}
	}
	return nil
}

func (v *viewTask) add(c eventbatch.Columns, keep []bool) error {
	if len(v.view.Where) > 0 {
		v.keep = append(v.keep[:0], keep...)
		viewplan.Select(v.view.Where, c, v.keep)
		keep = v.keep
	}
	if err := v.codeCells(c.Time); err != nil {
		return err
	}
	v.columns = append(v.columns[:0], v.cells, v.coders[0].codes)
	if v.over != nil {
		v.overRows = resize(v.overRows, len(keep))
		clear(v.overRows)
	}
	for d := range v.view.Dimensions {
		v.columns = append(v.columns, v.replaceOver(d))
	}
	v.groups.assign(v.columns, keep)
	v.countOver()
	for i := range v.measures {
		m := &v.measures[i]
		if err := m.add(c.Field(m.measure.Field), v.groups.rowGroups, len(v.groups.events)); err != nil {
			return err
		}
	}
	return nil
}

// countLost counts the events of which a column of the view was lost.
func (v *viewTask) countLost(c eventbatch.Columns, lost conversion.Lost, drop []bool) {
	for _, row := range lost.Rows(v.view.Columns()) {
		if !drop[row] {
			bucket := window.Floor(int64(c.Time.Value(row)), v.bucket)
			v.unconverted[bucketTenant{bucket, v.coders[0].codes[row]}]++
		}
	}
}

// codeCells numbers the cell of each row, counted from the start of the span's first bucket.
// Rows are ordered by time, so most rows share the cell of the row before them.
func (v *viewTask) codeCells(times *array.Timestamp) error {
	v.cells = resize(v.cells, times.Len())
	from := int64(-1)
	code := uint32(0)
	for i, stamp := range times.TimestampValues() {
		t := int64(stamp)
		if from < 0 || t < from || t >= from+v.cell {
			n := (t - v.origin) / v.cell
			if t < v.origin || n >= 1<<32 {
				return fmt.Errorf("column %s: time %d is outside the buckets that the commit record gives these rows",
					eventbatch.ColTime, t)
			}
			from = v.origin + n*v.cell
			code = uint32(n)
		}
		v.cells[i] = code
	}
	return nil
}
