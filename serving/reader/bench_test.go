package reader

import (
	"context"
	"fmt"
	"math/big"
	"runtime"
	"slices"
	"strings"
	"sync"
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

// fillCells lets the engine write cells into the table and returns their pins. The last buckets also have rows of
// an earlier version, as recomputed buckets do. The table peer has the same cells, as ClickHouse alone stores them.
func fillCells(b *testing.B, conn driver.Conn, table, checksum string, cells int) []record.BucketVersion {
	b.Helper()
	for _, sql := range []string{
		fmt.Sprintf(`INSERT INTO %s
(_bucket, _ver, tenant, time, origin, delay, cancelled, _events, n, late__sum, late__n, tails__state)
SELECT fromUnixTimestamp64Micro(%d + 3600000000 * intDiv(number, %d), 'UTC') AS b,
2 + intDiv(intDiv(number, %d), 143), 'default', b + INTERVAL (number %% 60) MINUTE,
concat('airport-', toString(number %% 300)), number %% 7, number %% 2 = 0, 3, 3, number, 3,
concat(char(1), reinterpretAsFixedString(xxHash64(number %% 100000))) FROM numbers(%d)`,
			table, start.UnixMicro(), cells/buckets, cells/buckets, cells),
		fmt.Sprintf("INSERT INTO %[1]s SELECT * REPLACE (1 AS _ver) FROM %[1]s "+
			"WHERE _bucket >= fromUnixTimestamp64Micro(%[2]d)", table, start.Add(buckets*9/10*time.Hour).UnixMicro()),
		fmt.Sprintf(`CREATE TABLE peer ENGINE = MergeTree ORDER BY (time, origin, delay) AS
SELECT toDateTime(time) AS time, toLowCardinality(assumeNotNull(origin)) AS origin, assumeNotNull(delay) AS delay, n,
toInt64(late__sum) AS late, CAST(tails__state, 'AggregateFunction(uniqExact, UInt64)') AS tails
FROM %s WHERE _ver > 1`, table),
		"OPTIMIZE TABLE " + table + " FINAL",
		"OPTIMIZE TABLE peer FINAL",
	} {
		if err := conn.Exec(b.Context(), sql); err != nil {
			b.Fatal(err)
		}
	}
	rows, err := conn.Query(b.Context(), "SELECT toUnixTimestamp64Micro(_bucket), _ver, toInt64(count()), "+checksum+
		" FROM "+table+" WHERE _ver > 1 GROUP BY 1, 2 ORDER BY 1, 2")
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
func setup(b *testing.B, cells int) (*Reader, driver.Conn) {
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
	b.Cleanup(batch.Close)
	r, err := New(Config{Catalog: c, Publications: kept{state}, Batch: batch})
	if err != nil {
		b.Fatal(err)
	}
	return r, conn
}

func manyEvents() (out []oracle.Event) {
	for i := range 1000 {
		minute := start.Add(time.Duration(buckets*60-1-i%600) * time.Minute)
		out = append(out, oracle.Event{Time: minute.UnixMicro(),
			Fields: map[string]any{"origin": fmt.Sprint("airport-", i%300), "delay": int64(i % 7),
				"tail": fmt.Sprint("N", i)}})
	}
	return out
}

// liveEvents groups its events once, so that the benchmark measures the reader. It is of one query.
type liveEvents struct {
	once sync.Once
	part query.LivePart
}

func (l *liveEvents) ScanAll(_ context.Context, scans []*query.Scan, _ []position.Offset) []query.LiveResult {
	l.once.Do(func() {
		l.part = query.LivePart{Through: []position.Offset{{Seq: 9}}, Pending: 1000,
			Part: oracle.Part(scans[0], manyEvents(), oracle.Speed)}
	})
	return []query.LiveResult{{Live: &l.part}}
}

var shapes = []struct {
	name string
	q    query.Query
	// sql is the same aggregate over the peer's table.
	sql string
}{
	{"total", query.Query{Measures: sums}, "SELECT sum(n), sum(late) FROM peer"},
	{"days", query.Query{Measures: sums, Granularity: "1d"},
		"SELECT toStartOfDay(time) AS d, sum(n), sum(late) FROM peer GROUP BY d ORDER BY d"},
	{"origins", query.Query{Measures: sums, GroupBy: []string{"origin"}},
		"SELECT origin, sum(n), sum(late) FROM peer GROUP BY origin ORDER BY origin"},
	{"days by origin", query.Query{Measures: sums, Granularity: "1d", GroupBy: []string{"origin"}},
		"SELECT toStartOfDay(time) AS d, origin, sum(n), sum(late) FROM peer GROUP BY d, origin ORDER BY d, origin"},
	{"minutes by delay", query.Query{Measures: sums, Granularity: "1m", GroupBy: []string{"delay"}},
		"SELECT time, delay, sum(n), sum(late) FROM peer GROUP BY time, delay ORDER BY time, delay"},
	{"one origin by day", query.Query{Measures: sums, Granularity: "1d",
		Where: []query.Condition{{Dimension: "origin", Op: query.Eq, Value: "airport-7"}}},
		"SELECT toStartOfDay(time) AS d, sum(n), sum(late) FROM peer WHERE origin = 'airport-7' GROUP BY d ORDER BY d"},
	{"every cell", query.Query{Measures: sums, Granularity: "1m", GroupBy: []string{"origin", "delay"}},
		"SELECT time, origin, delay, sum(n), sum(late) FROM peer GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"},
	{"distinct by delay", query.Query{Measures: tails, GroupBy: []string{"delay"}},
		"SELECT delay, uniqExactMerge(tails) FROM peer GROUP BY delay ORDER BY delay"},
	{"distinct by hour", query.Query{Measures: tails, Granularity: "1h"},
		"SELECT toStartOfHour(time) AS h, uniqExactMerge(tails) FROM peer GROUP BY h ORDER BY h"},
	{"distinct by week", query.Query{Measures: tails, Granularity: "1w"},
		"SELECT toDateTime(toMonday(time)) AS w, uniqExactMerge(tails) FROM peer GROUP BY w ORDER BY w"},
}

var (
	sums  = []string{"n", "late"}
	tails = []string{"tails"}
)

// BenchmarkQuery answers exact and merged queries, and asks the engine for the same aggregate over the same cells
// without pins, proof, tenant or live part. It reports the medians, their ratios, and the 99th percentile of merged
// queries. No result of these is cached. Exact queries that are found in a cache are measured apart.
func BenchmarkQuery(b *testing.B) {
	for _, cells := range []int{100_000, 1_000_000} {
		b.Run(fmt.Sprint(cells), func(b *testing.B) {
			r, conn := setup(b, cells)
			for _, s := range shapes {
				b.Run(s.name, func(b *testing.B) {
					compare(b, r, whole(s.q), func() int { return askDirectly(b, conn, s.sql) })
				})
			}
		})
	}
}

// BenchmarkClients lets 1, 8 and 64 clients ask for a total at the same time.
func BenchmarkClients(b *testing.B) {
	r, conn := setup(b, 1_000_000)
	r.Live = &liveEvents{}
	for _, clients := range []int{1, 8, 64} {
		for name, ask := range map[string]func() int{
			"merged": func() int { return answer(b, r, whole(shapes[0].q)) },
			"direct": func() int { return askDirectly(b, conn, shapes[0].sql) },
		} {
			b.Run(fmt.Sprint(name, clients), func(b *testing.B) {
				b.SetParallelism(max(1, clients/runtime.GOMAXPROCS(0)))
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						ask()
					}
				})
			})
		}
	}
}

// whole completes a query of a shape.
func whole(q query.Query) query.Query {
	q.View = "flights"
	q.From = start
	q.To = start.Add(buckets * time.Hour)
	q.Limit = query.MaxLimit
	return q
}

// answer returns the number of rows.
func answer(b *testing.B, r *Reader, q query.Query) int {
	a, err := r.Answer(b.Context(), &q, "default")
	if err != nil {
		b.Error(err)
		return 0
	}
	defer a.Close()
	return a.Rows()
}

func compare(b *testing.B, r *Reader, q query.Query, ask func() int) {
	r.Live = &liveEvents{}
	exact := q
	exact.Mode = query.Exact
	cached := *r
	cached.cache = newCache(64<<20, nil)
	kinds := []func() int{ask, func() int { return answer(b, r, exact) }, func() int { return answer(b, r, q) },
		func() int { return answer(b, &cached, exact) }}
	kinds[3]() // It fills the cache.
	want := ask()
	if got := kinds[1](); got != want {
		b.Fatalf("an exact answer has %d rows, and the engine's %d", got, want)
	}
	took := make([][]time.Duration, len(kinds))
	for b.Loop() {
		for i, run := range kinds {
			began := time.Now()
			run()
			took[i] = append(took[i], time.Since(began))
		}
	}
	ms := func(kind, percent int) float64 {
		slices.Sort(took[kind])
		return float64(took[kind][len(took[kind])*percent/100].Microseconds()) / 1000
	}
	b.ReportMetric(ms(0, 50), "direct-ms")
	b.ReportMetric(ms(1, 50), "exact-ms")
	b.ReportMetric(ms(2, 50), "merged-ms")
	b.ReportMetric(ms(2, 99), "merged-p99-ms")
	b.ReportMetric(ms(3, 50), "cached-ms")
	b.ReportMetric(ms(1, 50)/ms(0, 50), "exact/direct")
	b.ReportMetric(ms(2, 50)/ms(0, 50), "merged/direct")
	b.ReportMetric(0, "ns/op")
}

// askDirectly reads all rows, as a client does, and returns their number.
func askDirectly(b *testing.B, conn driver.Conn, sql string) (n int) {
	rows, err := conn.Query(b.Context(), sql)
	if err != nil {
		b.Fatal(err)
	}
	defer rows.Close()
	dest := make([]any, len(rows.ColumnTypes()))
	for i, t := range rows.ColumnTypes() {
		dest[i] = newValue(t.DatabaseTypeName())
	}
	for ; rows.Next(); n++ {
		if err := rows.Scan(dest...); err != nil {
			b.Fatal(err)
		}
	}
	return n
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
