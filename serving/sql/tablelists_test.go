package sql

import (
	"strings"
	"testing"
)

// TestTablesOfClients asks for databases, tables and columns in all ways. The fixture has rows of another tenant, and
// tables of cells; neither may be in any answer.
func TestTablesOfClients(t *testing.T) {
	t.Parallel()
	f := filled(t)
	at := f.openDoor()
	const all = "events_flight\nevents_flight_all\nflights\nflights_live\nflights_merged\nflights_states\n"
	for _, tt := range []struct{ statement, want string }{
		{"SHOW TABLES", all},
		{"SHOW TABLES FROM default", all},
		{"SHOW TABLES IN `recount`", all},
		{"show tables like '%\\_live'", "flights_live\n"},
		{"SHOW TABLES LIKE 'FLIGHTS'", ""},
		{"SHOW TABLES ILIKE 'FLIGHTS'", "flights\n"},
		{"SHOW TABLES FROM recount NOT LIKE 'flights\\_%'", "events_flight\nevents_flight_all\nflights\n"},
		{"SHOW TABLES NOT ILIKE '%E%'", "flights\n"},
		{"SHOW TABLES LIMIT 2", "events_flight\nevents_flight_all\n"},
		{"SHOW FULL TABLES LIKE 'flights'", "flights\tView\n"},
		{"SHOW TABLES FROM information_schema", "columns\nschemata\ntables\n"},
		{"SHOW TABLES FROM other", ""},
		{"SHOW DATABASES", "information_schema\nrecount\nsystem\n"},
		{"SHOW SCHEMAS LIKE 'rec%'", "recount\n"},
		{"SHOW DATABASES NOT LIKE '%s%' LIMIT 1", "recount\n"},
		{"SHOW COLUMNS FROM flights LIKE 'n'", "n\tUInt64\tNO\t\t\\N\t\n"},
		{"SHOW FULL COLUMNS IN flights FROM recount LIKE 'ori%'",
			"origin\tLowCardinality(Nullable(String))\tYES\t\t\\N\t\t\\N\t\t\n"},
		{"SHOW COLUMNS FROM default.flights LIMIT 1", "time\tDateTime64(6, \\'UTC\\')\tNO\t\t\\N\t\n"},
		{"SHOW COLUMNS FROM nowhere", "Code: 60"},
		{"SHOW FUNCTIONS LIKE 'file'", ""},
		{"SHOW SETTINGS LIKE 'join_use%'", "join_use_nulls\tBool\t0\n"},
		{"SHOW TABLES LIKE", "Code: 497"},
		{"SHOW TABLES WHERE 1", "Code: 497"},
		{"SHOW CREATE TABLE flights", "Code: 497"},
		{"SHOW PROCESSLIST", "Code: 497"},
		{"SELECT name FROM (SELECT 1) SHOW TABLES", "Code: 62"},
		{"DESC TABLE \"recount\".\"flights\" SETTINGS join_use_nulls = 1", "time\tDateTime64(6, \\'UTC\\')"},
		{"DESCRIBE TABLE default.flights_states", "uniqExactArray() counts them"},
		{"DESCRIBE nowhere", "Code: 60"},
		{"DESCRIBE other.flights", "Code: 60"},
		{"EXISTS TABLE flights", "1\n"},
		{"EXISTS VIEW recount.flights_live", "1\n"},
		{"EXISTS default.flights", "1\n"},
		{"EXISTS nowhere", "0\n"},
		{"EXISTS system.parts", "0\n"},
		{"EXISTS DATABASE recount", "1\n"},
		{"EXISTS DATABASE `default`", "1\n"},
		{"EXISTS DATABASE recount_sql", "0\n"},
		{"SELECT currentDatabase(), database(), DATABASE(), currentUser()", "recount\trecount\trecount\tdefault\n"},
		{"SELECT * FROM system.one", "0\n"},
		{"SELECT o.dummy FROM system.one AS o WHERE 0 IN system.one", "0\n"},
		{"SELECT number FROM system.numbers LIMIT 2", "0\n1\n"},
		{"SELECT * FROM VALUES ((1, 'a'), (2, 'b'))", "1\ta\n2\tb\n"},
		{"SELECT count() > 1000, max(name = 'file') FROM system.functions", "1\t0\n"},
		{"SELECT is_aggregate, origin, description != '', syntax != '' FROM system.functions WHERE name = 'uniqExact'",
			"1\tSystem\t1\t1\n"},
		{"SELECT name FROM system.functions WHERE name = 'numbers' UNION ALL SELECT name FROM system.table_functions " +
			"WHERE name = 'numbers' LIMIT 10000", "numbers\n"},
		{"SELECT count() FROM system.table_functions WHERE name IN ('url', 'file')", "0\n"},
		{"SELECT value = '1' FROM system.settings WHERE name = 'cloud_mode'", ""},
		{"SELECT sum(readonly) FROM system.settings", "0\n"},
		{"SELECT count() = 0 FROM system.clusters WHERE is_local = 0", "1\n"},
		{"SELECT count() > 10 FROM system.data_type_families", "1\n"},
		{"SELECT schema_name FROM information_schema.schemata ORDER BY ALL", "information_schema\nrecount\nsystem\n"},
		{"SELECT TABLE_NAME, table_type FROM INFORMATION_SCHEMA.TABLES WHERE table_schema = 'recount' ORDER BY 1 " +
			"LIMIT 1", "events_flight\tVIEW\n"},
		{"SELECT t.table_name, count() FROM information_schema.columns AS c JOIN information_schema.tables AS t " +
			"ON t.table_name = c.table_name AND t.table_schema = currentDatabase() JOIN system.tables AS s " +
			"ON s.name = t.table_name GROUP BY 1 ORDER BY 1 LIMIT 1", "events_flight\t15\n"},
		{"SELECT column_name, ORDINAL_POSITION, is_nullable FROM information_schema.columns " +
			"WHERE table_name = 'flights' LIMIT 2", "time\t1\t0\norigin\t2\t1\n"},
		{"SELECT name, database FROM system.tables WHERE name LIKE 'cells%' OR database NOT IN " +
			"('recount', 'system', 'information_schema')", ""},
	} {
		got := ask(t, at, "", tt.statement)
		exact := tt.want == "" || strings.HasSuffix(tt.want, "\n")
		if exact && got != tt.want || !strings.Contains(got, tt.want) {
			t.Errorf("%s: got %q, want %q", tt.statement, got, tt.want)
		}
		for _, inside := range []string{"SECRET", "cells_", "tenant", "_ver", "test_", "recount_sql"} {
			if strings.Contains(got, inside) {
				t.Errorf("%s: %q shows %s", tt.statement, got, inside)
			}
		}
	}
}
