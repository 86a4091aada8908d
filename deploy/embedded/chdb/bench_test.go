package chdb_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// latencies runs f b.N times and reports the median and the 99th percentile beside the mean.
func latencies(b *testing.B, f func(i int)) {
	took := make([]time.Duration, 0, 1024)
	for i := 0; b.Loop(); i++ {
		began := time.Now()
		f(i)
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}

func BenchmarkSelect1(b *testing.B) {
	conn, _ := open(b)
	latencies(b, func(int) { _ = scan[uint8](b.Context(), b, conn, "SELECT 1") })
}

// cells fills a table like a batch view: 1,000,000 cells of 1,000 keys.
func cells(b *testing.B, conn driver.Conn) {
	mustExec(b, conn, `CREATE TABLE cells (bucket DateTime64(6, 'UTC'), k LowCardinality(String), ver UInt64, n UInt64)
		ENGINE = MergeTree ORDER BY (bucket, k)`)
	mustExec(b, conn, `INSERT INTO cells
		SELECT toDateTime64(intDiv(number, 1000) * 60, 6, 'UTC'), 'k' || toString(number % 1000),
		1, number FROM numbers(1000000)`)
}

func BenchmarkPointQuery(b *testing.B) {
	conn, _ := open(b)
	cells(b, conn)
	latencies(b, func(i int) {
		_ = scan[uint64](b.Context(), b, conn, "SELECT sum(n) FROM cells WHERE bucket = {t:DateTime64(6,'UTC')} AND "+
			"k = {k:String}",
			clickhouse.Named("t", fmt.Sprintf("1970-01-01 %02d:%02d:00", i/60%16, i%60)),
			clickhouse.Named("k", fmt.Sprintf("k%d", i%1000)))
	})
}

func BenchmarkGroupMillionCells(b *testing.B) {
	conn, _ := open(b)
	cells(b, conn)
	latencies(b, func(int) {
		rows, err := conn.Query(b.Context(), "SELECT k, sum(n) FROM cells GROUP BY k ORDER BY k")
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		for rows.Next() {
			n++
		}
		if err := rows.Close(); err != nil || n != 1000 {
			b.Fatal(n, err)
		}
	})
}

func BenchmarkReadMillionRows(b *testing.B) {
	conn, _ := open(b)
	cells(b, conn)
	for b.Loop() {
		rows, err := conn.Query(b.Context(), "SELECT bucket, k, n FROM cells")
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		for rows.Next() {
			n++
		}
		if err := rows.Close(); err != nil || n != 1_000_000 {
			b.Fatal(n, err)
		}
	}
}

func BenchmarkInsert100k(b *testing.B) {
	for name, engine := range map[string]string{"fsync": "MergeTree ORDER BY (t, k)",
		"nosync": "MergeTree ORDER BY (t, k) SETTINGS fsync_after_insert = 0, fsync_part_directory = 0"} {
		b.Run(name, func(b *testing.B) {
			conn, _ := open(b)
			mustExec(b, conn,
				"CREATE TABLE rows (t DateTime64(6, 'UTC'), k String, ver UInt64, n UInt64, s String) ENGINE = "+engine)
			const rows = 100_000
			t := make([]time.Time, rows)
			k := make([]string, rows)
			n := make([]uint64, rows)
			s := make([]string, rows)
			for i := range rows {
				t[i] = time.Unix(int64(i/100), 0)
				k[i] = fmt.Sprint("key-", i%1000)
				n[i] = uint64(i)
				s[i] = fmt.Sprint("state-", i)
			}
			latencies(b, func(int) {
				batch, err := conn.PrepareBatch(b.Context(), "INSERT INTO rows")
				if err != nil {
					b.Fatal(err)
				}
				for c, v := range []any{t, k, n, n, s} {
					if err := batch.Column(c).Append(v); err != nil {
						b.Fatal(err)
					}
				}
				if err := batch.Send(); err != nil {
					b.Fatal(err)
				}
			})
			b.ReportMetric(float64(b.N)*rows/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
