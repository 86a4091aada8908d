package server

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"recount/schemas/catalog"
)

// TestSQLDoor counts an event and asks for it with ClickHouse's driver. Both addresses log their requests. It is not
// parallel: a process has one embedded ClickHouse.
func TestSQLDoor(t *testing.T) {
	cfg := bareConfig(t)
	cfg.SQLDoor.Listen = "127.0.0.1:0"
	cfg.Events = map[string]*catalog.EventType{"visit": {Name: "visit",
		Fields: []catalog.Field{{Name: "page", Type: catalog.String}}}}
	cfg.Views = map[string]*catalog.View{"visits": {Name: "visits", Event: "visit", Cell: time.Minute,
		Dimensions: []string{"page"}, Measures: []catalog.Measure{{Name: "n", Kind: catalog.Count}}}}
	cfg.HTTP.AccessLog = 1
	var log bytes.Buffer
	s, err := Open(t.Context(), cfg, Options{Roles: AllRoles, Logger: slog.New(slog.NewJSONHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	stop := run(t, s)
	post, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL()+"/v1/events",
		strings.NewReader(`{"specversion":"1.0","type":"visit","source":"s","id":"1","data":{"page":"/a"}}`))
	if err != nil {
		t.Fatal(err)
	}
	post.Header.Set("Content-Type", "application/cloudevents+json")
	answer, err := http.DefaultClient.Do(post)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()

	conn, err := clickhouse.Open(&clickhouse.Options{Protocol: clickhouse.HTTP,
		Addr: []string{strings.TrimPrefix(s.SQLURL(), "http://")}, Auth: clickhouse.Auth{Password: "any"},
		Compression: &clickhouse.Compression{Method: clickhouse.CompressionLZ4}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	var page *string
	var n uint64
	for n == 0 { // The deadline is the test's.
		row := conn.QueryRow(t.Context(), "SELECT any(page), sum(n) FROM visits_live")
		if err := row.Scan(&page, &n); err != nil {
			t.Fatal(err)
		}
	}
	if *page != "/a" || n != 1 {
		t.Errorf("got %s %d, want /a 1", *page, n)
	}
	for sql, want := range map[string]string{"SELECT * FROM nowhere": "code: 60", "SELECT sleep(1)": "code: 497",
		"SELECT x FROM visits_live": "code: 47", "SELECT FROM WHERE": "code: 62",
		"SELECT toUInt8('x')": "code: 6"} {
		if err := conn.Exec(t.Context(), sql); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", sql, err, want)
		}
	}
	stop()
	want := map[string]bool{"public POST /v1/events default 200": true, "sql POST / default 200": true,
		"sql POST / default 404": true}
	for _, l := range accessLines(t, log.String()) {
		delete(want, fmt.Sprintf("%s %s %s %s %d", l.Address, l.Method, l.Route, l.Tenant, l.Status))
	}
	if len(want) > 0 {
		t.Errorf("no line says %v in %s", want, log.String())
	}
}
