package recheck

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"go.uber.org/goleak"

	"recount/batch/cells"
	"recount/batch/exact"
	"recount/batch/lake"
	"recount/batch/object"
	"recount/deploy/embedded/chdb/chdbtest"
	"recount/deploy/embedded/s3server"
	"recount/schemas/catalog"
	"recount/schemas/eventbatch"
	"recount/schemas/openapi"
	"recount/schemas/position"
	"recount/schemas/record"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("internal/poll.runtime_pollWait"))
}

const (
	hour       = int64(3_600_000_000)
	partitions = 2
)

var start = time.Date(2024, 1, 2, 3, 0, 0, 0, time.UTC).UnixMicro()

// event is a row of the lake. A nil field is null.
type event struct {
	id, tenant string
	time       int64
	assigned   bool
	origin     *string
	ok         *bool
	delay      *int64
	fare       *float64
	closed     *int64
	tax        *int64  // units of a decimal(17,3)
	over       *string // fields whose value ingest found too many, with commas between them
}

func pointer[T any](v T) *T { return &v }

// wideView has a dimension of every type and a measure of every kind.
func wideView() *catalog.View {
	return &catalog.View{Name: "wide", Event: "flight", Dimensions: []string{"origin", "ok", "delay"},
		Cell: time.Minute, Measures: []catalog.Measure{
			{Name: "n", Kind: catalog.Count}, {Name: "total", Kind: catalog.Sum, Field: "delay"},
			{Name: "paid", Kind: catalog.Sum, Field: "fare"}, {Name: "mean", Kind: catalog.Avg, Field: "fare"},
			{Name: "least", Kind: catalog.Min, Field: "delay"}, {Name: "most", Kind: catalog.Max, Field: "fare"},
			{Name: "last", Kind: catalog.Max, Field: "closed"},
			{Name: "origins", Kind: catalog.Distinct, Field: "origin"},
			{Name: "fares", Kind: catalog.Distinct, Field: "fare"},
			{Name: "waits", Kind: catalog.Quantile, Field: "fare"}}}
}

// withTaxes adds a decimal field to the catalog, and a view over it.
func withTaxes(c *catalog.Catalog) *catalog.Catalog {
	e := c.Events["flight"]
	e.Fields = append(e.Fields, catalog.Field{Name: "tax", Type: "decimal(17,3)"})
	c.Views["taxes"] = taxView()
	return c
}

// taxView has measures of every kind over a decimal, and a filter with operators on it.
func taxView() *catalog.View {
	return &catalog.View{Name: "taxes", Event: "flight", Dimensions: []string{"origin"}, Cell: time.Minute,
		Where: []catalog.Filter{{Field: "tax", Op: catalog.Ge, Values: []any{int64(-12_500)}},
			{Field: "tax", Op: catalog.NotIn, Values: []any{int64(1), int64(2)}}},
		Measures: []catalog.Measure{{Name: "taxes", Kind: catalog.Sum, Field: "tax"},
			{Name: "usual", Kind: catalog.Avg, Field: "tax"}, {Name: "least", Kind: catalog.Min, Field: "tax"},
			{Name: "most", Kind: catalog.Max, Field: "tax"}, {Name: "rates", Kind: catalog.Distinct, Field: "tax"},
			{Name: "levels", Kind: catalog.Quantile, Field: "tax"}}}
}

// slimView has no dimension and a filter with every operator.
func slimView() *catalog.View {
	return &catalog.View{Name: "slim", Event: "flight", Cell: time.Hour,
		Where: []catalog.Filter{
			{Field: "origin", Op: catalog.NotIn, Values: []any{"ATL", `N'ULL\`}},
			{Field: "origin", Op: catalog.Ne, Values: []any{"x"}},
			{Field: "subject", Op: catalog.Exists, Values: []any{false}},
			{Field: "source", Op: catalog.Eq, Values: []any{"test"}},
			{Field: "delay", Op: catalog.In, Values: []any{int64(-5), int64(7), int64(-1 << 63)}},
			{Field: "delay", Op: catalog.Le, Values: []any{int64(1 << 62)}},
			{Field: "fare", Op: catalog.Gt, Values: []any{-3.5}},
			{Field: "fare", Op: catalog.Ge, Values: []any{-3.0}},
			{Field: "closed", Op: catalog.Lt, Values: []any{start + 40*hour}}},
		Measures: []catalog.Measure{{Name: "n", Kind: catalog.Count},
			{Name: "delays", Kind: catalog.Distinct, Field: "delay"},
			{Name: "late", Kind: catalog.Quantile, Field: "delay"}}}
}

func testCatalog(views ...*catalog.View) *catalog.Catalog {
	c := &catalog.Catalog{Bucket: time.Hour, Views: map[string]*catalog.View{},
		Events: map[string]*catalog.EventType{"bare": {Name: "bare"}, "flight": {Name: "flight",
			Fields: []catalog.Field{{Name: "closed", Type: catalog.Timestamp}, {Name: "delay", Type: catalog.Int64},
				{Name: "fare", Type: catalog.Float64}, {Name: "ok", Type: catalog.Bool},
				{Name: "origin", Type: catalog.String}}}}}
	for _, v := range views {
		c.Views[v.Name] = v
	}
	return c
}

// world is a lake in a real object store, its commit chains and an empty ClickHouse database.
type world struct {
	limit   int // Publication.Limit
	t       *testing.T
	catalog *catalog.Catalog
	db      driver.Conn
	store   *lake.Store
	chains  []*record.Chain
	bodies  map[string][]byte
	version uint64 // the last one that was given
}

func newWorld(t *testing.T, c *catalog.Catalog) *world {
	t.Helper()
	db, err := clickhouse.Open(chdbtest.Open(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	w := &world{t: t, catalog: c, db: db, store: openStore(t), bodies: map[string][]byte{}}
	for p := range partitions {
		w.chains = append(w.chains, record.NewChain(p))
		w.commit(p, &record.Commit{Kind: record.Seal, Start: 1, End: 1,
			Next: &record.Next{Epoch: 1, Rule: position.DefaultCutRule(), Bucket: c.Bucket, Partitions: partitions}})
	}
	if err := cells.NewStore(db, c).Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	return w
}

// openStore opens an object store of a server of its own. Keys have a space in their prefix.
func openStore(t *testing.T) *lake.Store {
	t.Helper()
	server, err := s3server.Open(s3server.DefaultConfig(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	cfg := lake.DefaultConfig("")
	cfg.Endpoint = server.Endpoint()
	cfg.Bucket = "recount"
	cfg.Prefix = "a prefix/x"
	cfg.PathStyle = true
	cfg.CreateBucket = true
	cfg.AccessKey = server.Credentials().AccessKey
	cfg.SecretKey = server.Credentials().SecretKey
	store, err := lake.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	return store
}

func (w *world) commit(p int, c *record.Commit) {
	w.t.Helper()
	c.Partition = p
	c.Attempt = "a"
	c.Previous = w.chains[p].Tip
	raw, err := c.Encode()
	if err == nil {
		_, err = w.chains[p].Extend(raw)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// land commits one segment of events of a type for each partition that has any.
func (w *world) land(eventType string, events ...event) {
	w.t.Helper()
	byPartition := make([][]event, partitions)
	for _, e := range events {
		p := eventbatch.TenantID.Key(e.tenant, "", e.id).Partition(partitions)
		byPartition[p] = append(byPartition[p], e)
	}
	for p, list := range byPartition {
		if len(list) == 0 {
			continue
		}
		w.landColumns(eventType, p, w.columns(list))
	}
}

// landColumns commits one segment of a partition.
func (w *world) landColumns(eventType string, p int, columns eventbatch.Columns) {
	w.t.Helper()
	seq := w.chains[p].Head.Seq
	table := object.NewTable(eventType, p, 1, time.Hour)
	if err := table.Append(position.Offset{Epoch: 1, Seq: seq}, 0, columns); err != nil {
		w.t.Fatal(err)
	}
	body, o, err := table.Encode()
	if err != nil {
		w.t.Fatal(err)
	}
	o.Key = fmt.Sprintf("data/type=%s/p%d-%d.parquet", eventType, p, seq)
	w.bodies[o.Key] = body
	if err := w.store.Put(w.t.Context(), o.Key, bytes.NewReader(body), o.Size); err != nil {
		w.t.Fatal(err)
	}
	w.commit(p, &record.Commit{Kind: record.Segment, Epoch: 1, Start: seq, End: seq + 1, Events: o.Rows,
		Objects: []record.Object{o}})
}

func (w *world) columns(events []event) eventbatch.Columns {
	w.t.Helper()
	schema := eventbatch.OverflowSchema(eventbatch.Schema(w.catalog.Events["flight"]))
	fields := slices.Clone(schema.Fields())
	tax, hasTax := fields[14].Type.(*eventbatch.DecimalType)
	if hasTax {
		fields[14].Type = arrow.PrimitiveTypes.Int64 // Arrow makes no builder for decimals.
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema(fields, nil))
	defer b.Release()
	for _, e := range events {
		k := eventbatch.TenantID.Key(e.tenant, "", e.id)
		b.Field(0).(*array.FixedSizeBinaryBuilder).Append(k[:])
		b.Field(1).(*array.StringBuilder).Append(e.tenant)
		var flags uint8
		if e.assigned {
			flags = eventbatch.FlagTimeAssigned
		}
		b.Field(2).(*array.Uint8Builder).Append(flags)
		b.Field(3).(*array.Uint64Builder).Append(1)
		b.Field(4).(*array.StringBuilder).Append(e.id)
		b.Field(5).(*array.TimestampBuilder).Append(arrow.Timestamp(e.time))
		b.Field(6).(*array.StringBuilder).Append("test")
		b.Field(7).AppendNull()
		b.Field(8).AppendNull()
		appendNullable(b.Field(9), e.closed, func(v int64) {
			b.Field(9).(*array.TimestampBuilder).Append(arrow.Timestamp(v))
		})
		appendNullable(b.Field(10), e.delay, b.Field(10).(*array.Int64Builder).Append)
		appendNullable(b.Field(11), e.fare, b.Field(11).(*array.Float64Builder).Append)
		appendNullable(b.Field(12), e.ok, b.Field(12).(*array.BooleanBuilder).Append)
		appendNullable(b.Field(13), e.origin, b.Field(13).(*array.StringBuilder).Append)
		if hasTax {
			appendNullable(b.Field(14), e.tax, b.Field(14).(*array.Int64Builder).Append)
		}
		over := b.Field(len(fields) - 1).(*array.StringBuilder)
		appendNullable(over, e.over, over.Append)
	}
	columns := slices.Clone(b.NewRecord().Columns())
	if hasTax {
		columns[14] = tax.Array(columns[14])
	}
	c, err := eventbatch.NewColumns(array.NewRecord(schema, columns, int64(len(events))))
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// landOne lands an event under a declaration, with the text 5 in its field delay if that is a string.
func (w *world) landOne(e *catalog.EventType, at int64, extra string) {
	w.t.Helper()
	b := array.NewRecordBuilder(memory.DefaultAllocator, eventbatch.Schema(e))
	defer b.Release()
	for i, f := range b.Schema().Fields() {
		switch column := b.Field(i).(type) {
		case *array.FixedSizeBinaryBuilder:
			k := eventbatch.TenantID.Key("acme", "", fmt.Sprint(at))
			column.Append(k[:])
		case *array.Uint8Builder:
			column.Append(0)
		case *array.Uint64Builder:
			column.Append(1)
		case *array.TimestampBuilder:
			column.Append(arrow.Timestamp(at))
		case *array.StringBuilder:
			text := map[string]string{eventbatch.ColTenant: "acme", eventbatch.ColID: fmt.Sprint(at),
				eventbatch.ColSource: "test", eventbatch.ColExtra: extra, "delay": "5"}[f.Name]
			appendNullable(column, &text, column.Append)
		default:
			column.AppendNull()
		}
	}
	c, err := eventbatch.NewColumns(b.NewRecord())
	if err != nil {
		w.t.Fatal(err)
	}
	w.landColumns("flight", 0, c)
}

func appendNullable[T any](b array.Builder, v *T, add func(T)) {
	if v == nil {
		b.AppendNull()
		return
	}
	add(*v)
}

// publish computes everything that has landed with the batch engine, inserts it and returns the publication.
func (w *world) publish() *record.State {
	w.t.Helper()
	w.version++
	state := &record.State{N: w.version, Views: map[string]record.ViewState{},
		Publication: &record.Publication{Limit: w.limit}}
	in := exact.Input{Catalog: w.catalog, Type: "flight", Limit: w.limit}
	buckets := map[int64]bool{}
	for p, chain := range w.chains {
		state.H = append(state.H, chain.Head)
		for _, s := range chain.Segments {
			for _, o := range s.Objects {
				if o.Type != "flight" {
					continue
				}
				in.Objects = append(in.Objects, exact.Object{Object: o, Partition: p, Start: s.Start})
				for _, b := range o.Buckets {
					buckets[b.Bucket] = true
				}
			}
		}
	}
	in.Buckets = slices.Sorted(maps.Keys(buckets))
	for _, v := range w.catalog.ViewsOf("flight") {
		in.Targets = append(in.Targets, exact.Target{View: v, Buckets: in.Buckets})
	}
	wrote := map[string]map[int64]record.BucketVersion{}
	_, err := exact.Run(w.t.Context(), exact.DefaultConfig(), w.open, in, func(b *exact.Block) error {
		return w.insert(b, wrote)
	})
	if err != nil {
		w.t.Fatal(err)
	}
	for name, v := range w.catalog.Views {
		view := record.ViewState{Digest: w.catalog.Digest(v), Reading: record.CurrentReading}
		for _, b := range slices.Sorted(maps.Keys(wrote[name])) {
			view.Buckets = append(view.Buckets, wrote[name][b])
		}
		state.Views[name] = view
	}
	return state
}

func (w *world) open(ctx context.Context, o record.Object) (exact.File, error) {
	return object.Open(ctx, o, bytes.NewReader(w.bodies[o.Key]))
}

// insert inserts a block under the newest version and adds what was written to wrote.
func (w *world) insert(b *exact.Block, wrote map[string]map[int64]record.BucketVersion) error {
	part, err := cells.NewStore(w.db, w.catalog).Insert(w.t.Context(), b.View, w.version,
		[]exact.BlockRows{{Block: b, To: b.Rows()}})
	if err != nil {
		return err
	}
	if wrote[b.View.Name] == nil {
		wrote[b.View.Name] = map[int64]record.BucketVersion{}
	}
	for bucket, v := range part {
		v.Rows += wrote[b.View.Name][bucket].Rows
		wrote[b.View.Name][bucket] = v
	}
	return nil
}

// check runs a check with a changed configuration, which by default samples every bucket.
func (w *world) check(state *record.State, change func(*Config)) openapi.Recheck {
	w.t.Helper()
	cfg := DefaultConfig(w.catalog)
	cfg.Buckets = 1000
	if change != nil {
		change(&cfg)
	}
	r, err := New(cfg, w.db, w.store.Access).Check(w.t.Context(), state, w.chains)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}
