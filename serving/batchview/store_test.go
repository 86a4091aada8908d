package batchview

import (
	"cmp"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"recount/deploy/embedded/chdb/chdbtest"
	"recount/schemas/catalog"
	"recount/schemas/distinct"
	"recount/schemas/query"
	"recount/schemas/record"
	"recount/schemas/sqlschema"
	"recount/schemas/window"
	"recount/serving/oracle"
)

// store is a view's table in a real engine.
type store struct {
	t       testing.TB
	conn    driver.Conn
	catalog *catalog.Catalog
	view    *catalog.View
	table   string
	digest  string // of the table
	// ver is the last version that was used.
	ver     uint64
	pending [][]any
}

func newStore(t testing.TB) *store {
	t.Helper()
	conn, err := clickhouse.Open(chdbtest.Open(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c := oracle.Catalog()
	s := &store{t: t, conn: conn, catalog: c, view: c.Views["flights"]}
	s.digest = c.Digest(s.view)
	s.table = sqlschema.Quote(sqlschema.Table(s.view, s.digest))
	s.exec(sqlschema.CreateTable(c, s.view))
	return s
}

func (s *store) exec(sql string) {
	s.t.Helper()
	if err := s.conn.Exec(s.t.Context(), sql); err != nil {
		s.t.Fatal(err)
	}
}

func (s *store) views() *Views {
	v, err := New(s.conn, DefaultConfig(s.catalog.Bucket))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(v.Close)
	return v
}

// cells groups events as the batch layer does: one row for each minute and combination of dimensions.
func (s *store) cells(events []oracle.Event) (*query.Scan, []*oracle.Row) {
	q := &query.Query{View: "flights", From: time.UnixMicro(window.MinTime), To: time.UnixMicro(window.MaxTime + 1),
		GroupBy: s.view.Dimensions}
	scan, err := q.Resolve(s.catalog, "default")
	if err != nil {
		s.t.Fatal(err)
	}
	var rows []*oracle.Row
	byMinute := map[int64][]oracle.Event{}
	for _, e := range events {
		byMinute[e.Time] = append(byMinute[e.Time], e)
	}
	for _, minute := range byMinute {
		rows = append(rows, oracle.Rows(scan, minute)...)
	}
	return scan, rows
}

// write stores the events' cells as version 4 and returns the buckets' versions, ascending.
func (s *store) write(events []oracle.Event) []record.BucketVersion {
	s.t.Helper()
	out := s.prepare("default", 4, events)
	s.flush()
	return out
}

// prepare adds the events' cells to those that flush inserts, as version ver. It returns the
// buckets' versions, ascending.
func (s *store) prepare(tenant string, ver uint64, events []oracle.Event) []record.BucketVersion {
	scan, rows := s.cells(events)
	count := map[int64]int64{}
	for _, r := range rows {
		cell := r.Events[0].Time
		bucket := window.Floor(cell, s.catalog.Bucket)
		count[bucket]++
		values := []any{time.UnixMicro(bucket).UTC(), ver, tenant, time.UnixMicro(cell).UTC()}
		values = append(append(values, r.Keys...), uint64(len(r.Events)))
		for i, m := range scan.Measures {
			if scan.Shared(i) < i {
				continue
			}
			values = append(values, s.storedColumns(m, r)...)
		}
		s.pending = append(s.pending, values)
	}
	var out []record.BucketVersion
	for bucket, n := range count {
		out = append(out, record.BucketVersion{Bucket: bucket, Ver: ver, Rows: n})
	}
	sortVersions(out)
	return out
}

func sortVersions(v []record.BucketVersion) {
	slices.SortFunc(v, func(a, b record.BucketVersion) int { return cmp.Compare(a.Bucket, b.Bucket) })
}

func (s *store) flush() {
	s.t.Helper()
	b, err := s.conn.PrepareBatch(s.t.Context(), "INSERT INTO "+s.table)
	if err != nil {
		s.t.Fatal(err)
	}
	defer b.Close()
	for _, values := range s.pending {
		if err := b.Append(values...); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := b.Send(); err != nil {
		s.t.Fatal(err)
	}
	s.pending = nil
}

// storedColumns returns the columns of a measure in the order of sqlschema.MeasureColumns, or as older programs stored
// them.
func (s *store) storedColumns(m query.Measure, r *oracle.Row) []any {
	switch {
	case m.Kind == catalog.Distinct && s.digest != s.catalog.Digest(s.view):
		return append(r.Stored(m), distinct.AppendRegisters(nil, r.Hashes(m)))
	case m.SumsFloats() && s.digest == s.catalog.RoundedDigest(s.view):
		total, n := r.FloatSum(m)
		rounded, fits := total.Float64()
		if !fits {
			rounded = math.Inf(1)
		}
		return []any{rounded, n}
	}
	return r.Stored(m)
}

// columns returns the columns of the table.
func (s *store) columns() []sqlschema.Column {
	if s.digest == s.catalog.Digest(s.view) {
		return sqlschema.Columns(s.catalog, s.view)
	}
	var columns []sqlschema.Column
	for _, c := range sqlschema.Columns(s.catalog, s.view) {
		near, isNear := strings.CutSuffix(c.Name, "__near")
		set, isSet := strings.CutSuffix(c.Name, sqlschema.StateSuffix)
		isRounded := s.digest == s.catalog.RoundedDigest(s.view)
		switch {
		case isSet:
			columns = append(columns, c, sqlschema.Column{Name: set + "__sketch", Type: "Array(UInt32)"})
		case isRounded && isNear:
			columns = append(columns, sqlschema.Column{Name: near + "__sum", Type: "Float64"})
		case !isRounded || !strings.HasSuffix(c.Name, "__far"):
			columns = append(columns, c)
		}
	}
	return columns
}

// leaveOutQuantiles makes the view one from before there were quantiles, as older tables have it.
func (s *store) leaveOutQuantiles() {
	s.view.Measures = slices.DeleteFunc(s.view.Measures,
		func(m catalog.Measure) bool { return m.Kind == catalog.Quantile })
}

// useTable makes the store's table one of an older digest, whose DDL is in the file.
func (s *store) useTable(file, digest string) {
	s.t.Helper()
	ddl, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	s.exec(string(ddl))
	s.digest = digest
	s.table = sqlschema.Quote(sqlschema.Table(s.view, digest))
}

// state returns a publication that pins the versions with the rows that the table has of them.
func (s *store) state(versions []record.BucketVersion) *record.State {
	s.t.Helper()
	checksum, err := sqlschema.Checksum(s.columns())
	if err != nil {
		s.t.Fatal(err)
	}
	there := map[record.BucketVersion]uint64{}
	var vers []uint64
	for _, b := range versions {
		vers = append(vers, b.Ver)
	}
	rows, err := s.conn.Query(s.t.Context(), "SELECT toUnixTimestamp64Micro(_bucket), _ver, toInt64(count()), "+
		checksum+" FROM "+s.table+" WHERE has(?, _ver) GROUP BY _bucket, _ver", vers)
	if err != nil {
		s.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var b record.BucketVersion
		if err := rows.Scan(&b.Bucket, &b.Ver, &b.Rows, &b.Checksum); err != nil {
			s.t.Fatal(err)
		}
		there[record.BucketVersion{Bucket: b.Bucket, Ver: b.Ver, Rows: b.Rows}] = b.Checksum
	}
	if err := rows.Err(); err != nil {
		s.t.Fatal(err)
	}
	pinned := slices.Clone(versions)
	for i, b := range pinned {
		pinned[i].Checksum = there[b]
	}
	return &record.State{N: 7,
		Views: map[string]record.ViewState{"flights": {Digest: s.digest, Buckets: pinned}}}
}

func (s *store) resolve(q *query.Query) *query.Scan {
	s.t.Helper()
	scan, err := q.Resolve(s.catalog, "default")
	if err != nil {
		s.t.Fatal(fmt.Errorf("%+v: %w", q, err))
	}
	return scan
}
