package publish

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/ClickHouse/clickhouse-go/v2"
	"golang.org/x/sync/errgroup"

	"recount/batch/exact"
	"recount/schemas/catalog"
	"recount/schemas/fault"
	"recount/schemas/record"
	"recount/schemas/sqlschema"
)

const (
	insertRows  = 1_000_000 // most rows of one INSERT
	insertBytes = 64 << 20  // about the most bytes of one INSERT
)

// newVer returns a version no other attempt has (B4). Its upper half is the number of
// the publication it is written for: once that number is taken, a version that no
// record names can never be named by one, which is what makes collecting safe.
func newVer(n uint64) uint64 { return n<<32 | uint64(rand.Uint32()) }

// verN is the number of the publication a version was written for.
func verN(ver uint64) uint64 { return ver >> 32 }

// writer sends the blocks of one attempt to ClickHouse. Only its own goroutine uses it.
type writer struct {
	p      *Publisher
	ver    uint64
	tables map[string]*table // by view
	bytes  int64             // waiting in all tables
	limit  int64
}

// table gathers the rows of one view until they are worth an INSERT.
type table struct {
	view    *catalog.View
	layout  *layout
	pieces  []piece
	rows    int
	bytes   int64
	wanted  []int64 // buckets that are computed
	buckets map[int64]*record.BucketVersion
}

// piece is the rows [lo, hi) of a block.
type piece struct {
	block  *exact.Block
	lo, hi int
}

func (p *Publisher) newWriter(pl *plan) *writer {
	w := &writer{p: p, ver: newVer(pl.n), tables: map[string]*table{}, limit: max(p.cfg.Memory/8, 1<<20)}
	for _, in := range pl.inputs {
		for _, t := range in.Targets {
			w.tables[t.View.Name] = &table{view: t.View, layout: newLayout(p.cfg.Catalog, t.View, w.ver), wanted: t.Buckets, buckets: map[int64]*record.BucketVersion{}}
		}
	}
	return w
}

// compute runs one event type through the batch engine and into ClickHouse. The
// engine goes on while rows are sent.
func (w *writer) compute(ctx context.Context, in exact.Input) (counts []record.BucketCount, err error) {
	blocks := make(chan *exact.Block, 1)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		for b := range blocks {
			if err := w.add(ctx, b); err != nil {
				return err
			}
		}
		return w.flushAll(ctx)
	})
	g.Go(func() (err error) {
		defer close(blocks)
		counts, err = exact.Run(ctx, w.p.cfg.exact(), w.p.open, in, func(b *exact.Block) error {
			select {
			case blocks <- b:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		return err
	})
	return counts, g.Wait()
}

// add takes a block over, in pieces no INSERT is too small for.
func (w *writer) add(ctx context.Context, b *exact.Block) error {
	t := w.tables[b.View.Name]
	size := blockBytes(b)
	per := max(1, min(insertRows, int(int64(b.Rows())*insertBytes/max(size, 1))))
	for lo := 0; lo < b.Rows(); lo += per {
		hi := min(lo+per, b.Rows())
		bytes := size * int64(hi-lo) / int64(b.Rows())
		if t.rows+hi-lo > insertRows || t.bytes+bytes > insertBytes {
			if err := w.flush(ctx, t); err != nil {
				return err
			}
		}
		t.pieces = append(t.pieces, piece{b, lo, hi})
		t.rows, t.bytes, w.bytes = t.rows+hi-lo, t.bytes+bytes, w.bytes+bytes
	}
	for w.bytes > w.limit {
		if err := w.flush(ctx, w.largest()); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) largest() (t *table) {
	for _, o := range w.tables {
		if t == nil || o.bytes > t.bytes {
			t = o
		}
	}
	return t
}

// blockBytes estimates what a block holds.
func blockBytes(b *exact.Block) int64 {
	bytes := int64(b.Rows()) * int64(64+24*len(b.Dims)+32*len(b.Measures))
	for i := range b.Measures {
		bytes += 16 * int64(len(b.Measures[i].Hashes))
	}
	return bytes
}

func (w *writer) flushAll(ctx context.Context) error {
	for _, t := range w.tables {
		if err := w.flush(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// flush inserts what a table gathered. An error may hide an INSERT that was done,
// so nothing is ever sent again under this version (B4): the attempt fails.
func (w *writer) flush(ctx context.Context, t *table) error {
	if t.rows == 0 {
		return nil
	}
	for _, x := range t.pieces {
		t.layout.sums(x.block, x.lo, x.hi, w.ver, t.buckets)
	}
	fault.Point("publish.write.before")
	if err := t.insert(ctx, w.p); err != nil {
		return fmt.Errorf("write view %s: %w", t.view.Name, err)
	}
	fault.Point("publish.write.after")
	w.bytes -= t.bytes
	t.pieces, t.rows, t.bytes = nil, 0, 0
	clear(t.layout.strings)
	return nil
}

func (t *table) insert(ctx context.Context, p *Publisher) error {
	name := sqlschema.Table(t.view, p.cfg.Catalog.Digest(t.view))
	batch, err := p.db.PrepareBatch(insertContext(ctx), "INSERT INTO "+sqlschema.Quote(name)+" ("+t.layout.names()+")")
	if err != nil {
		return err
	}
	defer batch.Close()
	for i, c := range t.layout.columns {
		for _, x := range t.pieces {
			if err := c.write(batch.Column(i), x.block, x.lo, x.hi); err != nil {
				return fmt.Errorf("column %s: %w", c.name, err)
			}
		}
	}
	return batch.Send()
}

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
		"max_execution_time": 0, "max_query_size": 16 << 20, "max_ast_elements": 1 << 20, "max_expanded_ast_elements": 1 << 20,
	}))
}
