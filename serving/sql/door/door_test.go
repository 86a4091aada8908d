package door_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/ch-go/compress"
	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/klauspost/compress/zstd"

	"recount/deploy/embedded/chdb/chdbtest"
	"recount/schemas/access"
	"recount/serving/sql/door"
	"recount/serving/sql/guard"
)

// key is the password that the door of the tests knows.
const key = "rk_test"

// engine runs statements in a real engine, as a server does.
type engine struct {
	transport http.RoundTripper
	database  string
}

// ask sends a text to the engine and returns its result.
func (e *engine) ask(ctx context.Context, sql, format string, r door.Statement) ([]byte, error) {
	q := url.Values{"database": {e.database}, "default_format": {format}, "readonly": {"1"},
		"client_protocol_version": {strconv.FormatUint(r.Revision, 10)}}
	for name, value := range r.Settings {
		q.Set(name, value)
	}
	for name, value := range r.Parameters {
		q.Set("param_"+name, value)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://embedded/?"+q.Encode(), strings.NewReader(sql))
	if err != nil {
		return nil, err
	}
	answer, err := e.transport.RoundTrip(req)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, &door.Exception{Code: 159, Name: "TIMEOUT_EXCEEDED", Text: "too slow"}
	}
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if answer.StatusCode != http.StatusOK {
		code, _ := strconv.Atoi(answer.Header.Get("X-Clickhouse-Exception-Code"))
		return nil, &door.Exception{Code: code, Name: "ERROR", Text: "the engine says no"}
	}
	return body, err
}

// answer decides about a statement, runs it, and answers.
func (e *engine) answer(w http.ResponseWriter, r *http.Request, s door.Statement,
	answer func(http.ResponseWriter, *door.Result) error) error {
	result, err := e.run(r.Context(), s)
	if err != nil {
		return err
	}
	return answer(w, result)
}

func (e *engine) run(ctx context.Context, r door.Statement) (*door.Result, error) {
	if p, ok := access.FromContext(ctx); !ok || p.Tenant != "a" {
		return nil, errors.New("no tenant")
	}
	st, err := guard.Parse(r.SQL, "recount")
	if err != nil {
		return nil, exception(err)
	}
	tree, err := e.ask(ctx, "EXPLAIN QUERY TREE run_passes = 0 "+st.Text, "TSVRaw",
		door.Statement{Parameters: r.Parameters})
	if err != nil {
		return nil, err
	}
	if _, err := guard.Decide(string(tree), guard.Names{"visits": true},
		func(string) []string { return nil }); err != nil {
		return nil, exception(err)
	}
	format := r.Format
	if st.Format != "" {
		format = st.Format
	}
	r.Settings = maps.Clone(r.Settings)
	maps.Copy(r.Settings, st.Settings)
	body, err := e.ask(ctx, st.Text, format, r)
	if err != nil {
		return nil, err
	}
	return &door.Result{Body: body, Format: format, MediaType: "text/plain"}, nil
}

func exception(err error) error {
	var r *guard.Refusal
	if errors.As(err, &r) {
		return &door.Exception{Code: r.Code, Name: r.Name, Text: r.Error()}
	}
	return err
}

// open returns the address of a door before a real engine.
func open(t *testing.T) string {
	t.Helper()
	options := chdbtest.Open(t)
	transport, err := options.TransportFunc(nil)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := clickhouse.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	err = conn.Exec(t.Context(), "CREATE VIEW visits AS SELECT toDateTime64(number, 6, 'UTC') AS time, "+
		"toLowCardinality(toNullable(concat('/', toString(number % 3)))) AS page, number AS n FROM numbers(10)")
	if err != nil {
		t.Fatal(err)
	}
	e := &engine{transport, options.Auth.Database}
	d, err := door.New(door.Config{Database: "recount", Run: e.answer,
		Authenticate: func(r *http.Request) (access.Principal, error) {
			switch r.Header.Get("Authorization") {
			case "Bearer " + key:
				return access.Principal{Tenant: "a", Scopes: access.Query}, nil
			case "Bearer writer":
				return access.Principal{Tenant: "a", Scopes: access.Ingest}, nil
			}
			return access.Principal{}, errors.New("send a key as Authorization: Bearer KEY")
		}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(d)
	t.Cleanup(server.Close)
	return server.URL
}

// get sends a request with the key and returns the answer with its body.
func get(t *testing.T, method, address string, body io.Reader, headers ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-ClickHouse-User", "anybody")
	req.Header.Set("X-ClickHouse-Key", key)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	answer, err := (&http.Transport{DisableCompression: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(b)
}

// TestRequests sends what curl sends.
func TestRequests(t *testing.T) {
	t.Parallel()
	at := open(t)
	q := url.QueryEscape
	zipped := func(s string) io.Reader {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = io.WriteString(z, s)
		_ = z.Close()
		return &b
	}
	blocks := compress.NewWriter(compress.LevelZero, compress.LZ4)
	if err := blocks.Compress([]byte("SELECT 5")); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		what, method, path string
		body               io.Reader
		headers            []string
		status             int
		want               string
	}{
		{"ping", "GET", "/ping", nil, nil, 200, "Ok.\n"},
		{"nothing asked", "GET", "/", nil, nil, 200, "Ok.\n"},
		{"in the URL", "GET", "/?query=" + q("SELECT 1"), nil, nil, 200, "1\n"},
		{"in the body", "POST", "/", strings.NewReader("SELECT count() FROM visits"), nil, 200, "10\n"},
		{"in both", "POST", "/?query=" + q("SELECT count()"), strings.NewReader("FROM visits"), nil, 200, "10\n"},
		{"FORMAT", "POST", "/?default_format=CSV", strings.NewReader("SELECT 1 AS x FORMAT JSONEachRow"), nil, 200,
			"{\"x\":1}\n"},
		{"default_format", "POST", "/?default_format=JSONEachRow", strings.NewReader("SELECT 1 AS x"), nil, 200,
			"{\"x\":1}\n"},
		{"format in a header", "POST", "/", strings.NewReader("SELECT 'x'"), []string{"X-ClickHouse-Format", "CSV"},
			200, "\"x\"\n"},
		{"a parameter", "GET", "/?param_p=4&query=" + q("SELECT count() FROM visits WHERE n > {p:UInt8}"), nil, nil,
			200, "5\n"},
		{"a time", "GET", "/?max_execution_time=0.2&query=" + q("SELECT sum(cityHash64(number)) FROM "+
			"numbers(1000000000000)"), nil, nil, 408, "Code: 159. "},
		{"a setting", "GET", "/?join_use_nulls=1&query=" + q("SELECT b.y FROM (SELECT 1 AS x) a LEFT JOIN "+
			"(SELECT 2 AS x, 3 AS y) b USING (x)"), nil, nil, 200, "\\N\n"},
		{"settings that mean nothing", "GET", "/?wait_end_of_query=1&readonly=2&query=" + q("SELECT 1"), nil, nil, 200,
			"1\n"},
		{"a session", "GET", "/?session_id=x&session_timeout=60&query=" + q("SELECT 1"), nil, nil, 200, "1\n"},
		{"a session that is looked for", "GET", "/?session_id=x&session_check=1&query=" + q("SELECT 1"), nil, nil, 404,
			"372"},
		{"the database", "GET", "/?database=default&query=" + q("SELECT 1"), nil, nil, 200, "1\n"},
		{"another database", "GET", "/?database=other&query=" + q("SELECT 1"), nil, nil, 404, "(UNKNOWN_DATABASE)"},
		{"the database system", "GET", "/?database=system&query=" + q("SELECT 1"), nil, nil, 404, "system.NAME"},
		{"gzip", "POST", "/", zipped("SELECT 3"), []string{"Content-Encoding", "gzip"}, 200, "3\n"},
		{"cut gzip", "POST", "/", io.LimitReader(zipped("SELECT 3"), 20), []string{"Content-Encoding", "gzip"}, 400,
			"cut"},
		{"no gzip", "POST", "/", strings.NewReader("SELECT 3"), []string{"Content-Encoding", "gzip"}, 400, "not gzip"},
		{"another encoding", "POST", "/", strings.NewReader("x"), []string{"Content-Encoding", "br"}, 501, "zstd"},
		{"blocks", "POST", "/?decompress=1", bytes.NewReader(blocks.Data), nil, 200, "5\n"},
		{"a cut block", "POST", "/?decompress=1", bytes.NewReader(blocks.Data[:30]), nil, 400, "cut"},
		{"a damaged block", "POST", "/?decompress=1", bytes.NewReader(append(bytes.Clone(blocks.Data[1:]), 0)), nil,
			400, "block"},
		{"an error", "GET", "/?query=" + q("SELECT x FROM visits"), nil, nil, 404, "Code: 47. DB::Exception: "},
		{"a table that is not there", "GET", "/?query=" + q("SELECT * FROM system.parts"), nil, nil, 404, "Code: 60. "},
		{"what is not allowed", "POST", "/", strings.NewReader("DROP TABLE visits"), nil, 403, "Code: 497. "},
		{"external tables", "POST", "/", strings.NewReader("x"), []string{"Content-Type", "multipart/form-data"}, 501,
			"multipart"},
		{"a key without the scope", "GET", "/?query=1", nil, []string{"X-ClickHouse-Key", "writer"}, 403,
			"scope query"},
		{"a wrong key", "GET", "/?query=1", nil, []string{"X-ClickHouse-Key", "wrong"}, 401, "Code: 516. "},
		{"a key in basic", "GET", "/?query=" + q("SELECT 1"), nil, []string{"X-ClickHouse-Key", "", "Authorization",
			"Basic dTpya190ZXN0"}, 200, "1\n"},
		{"a bearer token", "GET", "/?query=" + q("SELECT 1"), nil, []string{"X-ClickHouse-Key", "", "Authorization",
			"Bearer " + key}, 200, "1\n"},
		{"a key in the URL", "GET", "/?password=" + key + "&query=" + q("SELECT 1"), nil,
			[]string{"X-ClickHouse-Key", ""}, 200, "1\n"},
		{"no key", "GET", "/?query=" + q("SELECT 1"), nil, []string{"X-ClickHouse-Key", ""}, 401, "password"},
		{"another path", "GET", "/play", nil, nil, 404, "statements are sent to /"},
		{"another method", "DELETE", "/", nil, nil, 405, "GET or POST"},
		{"too long", "POST", "/", strings.NewReader("SELECT '" + strings.Repeat("x", guard.MaxStatement) + "'"), nil,
			400, "more than"},
	} {
		answer, got := get(t, tt.method, at+tt.path, tt.body, tt.headers...)
		if answer.StatusCode != tt.status || tt.status == 200 && got != tt.want || !strings.Contains(got, tt.want) {
			t.Errorf("%s: got %d %q, want %d %q", tt.what, answer.StatusCode, got, tt.status, tt.want)
		}
		code := answer.Header.Get("X-Clickhouse-Exception-Code")
		if strings.HasPrefix(got, "Code: ") != (code != "") || !strings.HasPrefix(got, "Code: "+code) && code != "" {
			t.Errorf("%s: the header says error %q, and the body %q", tt.what, code, got)
		}
	}
}

// TestManyBlocks sends bodies that are small and hold much. None takes more memory than a statement may have.
func TestManyBlocks(t *testing.T) {
	at := open(t) // It is not parallel, because it counts what the process allocates.
	const blocks = "/?decompress=1"
	block := func(method compress.Method, plain []byte) []byte {
		z := compress.NewWriter(compress.LevelZero, method)
		if err := z.Compress(plain); err != nil {
			t.Fatal(err)
		}
		return z.Data
	}
	spaces := bytes.Repeat([]byte{' '}, guard.MaxStatement)
	var gzipped bytes.Buffer
	z := gzip.NewWriter(&gzipped)
	for range 300 {
		_, _ = z.Write(spaces)
	}
	_ = z.Close()
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		what, path string
		body       []byte
		headers    []string
		want       string
	}{
		{"blocks of spaces", blocks, bytes.Repeat(block(compress.ZSTD, spaces), 300), nil, "more than 1048576 bytes"},
		{"two blocks", blocks, append(block(compress.LZ4, spaces), block(compress.LZ4, spaces)...), nil,
			"more than 1048576 bytes"},
		{"empty blocks", blocks, bytes.Repeat(block(compress.LZ4, nil), 20_000), nil,
			"more than 4096 compressed blocks"},
		{"a block that says it is large", blocks, largeBlock(block(compress.LZ4, []byte("SELECT 1"))), nil,
			"more than 1048576 bytes"},
		{"gzip", "/", gzipped.Bytes(), []string{"Content-Encoding", "gzip"}, "more than 1048576 bytes"},
		{"zstd", "/", encoder.EncodeAll(bytes.Repeat(spaces, 300), nil), []string{"Content-Encoding", "zstd"},
			"more than 1048576 bytes"},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		answer, got := get(t, http.MethodPost, at+tt.path, bytes.NewReader(tt.body), tt.headers...)
		runtime.ReadMemStats(&after)
		if answer.StatusCode != http.StatusBadRequest || !strings.Contains(got, tt.want) {
			t.Errorf("%s of %d bytes: %d %s, want %s", tt.what, len(tt.body), answer.StatusCode, got, tt.want)
		}
		if taken := (after.TotalAlloc - before.TotalAlloc) >> 20; taken > 64 {
			t.Errorf("%s of %d bytes took %d MiB", tt.what, len(tt.body), taken)
		}
	}
	var several []byte
	for _, part := range []string{"SELECT ", "4", ""} {
		several = append(several, block(compress.LZ4, []byte(part))...)
	}
	if _, got := get(t, http.MethodPost, at+blocks, bytes.NewReader(several)); got != "4\n" {
		t.Errorf("several blocks: %s", got)
	}
}

// largeBlock returns a block that says it holds 4 GiB.
func largeBlock(block []byte) []byte {
	for i := 21; i < 25; i++ {
		block[i] = 0xff
	}
	return block
}

// TestCompressedAnswers asks for each compression of an answer.
func TestCompressedAnswers(t *testing.T) {
	t.Parallel()
	at := open(t) + "/?query=" + url.QueryEscape("SELECT number FROM numbers(300000)")
	_, want := get(t, http.MethodGet, at, nil)
	answer, got := get(t, http.MethodGet, at+"&compress=1", nil)
	plain := make([]byte, len(want))
	if _, err := io.ReadFull(compress.NewReader(strings.NewReader(got)), plain); err != nil || string(plain) != want ||
		answer.StatusCode != 200 {
		t.Errorf("blocks: %d bytes, %v; want %d", len(plain), err, len(want))
	}
	for encoding, open := range map[string]func(io.Reader) (io.Reader, error){
		"gzip": func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
		"zstd": func(r io.Reader) (io.Reader, error) { return zstd.NewReader(r) },
	} {
		answer, got := get(t, http.MethodGet, at+"&enable_http_compression=1", nil, "Accept-Encoding", "br, "+encoding)
		plain, err := open(strings.NewReader(got))
		if err != nil || answer.Header.Get("Content-Encoding") != encoding {
			t.Errorf("%s: %v, %v", encoding, answer.Header, err)
			continue
		}
		if b, err := io.ReadAll(plain); err != nil || string(b) != want {
			t.Errorf("%s: %d bytes, %v; want %d", encoding, len(b), err, len(want))
		}
	}
	if answer, got := get(t, http.MethodGet, at, nil, "Accept-Encoding", "gzip"); got != want ||
		answer.Header.Get("Content-Encoding") != "" {
		t.Error("an answer is compressed that was not asked for")
	}
}

// TestClickHouseGo asks with the driver, with each of its compressions.
func TestClickHouseGo(t *testing.T) {
	t.Parallel()
	at := strings.TrimPrefix(open(t), "http://")
	for _, method := range []clickhouse.CompressionMethod{clickhouse.CompressionNone, clickhouse.CompressionLZ4,
		clickhouse.CompressionZSTD, clickhouse.CompressionGZIP} {
		options := &clickhouse.Options{Protocol: clickhouse.HTTP, Addr: []string{at},
			Auth: clickhouse.Auth{Username: "default", Password: key, Database: "default"}}
		if method != clickhouse.CompressionNone {
			options.Compression = &clickhouse.Compression{Method: method}
		}
		conn, err := clickhouse.Open(options)
		if err != nil {
			t.Fatal(err)
		}
		useDriver(t, conn)
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
}

func useDriver(t *testing.T, conn driver.Conn) {
	t.Helper()
	if err := conn.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	version, err := conn.ServerVersion()
	if err != nil || version.DisplayName != "recount" {
		t.Errorf("got %v, %v", version, err)
	}
	var rows []struct {
		Time time.Time `ch:"time"`
		Page *string   `ch:"page"`
		N    uint64    `ch:"n"`
	}
	if err := conn.Select(t.Context(), &rows, "SELECT * FROM visits WHERE n >= {least:UInt64} ORDER BY n",
		clickhouse.Named("least", "8")); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range rows {
		got = append(got, r.Time.UTC().Format(time.TimeOnly)+" "+*r.Page+" "+strconv.FormatUint(r.N, 10))
	}
	if want := []string{"00:00:08 /2 8", "00:00:09 /0 9"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	var ex *clickhouse.Exception
	if err := conn.Exec(t.Context(), "SELECT * FROM nowhere"); !errors.As(err, &ex) || ex.Code != 60 {
		t.Errorf("a table that is not there: %v", err)
	}
	if err := conn.Exec(t.Context(), "INSERT INTO visits VALUES (1)"); !errors.As(err, &ex) || ex.Code != 497 {
		t.Errorf("an INSERT: %v", err)
	}
}
