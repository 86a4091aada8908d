package cells

import (
	"context"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"recount/schemas/catalog"
)

// Store is the tables of a catalog's views in one database. Its methods may be called
// concurrently, and any of them may fail with its work done.
type Store struct {
	db      driver.Conn
	catalog *catalog.Catalog
}

// NewStore returns the store; Prepare makes its tables.
func NewStore(db driver.Conn, c *catalog.Catalog) *Store { return &Store{db: db, catalog: c} }

// insertContext allows what one INSERT of a history needs: rows of many years, each
// year a partition of the table.
func insertContext(ctx context.Context) context.Context {
	return clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{
		"max_partitions_per_insert_block": 0, "max_execution_time": 0, "async_insert": 0,
	}))
}

// readContext allows long reads and long lists of buckets.
func readContext(ctx context.Context) context.Context {
	return clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{
		"max_execution_time": 0, "max_query_size": 16 << 20, "max_ast_elements": 1 << 20,
		"max_expanded_ast_elements": 1 << 20,
	}))
}
