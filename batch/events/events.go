// Package events reads the raw events that a publication counts. Package exact says which of them are copies, as for
// the batch view. So what a view counts are these events, by the same code.
//
// # What is read
//
// The committed objects that hold events of the tenant, and of them the buckets that the range of time touches. The
// rows of others in these objects are passed over here. The digests of objects are compared with the commit records
// first, as for a recompute.
//
// Rejected: to let ClickHouse read the objects, by s3() or file(). It has other rules of conversion (I7), so its sums
// would differ from those of the views. Its errors would tell of values of other tenants, and of where the objects are.
package events

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/apache/arrow/go/v15/arrow/array"

	"recount/batch/exact"
	"recount/schemas/eventbatch"
	"recount/schemas/query"
	"recount/schemas/record"
)

// workMemory is what package exact may use for one reading, unless a single bucket needs more.
const workMemory = 64 << 20

// rowMemory is what a row of a bucket needs while its copies are found.
const rowMemory = 69

// Store reads events. It is safe for concurrent use.
type Store struct {
	// Committed returns the objects that count, as publish.Publisher.CommittedIn does.
	Committed func(ctx context.Context, s *record.State,
		eventType string) (iter.Seq2[*record.Commit, *record.Object], error)
	Open    exact.Open
	Workers int
}

// Read calls f with the events, in any order. Calls do not overlap.
func (s *Store) Read(ctx context.Context, q *query.EventsOf, f func(*query.EventRows) error) error {
	in, largest, err := s.input(ctx, q)
	if err != nil {
		return fmt.Errorf("read events of type %s: %w", q.Type, err)
	}
	memory := max(workMemory, largest*rowMemory)
	if err := q.Memory.Grow(ctx, memory); err != nil {
		return err
	}
	defer q.Memory.Shrink(memory)
	r := reading{EventsOf: q, f: f}
	in.OnRows = r.add
	_, err = exact.Run(ctx, exact.Config{Workers: s.Workers, Memory: workMemory}, s.Open, *in, nil)
	if r.failed != nil {
		return r.failed
	}
	return err
}

// input returns the objects and buckets to read, and the rows of the largest bucket.
func (s *Store) input(ctx context.Context, q *query.EventsOf) (in *exact.Input, largest int64, err error) {
	committed, err := s.Committed(ctx, q.State, q.Type)
	if err != nil {
		return nil, 0, err
	}
	in = &exact.Input{Catalog: q.Catalog, Type: q.Type, Columns: append([]string{eventbatch.ColTime,
		eventbatch.ColTenant}, q.Columns...)}
	width := q.Catalog.Bucket.Microseconds()
	rows := map[int64]int64{}
	for segment, o := range committed {
		if o.Tenants != nil && o.Tenants[q.Tenant] == 0 {
			continue // All copies of an event are of one tenant (I1).
		}
		near := false
		for _, b := range o.Buckets {
			if b.Bucket < q.To && b.Bucket+width > q.From {
				rows[b.Bucket] += b.Rows
			}
			near = near || b.Bucket-width < q.To && b.Bucket+2*width > q.From // Buckets beside are compared (I3).
		}
		if near {
			in.Objects = append(in.Objects,
				exact.Object{Object: *o, Partition: segment.Partition, Start: segment.Start})
		}
	}
	for _, n := range rows {
		largest = max(largest, n)
	}
	in.Buckets = slices.Sorted(maps.Keys(rows))
	return in, largest, nil
}

// reading is one call of Read.
type reading struct {
	*query.EventsOf
	f      func(*query.EventRows) error
	wanted []bool
	failed error // of f
}

func (r *reading) add(rows exact.Rows) error {
	if r.failed != nil {
		return r.failed
	}
	n := int(rows.Rec.NumRows())
	isOwn, err := r.ownRows(rows.Columns)
	if err != nil {
		return err
	}
	if rows.Time == nil {
		return fmt.Errorf("column %s is missing or of another type", eventbatch.ColTime)
	}
	r.wanted = slices.Grow(r.wanted[:0], n)[:n]
	found := false
	for i, t := range rows.Time.TimestampValues() {
		r.wanted[i] = int64(t) >= r.From && int64(t) < r.To && isOwn(i)
		found = found || r.wanted[i]
	}
	if !found {
		return nil
	}
	r.failed = r.f(&query.EventRows{Columns: rows.Columns, Wanted: r.wanted, Copies: rows.Copies, Lost: rows.Lost})
	return r.failed
}

// ownRows returns what says whether a row is of the tenant.
func (r *reading) ownRows(c eventbatch.Columns) (func(row int) bool, error) {
	switch tenants := c.Field(eventbatch.ColTenant).(type) {
	case *array.String:
		return func(row int) bool { return tenants.IsValid(row) && tenants.Value(row) == r.Tenant }, nil
	case *array.Dictionary:
		indices, ok1 := tenants.Indices().(*array.Int32)
		values, ok2 := tenants.Dictionary().(*array.String)
		if !ok1 || !ok2 {
			break
		}
		return func(row int) bool {
			return tenants.IsValid(row) && values.Value(int(indices.Value(row))) == r.Tenant
		}, nil
	}
	return nil, fmt.Errorf("column %s is missing or is no text", eventbatch.ColTenant)
}
