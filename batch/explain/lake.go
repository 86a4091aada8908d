package explain

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"golang.org/x/sync/errgroup"

	"recount/batch/exact"
	"recount/schemas/conversion"
	"recount/schemas/eventbatch"
	"recount/schemas/openapi"
	"recount/schemas/record"
)

const (
	objectsAtOnce = 8       // objects of which keys are read at the same time
	keysAtOnce    = 1 << 18 // rows of an object of which keys are read at the same time
)

// event is an event that was found, with its columns as a record of one row.
type event struct {
	eventType string
	position  openapi.Position
	columns   eventbatch.Columns
	uniform   bool           // record.Object.Uniform
	segment   *record.Commit // nil if the event has not landed
	object    string         // key; empty if the event has not landed
}

// key names the event among those of a search.
func (x *event) key() string { return fmt.Sprintf("%d-%d", x.position.Sequence, x.position.Index) }

func (x *event) time() int64 { return int64(x.columns.Time.Value(0)) }

func (x *event) isAssigned() bool { return x.columns.Flags.Value(0)&eventbatch.FlagTimeAssigned != 0 }

// searchLake finds the events among the objects of the partition.
func (e *search) searchLake(ctx context.Context, c *record.Chain) error {
	keys, err := e.cfg.Records.List(ctx, record.RetiredPrefix)
	if err != nil {
		return fmt.Errorf("read retirements: %w", err)
	}
	horizons, err := record.HorizonsOf(keys)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(objectsAtOnce)
	for _, segment := range slices.Backward(c.Segments) {
		for i := range segment.Objects {
			o := &segment.Objects[i]
			from, to := e.rowsToSearch(o, c.Bucket.Microseconds())
			if from < to && hasTenant(segment, o, e.Tenant) && !horizons.Retired(segment, o) {
				g.Go(func() error {
					err := e.searchObject(ctx, segment, o, from, to)
					if errors.Is(err, record.ErrNotFound) { // It is lost, or was retired a moment ago.
						e.miss("object %s: it is not in the object store", o.Key)
						return nil
					}
					return err
				})
			}
		}
	}
	return g.Wait()
}

// hasTenant reports whether the object may have rows of the tenant.
func hasTenant(segment *record.Commit, o *record.Object, tenant string) bool {
	tenants := o.Tenants
	if tenants == nil {
		tenants = segment.Tenants // Objects of older programs do not have their own.
	}
	return tenants == nil || tenants[tenant] > 0
}

// rowsToSearch returns the rows of an object that are in the buckets around the time.
func (e *search) rowsToSearch(o *record.Object, width int64) (from, to int64) {
	if e.Time.IsZero() {
		return 0, o.Rows
	}
	t := e.Time.UnixMicro()
	row := int64(0)
	for _, b := range o.Buckets {
		if b.Bucket+2*width <= t {
			from = row + b.Rows
		}
		if b.Bucket-width <= t {
			to = row + b.Rows
		}
		row += b.Rows
	}
	return from, to
}

// searchObject finds the events in the rows [from, to) of an object.
func (e *search) searchObject(ctx context.Context, segment *record.Commit, o *record.Object, from, to int64) error {
	f, err := e.cfg.Open(ctx, *o)
	if err != nil {
		return err
	}
	defer f.Close()
	e.mu.Lock()
	e.answer.Search.Objects++
	e.answer.Search.Rows += to - from
	e.mu.Unlock()
	for ; from < to; from += keysAtOnce {
		rows, err := e.findKeys(ctx, f, o, from, min(to, from+keysAtOnce))
		if err != nil {
			return err
		}
		for _, row := range rows {
			if err := e.addRow(ctx, f, segment, o, row); err != nil {
				return err
			}
		}
	}
	return nil
}

// findKeys returns the rows among [from, to) that have the key. The number of copies is not bounded, so of many it
// returns those of the lowest positions.
func (e *search) findKeys(ctx context.Context, f exact.File, o *record.Object, from, to int64) (rows []int64,
	err error) {
	row := from
	for c, err := range f.Read(ctx, []string{eventbatch.ColKey}, from, to) {
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", o.Key, err)
		}
		if c.Key == nil {
			return nil, fmt.Errorf("read %s: it has no column %s", o.Key, eventbatch.ColKey)
		}
		for i := range c.Key.Len() {
			if bytes.Equal(c.Key.Value(i), e.key[:]) {
				rows = append(rows, row+int64(i))
			}
		}
		row += int64(c.Key.Len())
	}
	if len(rows) <= maxEvents {
		return rows, nil
	}
	return e.lowestRows(ctx, f, o, rows)
}

// lowestRows returns the rows with the lowest positions, and counts the others.
func (e *search) lowestRows(ctx context.Context, f exact.File, o *record.Object, rows []int64) ([]int64, error) {
	type place struct {
		row, seq, index int64
	}
	var places []place
	first := rows[0]
	row := first
	next := 0
	for c, err := range f.Read(ctx, []string{exact.ColSeq, exact.ColIndex}, first, rows[len(rows)-1]+1) {
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", o.Key, err)
		}
		seqs, ok1 := c.Field(exact.ColSeq).(*array.Int64)
		indexes, ok2 := c.Field(exact.ColIndex).(*array.Int32)
		if !ok1 || !ok2 {
			return nil, fmt.Errorf("read %s: it has no positions", o.Key)
		}
		for ; next < len(rows) && rows[next] < row+int64(seqs.Len()); next++ {
			i := int(rows[next] - row)
			places = append(places, place{rows[next], seqs.Value(i), int64(indexes.Value(i))})
		}
		row += int64(seqs.Len())
	}
	slices.SortFunc(places, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.seq, b.seq), cmp.Compare(a.index, b.index))
	})
	e.mu.Lock()
	e.answer.More += len(places) - maxEvents
	e.mu.Unlock()
	rows = rows[:0]
	for _, p := range places[:maxEvents] {
		rows = append(rows, p.row)
	}
	return rows, nil
}

// addRow reads a row of an object, and adds it if it is the event.
func (e *search) addRow(ctx context.Context, f exact.File, segment *record.Commit, o *record.Object, row int64) error {
	for c, err := range f.Read(ctx, e.columnsOf(o.Type), row, row+1) {
		if err != nil {
			return fmt.Errorf("read row %d of %s: %w", row, o.Key, err)
		}
		seq, ok1 := c.Field(exact.ColSeq).(*array.Int64)
		index, ok2 := c.Field(exact.ColIndex).(*array.Int32)
		if !ok1 || !ok2 || c.Time == nil || c.Flags == nil || c.Hash == nil || c.Rec.NumRows() != 1 {
			return fmt.Errorf("read row %d of %s: columns of an event are missing", row, o.Key)
		}
		if e.isWanted(c) {
			e.add(&event{eventType: o.Type, columns: c, uniform: o.Uniform, segment: segment, object: o.Key,
				position: openapi.Position{Partition: segment.Partition, Epoch: segment.Epoch,
					Sequence: uint64(seq.Value(0)), Index: int(index.Value(0))}})
		}
	}
	return nil
}

// isWanted reports whether a row whose key was found is the event.
func (e *search) isWanted(c eventbatch.Columns) bool {
	return textOf(c.Field(eventbatch.ColTenant), 0) == e.Tenant && textOf(c.Field(eventbatch.ColID), 0) == e.ID &&
		(e.cfg.Identity == eventbatch.TenantID || textOf(c.Field(eventbatch.ColSource), 0) == e.Source)
}

// columnsOf returns the columns of an event that are needed to judge it.
func (e *search) columnsOf(eventType string) []string {
	columns := []string{eventbatch.ColKey, eventbatch.ColTenant, eventbatch.ColFlags, eventbatch.ColHash,
		eventbatch.ColID, eventbatch.ColTime, eventbatch.ColSource, eventbatch.ColExtra, exact.ColSeq, exact.ColIndex}
	for _, v := range e.declared.ViewsOf(eventType) {
		used := v.Columns()
		columns = append(columns, conversion.FieldsOf(e.declared.Events[eventType], used).Stored(used)...)
	}
	return columns
}

// textOf returns a string of a column, which may have a dictionary.
func textOf(column arrow.Array, i int) string {
	switch c := column.(type) {
	case *array.String:
		return c.Value(i)
	case *array.Dictionary:
		if values, ok := c.Dictionary().(*array.String); ok {
			return values.Value(c.GetValueIndex(i))
		}
	}
	return ""
}
