package cells

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"recount/schemas/catalog"
)

// Store is the tables of a catalog's views in one database. Its methods may be called
// concurrently. Any of them may return an error although ClickHouse has done its work.
type Store struct {
	db      driver.Conn
	current atomic.Pointer[catalog.Catalog]
	buffers sync.Pool   // of *[]byte, for the blocks of INSERTs
	encodes atomic.Bool // The connection uses ClickHouse's native protocol, in which the driver encodes blocks itself.

	projectedRows int // defaultProjectedRows, but for tests
}

// NewStore returns the store. Prepare creates its tables.
func NewStore(db driver.Conn, c *catalog.Catalog) *Store {
	s := &Store{db: db, projectedRows: defaultProjectedRows}
	s.Declare(c)
	return s
}

// Declare makes the views those of another catalog. CreateTables creates their tables.
func (s *Store) Declare(c *catalog.Catalog) { s.current.Store(c) }

func (s *Store) catalog() *catalog.Catalog { return s.current.Load() }

// insertContext allows an INSERT of a whole history. Its rows are of many years, and each year is
// a partition of the table.
func insertContext(ctx context.Context) context.Context {
	return statementContext(ctx, clickhouse.Settings{
		"max_partitions_per_insert_block": 0, "max_execution_time": 0, "async_insert": 0,
	})
}

// readContext allows long reads and long lists of buckets. Reads of few rows use every core too: ClickHouse would read
// up to 163,840 rows with one thread.
func readContext(ctx context.Context) context.Context {
	return statementContext(ctx, clickhouse.Settings{
		"merge_tree_min_rows_for_concurrent_read": 1 << 14, "merge_tree_min_bytes_for_concurrent_read": 1 << 20,
		"max_execution_time": 0, "max_query_size": 16 << 20, "max_ast_elements": 1 << 20,
		"max_expanded_ast_elements": 1 << 20,
	})
}

// statementContext adds settings that all statements have. ClickHouse compiles an aggregation to machine code when it
// runs for the third time, which takes 25 ms: as much as thousands of these small statements win by it.
func statementContext(ctx context.Context, settings clickhouse.Settings) context.Context {
	settings["compile_aggregate_expressions"] = 0
	settings["compile_expressions"] = 0
	settings["compile_sort_description"] = 0
	return clickhouse.Context(ctx, clickhouse.WithSettings(settings))
}
