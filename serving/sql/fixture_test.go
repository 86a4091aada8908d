package sql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"recount/deploy/embedded/chdb"
	"recount/deploy/embedded/chdb/chdbtest"
	"recount/schemas/catalog"
	"recount/schemas/position"
	"recount/schemas/query"
	"recount/schemas/record"
	"recount/schemas/sqlschema"
	"recount/schemas/window"
	"recount/serving/batchview"
	"recount/serving/oracle"
	"recount/serving/reader"
	"recount/serving/sql/guard"
)

// fixture is a view's table in a real engine, a publication of it, and real-time rows.
type fixture struct {
	t          testing.TB
	conn       driver.Conn
	catalog    *catalog.Catalog
	view       *catalog.View
	table      string
	state      *record.State
	live       []oracle.Event
	liveTenant string // the tenant of the live events
	raw        []rawEvent
	shared     bool // by several tenants
	scans      int
	beforeScan func(number int)
	reader     *reader.Reader
	statements *Statements
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	engine, options := chdbtest.OpenEngine(t)
	conn, err := clickhouse.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c := oracle.Catalog()
	f := &fixture{t: t, conn: conn, catalog: c, view: c.Views["flights"], state: record.EmptyState(1),
		liveTenant: "default"}
	f.table = sqlschema.Quote(sqlschema.Table(f.view, c.Digest(f.view)))
	f.exec(sqlschema.CreateTable(c, f.view))
	f.exec("CREATE DATABASE IF NOT EXISTS " + EmptyDatabase)
	views, err := batchview.New(conn, batchview.DefaultConfig(c.Bucket))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(views.Close)
	memory := query.NewBudget(4<<30, time.Second, false)
	if f.reader, err = reader.New(reader.Config{Catalog: c, Publications: f, Batch: views,
		Live: oracle.OneByOne(f.scan), Memory: memory}); err != nil {
		t.Fatal(err)
	}
	f.statements, err = New(Config{Catalog: c, Reader: f.reader, Batch: views, Events: f, Engine: sessions(engine),
		CellsDatabase: options.Auth.Database, Shared: func() bool { return f.shared }, Memory: memory,
		Limits: DefaultLimits()})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// sessions opens sessions of the embedded engine.
func sessions(engine *chdb.Engine) Engine {
	return func(ctx context.Context, _ string, f func(Session) error) error {
		return engine.Session(ctx, func(s *chdb.Session) error { return f(s) })
	}
}

func (f *fixture) exec(sql string) {
	f.t.Helper()
	if err := f.conn.Exec(f.t.Context(), sql); err != nil {
		f.t.Fatal(err)
	}
}

// Newest returns the publication.
func (f *fixture) Newest(context.Context) (*record.State, error) { return f.state, nil }

// StateAt is not asked for.
func (f *fixture) StateAt(context.Context, uint64) (*record.State, error) {
	return nil, query.ErrCollected
}

// scan answers for the live events.
func (f *fixture) scan(_ context.Context, scan *query.Scan, cut []position.Offset) (*query.LivePart, error) {
	if f.scans++; f.beforeScan != nil {
		f.beforeScan(f.scans)
	}
	through := slices.Clone(cut)
	through[0].Seq += uint64(len(f.live))
	var events []oracle.Event
	if scan.Tenant == f.liveTenant {
		events = f.live
	}
	return &query.LivePart{Part: oracle.Part(scan, events, oracle.Speed), Through: through,
		Pending: uint64(len(f.live))}, nil
}

// insert stores the cells of a tenant's events as a version.
func (f *fixture) insert(tenant string, ver uint64, events []oracle.Event) {
	f.t.Helper()
	scan := f.resolve(&query.Query{View: "flights", From: time.UnixMicro(window.MinTime),
		To: time.UnixMicro(window.MaxTime + 1), GroupBy: f.view.Dimensions})
	byCell := map[int64][]oracle.Event{}
	for _, e := range events {
		byCell[e.Time] = append(byCell[e.Time], e)
	}
	b, err := f.conn.PrepareBatch(f.t.Context(), "INSERT INTO "+f.table)
	if err != nil {
		f.t.Fatal(err)
	}
	defer b.Close()
	for cell, events := range byCell {
		for _, r := range oracle.Rows(scan, events) {
			values := []any{time.UnixMicro(window.Floor(cell, f.catalog.Bucket)).UTC(), ver, tenant,
				time.UnixMicro(cell).UTC()}
			values = append(append(values, r.Keys...), uint64(len(r.Events)))
			for i, m := range scan.Measures {
				if scan.Shared(i) < i {
					continue
				}
				values = append(values, r.Stored(m)...)
			}
			if err := b.Append(values...); err != nil {
				f.t.Fatal(err)
			}
		}
	}
	if err := b.Send(); err != nil {
		f.t.Fatal(err)
	}
}

// publish makes a publication of what the table has of a version.
func (f *fixture) publish(ver uint64) {
	f.t.Helper()
	checksum, err := sqlschema.Checksum(sqlschema.Columns(f.catalog, f.view))
	if err != nil {
		f.t.Fatal(err)
	}
	rows, err := f.conn.Query(f.t.Context(), "SELECT toUnixTimestamp64Micro(_bucket), _ver, toInt64(count()), "+
		checksum+" FROM "+f.table+" WHERE _ver = ? GROUP BY _bucket, _ver ORDER BY _bucket", ver)
	if err != nil {
		f.t.Fatal(err)
	}
	defer rows.Close()
	var versions []record.BucketVersion
	for rows.Next() {
		var b record.BucketVersion
		if err := rows.Scan(&b.Bucket, &b.Ver, &b.Rows, &b.Checksum); err != nil {
			f.t.Fatal(err)
		}
		versions = append(versions, b)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		f.t.Fatal(err)
	}
	f.state = &record.State{N: f.state.N + 1, H: f.state.H, Publication: &record.Publication{},
		Views: map[string]record.ViewState{"flights": {Digest: f.catalog.Digest(f.view), Buckets: versions}}}
}

func (f *fixture) resolve(q *query.Query) *query.Scan {
	f.t.Helper()
	scan, err := q.Resolve(f.catalog, "default")
	if err != nil {
		f.t.Fatal(fmt.Errorf("%+v: %w", q, err))
	}
	return scan
}

// rows runs a statement of a tenant over tables and returns its lines in the format TabSeparated.
func (f *fixture) rows(tenant, sql string, used ...string) string {
	f.t.Helper()
	a, err := f.statements.run(f.t.Context(), tenant, decided(Request{SQL: sql, Format: "TabSeparated"}, used...))
	if err != nil {
		f.t.Fatalf("%s: %v", sql, err)
	}
	defer a.Close()
	return string(a.Body)
}

// decided is a request that was found to read all columns of tables.
func decided(r Request, tables ...string) Request {
	r.catalog = oracle.Catalog()
	r.reads = &guard.Reads{Tables: tables, AllColumns: true}
	r.eventsFrom = window.MinTime
	r.eventsTo = window.MaxTime + 1
	return r
}
