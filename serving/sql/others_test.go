package sql

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"recount/serving/sql/guard"
)

// TestOthersChangeNothing reads the same rows with more and fewer rows of another tenant in the table, and in parts of
// other sizes. Every byte of a result must be the same, with the blocks of Native and Arrow, and the result of every
// aggregate function, of which some depend on blocks or on the order of rows.
func TestOthersChangeNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	statements := []Request{
		{SQL: "SELECT * FROM flights", Format: "Native"},
		{SQL: "SELECT * FROM flights_states", Format: "Native"},
		{SQL: "SELECT time, origin, n FROM flights WHERE n > 1 OR delay = 3", Format: "ArrowStream"},
		{SQL: "SELECT time, delay FROM flights", Format: "Parquet"},
		{SQL: "SELECT delay, late FROM flights LIMIT 30000", Format: "PrettyCompact"},
		{SQL: "SELECT origin, delay, groupArray(late) FROM flights GROUP BY ALL ORDER BY ALL", Format: "Native"},
		{SQL: aggregatesOf(t, f, "toFloat64(late) / 3"), Format: "TabSeparated"},
	}
	const own = 80_000 // They are more than a block.
	var want []string
	for _, c := range []struct {
		own, others int
		merged      bool
	}{{own, 0, true}, {own, 0, false}, {own, 1, true}, {own, 4999, false}, {own, 30_000, true}, {own, 90_001, true}} {
		f.exec("TRUNCATE TABLE " + f.table)
		f.fill("default", c.own/2)
		if c.others > 0 {
			f.fill("a tenant before", c.others/2)
			f.fill("other", c.others)
		}
		f.fillFrom("default", c.own/2, c.own)
		if c.merged {
			f.exec("OPTIMIZE TABLE " + f.table + " FINAL")
		}
		f.shared = true
		f.publish(4)
		for i, r := range statements {
			a, err := f.statements.Run(t.Context(), "default", r)
			if err != nil {
				t.Fatalf("%s: %v", r.SQL, err)
			}
			got := string(a.Body)
			a.Close()
			if i == len(want) {
				want = append(want, got)
			}
			if got != want[i] {
				t.Errorf("%d rows of others, merged %t: %.60s … FORMAT %s is another one, of %d bytes and not %d",
					c.others, c.merged, r.SQL, r.Format, len(got), len(want[i]))
			}
		}
	}
}

// aggregatesOf returns a statement with each aggregate function that takes one number.
func aggregatesOf(t *testing.T, f *fixture, argument string) string {
	t.Helper()
	f.publish(4)
	var calls []string
	for _, name := range guard.Aggregates() {
		call := name + "(" + argument + ")"
		a, err := f.statements.Run(t.Context(), "default", Request{SQL: "SELECT " + call + " FROM (SELECT 1 AS late)"})
		if err != nil {
			continue
		}
		a.Close()
		calls = append(calls, call)
	}
	if len(calls) < 50 || !slices.Contains(calls, "groupArray("+argument+")") {
		t.Fatalf("only %d functions: %s", len(calls), calls)
	}
	return "SELECT " + strings.Join(calls, ", ") + " FROM flights"
}

// TestOthersChangeNoEvents reads the same events with and without those of another tenant between them.
func TestOthersChangeNoEvents(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.publish(1)
	var want string
	for others := range 3 {
		f.raw = nil
		for i := range 11 { // Each is a fourth of an INSERT.
			for range others * (i % 3) {
				f.raw = append(f.raw, rawEvents("other", false, event(i, map[string]any{"tail": "SECRET"}))...)
			}
			tail := fmt.Sprint(i) + strings.Repeat("x", insertBytes/4)
			f.raw = append(f.raw, rawEvents("default", false, event(i, map[string]any{"tail": tail}))...)
		}
		got := eventBlocks(t, f)
		if others == 0 {
			want = got
		}
		if got != want {
			t.Errorf("with events of another tenant the result is another one")
		}
	}
}

// eventBlocks returns the blocks of events, sorted: threads read them in any order. A block begins with the numbers of
// its columns and rows, of a byte each, and the name of the first column.
func eventBlocks(t *testing.T, f *fixture) string {
	t.Helper()
	a, err := f.statements.Run(t.Context(), "default", Request{SQL: "SELECT time, tail FROM events_flight",
		Format: "Native"})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	const begin = "\x04time"
	var blocks []string
	parts := strings.Split(string(a.Body), begin)
	for i, part := range parts[1:] {
		head := parts[i][max(0, len(parts[i])-2):]
		if i+2 < len(parts) {
			part = part[:len(part)-2]
		}
		blocks = append(blocks, head+begin+part)
	}
	if len(blocks) < 2 {
		t.Fatalf("%d blocks in %d bytes; there must be two or more to compare", len(blocks), len(a.Body))
	}
	slices.Sort(blocks)
	return strings.Join(blocks, "")
}
