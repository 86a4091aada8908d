package sql

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"recount/schemas/access"
	"recount/serving/sql/door"
	"recount/serving/sql/guard"
)

// openDoor returns the address of ClickHouse's HTTP interface over the fixture.
func (f *fixture) openDoor() string {
	f.t.Helper()
	d, err := door.New(door.Config{Database: Database,
		Authenticate: func(*http.Request) (access.Principal, error) {
			return access.Principal{Tenant: "default", Scopes: access.Query}, nil
		},
		Run: func(w http.ResponseWriter, r *http.Request, s door.Statement,
			answer func(http.ResponseWriter, *door.Result) error) error {
			a, err := f.statements.Run(r.Context(), "default", Request{SQL: s.SQL, Format: s.Format,
				Revision: s.Revision, Parameters: s.Parameters, Settings: s.Settings})
			if err != nil {
				return doorException(err)
			}
			defer a.Close()
			return answer(w, &door.Result{Body: a.Body, Format: a.Format, MediaType: MediaType(a.Format)})
		}})
	if err != nil {
		f.t.Fatal(err)
	}
	server := httptest.NewServer(d)
	f.t.Cleanup(server.Close)
	return server.URL
}

func doorException(err error) error {
	var refused *guard.Refusal
	if errors.As(err, &refused) {
		return &door.Exception{Code: refused.Code, Name: refused.Name, Text: refused.Error()}
	}
	var failed *Failure
	if errors.As(err, &failed) && failed.Code != 0 {
		return &door.Exception{Code: failed.Code, Name: failed.Name, Text: failed.Text}
	}
	return &door.Exception{Code: 1, Name: "FAILED", Text: err.Error()}
}

// ask sends a statement as a client does, and returns its result or its error.
func ask(t testing.TB, address, parameters, statement string) string {
	t.Helper()
	answer, err := http.Post(address+"/?"+parameters, "text/plain", strings.NewReader(statement))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// TestSettingsOfClients sends the parameters that clients send beside a statement, as they were recorded: of their own
// accord, and where a user limits the rows or the time.
func TestSettingsOfClients(t *testing.T) {
	t.Parallel()
	at := newFixture(t).openDoor()
	const five = "0\n1\n2\n3\n4\n"
	for _, tt := range []struct{ client, parameters, want string }{
		{"JDBC 0.10.0", "query_id=1c726d20", five},
		{"JDBC, setMaxRows(2) with jdbc_use_max_result_rows",
			"query_id=1d636a3c&max_result_rows=2&result_overflow_mode=break", "0\n1\n"},
		{"JDBC, setMaxRows(0) with jdbc_use_max_result_rows",
			"query_id=1d636a3c&max_result_rows=9223372036854775807&result_overflow_mode=break", five},
		{"Metabase over JDBC", "query_id=24f22162&select_sequential_consistency=1&session_timezone=Europe%2FBerlin",
			five},
		{"clickhouse-connect 1.12.0 when it connects", "query_id=298b1671&wait_end_of_query=1", five},
		{"clickhouse-connect", "query_id=6765a7f8&session_id=c519ccef&wait_end_of_query=1", five},
		{"clickhouse-connect with settings", "session_id=c519ccef&wait_end_of_query=1&max_block_size=1000&" +
			"max_execution_time=5&max_result_rows=3&result_overflow_mode=break", "0\n1\n2\n"},
		{"clickhouse-connect of an earlier version", "session_id=c519ccef&send_progress_in_http_headers=1&" +
			"http_headers_progress_interval_ms=120000&date_time_input_format=best_effort&" +
			"cancel_http_readonly_queries_on_client_close=1", five},
		{"Superset", "database=recount&query_id=0b209693&session_id=287aaab0&wait_end_of_query=1", five},
		{"Grafana (clickhouse-go) with a row limit", "database=default&limit=3&max_execution_time=13", "0\n1\n2\n"},
		{"@clickhouse/client 1.23.1", "query_id=ddef4b36", five},
		{"@clickhouse/client with settings",
			"query_id=9fea3047&max_execution_time=3&max_result_rows=3&result_overflow_mode=break", "0\n1\n2\n"},
	} {
		if got := ask(t, at, tt.parameters, "SELECT number FROM numbers(5)"); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.client, got, tt.want)
		}
	}
}

// TestLimitsOfClients asks for less than the limits allow, and for more.
func TestLimitsOfClients(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.statements.cfg.Limits.Rows = 1000
	at := f.openDoor()
	const five = "SELECT number FROM numbers(5)"
	const many = "SELECT number FROM numbers(1001)"
	for _, tt := range []struct{ parameters, statement, want string }{
		{"max_result_rows=4", five, "more than 4 rows"},
		{"max_result_rows=5", five, "0\n1\n2\n3\n4\n"},
		{"max_result_rows=0&max_execution_time=0&max_memory_usage=0", five, "0\n1\n2\n3\n4\n"},
		{"max_result_rows=5000", many, "more than 1000 rows"},
		{"max_result_rows=5000&result_overflow_mode=break", many, "more than 1000 rows"},
		{"limit=5000", many, "more than 1000 rows"},
		{"max_result_rows=1000&result_overflow_mode=break", many, ""},
		{"max_result_bytes=10", "SELECT repeat('x', 20)", "more than 1000 rows or 10 bytes"},
		{"limit=2&offset=1", five, "1\n2\n"},
		{"limit=4&max_result_rows=2&result_overflow_mode=break", five, "0\n1\n"},
		{"limit=2", five + " LIMIT 1", "0\n"},
		{"limit=2", "SELECT count() FROM (" + five + ")", "5\n"},
		{"limit=2", five + " SETTINGS limit = 1", "0\n"},
		{"offset=1", "SELECT sum(n) FROM flights_merged", ""},
		{"", five + " SETTINGS max_threads = 1, max_block_size = 1", "0\n1\n2\n3\n4\n"},
		// The engine would not cut the first, and give nothing for the second.
		{"limit=1&offset=1", "SELECT 1 UNION ALL SELECT 1", "1\n1\n"},
		{"limit=2", five + " ORDER BY number LIMIT -3", "2\n3\n4\n"},
		{"max_execution_time=0.2", "SELECT sum(cityHash64(number)) FROM numbers(1000000000000)", "deadline"},
		{"", "SELECT sum(cityHash64(number)) FROM numbers(1000000000000) SETTINGS max_execution_time = 0.2",
			"deadline"},
		{"max_execution_time=x", five, "must be a number of seconds"},
		{"max_result_rows=many", five, "must be a whole number"},
		{"result_overflow_mode=any", five, "must be throw or break"},
		{"max_memory_usage=1000", "SELECT length(groupArray(number)) FROM numbers(100000)", "needs more than"},
		{"max_rows_to_read=1", five, "max_execution_time or max_result_rows"},
		{"timeout_overflow_mode=break", five, "a result is whole"},
	} {
		got := ask(t, at, tt.parameters, tt.statement)
		if got != tt.want && (tt.want == "" && strings.HasPrefix(got, "Code") || !strings.Contains(got, tt.want) ||
			strings.HasSuffix(tt.want, "\n")) {
			t.Errorf("%s with %s: got %q, want %q", tt.statement, tt.parameters, got, tt.want)
		}
	}
	if n, _, _ := f.statements.cfg.Memory.Held(); n != 0 {
		t.Errorf("%d bytes are held", n)
	}
	if got := ask(t, at, "limit=1&query="+url.QueryEscape("SELECT count() FROM system.settings WHERE name IN "+
		"('max_result_rows', 'limit', 'readonly')"), ""); got != "2\n" {
		t.Errorf("system.settings has %s", got)
	}
}
