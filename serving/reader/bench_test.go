package reader

import (
	"context"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"recount/deploy/embedded/chdb/chdbtest"
	"recount/schemas/position"
	"recount/schemas/query"
	"recount/schemas/record"
	"recount/schemas/sqlschema"
	"recount/serving/batchview"
	"recount/serving/oracle"
)

// buckets is how many buckets have cells. They have 7 versions, so that the pins are runs.
const buckets = 1000

// fillCells lets the engine write cells into the table and returns their pins.
func fillCells(b *testing.B, conn driver.Conn, table, checksum string, cells int) []record.BucketVersion {
	b.Helper()
	sql := fmt.Sprintf(`INSERT INTO %s
(_bucket, _ver, tenant, time, origin, delay, cancelled, _events, n, late__sum, late__n)
SELECT fromUnixTimestamp64Micro(%d + 3600000000 * intDiv(number, %d), 'UTC') AS b,
1 + intDiv(intDiv(number, %d), 143), 'default', b + INTERVAL (number %% 60) MINUTE,
concat('airport-', toString(number %% 300)), number %% 7, number %% 2 = 0, 3, 3, number, 3 FROM numbers(%d)`,
		table, start.UnixMicro(), cells/buckets, cells/buckets, cells)
	if err := conn.Exec(b.Context(), sql); err != nil {
		b.Fatal(err)
	}
	rows, err := conn.Query(b.Context(), "SELECT toUnixTimestamp64Micro(_bucket), _ver, toInt64(count()), "+checksum+
		" FROM "+table+" GROUP BY 1, 2 ORDER BY 1, 2")
	if err != nil {
		b.Fatal(err)
	}
	defer rows.Close()
	var out []record.BucketVersion
	for rows.Next() {
		var v record.BucketVersion
		if err := rows.Scan(&v.Bucket, &v.Ver, &v.Rows, &v.Checksum); err != nil {
			b.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}

// setup returns a reader over a real engine with cells and a live part of 1,000 events.
func setup(b *testing.B, cells int) (*Reader, driver.Conn, string) {
	b.Helper()
	conn, err := clickhouse.Open(chdbtest.Open(b))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	c := oracle.Catalog()
	v := c.Views["flights"]
	if err := conn.Exec(b.Context(), sqlschema.CreateTable(c, v)); err != nil {
		b.Fatal(err)
	}
	table := sqlschema.Quote(sqlschema.Table(v, c.Digest(v)))
	checksum, err := sqlschema.Checksum(sqlschema.Columns(c, v))
	if err != nil {
		b.Fatal(err)
	}
	state := published()
	state.Views["flights"] = record.ViewState{Digest: c.Digest(v), Buckets: fillCells(b, conn, table, checksum, cells)}
	batch, err := batchview.New(conn, batchview.DefaultConfig(c.Bucket))
	if err != nil {
		b.Fatal(err)
	}
	live := &query.LivePart{Through: []position.Offset{{Seq: 9}}, Pending: 1000}
	b.Cleanup(batch.Close)
	r, err := New(Config{Catalog: c, Publications: kept{state}, Batch: batch, Live: liveEvents{live, manyEvents()}})
	if err != nil {
		b.Fatal(err)
	}
	return r, conn, table
}

func manyEvents() (out []oracle.Event) {
	for i := range 1000 {
		minute := start.Add(time.Duration(buckets*60-1-i%600) * time.Minute)
		out = append(out, oracle.Event{Time: minute.UnixMicro(),
			Fields: map[string]any{"origin": fmt.Sprint("airport-", i%300), "delay": int64(i % 7)}})
	}
	return out
}

// liveEvents groups its events once, so that the benchmark measures the reader.
type liveEvents struct {
	part   *query.LivePart
	events []oracle.Event
}

func (l liveEvents) Scan(_ context.Context, scan *query.Scan, _ []position.Offset) (*query.LivePart, error) {
	if l.part.Part == nil || len(l.part.Part.Dims) != len(scan.GroupBy) {
		l.part.Part = oracle.Part(scan, l.events, oracle.Speed)
	}
	return l.part, nil
}

var shapes = []struct {
	name, granularity string
	groupBy           []string
	// sql is the same aggregate over the whole table.
	sql string
}{
	{"total", "", nil, "SELECT sum(n), sum(late__sum) FROM %s"},
	{"days", "1d", nil, "SELECT toStartOfDay(time), sum(n), sum(late__sum) FROM %s GROUP BY 1 ORDER BY 1"},
	{"origins", "", []string{"origin"}, "SELECT origin, sum(n), sum(late__sum) FROM %s GROUP BY 1 ORDER BY 1"},
	{"days by origin", "1d", []string{"origin"}, "SELECT toStartOfDay(time), origin, sum(n), sum(late__sum) FROM %s " +
		"GROUP BY 1, 2 ORDER BY 1, 2"},
	{"every cell", "1m", []string{"origin", "delay"}, "SELECT time, origin, delay, sum(n), sum(late__sum) FROM %s " +
		"GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"},
}

// BenchmarkMergedQuery answers merged queries. For each it also asks the engine for the same
// aggregate without pins, guard, tenant or live part. It reports both medians, their ratio, and the
// 99th percentile of the merged queries.
func BenchmarkMergedQuery(b *testing.B) {
	for _, cells := range []int{100_000, 1_000_000} {
		b.Run(fmt.Sprint(cells), func(b *testing.B) {
			r, conn, table := setup(b, cells)
			for _, s := range shapes {
				b.Run(s.name, func(b *testing.B) {
					q := query.Query{View: "flights", Measures: []string{"n", "late"}, From: start,
						To:          start.Add(buckets * time.Hour),
						Granularity: s.granularity, GroupBy: s.groupBy, Limit: query.MaxLimit}
					compare(b, r, q, func() { askDirectly(b, conn, fmt.Sprintf(s.sql, table)) })
				})
			}
		})
	}
}

func compare(b *testing.B, r *Reader, q query.Query, ask func()) {
	var merged, direct []time.Duration
	for b.Loop() {
		began := time.Now()
		if _, err := r.Answer(b.Context(), &q, "default"); err != nil {
			b.Fatal(err)
		}
		merged = append(merged, time.Since(began))
		began = time.Now()
		ask()
		direct = append(direct, time.Since(began))
	}
	slices.Sort(merged)
	slices.Sort(direct)
	n := len(merged)
	b.ReportMetric(float64(merged[n/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(merged[n*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(direct[n/2].Microseconds())/1000, "direct-ms")
	b.ReportMetric(float64(merged[n/2])/float64(direct[n/2]), "ratio")
	b.ReportMetric(0, "ns/op")
}

// askDirectly reads all rows, as a client does.
func askDirectly(b *testing.B, conn driver.Conn, sql string) {
	rows, err := conn.Query(b.Context(), sql)
	if err != nil {
		b.Fatal(err)
	}
	defer rows.Close()
	dest := make([]any, len(rows.ColumnTypes()))
	for i, t := range rows.ColumnTypes() {
		dest[i] = newValue(t.DatabaseTypeName())
	}
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			b.Fatal(err)
		}
	}
}

// newValue returns a pointer to a value of a column's type.
func newValue(sqlType string) any {
	switch {
	case sqlType == "UInt64":
		return new(uint64)
	case sqlType == "Int128":
		return new(big.Int)
	case strings.HasPrefix(sqlType, "DateTime"):
		return new(time.Time)
	case strings.Contains(sqlType, "Int64"):
		return new(*int64)
	}
	return new(*string)
}
