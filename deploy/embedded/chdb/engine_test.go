package chdb_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"go.uber.org/goleak"

	"recount/deploy/embedded/chdb"
)

// shared is the engine of all tests that need no folder of their own: the library allows one per process.
var shared *chdb.Engine

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		runChild(dir)
		return
	}
	if os.Getenv(findEnv) != "" {
		fmt.Println(chdb.Find(""))
		return
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "chdb-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	var missing *chdb.ErrNoLibrary
	shared, err = chdb.Open(context.Background(), chdb.DefaultConfig(dir))
	if err != nil && !errors.As(err, &missing) {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	failed := m.Run()
	if shared != nil {
		err = errors.Join(shared.Close(), goleak.Find())
	}
	if err != nil && !errors.As(err, &missing) {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return failed
}

// open returns a driver connection to a database of the test's own, and its name.
func open(t testing.TB) (driver.Conn, string) {
	t.Helper()
	if shared == nil {
		_, err := chdb.Find("")
		t.Skip(err)
	}
	conn := dial(t, shared.Options())
	db := fmt.Sprintf("t%d", time.Now().UnixNano())
	if err := conn.Exec(t.Context(), "CREATE DATABASE "+db); err != nil {
		t.Fatal(err)
	}
	o := shared.Options()
	o.Auth.Database = db
	return dial(t, o), db
}

func dial(t testing.TB, o *clickhouse.Options) driver.Conn {
	t.Helper()
	conn, err := clickhouse.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func mustExec(t testing.TB, conn driver.Conn, sql string, args ...any) {
	t.Helper()
	if err := conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func scan[T any](ctx context.Context, t testing.TB, conn driver.Conn, sql string, args ...any) (v T) {
	t.Helper()
	if err := conn.QueryRow(ctx, sql, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

// code returns the exception code of err, 0 for nil; anything else fails the test.
func code(t testing.TB, err error) int32 {
	t.Helper()
	var ex *clickhouse.Exception
	if err == nil {
		return 0
	}
	if !errors.As(err, &ex) {
		t.Fatalf("%v (%T) is no exception of ClickHouse", err, err)
	}
	return ex.Code
}

func TestOpenTwice(t *testing.T) {
	t.Parallel()
	conn, _ := open(t)
	_, err := chdb.Open(t.Context(), chdb.DefaultConfig(t.TempDir()))
	if !errors.Is(err, chdb.ErrOtherDirectory) {
		t.Fatalf("got %v, want ErrOtherDirectory", err)
	}
	path := scan[string](t.Context(), t, conn, "SELECT value FROM system.server_settings WHERE name = 'path'")
	second, err := chdb.Open(t.Context(), chdb.DefaultConfig(path))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // a second Close must not take the first handle's reference
		if err := second.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.Ping(t.Context()); err != nil {
		t.Fatalf("after closing the second handle: %v", err)
	}
}

func TestConfigErrors(t *testing.T) {
	t.Parallel()
	_, err := chdb.Open(t.Context(), chdb.Config{DataDir: "a*b", Database: "default"})
	if err == nil {
		t.Fatal("an invalid configuration was accepted")
	}
	_, err = chdb.Find("no/such/libchdb.so")
	var missing *chdb.ErrNoLibrary
	if !errors.As(err, &missing) || missing.Looked != "no/such/libchdb.so" {
		t.Fatalf("got %v, want ErrNoLibrary", err)
	}
}
