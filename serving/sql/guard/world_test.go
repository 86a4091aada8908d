package guard_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"recount/deploy/embedded/chdb/chdbtest"
	"recount/serving/sql/guard"
)

// own is the database that the tests' clients see.
const own = "recount"

// secret is what no statement of the tenant a may show.
const secret = "of-tenant-b"

// world is a real engine with cells of two tenants in one table, and an empty database with a view of tenant a.
type world struct {
	conn  driver.Conn // in the database of the views
	cells string      // the table of all tenants, with its database
	names guard.Names
}

func newWorld(t *testing.T) *world {
	t.Helper()
	stored := chdbtest.Open(t)
	visible := chdbtest.Open(t)
	w := &world{cells: stored.Auth.Database + ".cells_secret_table", names: guard.Names{"visits": true,
		guard.SystemTable("system", "tables"): true, guard.SystemTable("information_schema", "tables"): true}}
	var err error
	if w.conn, err = clickhouse.Open(visible); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.conn.Close() })
	for _, sql := range []string{
		"CREATE TABLE " + w.cells + " (tenant String, time DateTime64(6, 'UTC'), page Nullable(String), n UInt64, " +
			"state String) ENGINE = MergeTree ORDER BY tenant",
		"INSERT INTO " + w.cells + " SELECT 'a', toDateTime64(number, 6, 'UTC'), concat('/', toString(number % 3)), " +
			"number, '' FROM numbers(10)",
		"INSERT INTO " + w.cells + " SELECT 'b', toDateTime64(number, 6, 'UTC'), '" + secret + "', 7777777, '' " +
			"FROM numbers(1234)",
		"CREATE VIEW visits AS SELECT time, page, n FROM " + w.cells + " WHERE tenant = 'a'",
	} {
		if err := w.conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	return w
}

// decide parses a statement, asks the engine for its tree, and decides. It returns the text that may run.
func (w *world) decide(t testing.TB, sql string) (text string, err error) {
	t.Helper()
	st, err := guard.Parse(sql, own)
	if err != nil {
		return "", err
	}
	tree, err := w.ask(t, "EXPLAIN QUERY TREE run_passes = 0 "+st.Text)
	if err != nil {
		return "", err
	}
	_, err = guard.Decide(strings.Join(tree, "\n"), w.names, func(table string) []string {
		if table == guard.SystemTable("system", "tables") {
			return []string{"database"}
		}
		return nil
	})
	return st.Text, err
}

// run runs a statement if it may run, and returns its rows as text.
func (w *world) run(t testing.TB, sql string) ([]string, error) {
	t.Helper()
	text, err := w.decide(t, sql)
	if err != nil {
		return nil, err
	}
	return w.ask(t, text)
}

// ask runs a statement as the engine runs those of clients, and returns each row as one text.
func (w *world) ask(t testing.TB, sql string) (out []string, err error) {
	t.Helper()
	settings := clickhouse.Settings{"readonly": 1, "max_execution_time": 1, "max_memory_usage": 200 << 20,
		"max_result_rows": 100_000, "max_rows_to_read": 10_000_000}
	for name, value := range guard.Fixed() {
		settings[name] = value
	}
	ctx := clickhouse.Context(t.Context(), clickhouse.WithSettings(settings))
	rows, err := w.conn.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	columns := rows.ColumnTypes()
	for rows.Next() {
		values := make([]any, len(columns))
		for i, c := range columns {
			values[i] = newValue(c)
		}
		if err := rows.Scan(values...); err != nil {
			return nil, err
		}
		var row []string
		for _, v := range values {
			row = append(row, show(v))
		}
		out = append(out, strings.Join(row, "|"))
	}
	return out, rows.Err()
}

func isRefusal(err error) bool {
	var r *guard.Refusal
	return errors.As(err, &r)
}
