package sql

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// benchCells is how many cells the tables of BenchmarkRun have.
const benchCells = 1_000_000

// fill writes cells of a tenant, and copies those of the version into the table peer, as ClickHouse alone stores them.
func (f *fixture) fill(tenant string, cells int) { f.fillFrom(tenant, 0, cells) }

// fillFrom writes those of the cells of fill from one number to before another.
func (f *fixture) fillFrom(tenant string, from, to int) {
	f.exec(fmt.Sprintf(`INSERT INTO %s
(_bucket, _ver, tenant, time, origin, delay, cancelled, _events, n, late__sum, late__n, tails__state)
SELECT fromUnixTimestamp64Micro(%d + 3600000000 * intDiv(number, 1000), 'UTC') AS b, 4, '%s',
b + INTERVAL (number %% 60) MINUTE, concat('airport-', toString(number %% 300)), number %% 7, number %% 2 = 0, 3, 3,
number, 3, concat(char(1), reinterpretAsFixedString(xxHash64(number %% 100000))) FROM numbers(%d, %d)`, f.table,
		start.UnixMicro(), tenant, from, to-from))
}

// BenchmarkRun runs statements over a million cells: with the whole way of a statement, and, as direct, the same
// aggregate over a table of ClickHouse alone. Where another tenant has rows too, conditions are not moved into the
// view.
func BenchmarkRun(b *testing.B) {
	for _, tenants := range []int{1, 2} {
		f := newFixture(b)
		for i := range tenants {
			f.fill([]string{"default", "other"}[i], benchCells/tenants)
		}
		f.exec("OPTIMIZE TABLE " + f.table + " FINAL")
		f.publish(4)
		f.exec(fmt.Sprintf(`CREATE TABLE peer ENGINE = MergeTree ORDER BY (time, origin, delay) AS
SELECT toDateTime(time) AS time, toLowCardinality(assumeNotNull(origin)) AS origin, assumeNotNull(delay) AS delay, n,
toInt64(late__sum) AS late, CAST(tails__state, 'AggregateFunction(uniqExact, UInt64)') AS tails
FROM %s WHERE tenant = 'default'`, f.table))
		f.exec("OPTIMIZE TABLE peer FINAL")
		for name, sql := range map[string][2]string{
			"total": {"SELECT sum(n), sum(late) FROM flights", "SELECT sum(n), sum(late) FROM peer"},
			"minutes by delay": {"SELECT time, delay, sum(n), sum(late) FROM flights GROUP BY time, delay",
				"SELECT time, delay, sum(n), sum(late) FROM peer GROUP BY time, delay"},
			"one day": {"SELECT origin, sum(n) FROM flights WHERE time >= '2024-11-05' AND time < '2024-11-06' " +
				"GROUP BY origin",
				"SELECT origin, sum(n) FROM peer WHERE time >= '2024-11-05' AND time < '2024-11-06' GROUP BY origin"},
			"distinct by hour": {"SELECT toStartOfHour(time) AS h, uniqExactArray(tails__hashes) FROM flights_states " +
				"GROUP BY h",
				"SELECT toStartOfHour(time) AS h, uniqExactMerge(tails) FROM peer GROUP BY h"},
		} {
			b.Run(fmt.Sprintf("%s/tenants=%d/sql", name, tenants), func(b *testing.B) {
				for b.Loop() {
					a, err := f.statements.Run(b.Context(), "default", Request{SQL: sql[0], Format: "Native"})
					if err != nil {
						b.Fatal(err)
					}
					a.Close()
				}
			})
			b.Run(fmt.Sprintf("%s/tenants=%d/direct", name, tenants), func(b *testing.B) {
				for b.Loop() {
					drain(b, f, sql[1])
				}
			})
		}
	}
}

// drain runs a statement of the driver and reads its rows.
func drain(b *testing.B, f *fixture, sql string) {
	rows, err := f.conn.Query(clickhouse.Context(context.Background()), sql)
	if err != nil {
		b.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
	}
	if err := rows.Err(); err != nil {
		b.Fatal(err)
	}
}

// examples are statements over V or V_merged, and over a table peer with the same cells in ClickHouse alone. {t} is the
// table.
var examples = []struct{ name, sql string }{
	{"total", "SELECT sum(n), sum(late) FROM {t}"},
	{"by dimension", "SELECT origin, sum(n) FROM {t} GROUP BY origin ORDER BY 2 DESC LIMIT 10"},
	{"by hour", "SELECT toStartOfHour(time) AS h, sum(n), sum(late) FROM {t} GROUP BY h ORDER BY h"},
	{
		"one day",
		"SELECT origin, sum(n) FROM {t} WHERE time >= '2024-11-05' AND time < '2024-11-06' GROUP BY origin",
	},
}

// BenchmarkExamples asks each example of V and of V_merged through ClickHouse's HTTP interface. In turns it asks the
// same of the table peer in a session of the engine with the same settings. It reports both times and their ratio.
func BenchmarkExamples(b *testing.B) {
	f := newFixture(b)
	f.fill("default", benchCells)
	f.exec("OPTIMIZE TABLE " + f.table + " FINAL")
	f.publish(4)
	f.live = hour()
	f.exec(fmt.Sprintf(`CREATE TABLE peer ENGINE = MergeTree ORDER BY (time, origin, delay) AS
SELECT time, toLowCardinality(assumeNotNull(origin)) AS origin, assumeNotNull(delay) AS delay, n,
toInt64(late__sum) AS late FROM %s`, f.table))
	f.exec("OPTIMIZE TABLE peer FINAL")
	at := f.openDoor()
	peer := f.statements.cfg.CellsDatabase + ".peer"
	for _, example := range examples {
		for _, table := range []string{"flights", "flights_merged"} {
			b.Run(example.name+"/"+table, func(b *testing.B) {
				var alone, here time.Duration
				for b.Loop() {
					alone += timeOf(func() { f.askAlone(b, strings.ReplaceAll(example.sql, "{t}", peer)) })
					here += timeOf(func() {
						got := ask(b, at, "default_format=Native", strings.ReplaceAll(example.sql, "{t}", table))
						if strings.HasPrefix(got, "Code: ") {
							b.Fatal(got)
						}
					})
				}
				b.ReportMetric(float64(alone.Microseconds())/1000/float64(b.N), "ms-alone")
				b.ReportMetric(float64(here.Microseconds())/1000/float64(b.N), "ms-here")
				b.ReportMetric(float64(here)/float64(alone), "times")
			})
		}
	}
}

func timeOf(run func()) time.Duration {
	began := time.Now()
	run()
	return time.Since(began)
}

// askAlone runs a statement in a session of the engine, with the settings of a client's.
func (f *fixture) askAlone(b *testing.B, sql string) {
	b.Helper()
	err := f.statements.cfg.Engine(b.Context(), "default", func(session Session) error {
		if err := session.Set(f.statements.cfg.Limits.settings(b.Context())); err != nil {
			return err
		}
		_, err := session.Query(sql, nil, "Native", 0)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
}
