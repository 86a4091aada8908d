package sql

import (
	"errors"
	"strings"
	"testing"

	"recount/serving/oracle"
	"recount/serving/reader"
	"recount/serving/sql/guard"
)

// filled is a fixture with a publication and a real-time row.
func filled(t *testing.T) *fixture {
	t.Helper()
	f := newFixture(t)
	f.insert("default", 4, []oracle.Event{event(0, map[string]any{"origin": "ORD", "delay": int64(5), "tail": "N1"}),
		event(61, map[string]any{"origin": "ATL", "delay": int64(7), "tail": "N2"})})
	f.insert("other", 4, []oracle.Event{event(0, map[string]any{"origin": "SECRET"})})
	f.publish(4)
	f.live = []oracle.Event{event(0, map[string]any{"origin": "ORD"})}
	return f
}

// TestRun runs statements as clients send them.
func TestRun(t *testing.T) {
	t.Parallel()
	f := filled(t)
	for _, c := range []struct {
		r    Request
		want string
	}{
		{Request{SQL: "SELECT origin, n FROM flights ORDER BY origin -- a comment\n;", Format: "csv"},
			"\"origin\",\"n\"\n\"ATL\",1\n\"ORD\",1\n"},
		{Request{SQL: "SELECT sum(n) AS s FROM recount.flights_merged FORMAT JSONEachRow"}, "{\"s\":3}\n"},
		{Request{SQL: "SELECT count() FROM flights WHERE origin = {o:String} AND delay IN {d:Array(Int64)} FORMAT TSV",
			Parameters: map[string]string{"o": "ORD", "d": "[5,6]"}}, "1\n"},
		{Request{SQL: "SELECT uniqExactArray(tails__hashes) FROM flights_states", Format: "TSV"}, "2\n"},
		{Request{SQL: "SHOW TABLES", Format: "TSV"}, "events_flight\nevents_flight_all\n" +
			"flights\nflights_live\nflights_merged\nflights_states\n"},
		{Request{SQL: "DESCRIBE TABLE flights FORMAT TSV"}, ""},
		{Request{SQL: "SELECT 1 AS x FORMAT JSON"}, ""},
		{Request{SQL: "SELECT origin FROM flights WHERE n > 5"}, ""},
		{Request{SQL: "SELECT a.n FROM flights AS a LEFT JOIN (SELECT 'x' AS origin, 5 AS m) AS b USING (origin) " +
			"WHERE m IS NULL ORDER BY 1 SETTINGS join_use_nulls = 1 FORMAT TSV"}, "1\n1\n"},
	} {
		a, err := f.statements.Run(t.Context(), "default", c.r)
		if err != nil {
			t.Errorf("%s: %v", c.r.SQL, err)
			continue
		}
		if got := string(a.Body); c.want != "" && got != c.want {
			t.Errorf("%s: got %q, want %q", c.r.SQL, got, c.want)
		}
		if strings.Contains(string(a.Body), "rows_read") || MediaType(a.Format) == "" {
			t.Errorf("%s: %s in %s", c.r.SQL, a.Body, a.Format)
		}
		a.Close()
	}
}

// TestFailures says what a client is told. No text has a value of a row, and none has a name of what is inside.
func TestFailures(t *testing.T) {
	t.Parallel()
	f := filled(t)
	for sql, want := range map[string]Kind{
		"SELECT * FROM cells":                                                     -1,
		"SELECT * FROM url('http://127.0.0.1/', CSV)":                             -1,
		"SELECT 1; SELECT 2":                                                      -1,
		"SELECT 1 SETTINGS readonly = 0":                                          Refused,
		"SELECT 1 FORMAT Template":                                                BadFormat,
		"SELECT FROM WHERE":                                                       Invalid,
		"SELECT nothing FROM flights":                                             Invalid,
		"SELECT toInt64(assumeNotNull(origin)) FROM flights":                      Invalid,
		"SELECT sum(origin) FROM flights":                                         Invalid,
		"SELECT n FROM flights GROUP BY origin":                                   Invalid,
		"SELECT {x:UInt8}":                                                        Invalid,
		"SELECT groupArray(number) FROM numbers(1000000000)":                      TooLarge,
		"SELECT * FROM numbers(10000000)":                                         TooLarge,
		"SELECT intDiv(1, 0) FROM flights":                                        Invalid,
		"SELECT toInt64((SELECT any(origin) FROM flights)) AS x, no FROM flights": Invalid,
	} {
		_, err := f.statements.Run(t.Context(), "default", Request{SQL: sql})
		var failed *Failure
		var refused *guard.Refusal
		switch {
		case want == -1 && errors.As(err, &refused):
		case want >= 0 && errors.As(err, &failed) && failed.Kind == want:
		default:
			t.Errorf("%s: got %v", sql, err)
			continue
		}
		for _, inside := range []string{"ORD", "ATL", "SECRET", "cells_", "tenant", "_ver", "test_"} {
			if strings.Contains(err.Error(), inside) {
				t.Errorf("%s: %q shows %s", sql, err, inside)
			}
		}
		t.Logf("%s: %v", sql, err)
	}
	f.live = nil
	f.state.N++
	delete(f.state.Views, "flights")
	if _, err := f.statements.Run(t.Context(), "default", Request{SQL: "SELECT 1 FROM flights"}); !errors.Is(err,
		reader.ErrNotPublished) {
		t.Errorf("got %v", err)
	}
}

// TestWrongSettings gives each allowed setting a value that it does not take.
func TestWrongSettings(t *testing.T) {
	t.Parallel()
	f := filled(t)
	for name := range allowedSettings {
		_, err := f.statements.Run(t.Context(), "default", Request{SQL: "SELECT 1 FROM flights",
			Settings: map[string]string{name: "Mars/X"}})
		var failed *Failure
		if !errors.As(err, &failed) || failed.Kind != Invalid || !strings.Contains(failed.Text, "setting "+name) ||
			failed.Code == 0 || failed.Name == "" {
			t.Errorf("%s: got %#v", name, err)
		}
	}
}
