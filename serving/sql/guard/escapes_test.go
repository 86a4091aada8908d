package guard_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// escapes are statements that try to leave what a key may read, by what they try. {cells} is the table of all tenants,
// {url} an HTTP server, {file} a named pipe that nobody writes to.
var escapes = map[string][]string{
	"the bytes of another tenant": {
		"SELECT * FROM {cells}",
		"SELECT * FROM `{cells}`",
		"SELECT * FROM cells_secret_table",
		"SELECT page FROM visits UNION ALL SELECT page FROM {cells}",
		"SELECT (SELECT any(page) FROM {cells})",
		"SELECT * FROM visits WHERE 'of-tenant-b' IN {cells}",
		"SELECT * FROM visits WHERE page IN cells_secret_table",
		"WITH cells_secret_table AS (SELECT * FROM cells_secret_table) SELECT * FROM cells_secret_table",
		"WITH cells_secret_table AS (SELECT 1) SELECT * FROM (WITH cells_secret_table AS (SELECT * FROM " +
			"cells_secret_table) SELECT * FROM cells_secret_table)",
		"SELECT * FROM (WITH x AS (SELECT 1) SELECT * FROM x) AS a, x",
		"WITH a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a",
		"WITH visits AS (SELECT 1) SELECT * FROM visits",
		"WITH (a, b) -> 1 AS equals SELECT count() FROM visits",
		"SELECT (x, y) -> 1 AS equals, count() FROM visits",
		"SELECT * FROM merge('.*', 'cells')",
		"SELECT * FROM merge(currentDatabase(), '.*')",
		"SELECT * FROM remote('127.0.0.1', {cells})",
		"SELECT * FROM cluster('default', {cells})",
		"SELECT * FROM clusterAllReplicas('default', {cells})",
		"SELECT * FROM view(SELECT * FROM {cells})",
		"SELECT * FROM viewIfPermitted(SELECT * FROM {cells} ELSE null('x Int8'))",
		"SELECT * FROM viewExplain('EXPLAIN', '', (SELECT * FROM {cells}))",
		"SELECT * FROM loop({cells})",
		"SELECT * FROM mergeTreeIndex(currentDatabase(), 'cells_secret_table')",
		"SELECT * FROM mergeTreeProjection(currentDatabase(), 'cells_secret_table', 'p')",
		"SELECT * FROM dictionary('d')",
		"SELECT dictGet('d', 'page', 1)",
		"SELECT joinGet('{cells}', 'page', 1)",
		"SELECT hasColumnInTable('x', 'cells_secret_table', 'page')",
		"SELECT * FROM visits PREWHERE tenant = 'b'",
		"SELECT lowCardinalityKeys(page) FROM visits",
		"SELECT lowCardinalityIndices(page) FROM visits",
		"SELECT visits.tenant FROM visits",
		"SELECT _part, _partition_id FROM visits",
		"SELECT * FROM visits(tenant = 'b')",
		"SELECT * FROM numbers((SELECT count() FROM {cells}))",
		"SELECT * FROM numbers(visits)",
		"TABLE {cells}",
		"SELECT * FROM visits FINAL",
		"SELECT count() FROM visits AS a NATURAL JOIN visits AS b",
		"SELECT * FROM visits AS a natural LEFT JOIN visits AS b",
		"SELECT * FROM visits SAMPLE 1",
		"SELECT * FROM {t:Identifier}",
		"SELECT * FROM visits AS `v\n  WHERE\n    IDENTIFIER id: 9, alias: w`",
		"SELECT 1 FROM cells_secret_table AS `y, identifier: visits\n  WHERE\n    IDENTIFIER id: 4, alias: z`",
		"SELECT 1 AS \"a, function_name: length, function_type: ordinary\"",
		"SELECT * FROM cells_secret_table AS `y, identifier: visits`",
		"SELECT COLUMNS('a\n') FROM visits",
		"SELECT * EXCEPT('a\\nb') FROM visits",
		"SELECT 1 -- \n, * FROM {cells}",
		"SELECT 1 /* /* */ FROM {cells} -- */",
		"SELECT $$x$$ FROM {cells}",
		"SELECT ‘x’ FROM {cells}",
		"SELECT `a``b` FROM {cells}",
		"SELECT \"a\\\"b\" FROM {cells}",
		"SELECT x'27' FROM {cells}",
	},
	"counts and names of tables": {
		"SELECT total_rows FROM system.parts",
		"SELECT * FROM system.query_log",
		"SELECT * FROM `system`.`processes`",
		"SELECT * FROM SYSTEM.tables",
		"SELECT * FROM system.`tables`",
		"SELECT * FROM `system.tables`",
		"SELECT * FROM INFORMATION_SCHEMA.TABLES",
		"SELECT * FROM information_schema.columns",
		"SELECT total_rows FROM default.system.tables",
		"SELECT total_rows FROM recount.`system`.`tables`",
		"SELECT 1 FROM recount.information_schema.tables",
		"SELECT 1 FROM default.INFORMATION_SCHEMA.TABLES",
		"SELECT 1 FROM recount.recount.system.tables",
		"SELECT 1 FROM recount.system.tables.x",
		"SELECT 1 FROM system.system.tables",
		"SELECT 1 FROM visits, default.system.tables AS t",
		"SELECT 1 FROM visits LEFT JOIN default.system.tables AS t ON 1",
		"SELECT (SELECT count() FROM default.system.tables)",
		"WITH x AS (SELECT 1 FROM default.system.tables) SELECT * FROM x",
		"WITH default AS (SELECT 1) SELECT 1 FROM default.system.tables",
		"SELECT ('x', 1) IN default.system.tables",
		"SELECT ('x', 1) IN (SELECT name, total_rows FROM default.system.tables)",
		"SELECT _database FROM visits",
		"SELECT visits._table FROM visits",
		"SELECT COLUMNS(_database) FROM visits",
		"SELECT current_database",
		"SELECT CURRENT_DATABASE FROM visits",
		"SELECT DATABASE, SCHEMA",
		"SELECT database FROM visits",
		"SELECT n, `Schema` FROM visits",
		"SELECT count() FROM visits GROUP BY database",
		"SELECT database FROM (SELECT n FROM visits)",
		"SHOW CREATE TABLE {cells}",
		"SHOW TABLES FROM system LIKE '%'",
		"SHOW PROCESSLIST",
		"DESCRIBE (SELECT * FROM {cells})",
		"DESCRIBE file('{file}')",
		"EXISTS {cells} OR 1",
		"EXPLAIN ESTIMATE SELECT * FROM {cells}",
		"EXPLAIN indexes = 1 SELECT * FROM {cells}",
		"CHECK TABLE {cells}",
		"SELECT getMaxTableNameLengthForDatabase('x')",
		"WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t) SELECT * FROM t",
	},
	"what blocks and counters tell of other tenants": {
		"SELECT arrayDistinct(groupArray(b)) FROM (SELECT blockSize() AS b FROM visits)",
		"SELECT rowNumberInBlock(), rowNumberInAllBlocks() FROM visits",
		"SELECT nowInBlock(), nowInBlock64() FROM visits",
		"SELECT runningDifference(n) FROM visits",
		"SELECT runningDifferenceStartingWithFirstValue(n) FROM visits",
		"SELECT neighbor(n, 1) FROM visits",
		"SELECT generateUUIDv7() FROM visits",
		"SELECT dateTimeToUUIDv7(now()) FROM visits",
		"SELECT generateSnowflakeID() FROM visits",
	},
	"memory that the engine does not count": {
		"SELECT length(prettyPrintJSON(repeat('[', 1000) || repeat(']', 1000)))",
		"SELECT length(URLHierarchy('http://' || repeat('a/', 1000)))",
		"SELECT length(URLPathHierarchy('http://' || repeat('a/', 1000)))",
		"SELECT length(printf('%2000d', 1))",
	},
	"time in one call": {
		"SELECT length(base58Encode(repeat('a', 1000)))",
		"SELECT length(base58Decode(repeat('a', 1000)))",
		"SELECT length(tryBase58Decode(repeat('a', 1000)))",
		"SELECT hasAll(range(1000), arrayMap(x -> x + 1, range(1000)))",
		"SELECT hasAny(range(1000), arrayMap(x -> x + 1000, range(1000)))",
		"SELECT hasSubstr(range(1000), range(500))",
		"SELECT length(timeSlots(toDateTime(0), toUInt32(4000), 1))",
		"SELECT length(arrayShingles(range(1000), 500))",
		"SELECT arrayFold((a, x) -> arrayPushBack(a, x), range(1000), [0])",
	},
	"files": {
		"SELECT * FROM file('{file}', LineAsString)",
		"SELECT * FROM file('/etc/passwd', LineAsString)",
		"SELECT file('/etc/passwd')",
		"SELECT (SELECT count() FROM file('/etc/passwd', LineAsString))",
		"SELECT * FROM `/etc/passwd`",
		"SELECT * FROM default.`/etc/passwd`",
		"SELECT * FROM `default`.\"/etc/passwd\"",
		"SELECT 1 IN `/etc/passwd`",
		"SELECT * FROM filesystem('/etc')",
		"SELECT * FROM sqlite('{file}', 't')",
		"SELECT * FROM executable('cat /etc/passwd', TSV, 'x String')",
		"SELECT * FROM icebergLocal('{file}')",
		"SELECT * FROM deltaLakeLocal('{file}')",
		"SELECT * FROM input('x String')",
		"SELECT * FROM format(LineAsString, '{file}')",
		"SELECT * FROM visits INTO OUTFILE '/tmp/escape'",
		"(SELECT 1) INTO OUTFILE '/tmp/escape' FORMAT CSV",
		"SELECT 1 INTO/**/OUTFILE '/tmp/escape'",
		"INSERT INTO FUNCTION file('/tmp/escape', CSV, 'x Int8') VALUES (1)",
		"SELECT catboostEvaluate('{file}', 1)",
		"SELECT formatRow('CapnProto', 1)",
		"SELECT toTimezone(now(), '{file}')",
		"SELECT toTimezone(now(), 'file:{file}')",
		"SELECT toTimezone(now(), concat('fi', 'le:{file}'))",
		"WITH 'file:{file}' AS z SELECT toTimezone(now(), z)",
		"WITH concat('file:', '{file}') AS z SELECT toYear(time, z) FROM visits",
		"SELECT dateDiff('day', time, time, lower('file:{file}')) FROM visits",
		"SELECT toStartOfInterval(time, INTERVAL 1 DAY, concat('file:', '{file}')) FROM visits",
		"SELECT now('file:{file}')",
		"SELECT addDays(time, 1, concat('file:', '{file}')) FROM visits",
		"SELECT subtractHours(time, 1, 'file:{file}') FROM visits",
		"SELECT toString(time, 'file:{file}') FROM visits",
		"SELECT CAST('2020-01-01' AS DateTime('file:{file}'))",
		"SELECT CAST('2020-01-01' AS `DateTime`('file:{file}'))",
		"SELECT '2020-01-01'::Array(DateTime64(3, 'file:{file}'))",
		"SELECT CAST('2020-01-01', 'DateTime(''file:{file}'')')",
		"SELECT CAST('2020-01-01', 'Date\\x54ime(\\'file:{file}\\')')",
		"SELECT CAST('2020-01-01', 'DateTime/**/($$file:{file}$$)')",
		"SELECT JSONExtract('{}', 'DateTime(''file:{file}'')')",
		"SELECT {x:DateTime('file:{file}')}",
		"SELECT parseDateTimeInJodaSyntax('2020 file:{file}', 'yyyy z')",
		"SELECT naturalLanguage('{file}')",
		"SELECT evalMLMethod('{file}', 1)",
		"BACKUP TABLE {cells} TO Disk('default', 'x')",
	},
	"the network": {
		"SELECT * FROM url('{url}', LineAsString)",
		"SELECT * FROM url('{url}')",
		"SELECT count() FROM numbers(1) WHERE 1 IN (SELECT 1 FROM url('{url}', LineAsString, 'x String'))",
		"SELECT * FROM s3('{url}/b/x.csv', 'CSV', 'x Int8')",
		"SELECT * FROM s3('{url}/b/x.csv')",
		"SELECT * FROM urlCluster('default', '{url}')",
		"SELECT * FROM mysql('127.0.0.1:1', 'd', 't', 'u', 'p')",
		"SELECT * FROM postgresql('127.0.0.1:1', 'd', 't', 'u', 'p')",
		"SELECT * FROM mongodb('127.0.0.1:1', 'd', 't', 'u', 'p', 'x Int8')",
		"SELECT * FROM redis('127.0.0.1:1', 'k', 'k String, v String')",
		"SELECT * FROM remoteSecure('127.0.0.1:1', system.one)",
		"SELECT * FROM jdbc('{url}', 't')",
		"SELECT * FROM odbc('DSN=x', 't')",
		"SELECT * FROM ytsaurus('{url}', '//t', 'x', 'y Int8')",
		"SELECT * FROM icebergS3('{url}/b')",
		"SELECT aiGenerate('x')",
		"SELECT * FROM arrowstream('{url}')",
	},
	"settings and what the server is": {
		"SELECT * FROM (SELECT 1 SETTINGS max_execution_time = 0)",
		"SELECT * FROM (SELECT 1 SETTINGS additional_table_filters = {'visits': '1'})",
		"WITH x AS (SELECT 1 SETTINGS allow_introspection_functions = 1) SELECT * FROM x",
		"(SELECT 1 SETTINGS max_memory_usage = 0) UNION ALL SELECT 2",
		"SELECT getSetting('max_threads')",
		"SELECT getServerSetting('path')",
		"SELECT getMacro('x')",
		"SELECT tcpPort()",
		"SELECT serverUUID(), uptime()",
		"SELECT hostName(1)",
		"SELECT `hostName`()",
		"SELECT currentRoles(), currentProfiles()",
		"SELECT @@version",
		"SELECT globalVariable('max_allowed_packet')",
		"SELECT addressToLine(1)",
		"SELECT demangle('x')",
		"SELECT * FROM system.settings WHERE value LIKE '/%'",
		"SELECT logTrace('x')",
		"SET max_threads = 1",
		"USE system",
		"SYSTEM SHUTDOWN",
		"KILL QUERY WHERE 1",
		"SELECT 1; SELECT 2",
		"SELECT 1; DROP TABLE {cells}",
		"CREATE TEMPORARY TABLE x (n Int8)",
		"CREATE FUNCTION f AS x -> x",
		"GRANT ALL ON *.* TO default",
		"DROP TABLE {cells}",
		"SELECT 1 PARALLEL WITH SELECT 2",
		"SELECT 1 FORMAT Template FORMAT CSV",
		"SELECT 1 FORMAT `Template` FORMAT CSV",
		"SELECT 1.;SELECT 2",
		"SELECT 1 FORMAT CSV SETTINGS max_threads = 1 FORMAT Template",
		"ALTER TABLE {cells} DELETE WHERE 1",
		"SELECT initializeAggregation('groupArray', 1)",
		"SELECT arrayReduce('aggThrow(1)', [1])",
		"SELECT CAST(unhex('ff'), 'AggregateFunction(groupArray, String)')",
		"SELECT finalizeAggregation(unhex('ffff')::AggregateFunction(quantile, Float64))",
		"SELECT CAST('x', concat('Aggregate', 'Function(groupArray, String)'))",
		"SELECT JSONExtract('{}', 'AggregateFunction(groupArray, String)')",
		"SELECT CAST('{\"a\":1}' AS JSON)",
		"SELECT * FROM generateRandom('x String')",
		"SELECT * FROM values('x AggregateFunction(groupArray, String)', 'x')",
		"SELECT * FROM VALUES(concat('x Aggregate', 'Function(groupArray, String)'), 'x')",
		"SELECT * FROM VALUES(CAST('x AggregateFunction(groupArray, String)', 'String'), 'x')",
		"SELECT * FROM values(visits)",
		"SELECT * FROM values((1, (SELECT count() FROM {cells})))",
		"SELECT * FROM values((1, file('{file}')))",
		"SELECT x.* APPLY(file) FROM visits AS x",
		"SELECT * APPLY(x -> file(x)) FROM visits",
		"SELECT * REPLACE (file('/etc/passwd') AS n) FROM visits",
		"SELECT n FROM visits ORDER BY file('/etc/passwd')",
		"SELECT n FROM visits ORDER BY n WITH FILL FROM (SELECT count() FROM {cells}) TO 9",
		"SELECT n FROM visits LIMIT (SELECT count() FROM {cells})",
		"SELECT sum(n) OVER (PARTITION BY file('/etc/passwd')) FROM visits",
		"SELECT quantile(file('/etc/passwd'))(n) FROM visits",
		"SELECT arrayMap(x -> sleep(3), [1])",
		"SELECT sleepEachRow(3) FROM visits",
		"SELECT fileIf('/etc/passwd', 1)",
		"SELECT nothing(1)",
		"SELECT jsonMergePatch(repeat('{\"a\":', 200000) || '1' || repeat('}', 200000), '{}')", // ends the process
		"SELECT JSONMergePatch('{}', '{}')",
		"SELECT n FROM visits ORDER BY page COLLATE 'en'",
	},
}

// costs are statements that may run, and try to take more than they may. The engine ends them.
var costs = []string{
	"SELECT count() FROM numbers(1000000000000)",
	"SELECT sum(cityHash64(a.number)) FROM numbers(9000000) AS a, numbers(100000) AS b",
	"SELECT groupArray(number) FROM numbers(9000000) GROUP BY number",
	"SELECT * FROM numbers(9000000)",
	"SELECT length(repeat('x', 1000000000))",
	"SELECT arrayWithConstant(1000000000, 'x')",
	"SELECT range(1000000000)",
	"SELECT length(randomString(4000000000))",
	"SELECT number FROM numbers(5) ORDER BY number WITH FILL TO 100000000000",
	"SELECT uniqExact(number, toString(number)) FROM numbers(9999999) GROUP BY number % 1000000",
	"SELECT " + strings.Repeat("(SELECT ", 2000) + "1" + strings.Repeat(")", 2000),
	"SELECT " + strings.Repeat("(", 3000) + "1" + strings.Repeat(")", 3000),
	"SELECT " + strings.Repeat("1+", 60000) + "1",
}

// sentinel sees whether the engine opens a file or a connection.
type sentinel struct {
	fifo        string
	url         string
	connections atomic.Int64
}

func newSentinel(t *testing.T) *sentinel {
	t.Helper()
	s := &sentinel{fifo: filepath.Join(t.TempDir(), "pipe")}
	if err := syscall.Mkfifo(s.fifo, 0o600); err != nil {
		t.Skipf("no named pipes: %v", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.url = "http://" + l.Addr().String()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.connections.Add(1)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return s
}

// opened reports whether somebody waits for the pipe's writer. It lets the reader go.
func (s *sentinel) opened() bool {
	f, err := os.OpenFile(s.fifo, os.O_WRONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return false // ENXIO: no reader
	}
	_ = f.Close()
	return true
}

func (s *sentinel) fill(sql, cells string) string {
	return strings.NewReplacer("{cells}", cells, "{url}", s.url, "{file}", s.fifo).Replace(sql)
}

// TestEscapes tries to leave what the key may read. Each statement is refused, and nothing was opened for it.
func TestEscapes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := newSentinel(t)
	n := 0
	for what, statements := range escapes {
		for _, sql := range statements {
			n++
			filled := s.fill(sql, w.cells)
			got, err := w.run(t, filled)
			if err == nil {
				t.Errorf("%s: %q ran: %.200q", what, sql, got)
			}
			if s.opened() || s.connections.Load() > 0 {
				t.Fatalf("%s: %q opened a file or a connection", what, sql)
			}
			if isRefusal(err) && strings.Contains(err.Error(), secret) && !strings.Contains(sql, secret) {
				t.Errorf("%s: %q: the refusal tells %q", what, sql, err)
			}
		}
	}
	if n < 60 {
		t.Errorf("only %d escapes", n)
	}
	if _, err := os.Stat("/tmp/escape"); err == nil {
		t.Error("a file was written")
	}
	t.Logf("%d statements", n)
}

// TestSentinelSees shows that TestEscapes would notice: the resolved analysis does what Decide forbids.
func TestSentinelSees(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := newSentinel(t)
	once := clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{"http_max_tries": 1}))
	_ = w.conn.Exec(once, s.fill("EXPLAIN QUERY TREE SELECT * FROM url('{url}', CSV)", ""))
	if s.connections.Load() == 0 {
		t.Error("a fetched URL was not noticed")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		sql := "EXPLAIN QUERY TREE SELECT (SELECT count() FROM file('{file}', LineAsString))"
		_ = w.conn.Exec(t.Context(), s.fill(sql, ""))
	}()
	seen := false
	for range 200 {
		if seen = s.opened(); seen {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if !seen {
		t.Error("an opened file was not noticed")
	}
	<-done
}

// TestCosts runs what the engine has to end.
func TestCosts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, sql := range costs {
		began := time.Now()
		_, err := w.run(t, sql)
		if err == nil {
			t.Errorf("%.100q ran to its end", sql)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%.100q took %s", sql, took)
		}
	}
}
