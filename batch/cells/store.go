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
}

// NewStore returns the store. Prepare creates its tables.
func NewStore(db driver.Conn, c *catalog.Catalog) *Store {
	s := &Store{db: db}
	s.Declare(c)
	return s
}

// Declare makes the views those of another catalog. CreateTables creates their tables.
func (s *Store) Declare(c *catalog.Catalog) { s.current.Store(c) }

func (s *Store) catalog() *catalog.Catalog { return s.current.Load() }

// insertContext allows an INSERT of a whole history. Its rows are of many years, and each year is
// a partition of the table.
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
