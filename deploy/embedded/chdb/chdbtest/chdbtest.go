// Package chdbtest gives tests a database in an embedded ClickHouse engine. The engine is one per process, so
// the tests of a package share it, each in a database of its own.
package chdbtest

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"

	"recount/deploy/embedded/chdb"
)

// users counts the tests that have the engine open; the last one closes it and removes its folder.
var users struct {
	sync.Mutex
	n      int
	serial int
	dir    string
	engine *chdb.Engine
}

// Open returns options for clickhouse.Open that name a new, empty database, which lives as long as the test.
// It skips the test when the ClickHouse library is not installed.
func Open(t testing.TB) *clickhouse.Options {
	t.Helper()
	_, o := OpenEngine(t)
	return o
}

// OpenEngine is Open for a test that also runs statements in sessions of the engine. The test must not close it.
func OpenEngine(t testing.TB) (*chdb.Engine, *clickhouse.Options) {
	t.Helper()
	users.Lock()
	defer users.Unlock()
	if err := join(t); err != nil {
		var missing *chdb.ErrNoLibrary
		if errors.As(err, &missing) {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	t.Cleanup(func() { leave(t) })
	users.serial++
	o := users.engine.Options()
	name := fmt.Sprintf("test_%d", users.serial)
	if err := create(t, o, name); err != nil {
		t.Fatal(err)
	}
	o.Auth.Database = name
	return users.engine, o
}

// join opens the engine for the first user. users must be locked.
func join(t testing.TB) error {
	if users.n == 0 {
		dir, err := os.MkdirTemp("", "chdbtest-")
		if err != nil {
			return err
		}
		if users.engine, err = chdb.Open(t.Context(), chdb.DefaultConfig(dir)); err != nil {
			return errors.Join(err, os.RemoveAll(dir))
		}
		users.dir = dir
	}
	users.n++
	return nil
}

func leave(t testing.TB) {
	users.Lock()
	defer users.Unlock()
	users.n--
	if users.n > 0 {
		return
	}
	if err := errors.Join(users.engine.Close(), os.RemoveAll(users.dir)); err != nil {
		t.Error(err)
	}
}

func create(t testing.TB, o *clickhouse.Options, name string) error {
	conn, err := clickhouse.Open(o)
	if err != nil {
		return err
	}
	return errors.Join(conn.Exec(t.Context(), "CREATE DATABASE "+name), conn.Close())
}
