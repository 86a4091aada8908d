package chdb_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/go-cmp/cmp"
)

func withSettings(t testing.TB, s clickhouse.Settings) context.Context {
	return clickhouse.Context(t.Context(), clickhouse.WithSettings(s))
}

func TestSettingsHoldForOneQuery(t *testing.T) {
	t.Parallel()
	conn, _ := open(t)
	const q = "SELECT toString(getSetting('max_block_size'))"
	before := scan[string](t.Context(), t, conn, q)
	if got := scan[string](withSettings(t, clickhouse.Settings{"max_block_size": 123}), t, conn, q); got != "123" {
		t.Errorf("with the setting: got %s, want 123", got)
	}
	mustExec(t, conn, "SET max_block_size = 7")
	mustExec(t, conn, "CREATE TEMPORARY TABLE leak (n Int8)")
	for range 20 {
		if got := scan[string](t.Context(), t, conn, q); got != before {
			t.Fatalf("afterwards: got %s, want %s", got, before)
		}
	}
	if got := code(t, conn.Exec(t.Context(), "SELECT * FROM leak")); got != 60 {
		t.Errorf("the temporary table outlived its request: code %d, want 60", got)
	}
}

func TestSettingsAreEnforced(t *testing.T) {
	t.Parallel()
	conn, _ := open(t)
	tests := []struct {
		name     string
		settings clickhouse.Settings
		sql      string
		want     int32
	}{
		{"unknown setting", clickhouse.Settings{"no_such_setting": 1}, "SELECT 1", 115},
		{"name that is no name", clickhouse.Settings{"max_threads = 1, x": 1}, "SELECT 1", 115},
		{"value is quoted", clickhouse.Settings{"log_queries_min_type": "x', readonly = '1"}, "SELECT 1", 36},
		{"unknown database", clickhouse.Settings{"database": "nowhere` x"}, "SELECT 1", 81},
		{"max_result_rows", clickhouse.Settings{"max_result_rows": 5}, "SELECT * FROM numbers(10)", 396},
		{"max_memory_usage", clickhouse.Settings{"max_memory_usage": 1000000},
			"SELECT length(groupArray(number)) FROM numbers(10000000)", 241},
		{"max_execution_time", clickhouse.Settings{"max_execution_time": 0.2},
			"SELECT sum(sleepEachRow(0.05)) FROM numbers(100) SETTINGS max_block_size = 1", 159},
		{"session", clickhouse.Settings{"session_id": "a"}, "SELECT 1", 48},
		{"error after output", nil, "SELECT throwIf(number = 900000) FROM numbers(1000000)", 395},
	}
	for _, tt := range tests {
		rows, err := conn.Query(withSettings(t, tt.settings), tt.sql)
		if err == nil {
			rows.Close()
		}
		if got := code(t, err); got != tt.want {
			t.Errorf("%s: code %d, want %d (%v)", tt.name, got, tt.want, err)
		}
	}
}

func TestParameters(t *testing.T) {
	t.Parallel()
	conn, _ := open(t)
	for _, want := range []string{"", "plain", "it's; --", "tab\tline\n\n\\end", "NULL", "näh 🜁", "{x:String}"} {
		got := scan[string](t.Context(), t, conn, "SELECT {s:String}", clickhouse.Named("s", want))
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	list := scan[[]uint32](t.Context(), t, conn, "SELECT {a:Array(UInt32)}", clickhouse.Named("a", []uint32{1, 2, 3}))
	if diff := cmp.Diff([]uint32{1, 2, 3}, list); diff != "" {
		t.Error(diff)
	}
	at := time.Date(2001, 1, 2, 3, 4, 5, 6000, time.UTC)
	got := scan[time.Time](t.Context(), t, conn, "SELECT ?::DateTime64(6,'UTC')",
		at.Format("2006-01-02 15:04:05.000000"))
	if !got.Equal(at) {
		t.Errorf("got %s, want %s", got, at)
	}
	if got := code(t, conn.Exec(t.Context(), "SELECT {missing:String}")); got != 456 {
		t.Errorf("a missing parameter: code %d, want 456", got)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	conn, db := open(t)
	mustExec(t, conn, "CREATE TABLE x (n Int32) ENGINE = MergeTree ORDER BY n")
	readonly := clickhouse.Settings{"readonly": 1}
	tests := []struct {
		sql      string
		settings clickhouse.Settings
		want     int32
	}{
		{"SELECT 1; DROP TABLE x", nil, 62},
		{"SELECT '‘'; DROP TABLE x", nil, 62},
		{"", nil, 62},
		{"SELECT 1 INTO /**/ OUTFILE '/tmp/no'", nil, 48},
		{"INSERT INTO x FROM INFILE '/etc/passwd' FORMAT LineAsString", nil, 48},
		{`SELECT * FROM default."/etc/passwd"`, nil, 497},
		{"INSERT INTO x VALUES (1)", readonly, 164},
		{"DROP TABLE x", readonly, 164},
		{"SET readonly = DEFAULT", readonly, 164},
		{"SELECT 1 SETTINGS readonly = DEFAULT", readonly, 164},
		{"SELECT * FROM file('/etc/passwd', 'LineAsString')", readonly, 164},
		{"SELECT * FROM url('http://127.0.0.1:9/', 'LineAsString')", readonly, 164},
		{"SELECT count() FROM x", readonly, 0},
		{"SELECT 1 -- ; DROP TABLE x", readonly, 0},
		{"SELECT ';', 'SETTINGS' AS `settings`;", readonly, 0},
	}
	for _, tt := range tests {
		if got := code(t, conn.Exec(withSettings(t, tt.settings), tt.sql)); got != tt.want {
			t.Errorf("%s: code %d, want %d", tt.sql, got, tt.want)
		}
	}
	if got := scan[string](t.Context(), t, conn, "SELECT currentDatabase()"); got != db {
		t.Errorf("database: got %s, want %s", got, db)
	}
	compressed := shared.Options()
	compressed.Compression = &clickhouse.Compression{Method: clickhouse.CompressionLZ4}
	if err := dial(t, compressed).Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "Compression nil") {
		t.Errorf("compression: got %v, want a hint", err)
	}
}

func TestCancelReturnsAtOnceAndFreesThePlace(t *testing.T) {
	t.Parallel()
	conn, _ := open(t)
	const endless = "SELECT sum(cityHash64(number)) FROM numbers_mt(1000000000000) SETTINGS max_threads = 1"
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			if err := conn.Exec(ctx, endless); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v, want DeadlineExceeded", err)
			}
		})
	}
	wg.Wait()
	const left = "SELECT count() FROM system.processes WHERE query LIKE '%1000000000000%' " +
		"AND query NOT LIKE '%processes%'"
	for scan[uint64](t.Context(), t, conn, left) > 0 {
		time.Sleep(10 * time.Millisecond) // the deadline is the test's
	}
}

func TestParallelQueries(t *testing.T) {
	t.Parallel()
	conn, _ := open(t)
	mustExec(t, conn, "CREATE TABLE p (w UInt32, n UInt64) ENGINE = MergeTree ORDER BY (w, n)")
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 10 {
				sql := fmt.Sprintf("INSERT INTO p SELECT %d, number FROM numbers(%d, 100)", w, i*100)
				if err := conn.Exec(t.Context(), sql); err != nil {
					t.Error(err)
				}
				got := scan[uint64](t.Context(), t, conn, "SELECT count() FROM p WHERE w = {w:UInt32}",
					clickhouse.Named("w", w))
				if want := uint64(i+1) * 100; got != want {
					t.Errorf("worker %d: got %d rows, want %d", w, got, want)
				}
			}
		})
	}
	wg.Wait()
}

// TestBackgroundMerges shows that the engine merges parts by itself: B4 wants parts bounded.
func TestBackgroundMerges(t *testing.T) {
	t.Parallel()
	conn, db := open(t)
	mustExec(t, conn, "CREATE TABLE m (n UInt64) ENGINE = MergeTree ORDER BY n")
	for i := range 12 {
		mustExec(t, conn, fmt.Sprintf("INSERT INTO m VALUES (%d)", i))
	}
	const parts = "SELECT count() FROM system.parts WHERE database = {db:String} AND active"
	for scan[uint64](t.Context(), t, conn, parts, clickhouse.Named("db", db)) >= 12 {
		time.Sleep(20 * time.Millisecond) // the deadline is the test's
	}
	if got := scan[uint64](t.Context(), t, conn, "SELECT sum(n) FROM m"); got != 66 {
		t.Errorf("sum after merges: got %d, want 66", got)
	}
}

func TestDurableByDefault(t *testing.T) {
	t.Parallel()
	conn, _ := open(t)
	got := scan[[]string](t.Context(), t, conn, `SELECT groupArray(name || '=' || value) FROM
		(SELECT name, value FROM system.merge_tree_settings WHERE changed AND name LIKE '%fsync%' ORDER BY name)`)
	want := []string{"fsync_after_insert=1", "fsync_part_directory=1", "min_compressed_bytes_to_fsync_after_merge=1"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
