package chdb

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// ErrOtherDirectory reports that this process has the engine open on another data directory. libchdb keeps
// one server per process; use separate databases in it, or separate processes.
var ErrOtherDirectory = errors.New("the embedded ClickHouse engine is already open on another data directory in " +
	"this process")

// process is what libchdb allows once per process. It is the one piece of global state here because the
// library's own state is global: hiding that would only move the failure into C++.
var process struct {
	sync.Mutex
	core *core
	refs int
}

// Engine is one owner's handle of the embedded engine. It is safe for concurrent use.
type Engine struct {
	core  *core
	close func() error
}

// Open starts the engine on cfg.DataDir, or joins it when this process already has it open there; the limits
// of the first Open then stay in force. It creates the folder and cfg.Database. Each Open needs a Close.
//
// Errors: *ErrNoLibrary, ErrOtherDirectory, a field of cfg, another process in the folder, or what the engine
// says about its data.
func Open(ctx context.Context, cfg Config) (*Engine, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(cfg.DataDir)
	if err != nil {
		return nil, fmt.Errorf("open embedded ClickHouse: %w", err)
	}
	cfg.DataDir = dir

	process.Lock()
	defer process.Unlock()
	if process.core == nil {
		c, err := start(cfg)
		if err != nil {
			return nil, fmt.Errorf("open embedded ClickHouse in %s: %w", cfg.DataDir, err)
		}
		process.core = c
	} else if process.core.cfg.DataDir != dir {
		return nil, fmt.Errorf("%w: open in %s, wanted %s", ErrOtherDirectory, process.core.cfg.DataDir, dir)
	}
	process.refs++
	e := &Engine{core: process.core, close: sync.OnceValue(release)}
	if err := e.createDatabase(ctx, cfg.Database); err != nil {
		process.refs--
		return nil, errors.Join(err, stopUnused())
	}
	return e, nil
}

func (e *Engine) createDatabase(ctx context.Context, name string) error {
	err := e.core.run(ctx, func() {}, func(s *session, _ string) error {
		return s.exec("CREATE DATABASE IF NOT EXISTS " + quoteIdentifier(name) + " ENGINE = Atomic")
	})
	if err != nil {
		return fmt.Errorf("create database %s: %w", name, err)
	}
	return nil
}

func release() error {
	process.Lock()
	defer process.Unlock()
	process.refs--
	return stopUnused()
}

// stopUnused stops the engine once no handle is open. process must be locked.
func stopUnused() error {
	if process.refs > 0 || process.core == nil {
		return nil
	}
	c := process.core
	process.core = nil
	return c.stop()
}

// Close gives up this handle; further calls do nothing. The last handle's Close kills running queries, waits
// until they have ended and stops the engine, which unlocks the data directory. It returns an error, and leaves the
// engine open, if one does not end.
func (e *Engine) Close() error { return e.close() }

// Transport is what clickhouse.Options.TransportFunc must return. It does no I/O outside the process.
func (e *Engine) Transport() http.RoundTripper { return &transport{e.core} }

// Options returns options for clickhouse.Open or clickhouse.OpenDB: HTTP over Transport, without compression,
// the configured database. Settings may be added; Compression must stay nil.
func (e *Engine) Options() *clickhouse.Options {
	return &clickhouse.Options{
		Protocol:     clickhouse.HTTP,
		Addr:         []string{"embedded"},
		Auth:         clickhouse.Auth{Database: e.core.cfg.Database},
		MaxOpenConns: 2 * e.core.cfg.Sessions,
		MaxIdleConns: e.core.cfg.Sessions,
		TransportFunc: func(*http.Transport) (http.RoundTripper, error) {
			return e.Transport(), nil
		},
	}
}
