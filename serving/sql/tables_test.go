package sql

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"recount/serving/oracle"
)

var start = time.Date(2024, 11, 2, 20, 0, 0, 0, time.UTC)

func event(minute int, fields map[string]any) oracle.Event {
	return oracle.Event{Time: start.Add(time.Duration(minute) * time.Minute).UnixMicro(), Fields: fields}
}

// TestTables reads each table of a view, and the tables about tables.
func TestTables(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.insert("default", 4, []oracle.Event{
		event(0, map[string]any{"origin": "ORD", "delay": int64(5), "miles": 1.5, "tail": "N1", "at": int64(7)}),
		event(0, map[string]any{"origin": "ORD", "delay": int64(5), "miles": 2.5, "tail": "N2"}),
		event(61, map[string]any{"cancelled": true})})
	f.insert("other", 4, []oracle.Event{event(0, map[string]any{"origin": "SECRET"})})
	f.insert("default", 3, []oracle.Event{event(0, map[string]any{"origin": "OLD"})})
	f.publish(4)
	f.live = []oracle.Event{event(0, map[string]any{"origin": "ORD", "delay": int64(5), "miles": 4.0, "tail": "N3"}),
		event(20_000_000, map[string]any{"origin": "LIVE"})}
	for _, c := range []struct {
		sql  string
		used []string
		want string
	}{
		{"SELECT * FROM flights ORDER BY time", []string{"flights"},
			"2024-11-02 20:00:00.000000\tORD\t5\t\\N\t2\t10\t5\t5\t4\t2\t1.5\t1970-01-01 00:00:00.000007\t2\t" +
				"5\t5\t5\t1.5078125\t2.515625\t2.515625\n" +
				"2024-11-02 21:01:00.000000\t\\N\t\\N\ttrue\t1\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t0" +
				strings.Repeat("\t\\N", 6) + "\n"},
		{"SELECT sumMap(lateness__bins) FROM flights_states", []string{"flights_states"}, "{4241:2}\n"},
		{"SELECT lateness__p99, length__p50 FROM flights_live ORDER BY time", []string{"flights_live"},
			"5\t4.03125\n\\N\t\\N\n"},
		{"SELECT origin, n, late, tails FROM flights_live ORDER BY time", []string{"flights_live"},
			"ORD\t1\t5\t1\nLIVE\t1\t\\N\t0\n"},
		{"SELECT sum(n), sum(late), sum(far), count() FROM flights_merged", []string{"flights_merged"},
			"5\t15\t8\t4\n"},
		{"SELECT uniqExactArray(tails__hashes), sum(late__sum), sum(late__n) FROM flights_states",
			[]string{"flights_states"}, "2\t10\t2\n"},
		{"SELECT m.n, l.n FROM flights_merged AS m JOIN flights_live AS l USING (origin) JOIN flights USING (origin) " +
			"ORDER BY 1, 2", []string{"flights", "flights_live", "flights_merged"}, "1\t1\n2\t1\n"},
		{"SELECT name FROM `system tables` WHERE database = 'recount' ORDER BY name", []string{systemTables},
			"events_flight\nevents_flight_all\nflights\nflights_live\nflights_merged\nflights_states\n"},
		{"SELECT name, type FROM `system columns` WHERE table = 'flights_states' AND name LIKE 'tails%'",
			[]string{systemColumns}, "tails__hashes\tArray(UInt64)\n"},
		{"SELECT name FROM `system databases` ORDER BY name", []string{systemDatabases},
			"information_schema\nrecount\nsystem\n"},
		{"SELECT 1", nil, "1\n"},
	} {
		if got := f.rows("default", c.sql, c.used...); got != c.want {
			t.Errorf("%s\ngot  %q\nwant %q", c.sql, got, c.want)
		}
	}
	if got := f.rows("nobody", "SELECT count() FROM flights_merged", "flights_merged"); got != "0\n" {
		t.Errorf("another tenant reads %q rows", got)
	}
}

// eager is a session whose engine computes all conditions for all rows that it has, and none only where one before it
// holds. Which functions it computes so otherwise depends on its version.
type eager struct{ Session }

func (e eager) Set(settings map[string]string) error {
	settings = maps.Clone(settings)
	settings["short_circuit_function_evaluation"] = "disable"
	settings["enable_multiple_prewhere_read_steps"] = "0"
	return e.Session.Set(settings)
}

// TestNoRowOfOthersIsSeen has a client's conditions fail on values that only other rows of the table have: those of
// another tenant and of another version. Whether a statement fails must not depend on them.
func TestNoRowOfOthersIsSeen(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.insert("default", 4, []oracle.Event{event(0, map[string]any{"origin": "ORD"})})
	two := event(0, map[string]any{"origin": "SECRET"})
	f.insert("other", 4, []oracle.Event{two, two, event(1, map[string]any{"cancelled": true})})
	f.insert("default", 3, []oracle.Event{two})
	f.exec("OPTIMIZE TABLE " + f.table + " FINAL") // The index must not tell the rows apart.
	f.publish(4)
	engine := f.statements.cfg.Engine
	f.statements.cfg.Engine = func(ctx context.Context, tenant string, run func(Session) error) error {
		return engine(ctx, tenant, func(s Session) error { return run(eager{s}) })
	}
	for _, condition := range []string{"intDiv(1, n != 2) = 1", "intDiv(1, origin != 'SECRET') = 1 AND n > 0",
		"intDiv(1, time = '2024-11-02 20:00:00') = 1"} {
		for _, sql := range []string{"SELECT count() FROM flights WHERE %[1]s", "SELECT countIf(%[1]s) FROM flights",
			"SELECT sum(c) FROM (SELECT origin, %[1]s AS e, count() AS c FROM flights_merged GROUP BY origin, e, n, " +
				"time HAVING e AND %[1]s)",
			"SELECT count() FROM (SELECT * FROM flights_merged ORDER BY time LIMIT 5) WHERE %[1]s",
			"SELECT count() FROM flights AS a JOIN (SELECT time AS t FROM flights) AS b ON a.time = b.t WHERE %[1]s",
		} {
			text := fmt.Sprintf(sql, condition)
			if got := f.rows("default", text, "flights", "flights_merged"); got != "1\n" {
				t.Errorf("%s: got %q", text, got)
			}
		}
	}
}
