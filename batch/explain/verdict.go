package explain

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"recount/batch/exact"
	"recount/schemas/catalog"
	"recount/schemas/conversion"
	"recount/schemas/eventbatch"
	"recount/schemas/openapi"
	"recount/schemas/position"
	"recount/schemas/query"
	"recount/schemas/record"
	"recount/schemas/viewplan"
	"recount/schemas/window"
)

// judge says of each event that was found which views count it.
func (e *search) judge(ctx context.Context) error {
	byType := map[string][]*event{}
	for _, x := range e.found {
		byType[x.eventType] = append(byType[x.eventType], x)
	}
	verdicts := map[*event]*openapi.ExplainedEvent{}
	for eventType, events := range byType {
		j := newJudgement(e, eventType, events)
		if err := j.run(ctx); err != nil {
			return err
		}
		for _, x := range events {
			v, err := j.verdict(ctx, x)
			if err != nil {
				return err
			}
			verdicts[x] = v
		}
	}
	for _, x := range e.found {
		e.answer.Events = append(e.answer.Events, *verdicts[x])
	}
	return nil
}

// judgement is what package exact finds among the events of one type.
type judgement struct {
	*search
	eventType string
	events    map[string]*event // by key
	views     []*catalog.View
	width     time.Duration

	mu     sync.Mutex
	copies map[string]exact.Copy       // by key
	cells  map[viewBucket]*countedCell // of the event in the bucket that is no copy
}

// viewBucket is a bucket of a view.
type viewBucket struct {
	view   string
	bucket int64
}

// countedCell is the cell and the group in which a view counts an event.
type countedCell struct {
	time       int64
	dimensions []query.Column // of one row
}

func newJudgement(e *search, eventType string, events []*event) *judgement {
	j := &judgement{search: e, eventType: eventType, events: map[string]*event{}, width: e.declared.Bucket,
		copies: map[string]exact.Copy{}, cells: map[viewBucket]*countedCell{}}
	if e.declared.Events[eventType] != nil { // Nothing counts a type that is declared no longer.
		j.views = e.declared.ViewsOf(eventType)
	}
	for _, x := range events {
		j.events[x.key()] = x
	}
	return j
}

// run gives the events to package exact, each as an object of one row. So it decides by the code of a recompute which
// of them are copies (B2, I3), and in which cell and group each view counts the others.
func (j *judgement) run(ctx context.Context) error {
	in := exact.Input{Catalog: j.declared, Type: j.eventType, OnCopy: j.addCopy}
	for _, x := range j.found {
		if x.eventType != j.eventType {
			continue
		}
		bucket := window.Floor(x.time(), j.width)
		rows := record.BucketRows{Bucket: bucket, Rows: 1}
		if x.isAssigned() {
			rows.Assigned = 1
		}
		in.Buckets = append(in.Buckets, bucket)
		// Objects are compared by their start. Those of one message are in its order, and keep that.
		in.Objects = append(in.Objects, exact.Object{Partition: x.position.Partition, Start: x.position.Sequence,
			Object: record.Object{Type: j.eventType, Key: x.key(), Rows: 1, Uniform: x.uniform,
				Buckets: []record.BucketRows{rows}}})
	}
	slices.Sort(in.Buckets)
	in.Buckets = slices.Compact(in.Buckets)
	for _, v := range j.views {
		in.Targets = append(in.Targets, exact.Target{View: v, Buckets: in.Buckets})
	}
	open := func(_ context.Context, o record.Object) (exact.File, error) {
		return oneRow{j.events[o.Key].columns}, nil
	}
	_, err := exact.Run(ctx, exact.Config{Workers: 1, Memory: exact.LeastMemory}, open, in, j.addBlock)
	return err
}

func (j *judgement) addCopy(c exact.Copy) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.copies[c.Row.Key] = c
}

// addBlock notes the cells of a block. A view counts at most one of the events in a bucket, because the others are
// copies.
func (j *judgement) addBlock(b *exact.Block) error {
	for r := range b.Rows() {
		c := &countedCell{time: b.Times[r]}
		for d := range b.Dims {
			c.dimensions = append(c.dimensions, columnOf(&b.Dims[d], r))
		}
		j.cells[viewBucket{b.View.Name, b.Buckets[r]}] = c
	}
	return nil
}

// columnOf returns a column with one row of a dimension. It shares no memory with the block.
func columnOf(d *exact.Dimension, r int) query.Column {
	out := query.Column{Type: d.Type}
	if d.Type == catalog.String {
		out.Strings = []string{strings.Clone(d.Value(r))}
	} else {
		out.Ints = []int64{d.Ints[r]}
	}
	if d.IsNull(r) {
		out.Null = []bool{true}
	}
	return out
}

// valueOf returns the value in the first row of a column: nil, a string, an int64 or a bool.
func valueOf(c query.Column) any {
	switch {
	case c.Null != nil && c.Null[0]:
		return nil
	case c.Type == catalog.String:
		return c.Strings[0]
	case c.Type == catalog.Bool:
		return c.Ints[0] != 0
	}
	return c.Ints[0]
}

// oneRow is an object of one event.
type oneRow struct{ columns eventbatch.Columns }

func (f oneRow) Read(context.Context, []string, int64, int64) iter.Seq2[eventbatch.Columns, error] {
	return func(yield func(eventbatch.Columns, error) bool) { yield(f.columns, nil) }
}

func (f oneRow) Has(column string) bool { return f.columns.Field(column) != nil }

func (f oneRow) Close() error { return nil }

// verdict returns what became of an event.
func (j *judgement) verdict(ctx context.Context, x *event) (*openapi.ExplainedEvent, error) {
	out := &openapi.ExplainedEvent{Type: j.eventType, Source: textOf(x.columns.Field(eventbatch.ColSource), 0),
		Time: time.UnixMicro(x.time()).UTC(), TimeAssigned: x.isAssigned(), Position: x.position, Object: x.object,
		Status: openapi.EventNotCounted, Views: []openapi.ExplainedView{}}
	if x.segment != nil {
		out.Landed = x.segment.Created
	}
	out.Accepted, out.Generation = j.accepted(ctx, x)
	if c, isCopy := j.copies[x.key()]; isCopy {
		of := j.events[c.Of.Key].position
		out.Status = openapi.EventCopy
		out.CopyOf = &of
		out.Conflict = c.Conflict
		return out, nil
	}
	for _, v := range j.views {
		seen, err := j.explainView(ctx, x, v)
		if err != nil {
			return nil, fmt.Errorf("view %s: %w", v.Name, err)
		}
		out.Views = append(out.Views, seen)
		if seen.Status == openapi.EventCounted || seen.Status == openapi.EventPending &&
			out.Status == openapi.EventNotCounted {
			out.Status = seen.Status
		}
	}
	return out, nil
}

// accepted returns when the log stored an event and the generation by which it was decoded, or zeros if the log no
// longer has the message.
func (j *judgement) accepted(ctx context.Context, x *event) (stored time.Time, generation uint64) {
	frame, stored, err := j.cfg.Log.Get(ctx, x.position.Partition, x.position.Sequence)
	if err != nil {
		return time.Time{}, 0
	}
	h, err := eventbatch.ReadHeader(frame)
	if err != nil || h.Type != x.eventType || x.position.Index >= h.Events {
		return time.Time{}, 0 // It is not the message that has landed.
	}
	return stored.UTC(), h.Generation
}

// explainView returns what a view makes of an event that is no copy.
func (j *judgement) explainView(ctx context.Context, x *event, v *catalog.View) (openapi.ExplainedView, error) {
	out := openapi.ExplainedView{View: v.Name, Status: openapi.EventNotCounted}
	bucket := window.Floor(x.time(), j.width)
	columns, lost := conversion.FieldsOf(j.declared.Events[v.Event], v.Columns()).Read(x.columns, !x.uniform)
	for _, name := range v.Columns() {
		if len(lost[name]) > 0 {
			out.Lost = append(out.Lost, name)
		}
	}
	cell := j.cells[viewBucket{v.Name, bucket}]
	if cell == nil {
		for _, f := range v.Where {
			keep := []bool{true}
			if viewplan.Select([]catalog.Filter{f}, columns, keep); !keep[0] {
				t, _ := j.declared.Events[v.Event].Column(f.Field)
				out.ExcludedBy = append(out.ExcludedBy, openapi.FilterOf(f, t))
			}
		}
		return out, nil
	}
	out.Status = openapi.EventPending
	out.Cell = time.UnixMicro(cell.time).UTC()
	out.Dimensions = map[string]any{}
	for i, name := range v.Dimensions {
		out.Dimensions[name] = valueOf(cell.dimensions[i])
	}
	if !j.isPublished(x, v) {
		return out, nil
	}
	if published := j.state.Views[v.Name]; !published.IsFilled(bucket) {
		out.FilledFrom = time.UnixMicro(published.Fill.From).UTC()
		return out, nil
	}
	out.Status = openapi.EventCounted
	out.Publication = j.state.N
	return out, j.explainOverflow(ctx, &out, v, bucket, cell)
}

// isPublished reports whether queries of the view count the event in the newest publication, if the view is filled down
// to its bucket. They read rows that were published under each of the view's digests.
func (j *judgement) isPublished(x *event, v *catalog.View) bool {
	p := x.position.Partition
	published, found := j.state.Views[v.Name]
	return found && p < len(j.state.H) && below(x.position, j.state.H[p]) &&
		j.declared.Names(v, published.Digest)
}

// below reports whether the position is in the batch view up to h.
func below(x openapi.Position, h position.Offset) bool { return x.Sequence < h.Seq }
