package sql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"pgregory.net/rapid"

	"recount/schemas/catalog"
	"recount/schemas/conversion"
	"recount/schemas/eventbatch"
	"recount/schemas/query"
	"recount/serving/oracle"
)

// rawEvent is an event as the fixture's lake has it.
type rawEvent struct {
	oracle.Event
	tenant string
	isCopy bool
}

// Read yields the raw events in chunks of three, of which every second has strings as dictionaries.
func (f *fixture) Read(_ context.Context, q *query.EventsOf, add func(*query.EventRows) error) error {
	number := 0
	for chunk := range slices.Chunk(f.raw, 3) {
		number++
		rows := &query.EventRows{}
		for _, e := range chunk {
			rows.Wanted = append(rows.Wanted, e.tenant == q.Tenant && e.Time >= q.From && e.Time < q.To)
			rows.Copies = append(rows.Copies, e.isCopy)
		}
		var fields []arrow.Field
		var arrays []arrow.Array
		for _, name := range q.Columns {
			if a := f.rawColumn(name, chunk, number%2 == 0); a != nil {
				fields = append(fields, arrow.Field{Name: name, Type: a.DataType(), Nullable: true})
				arrays = append(arrays, a)
			}
		}
		rows.Rec = array.NewRecord(arrow.NewSchema(fields, nil), arrays, int64(len(chunk)))
		rows.Lost = conversion.Lost{"delay": {0}}
		if err := add(rows); err != nil {
			return err
		}
	}
	return nil
}

// rawColumn returns a column of events, or nil if none of them has the field.
func (f *fixture) rawColumn(name string, events []rawEvent, dictionary bool) arrow.Array {
	t, declared := f.catalog.Events["flight"].Column(name)
	arrowType := eventbatch.ArrowType(t)
	switch name {
	case "_partition", "_epoch", "_index":
		arrowType = arrow.PrimitiveTypes.Int32
	case "_seq":
		arrowType = arrow.PrimitiveTypes.Int64
	case eventbatch.ColTime:
		arrowType = eventbatch.TimestampType
	case eventbatch.ColID, eventbatch.ColSource:
		arrowType = arrow.BinaryTypes.String
	default:
		if !declared {
			return nil
		}
	}
	if dictionary && arrow.TypeEqual(arrowType, arrow.BinaryTypes.String) {
		arrowType = &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: arrow.BinaryTypes.String}
	}
	b := array.NewBuilder(memory.DefaultAllocator, arrowType)
	filled := false
	for i, e := range events {
		own := map[string]any{eventbatch.ColTime: e.Time, eventbatch.ColID: fmt.Sprint(i), eventbatch.ColSource: "",
			"_partition": int64(i), "_epoch": int64(i), "_index": int64(i), "_seq": int64(i)}
		v, found := own[name]
		if !found {
			v, found = e.Fields[name]
		}
		filled = filled || found
		if !found {
			b.AppendNull()
			continue
		}
		appendRaw(b, v)
	}
	if !filled {
		return nil
	}
	return b.NewArray()
}

func appendRaw(b array.Builder, v any) {
	switch b := b.(type) {
	case *array.StringBuilder:
		b.Append(v.(string))
	case *array.BinaryDictionaryBuilder:
		if err := b.AppendString(v.(string)); err != nil {
			panic(err)
		}
	case *array.Int64Builder:
		b.Append(v.(int64))
	case *array.Int32Builder:
		b.Append(int32(v.(int64)))
	case *array.Float64Builder:
		b.Append(v.(float64))
	case *array.BooleanBuilder:
		b.Append(v.(bool))
	case *array.TimestampBuilder:
		b.Append(arrow.Timestamp(v.(int64)))
	}
}

// rawEvents are events of a tenant.
func rawEvents(tenant string, isCopy bool, events ...oracle.Event) (out []rawEvent) {
	for _, e := range events {
		out = append(out, rawEvent{e, tenant, isCopy})
	}
	return out
}

// TestEventsAgainstViews stores random events as cells and as raw events, among copies and those of another tenant.
// Every cell of the view must be what its events add up to.
func TestEventsAgainstViews(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ver := uint64(0)
	rapid.Check(t, func(t *rapid.T) {
		ver += 2
		batch := oracle.Draw(t, start, 300, 40)
		f.insert("default", ver, batch)
		f.publish(ver)
		f.raw = rawEvents("default", false, batch...)
		f.raw = append(f.raw, rawEvents("default", true, oracle.Draw(t, start, 300, 5)...)...)
		f.raw = append(f.raw, rawEvents("other", false, oracle.Draw(t, start, 300, 5)...)...)
		keys := "toInt64(toUnixTimestamp(toStartOfMinute(time))) * 1000000 AS minute, origin, delay, cancelled"
		compare(t, "events", f.groups(t, "SELECT "+dimensions+", n, late, mean, worst, short, "+
			"toUnixTimestamp64Micro(first), tails FROM flights", 4, "flights"),
			f.groups(t, "SELECT "+keys+", count(), sum(delay), avg(delay), max(delay), min(miles) + 0, "+
				"toUnixTimestamp64Micro(min(at)), uniqExact(tail) FROM events_flight "+
				"GROUP BY minute, origin, delay, cancelled", 4, "events_flight"))
	})
}

// TestEvents reads tables of an event type as clients do.
func TestEvents(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.publish(1)
	f.raw = append(rawEvents("default", false, event(0, map[string]any{"origin": "ORD", "delay": int64(5), "miles": 0.5,
		"cancelled": true, "at": int64(7)}), event(70, map[string]any{"tail": "N1"})),
		rawEvents("other", false, event(0, map[string]any{"origin": "SECRET"}))...)
	f.raw = append(f.raw, rawEvents("default", true, event(0, nil))...)
	for _, c := range []struct{ sql, want string }{
		{"SELECT * FROM events_flight ORDER BY time LIMIT 1", "2024-11-02 20:00:00.000000\t0\t\t\\N\t" +
			"1970-01-01 00:00:00.000007\ttrue\t5\t0.5\tORD\t\\N\t\\N\t0\t0\t0\t0\n"},
		{"SELECT count(*) FROM events_flight", "2\n"},
		{"SELECT count() FROM events_flight SETTINGS events_from = '2024-11-02T20:00:01Z'", "1\n"},
		{"SELECT count() FROM events_flight SETTINGS events_to = '2024-11-02T21:10:00Z'", "1\n"},
		{"SELECT _copy, count(), max(origin) FROM events_flight_all GROUP BY _copy ORDER BY 1",
			"false\t2\tORD\ntrue\t1\t\\N\n"},
		{"SELECT e.tail FROM events_flight AS e WHERE e.tail IS NOT NULL", "N1\n"},
		{"SELECT x FROM (SELECT * EXCEPT time, delay AS x FROM events_flight) WHERE x > 1", "5\n"},
		{"SELECT COLUMNS('^dela') FROM events_flight WHERE delay > 1", "5\n"},
		{"SELECT a.delay, b.delay FROM events_flight AS a JOIN events_flight_all AS b USING (time, origin) " +
			"WHERE NOT _copy", "5\t5\n"},
		{"SELECT delay.null FROM events_flight WHERE time < '2024-11-02 20:30:00'", "0\n"},
		{"SELECT name FROM system.columns WHERE table = 'events_flight' AND name LIKE '_s%'", "_seq\n"},
		{"SELECT comment FROM system.tables WHERE name = 'events_flight'",
			"events of the type flight that the newest publication counts\n"},
	} {
		a, err := f.statements.Run(t.Context(), "default", Request{SQL: c.sql, Format: "TSV"})
		if err != nil {
			t.Errorf("%s: %v", c.sql, err)
			continue
		}
		if got := string(a.Body); got != c.want {
			t.Errorf("%s\ngot  %q\nwant %q", c.sql, got, c.want)
		}
		a.Close()
	}
	for sql, want := range map[string]string{
		"SELECT time IN events_flight FROM events_flight":             "NUMBER_OF_COLUMNS_DOESNT_MATCH",
		"SELECT * FROM events_flight SETTINGS events_from = 'Monday'": "the setting events_from",
		"SELECT nothing FROM events_flight":                           "nothing",
	} {
		_, err := f.statements.Run(t.Context(), "default", Request{SQL: sql})
		var failed *Failure
		if !errors.As(err, &failed) || !strings.Contains(failed.Text, want) {
			t.Errorf("%s: got %v", sql, err)
		}
	}
	a, err := f.statements.Run(t.Context(), "default", Request{SQL: "SELECT sum(delay) FROM events_flight"})
	if err != nil || a.Accuracy.Unconverted != 1 || a.Accuracy.Exact {
		t.Fatalf("got %+v, %v", a, err)
	}
	a.Close()
}

// TestEventsTellNothing asks for what the tables of events are made of, and for events of another tenant.
func TestEventsTellNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.publish(1)
	f.raw = append(rawEvents("default", false, event(0, map[string]any{"origin": "ORD"})),
		rawEvents("other", false, event(0, map[string]any{"origin": "SECRET"}), event(0, nil))...)
	shown := func(sql string) (text string, failed bool) {
		a, err := f.statements.Run(t.Context(), "default", Request{SQL: sql, Format: "TSV"})
		if err != nil {
			return err.Error(), true
		}
		defer a.Close()
		return string(a.Body), false
	}
	check := func(sql, text string) {
		for _, inside := range []string{"SECRET", "RowBinary", "INSERT INTO", "staged", "/tmp", "test_"} {
			if strings.Contains(text, inside) && !strings.Contains(sql, inside) {
				t.Errorf("%s: %q shows %s", sql, text, inside)
			}
		}
	}
	for _, c := range []struct{ sql, want string }{
		{"SELECT create_table_query, as_select, data_paths, total_rows, total_bytes FROM system.tables " +
			"WHERE name = 'events_flight'", "\t\t[]\t\\N\t\\N\n"},
		{"SELECT count() FROM events_flight WHERE intDiv(1, origin != 'SECRET') = 1", "1\n"},
		{"SELECT countIf(intDiv(1, assumeNotNull(origin) != '') = 1) FROM events_flight_all", "1\n"},
		{"SELECT count() FROM events_flight SETTINGS events_from = '1970-01-01T00:00:00Z'", "1\n"},
		{"SELECT groupArray(origin) FROM (SELECT * FROM events_flight UNION ALL SELECT * FROM events_flight)",
			"['ORD','ORD']\n"},
		{"SELECT length(groupUniqArrayArray([n, n])) FROM flights_states", "0\n"},
	} {
		text, _ := shown(c.sql)
		check(c.sql, text)
		if text != c.want {
			t.Errorf("%s: got %q, want %q", c.sql, text, c.want)
		}
	}
	for _, sql := range []string{"SHOW CREATE TABLE events_flight", "EXPLAIN SELECT * FROM events_flight",
		"EXPLAIN SYNTAX SELECT * FROM events_flight", "SELECT _tenant FROM events_flight",
		"SELECT _key FROM events_flight", "SELECT _path, _file FROM events_flight",
		"SELECT toInt64(assumeNotNull(origin)) FROM events_flight",
		"SELECT * FROM file('recount-data/s3/objects/**.parquet')",
		"SELECT * FROM s3('http://127.0.0.1:9000/recount/data/**.parquet')",
		"SELECT * FROM icebergLocal('recount-data/s3/objects/recount/iceberg')",
		"SELECT * FROM events_recount_dead_letter", "SELECT * FROM events_flight FINAL",
		"INSERT INTO events_flight SELECT * FROM events_flight", "SELECT * FROM events_flight INTO OUTFILE 'x'",
		"SELECT * FROM merge('events_.*')", "SELECT * FROM events_flight SETTINGS readonly = 0",
	} {
		text, failed := shown(sql)
		check(sql, text)
		if !failed {
			t.Errorf("%s: got %q", sql, text)
		}
	}
}

// TestTooManyEvents reads more events than a statement may.
func TestTooManyEvents(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.publish(1)
	tail := map[string]any{"tail": strings.Repeat("x", 100)}
	for i := range 20000 {
		f.raw = append(f.raw, rawEvents("default", false, event(i, tail))...)
	}
	f.statements.cfg.Limits.Events = 1 << 20
	_, err := f.statements.Run(t.Context(), "default", Request{SQL: "SELECT tail FROM events_flight LIMIT 1"})
	var failed *Failure
	if !errors.As(err, &failed) || failed.Kind != TooLarge || !strings.Contains(failed.Text, eventsFrom) {
		t.Errorf("got %v", err)
	}
	// Each of the two tables has less than a statement may read, and both together have more.
	f.raw = f.raw[:6000]
	_, err = f.statements.Run(t.Context(), "default", Request{SQL: "SELECT (SELECT max(tail) FROM events_flight), " +
		"(SELECT max(tail) FROM events_flight_all)"})
	if !errors.As(err, &failed) || failed.Kind != TooLarge {
		t.Errorf("two tables: got %v", err)
	}
	a, err := f.statements.Run(t.Context(), "default", Request{SQL: "SELECT count(), max(tail) != '' " +
		"FROM events_flight", Format: "TSV"})
	if err != nil || string(a.Body) != "6000\t1\n" {
		t.Fatalf("got %v, %v", a, err)
	}
	a.Close()
	if held, _, _ := f.statements.cfg.Memory.Held(); held != 0 {
		t.Errorf("%d bytes are still held", held)
	}
}

// TestEventTables names tables of types that are called alike.
func TestEventTables(t *testing.T) {
	t.Parallel()
	c := &catalog.Catalog{Events: map[string]*catalog.EventType{}, Views: map[string]*catalog.View{"events_v": {
		Name: "events_v", Event: "x"}}}
	for _, name := range []string{"a.b", "a_b", "a-b", "x.y-z", "x.y-z_all", "v", "recount.dead_letter", "Big"} {
		c.Events[name] = &catalog.EventType{Name: name}
	}
	var got []string
	for name, t := range tablesOf(c) {
		if t.event != nil {
			got = append(got, name+" "+t.event.Name)
		}
	}
	slices.Sort(got)
	want := []string{"events_Big Big", "events_Big_all Big", "events_a_b a_b", "events_a_b_all a_b", "events_v_all v",
		"events_x_y_z x.y-z", "events_x_y_z_all x.y-z_all", "events_x_y_z_all_all x.y-z_all"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
