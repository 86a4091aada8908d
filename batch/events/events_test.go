package events

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	diff "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"recount/batch/exact"
	"recount/schemas/catalog"
	"recount/schemas/eventbatch"
	"recount/schemas/position"
	"recount/schemas/query"
	"recount/schemas/record"
	"recount/schemas/window"
)

// event is an event of the tests. Its sequence is its place in the log.
type event struct {
	tenant, id string
	time       int64
	assigned   bool
	seq        int64
}

func (e event) bucket() int64 { return window.Floor(e.time, time.Hour) }

// file is an object in memory.
type file struct{ rows []event }

func (f file) Has(column string) bool { return column != eventbatch.ColExtra }

func (f file) Close() error { return nil }

func (f file) Read(_ context.Context, columns []string, from, to int64) iter.Seq2[eventbatch.Columns, error] {
	return func(yield func(eventbatch.Columns, error) bool) {
		var fields []arrow.Field
		var arrays []arrow.Array
		for _, name := range columns {
			if f.Has(name) {
				a := f.column(name, f.rows[from:to])
				fields = append(fields, arrow.Field{Name: name, Type: a.DataType(), Nullable: true})
				arrays = append(arrays, a)
			}
		}
		c, err := eventbatch.NewColumns(array.NewRecord(arrow.NewSchema(fields, nil), arrays, to-from))
		yield(c, err)
	}
}

func (f file) column(name string, rows []event) arrow.Array {
	switch name {
	case eventbatch.ColKey:
		b := array.NewFixedSizeBinaryBuilder(memory.DefaultAllocator,
			&arrow.FixedSizeBinaryType{ByteWidth: eventbatch.KeySize})
		for _, e := range rows {
			key := eventbatch.TenantID.Key(e.tenant, "", e.id)
			b.Append(key[:])
		}
		return b.NewArray()
	case eventbatch.ColTime:
		b := array.NewTimestampBuilder(memory.DefaultAllocator, eventbatch.TimestampType)
		for _, e := range rows {
			b.Append(arrow.Timestamp(e.time))
		}
		return b.NewArray()
	case eventbatch.ColFlags:
		b := array.NewUint8Builder(memory.DefaultAllocator)
		for _, e := range rows {
			b.Append(map[bool]uint8{true: eventbatch.FlagTimeAssigned}[e.assigned])
		}
		return b.NewArray()
	case eventbatch.ColHash:
		b := array.NewUint64Builder(memory.DefaultAllocator)
		b.AppendValues(make([]uint64, len(rows)), nil)
		return b.NewArray()
	case exact.ColSeq:
		b := array.NewInt64Builder(memory.DefaultAllocator)
		for _, e := range rows {
			b.Append(e.seq)
		}
		return b.NewArray()
	case exact.ColIndex:
		b := array.NewInt32Builder(memory.DefaultAllocator)
		b.AppendValues(make([]int32, len(rows)), nil)
		return b.NewArray()
	}
	b := array.NewStringBuilder(memory.DefaultAllocator)
	for _, e := range rows {
		b.Append(map[string]string{eventbatch.ColTenant: e.tenant, eventbatch.ColID: e.id}[name])
	}
	return b.NewArray()
}

// chainOf lands events as segments of some size in one partition.
func chainOf(events []event, size int) (*record.Chain, map[string]file) {
	c := &record.Chain{}
	files := map[string]file{}
	for rows := range slices.Chunk(events, size) {
		rows = slices.Clone(rows)
		segment := &record.Commit{Kind: record.Segment, Start: uint64(rows[0].seq),
			End: uint64(rows[len(rows)-1].seq) + 1}
		slices.SortFunc(rows, func(a, b event) int {
			return cmp.Or(cmp.Compare(a.time, b.time), cmp.Compare(a.seq, b.seq))
		})
		o := record.Object{Type: "hit", Key: fmt.Sprint(segment.Start), Rows: int64(len(rows)), Uniform: true,
			Tenants: map[string]int64{}}
		for _, e := range rows {
			if n := len(o.Buckets); n == 0 || o.Buckets[n-1].Bucket != e.bucket() {
				o.Buckets = append(o.Buckets, record.BucketRows{Bucket: e.bucket()})
			}
			run := &o.Buckets[len(o.Buckets)-1]
			run.Rows++
			if e.assigned {
				run.Assigned++
			}
			o.Tenants[e.tenant]++
		}
		segment.Objects = []record.Object{o}
		c.Segments = append(c.Segments, segment)
		files[o.Key] = file{rows}
	}
	return c, files
}

// committed returns what Store.Committed is for one partition.
func committed(chain *record.Chain) func(context.Context, *record.State,
	string) (iter.Seq2[*record.Commit, *record.Object], error) {
	return func(_ context.Context, s *record.State, eventType string) (iter.Seq2[*record.Commit, *record.Object],
		error) {
		return record.CommittedObjects([]*record.Chain{chain}, s.H, nil, eventType), nil
	}
}

// isCopy is the naive definition of a copy (B2, I3).
func isCopy(e event, all []event) bool {
	return slices.ContainsFunc(all, func(o event) bool {
		distance := o.bucket() - e.bucket()
		beside := e.assigned && o.assigned && max(distance, -distance) <= time.Hour.Microseconds()
		return o.seq < e.seq && o.tenant == e.tenant && o.id == e.id && (distance == 0 || beside)
	})
}

// TestReadIsThatOfTheOracle reads ranges of time of one tenant's events below some H.
func TestReadIsThatOfTheOracle(t *testing.T) {
	t.Parallel()
	c := &catalog.Catalog{Bucket: time.Hour, Events: map[string]*catalog.EventType{"hit": {Name: "hit"}}}
	drawTime := func(t *rapid.T, name string) int64 {
		return int64(rapid.IntRange(0, 4).Draw(t, name))*time.Hour.Microseconds() +
			rapid.SampledFrom([]int64{0, 1, 7}).Draw(t, name+" in the hour")
	}
	rapid.Check(t, func(t *rapid.T) {
		var all []event
		for i := range rapid.IntRange(1, 60).Draw(t, "events") {
			all = append(all, event{rapid.SampledFrom([]string{"a", "b"}).Draw(t, "tenant"),
				rapid.StringMatching("[a-h]").Draw(t, "id"), drawTime(t, "time"),
				rapid.Bool().Draw(t, "assigned"), int64(i + 1)})
		}
		chain, files := chainOf(all, rapid.SampledFrom([]int{1, 2, 20}).Draw(t, "segment"))
		n := rapid.IntRange(0, len(chain.Segments)).Draw(t, "published")
		state := &record.State{H: []position.Offset{{Seq: 1}}}
		if n = max(n, len(chain.Segments)-2); n > 0 {
			state.H[0].Seq = chain.Segments[n-1].End
		}
		q := &query.EventsOf{Catalog: c, State: state, Type: "hit", Tenant: "a", Columns: []string{"id", exact.ColSeq},
			From: drawTime(t, "from"), To: drawTime(t, "to")}
		opened := map[string]bool{}
		s := &Store{Workers: rapid.IntRange(1, 3).Draw(t, "workers"), Committed: committed(chain),
			Open: func(_ context.Context, o record.Object) (exact.File, error) {
				opened[o.Key] = true
				return files[o.Key], nil
			}}
		var got, want []string
		err := s.Read(t.Context(), q, func(rows *query.EventRows) error {
			for i, wanted := range rows.Wanted {
				if wanted {
					got = append(got, fmt.Sprint(rows.ID.Value(i), rows.Field(exact.ColSeq).(*array.Int64).Value(i),
						rows.Time.Value(i), rows.Copies[i]))
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		below := slices.DeleteFunc(slices.Clone(all), func(e event) bool { return uint64(e.seq) >= state.H[0].Seq })
		for _, e := range below {
			if e.tenant == "a" && e.time >= q.From && e.time < q.To {
				want = append(want, fmt.Sprint(e.id, e.seq, e.time, isCopy(e, below)))
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if d := diff.Diff(want, got); d != "" {
			t.Fatalf("-oracle +read: %s", d)
		}
		for key := range opened {
			if !slices.ContainsFunc(files[key].rows, func(e event) bool { return e.tenant == "a" }) {
				t.Fatalf("object %s was opened, which has no event of the tenant", key)
			}
		}
	})
}

// TestReadFails: what the caller says ends the reading, and is returned as it is.
func TestReadFails(t *testing.T) {
	t.Parallel()
	chain, files := chainOf([]event{{tenant: "a", id: "x", time: 5, seq: 1},
		{tenant: "a", id: "y", time: 6, seq: 2}}, 1)
	s := &Store{Workers: 2, Committed: committed(chain),
		Open: func(_ context.Context, o record.Object) (exact.File, error) { return files[o.Key], nil }}
	enough := errors.New("enough")
	calls := 0
	q := &query.EventsOf{Catalog: &catalog.Catalog{Bucket: time.Hour,
		Events: map[string]*catalog.EventType{"hit": {Name: "hit"}}},
		State: &record.State{H: []position.Offset{{Seq: 9}}}, Type: "hit", Tenant: "a", To: 10,
		Memory: query.NewBudget(1<<20, time.Second, false).Open("a")}
	fail := func(*query.EventRows) error {
		calls++
		return enough
	}
	var tooMuch *query.TooMuchMemoryError
	if err := s.Read(t.Context(), q, fail); !errors.As(err, &tooMuch) || calls != 0 {
		t.Errorf("with little memory: %v after %d calls", err, calls)
	}
	q.Memory = nil
	if err := s.Read(t.Context(), q, fail); !errors.Is(err, enough) || calls != 1 {
		t.Errorf("got %v after %d calls", err, calls)
	}
}
