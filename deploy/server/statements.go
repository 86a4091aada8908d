package server

import (
	"context"
	"fmt"

	"recount/batch/events"
	"recount/deploy/embedded/chdb"
	"recount/schemas/query"
	"recount/serving/api"
	"recount/serving/reader"
	"recount/serving/sql"
)

// noSQL is what a client is told where statements cannot run.
const noSQL = "this server keeps its views in an external ClickHouse (clickhouse.url), and statements run in the " +
	"embedded engine only; ask that ClickHouse, or a server with clickhouse.url: embedded"

// openStatements adds to the API what runs statements.
func (s *Server) openStatements(ctx context.Context, parts *api.Parts, answers *reader.Reader,
	memory *query.Budget) error {
	engine := s.engines.embeddedSQL
	if engine == nil {
		parts.NoSQL = noSQL
		return nil
	}
	// It is in memory, so that nothing can ever be stored in it.
	create := "CREATE DATABASE IF NOT EXISTS " + sql.EmptyDatabase + " ENGINE = Memory"
	if err := s.engines.sql.Exec(ctx, create); err != nil {
		return fmt.Errorf("create database %s: %w", sql.EmptyDatabase, err)
	}
	limits := s.cfg.SQL
	limits.Timeout = s.cfg.Query.Timeout
	sessions := func(ctx context.Context, f func(sql.Session) error) error {
		return engine.Session(ctx, func(session *chdb.Session) error { return f(session) })
	}
	// The other half is for queries and recomputation, which a statement that the engine cannot end would hold up.
	places := max(1, s.cfg.embeddedSQL().Sessions/2)
	statements, err := sql.New(sql.Config{Catalog: s.generations, Reader: answers, Batch: s.batch,
		Events: &events.Store{Committed: s.publisher.CommittedIn, Open: s.openObject,
			Workers: s.cfg.Batch.Workers},
		Engine:        sql.Bound(sessions, places, limits.Timeout/2),
		CellsDatabase: s.cfg.embeddedSQL().Database, Memory: memory, Limits: limits,
		Shared: func() bool { return s.keys != nil && s.keys.Shared() }})
	if err != nil {
		return err
	}
	parts.SQL = statements
	return nil
}
