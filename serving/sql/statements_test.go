package sql

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"recount/serving/oracle"
	"recount/serving/reader"
)

// hour returns one event in each minute of an hour.
func hour() (events []oracle.Event) {
	for i := range 60 {
		events = append(events, event(i, map[string]any{"origin": fmt.Sprint("A", i%7)}))
	}
	return events
}

// TestDamage changes what ClickHouse has of a publication, before a statement or just before the engine reads. Each
// time the statement must fail, and never return a smaller number (Q3, Q5).
func TestDamage(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]string{
		"a row deleted":  "ALTER TABLE %[1]s DELETE WHERE toMinute(time) = 7 SETTINGS mutations_sync = 2",
		"a value edited": "ALTER TABLE %[1]s UPDATE n = 0 WHERE toMinute(time) = 7 SETTINGS mutations_sync = 2",
		"rows doubled":   "INSERT INTO %[1]s SELECT * FROM %[1]s WHERE toMinute(time) = 7",
		"all gone":       "TRUNCATE TABLE %[1]s",
		"table dropped":  "DROP TABLE %[1]s",
	} {
		for _, during := range []bool{false, true} {
			t.Run(fmt.Sprint(name, " ", during), func(t *testing.T) {
				t.Parallel()
				f := newFixture(t)
				f.insert("default", 4, hour())
				f.publish(4)
				if got := f.rows("default", "SELECT sum(n) FROM flights", "flights"); got != "60\n" {
					t.Fatalf("got %q", got)
				}
				breakIt := sync.OnceFunc(func() { f.exec(fmt.Sprintf(damage, f.table)) })
				if !during {
					breakIt()
				}
				engine := f.statements.cfg.Engine
				f.statements.cfg.Engine = func(ctx context.Context, tenant string, run func(Session) error) error {
					breakIt()
					return engine(ctx, tenant, run)
				}
				a, err := f.statements.run(t.Context(), "default", decided(Request{SQL: "SELECT sum(n) FROM flights",
					Format: "TabSeparated"}, "flights"))
				if !errors.Is(err, reader.ErrLost) {
					t.Fatalf("got %v, %v", a, err)
				}
			})
		}
	}
}

// TestMergeWhileStatementRuns merges parts while a statement reads them. It must be run again, and give the same
// number.
func TestMergeWhileStatementRuns(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, e := range hour() {
		f.insert("default", 4, []oracle.Event{e})
	}
	f.publish(4)
	engine := f.statements.cfg.Engine
	runs := 0
	f.statements.cfg.Engine = func(ctx context.Context, tenant string, run func(Session) error) error {
		if runs++; runs == 1 {
			f.exec("INSERT INTO " + f.table + " SELECT * REPLACE(9 AS _ver) FROM " + f.table)
			f.exec("OPTIMIZE TABLE " + f.table + " FINAL")
		}
		return engine(ctx, tenant, run)
	}
	if got := f.rows("default", "SELECT sum(n) FROM flights", "flights"); got != "60\n" || runs < 2 {
		t.Errorf("got %q after %d runs", got, runs)
	}
}

// TestNotPublished reads a view that the publication does not have.
func TestNotPublished(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.live = hour()
	if got := f.rows("default", "SELECT sum(n) FROM flights_merged", "flights_merged"); got != "60\n" {
		t.Errorf("before the first publication: %q", got)
	}
	f.state.N = 1
	_, err := f.statements.run(t.Context(), "default", decided(Request{SQL: "SELECT 1 FROM flights"}, "flights"))
	if !errors.Is(err, reader.ErrNotPublished) {
		t.Errorf("got %v", err)
	}
}

// TestLimits runs statements that need more than they may have. The memory that they held must be given back.
func TestLimits(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.statements.cfg.Limits.Rows = 1000
	f.statements.cfg.Limits.ResultBytes = 1 << 20
	f.statements.cfg.Limits.Memory = 256 << 20
	for sql, code := range map[string]int{
		"SELECT * FROM numbers(1001)":                                                  396,
		"SELECT repeat('x', 1000000) || toString(number) FROM numbers(3)":              396,
		"SELECT groupArray(number) FROM numbers(1000000000)":                           codeMemory,
		"SELECT number AS `" + strings.Repeat("long", 500) + "` FROM numbers(1000)":    0,
		"SELECT sum(a.number) FROM numbers(100000) AS a CROSS JOIN numbers(1000) AS b": -1,
	} {
		a, err := f.statements.run(t.Context(), "default", decided(Request{SQL: sql, Format: "JSONEachRow"}))
		switch {
		case code == -1 && err == nil:
			a.Close()
		case code == 0 && errors.Is(err, errResult):
		case code > 0 && hasCode(err, code):
		default:
			t.Errorf("%.60s: got %.300v", sql, err)
		}
		if n, _, _ := f.statements.cfg.Memory.Held(); n != 0 {
			t.Errorf("%.60s: %d bytes are held", sql, n)
		}
	}
}

// TestReads says what the tables of a statement need.
func TestReads(t *testing.T) {
	t.Parallel()
	all := tablesOf(oracle.Catalog())
	got := reads([]table{all["flights_states"], all["flights_live"]})
	if len(got) != 1 || got[0] != (reader.Table{View: "flights", Batch: true, Live: true}) {
		t.Errorf("got %+v", got)
	}
}

// TestNamesOfViewsComeFirst declares a view with the name of another one's table.
func TestNamesOfViewsComeFirst(t *testing.T) {
	t.Parallel()
	c := oracle.Catalog()
	other := *c.Views["flights"]
	other.Name = "flights_live"
	c.Views["flights_live"] = &other
	all := tablesOf(c)
	if got := all["flights_live"]; got.view != &other || got.kind != published || len(all) != 9 {
		t.Errorf("got %+v of %d tables", got, len(all))
	}
}

// TestEventsArriveDuringTheSearch has events come between the scans that look for the cells with events. The rows must
// be those of the last scan, each in its own cell.
func TestEventsArriveDuringTheSearch(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.live = hour()
	f.beforeScan = func(number int) {
		if number == 3 || number == 6 { // the last scan of a search
			f.live = append(f.live, event(number*1_000_000, map[string]any{"origin": "NEW"}))
		}
	}
	got := f.rows("default", "SELECT count(), countIf(origin = 'NEW'), max(time) FROM flights_live", "flights_live")
	if got != "62\t2\t2036-03-31 12:00:00.000000\n" {
		t.Errorf("got %q after %d scans", got, f.scans)
	}
	f.beforeScan = func(number int) { f.live = append(f.live, event(number*1_000_000, nil)) }
	_, err := f.statements.run(t.Context(), "default", decided(Request{SQL: "SELECT 1 FROM flights_live"},
		"flights_live"))
	if !errors.Is(err, reader.ErrLive) {
		t.Errorf("got %v after %d scans", err, f.scans)
	}
}
