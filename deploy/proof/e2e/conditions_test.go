package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"recount/deploy/recount/demo"
	queries "recount/schemas/query"
	"recount/serving/oracle"
)

// conditionsConfig counts flights by day. Its dimensions are those of which oracle.DrawWhere draws conditions.
const conditionsConfig = `
landing: {cut_interval: 1s}
batch: {bucket: 24h}
events:
  flight: {fields: {origin: string, delay: int64, cancelled: bool, distance: int64}}
views:
  flights:
    event: flight
    dimensions: [origin, delay, cancelled]
    cell: 24h
    measures: {n: {count: {}}, miles: {sum: distance}}
jobs: {recompute: {schedule: ""}}
`

// sampleFlights writes files of the sample flights, all of them together. Some values are missing, and one airport
// begins with a sign beyond ASCII. DuckDB keeps the same rows with the name of their file.
const sampleFlights = `CREATE TABLE flights AS SELECT i::VARCHAR AS id, date AS at, distance, i >= 2500000 AS live,
  CASE WHEN i %% 11 = 0 THEN NULL WHEN origin = 'LAX' THEN 'Å%%''"\_' ELSE origin END AS origin,
  CASE WHEN i %% 13 = 0 THEN NULL ELSE delay END AS delay,
  CASE WHEN i %% 17 = 0 THEN NULL ELSE delay > 60 END AS cancelled
  FROM (SELECT row_number() OVER () - 1 AS i, * FROM '%s')`

// TestConditionsOnFlights sends three million flights, of which half a million stay live, and asks for them with random
// conditions in each mode. DuckDB counts the same rows with its own logic of three values.
func TestConditionsOnFlights(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("node is not installed; this test runs DuckDB in it")
	}
	if testing.Short() {
		t.Skip("three million flights take half a minute")
	}
	file, err := demo.FindFlights()
	if err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	duck := startDuckDB(t)
	duck.ask(fmt.Sprintf(sampleFlights, file))
	srv := start(t, dir, writeFile(t, filepath.Join(dir, "recount.yaml"), conditionsConfig), "127.0.0.1:0")
	ingest := func(where, name string) {
		path := filepath.Join(dir, name)
		duck.ask(fmt.Sprintf("COPY (SELECT * EXCLUDE live FROM flights WHERE %s) TO '%s' (FORMAT parquet)", where,
			path))
		cmd := exec.Command(binary, "ingest", path, "--server", srv.url, "--type", "flight", "--id", "id",
			"--time", "at", "--time-zone", "UTC")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s\n%s", err, out, srv.logs)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	ingest("NOT live", "published.parquet")
	publishNow(t, srv)
	ingest("live", "live.parquet")
	if err := waitForMetrics(t.Context(), srv.url, state.advanced); err != nil {
		t.Fatal(err)
	}
	for seed := range 15 {
		where := rapid.Custom(func(t *rapid.T) []queries.Condition { return oracle.DrawWhere(t, 3) }).Example(seed)
		compareFlights(t, srv, duck, where)
	}
	for _, text := range []string{
		"origin in (ATL, ORD) and delay between -5 and 5 or origin prefix Å and not cancelled = false",
		"not (delay >= 30 or origin contains A) and origin exists", "origin > SEA or delay < -20", "origin suffix '_'",
	} {
		where, err := queries.ParseWhere(text)
		if err != nil {
			t.Fatal(err)
		}
		compareFlights(t, srv, duck, where)
	}
}

// compareFlights asks recount and DuckDB for the flights that conditions keep.
func compareFlights(t *testing.T, srv *server, duck *duckDB, where []queries.Condition) {
	t.Helper()
	q := &queries.Query{View: "flights", Where: where}
	scan, err := q.Resolve(oracle.Catalog(), "default") // It has dimensions of the same names and types.
	if err != nil {
		t.Fatal(err)
	}
	text := queries.FormatWhere(scan.Where)
	sql := duckCondition(queries.Condition{And: scan.Where})
	for mode, rows := range map[queries.Mode]string{queries.Exact: "NOT live", queries.Merged: "true",
		queries.Live: "live"} {
		want := duck.ask(fmt.Sprintf("SELECT origin, count(*)::INTEGER AS n, sum(distance)::INTEGER AS miles "+
			"FROM flights WHERE %s AND %s GROUP BY origin ORDER BY origin NULLS LAST", rows, sql))
		raw, err := json.Marshal(queries.Query{View: "flights", GroupBy: []string{"origin"}, Mode: mode,
			Where: scan.Where, Limit: queries.DefaultLimit})
		if err != nil {
			t.Fatal(err)
		}
		got, err := query(t.Context(), srv.url, string(raw))
		if err != nil {
			t.Fatalf("%s: %v\n%s", text, err, srv.logs)
		}
		if len(got.Rows) != len(want) {
			t.Fatalf("%s: %s: %d rows, want %d", text, mode, len(got.Rows), len(want))
		}
		for i, r := range got.Rows {
			if w := want[i]; r["origin"] != w["origin"] || r["n"] != w["n"] || r["miles"] != w["miles"] {
				t.Fatalf("%s: %s: got %v, want %v", text, mode, r, w)
			}
		}
	}
}

// duckCondition writes a resolved condition for DuckDB, in which a comparison with null is neither true nor false.
func duckCondition(c queries.Condition) string {
	all := func(conditions []queries.Condition, operator, none string) string {
		text := none
		for _, part := range conditions {
			text += operator + duckCondition(part)
		}
		return "(" + text + ")"
	}
	switch {
	case c.Not != nil:
		return "(NOT " + duckCondition(*c.Not) + ")"
	case c.Or != nil:
		return all(c.Or, " OR ", "false")
	case c.Op == "":
		return all(c.And, " AND ", "true")
	}
	return "coalesce(" + duckComparison(c) + ", false)"
}

func duckComparison(c queries.Condition) string {
	var values []string
	null := "false"
	for _, v := range c.Values {
		switch v := v.(type) {
		case nil:
			null = c.Dimension + " IS NULL"
		case string:
			v = strings.NewReplacer("'", "''", "\x00", "' || chr(0) || '", "\n", "' || chr(10) || '").Replace(v)
			values = append(values, "('"+v+"')")
		case bool:
			values = append(values, fmt.Sprint(v))
		default:
			values = append(values, fmt.Sprintf("CAST('%v' AS BIGINT)", v))
		}
	}
	in := fmt.Sprintf("(%s OR coalesce(%s IN (%s), false))", null, c.Dimension,
		strings.Join(append(values, "NULL"), ", "))
	switch c.Op {
	case queries.Eq, queries.In:
		return in
	case queries.Ne, queries.NotIn:
		return "NOT " + in
	case queries.Exists:
		return "(" + c.Dimension + " IS NOT NULL) = " + values[0]
	case queries.Between:
		return c.Dimension + " BETWEEN " + values[0] + " AND " + values[1]
	}
	if function, ok := map[queries.Op]string{queries.Prefix: "starts_with", queries.Suffix: "ends_with",
		queries.Contains: "contains"}[c.Op]; ok {
		return function + "(" + c.Dimension + ", " + values[0] + ")"
	}
	sign := map[queries.Op]string{queries.Lt: "<", queries.Le: "<=", queries.Gt: ">", queries.Ge: ">="}[c.Op]
	return c.Dimension + " " + sign + " " + values[0]
}

// duckDB is DuckDB in a process of its own.
type duckDB struct {
	t   *testing.T
	in  io.Writer
	out *bufio.Reader
}

func startDuckDB(t *testing.T) *duckDB {
	t.Helper()
	cmd := exec.Command("node", "flights.mjs")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait() // A statement that failed has ended it already, and the test.
	})
	return &duckDB{t, in, bufio.NewReader(out)}
}

// ask runs one statement and returns its rows.
func (d *duckDB) ask(sql string) (rows []row) {
	d.t.Helper()
	if _, err := fmt.Fprintln(d.in, strings.ReplaceAll(sql, "\n", " ")); err != nil {
		d.t.Fatal(err)
	}
	answer, err := d.out.ReadBytes('\n')
	if err != nil {
		d.t.Fatalf("DuckDB: %s: %v", sql, err)
	}
	if err := json.Unmarshal(answer, &rows); err != nil {
		d.t.Fatal(err)
	}
	return rows
}
