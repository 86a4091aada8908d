package publish

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"recount/batch/exact"
	"recount/schemas/catalog"
	"recount/schemas/failpoint"
	"recount/schemas/record"
)

const (
	insertRows  = 1_000_000 // the largest number of rows in one INSERT
	insertBytes = 128 << 20 // roughly the largest number of bytes in one INSERT
	// enoughBytes is how many bytes begin an INSERT while none runs. Few large INSERTs cost least, because ClickHouse
	// merges what they leave. But ClickHouse should not wait for work.
	enoughBytes = 32 << 20
)

// newVersion returns a version that no other attempt has (B4). Its upper half is the number of the
// publication it is written for. Once that publication exists, no later record can name a version
// that it does not name. That makes collecting safe.
func newVersion(n uint64) uint64 {
	if failpoint.Off(failpoint.B4) {
		return n << 32
	}
	return n<<32 | uint64(rand.Uint32())
}

// writer sends the blocks of one attempt to ClickHouse. One goroutine gathers them and starts
// INSERTs. As many INSERTs run at once as there are workers.
type writer struct {
	p       *Publisher
	version uint64
	tables  map[string]*table // by view
	bytes   int64             // bytes that wait in all tables
	limit   int64             // bytes that may wait
	room    int64             // bytes that an INSERT may have: those that run have no more than may wait
	running atomic.Int64      // INSERTs that run
	mu      sync.Mutex        // guards the buckets of all tables while INSERTs run
}

// table gathers the rows of one view until there are enough for an INSERT.
type table struct {
	view    *catalog.View
	pieces  []exact.BlockRows
	rows    int
	bytes   int64
	wanted  []int64                        // the buckets that are computed
	buckets map[int64]record.BucketVersion // what was written of each

	unconverted map[bucketTenant]int64
	overflowed  map[bucketTenant]int64
}

// bucketTenant is a bucket and a tenant with events in it.
type bucketTenant struct {
	bucket int64
	tenant string
}

func (p *Publisher) newWriter(plan *plan) *writer {
	w := &writer{p: p, version: newVersion(plan.n), tables: map[string]*table{}, limit: max(p.cfg.Memory/8, 1<<20)}
	w.room = min(insertBytes, max(w.limit/int64(p.cfg.Workers), 1<<20))
	for _, in := range plan.inputs {
		for _, t := range in.Targets {
			w.tables[t.View.Name] = &table{view: t.View, wanted: t.Buckets, buckets: map[int64]record.BucketVersion{},
				unconverted: map[bucketTenant]int64{}, overflowed: map[bucketTenant]int64{}}
		}
	}
	return w
}

// compute runs the batch engine for one event type and writes its rows to ClickHouse. The engine
// continues while rows are sent.
func (w *writer) compute(ctx context.Context, in exact.Input) (found exact.Counts, err error) {
	blocks := make(chan *exact.Block, 1)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(2 + w.p.cfg.Workers) // The two goroutines below, and the INSERTs.
	start := func(t *table, pieces []exact.BlockRows) {
		w.running.Add(1)
		g.Go(func() error {
			defer w.running.Add(-1)
			return w.insert(ctx, t, pieces)
		})
	}
	startInsert := func(t *table) { start(t, w.drain(t)) }
	g.Go(func() error {
		for b := range blocks {
			w.addBlock(b, startInsert)
		}
		for _, name := range slices.Sorted(maps.Keys(w.tables)) {
			t := w.tables[name]
			parts := 1 + min(int(t.bytes/enoughBytes), w.p.cfg.Workers-1) // Nothing else is left for the other cores.
			pieces := w.drain(t)
			for len(pieces) > 0 {
				n := (len(pieces) + parts - 1) / parts
				start(t, pieces[:n])
				pieces = pieces[n:]
				parts--
			}
		}
		return nil
	})
	g.Go(func() (err error) {
		defer close(blocks)
		found, err = exact.Run(ctx, w.p.cfg.exact(), w.p.openObject, in, func(b *exact.Block) error {
			select {
			case blocks <- b:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		return err
	})
	return found, g.Wait()
}

// addBlock adds a block to its table, cut into pieces that fit one INSERT each. It starts the INSERT of
// every table that has gathered enough.
func (w *writer) addBlock(b *exact.Block, startInsert func(*table)) {
	t := w.tables[b.View.Name]
	for _, u := range b.Unconverted {
		t.unconverted[bucketTenant{u.Bucket, u.Tenant}] += u.Events
	}
	for _, o := range b.Overflowed {
		t.overflowed[bucketTenant{o.Bucket, o.Tenant}] += o.Events
	}
	size := blockBytes(b)
	rowsPerInsert := max(1, min(insertRows, int(int64(b.Rows())*w.room/max(size, 1))))
	for from := 0; from < b.Rows(); from += rowsPerInsert {
		to := min(from+rowsPerInsert, b.Rows())
		bytes := size * int64(to-from) / int64(b.Rows())
		if t.rows+to-from > insertRows || t.bytes+bytes > w.room {
			startInsert(t)
		}
		t.pieces = append(t.pieces, exact.BlockRows{Block: b, From: from, To: to})
		t.rows = t.rows + to - from
		t.bytes = t.bytes + bytes
		w.bytes = w.bytes + bytes
	}
	if t.bytes > enoughBytes && w.running.Load() == 0 {
		startInsert(t)
	}
	for w.bytes > w.limit {
		startInsert(w.largest())
	}
}

func (w *writer) largest() (t *table) {
	for _, o := range w.tables {
		if t == nil || o.bytes > t.bytes {
			t = o
		}
	}
	return t
}

// blockBytes estimates how many bytes a block holds.
func blockBytes(b *exact.Block) int64 {
	bytes := int64(b.Rows()) * int64(64+24*len(b.Dims)+32*len(b.Measures))
	for i := range b.Measures {
		bytes += 16*int64(len(b.Measures[i].Hashes)) + 20*int64(len(b.Measures[i].Keys))
	}
	return bytes
}

// drain returns the pieces that a table has gathered, by time, and empties it. ClickHouse need not sort the rows of an
// INSERT that are in the table's order.
func (w *writer) drain(t *table) []exact.BlockRows {
	pieces := t.pieces
	slices.SortFunc(pieces, func(a, b exact.BlockRows) int {
		return cmp.Or(cmp.Compare(a.Block.Buckets[a.From], b.Block.Buckets[b.From]),
			cmp.Compare(a.Block.Times[a.From], b.Block.Times[b.From]))
	})
	w.bytes -= t.bytes
	t.pieces = nil
	t.rows = 0
	t.bytes = 0
	return pieces
}

// insert writes rows of a view. After an error the rows may be there or not, so nothing is sent
// again under this version (B4): the attempt fails.
func (w *writer) insert(ctx context.Context, t *table, pieces []exact.BlockRows) error {
	if len(pieces) == 0 {
		return nil
	}
	failpoint.Point("publish.write.before")
	wrote, err := w.p.views.Insert(ctx, t.view, w.version, pieces)
	if err != nil {
		return fmt.Errorf("write view %s: %w", t.view.Name, err)
	}
	failpoint.Point("publish.write.after")
	w.mu.Lock()
	defer w.mu.Unlock()
	for bucket, v := range wrote {
		v.Rows += t.buckets[bucket].Rows
		v.Checksum += t.buckets[bucket].Checksum
		t.buckets[bucket] = v
	}
	return nil
}
