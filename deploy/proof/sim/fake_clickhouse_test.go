package sim

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"

	"recount/batch/cells"
	"recount/batch/exact"
	"recount/batch/publish"
	"recount/schemas/catalog"
	"recount/schemas/record"
	"recount/schemas/sqlschema"
)

// row is one row of a table of cells.
type row struct {
	bucket int64
	ver    uint64
	piece  exact.BlockRows
	sum    uint64 // the row's checksum
}

// clickHouse is ClickHouse as one publisher sees it.
type clickHouse struct {
	w       *world
	p       *proc
	catalog *catalog.Catalog
}

// Declare implements publish.Views. Only the goroutine of the publisher's runs calls it.
func (v *clickHouse) Declare(c *catalog.Catalog) { v.catalog = c }

func (v *clickHouse) Prepare(ctx context.Context) error { return v.CreateTables(ctx) }

func (v *clickHouse) CreateTables(ctx context.Context) error {
	return v.p.perform(ctx, op{kind: "tables", fates: writeFates[:2], effect: func() error {
		for _, view := range v.catalog.Views {
			name := sqlschema.Table(view, v.catalog.Digest(view))
			if _, ok := v.w.tables[name]; !ok {
				v.w.tables[name] = nil
			}
		}
		return nil
	}})
}

func (v *clickHouse) Insert(ctx context.Context, view *catalog.View, ver uint64,
	pieces []exact.BlockRows) (map[int64]record.BucketVersion, error) {
	name := sqlschema.Table(view, v.catalog.Digest(view))
	var rows []row
	for _, x := range pieces {
		for i := x.From; i < x.To; i++ {
			r := row{bucket: x.Block.Buckets[i], ver: ver, piece: exact.BlockRows{Block: x.Block, From: i, To: i + 1}}
			r.sum = cells.Checksums(v.catalog, view, ver, []exact.BlockRows{r.piece})[r.bucket].Checksum
			rows = append(rows, r)
		}
	}
	add := func(rows []row) error {
		if _, ok := v.w.tables[name]; !ok {
			return fmt.Errorf("no table %s", name)
		}
		v.w.tables[name] = append(v.w.tables[name], rows...)
		return nil
	}
	err := v.p.perform(ctx, op{kind: "insert", key: view.Name, fates: insertFates,
		effect: func() error { return add(rows) }, alter: func() { _ = add(v.w.corruptRows(rows)) }})
	return cells.Checksums(v.catalog, view, ver, pieces), err
}

// corruptRows returns what a faulty insert stores: half of the rows, or all with one row replaced.
func (w *world) corruptRows(rows []row) []row {
	if len(rows) == 0 || w.rng.IntN(2) == 0 {
		return rows[:len(rows)/2]
	}
	rows = slices.Clone(rows)
	rows[len(rows)-1] = rows[0]
	return rows
}

// damageRows damages rows in ClickHouse that the newest publication names: it removes all rows of a bucket or
// all but one, or puts another row of the table in the place of one.
func (w *world) damageRows() {
	if len(w.states) == 0 {
		return
	}
	s := w.states[len(w.states)-1]
	names := slices.Sorted(maps.Keys(s.Views))
	name := names[w.rng.IntN(len(names))]
	view := s.Views[name]
	if len(view.Buckets) == 0 {
		return
	}
	b := view.Buckets[w.rng.IntN(len(view.Buckets))]
	left := w.rng.IntN(2)
	table := sqlschema.Table(&catalog.View{Name: name}, view.Digest)
	rows := w.tables[table]
	damaged := slices.IndexFunc(rows, func(r row) bool { return r.bucket == b.Bucket && r.ver == b.Ver })
	other := w.rng.IntN(2 * max(1, len(rows)))
	if damaged >= 0 && other < len(rows) && rows[other].sum != rows[damaged].sum {
		rows[damaged].piece = rows[other].piece
		rows[damaged].sum = rows[other].sum
		w.observe("ClickHouse has another row")
		w.tracef("ClickHouse has another row in view %s, bucket %d", name, b.Bucket)
		return
	}
	w.tables[table] = slices.DeleteFunc(rows, func(r row) bool {
		if r.bucket == b.Bucket && r.ver == b.Ver {
			left--
			return left < 0
		}
		return false
	})
	w.observe("ClickHouse loses rows")
	// The line does not name the version: the publisher draws it, so it differs between runs.
	w.tracef("ClickHouse loses rows of view %s, bucket %d", name, b.Bucket)
}

// content returns what a table has of a version.
func (w *world) content(table string, bucket int64, ver uint64) record.BucketVersion {
	b := record.BucketVersion{Bucket: bucket, Ver: ver}
	for _, r := range w.tables[table] {
		if r.bucket == bucket && r.ver == ver {
			b.Rows++
			b.Checksum += r.sum
		}
	}
	return b
}

// wrongRows returns an error if ClickHouse does not have the rows of the newest publication.
func (w *world) wrongRows() error {
	if len(w.states) == 0 {
		return nil
	}
	s := w.states[len(w.states)-1]
	for name, view := range s.Views {
		table := sqlschema.Table(&catalog.View{Name: name}, view.Digest)
		for _, b := range view.Buckets {
			if got := w.content(table, b.Bucket, b.Ver); got.Rows != b.Rows || got.Checksum != b.Checksum {
				return fmt.Errorf("view %s, bucket %d: ClickHouse has %d rows with checksum %016x, publication %d "+
					"names %d with %016x", name, b.Bucket, got.Rows, got.Checksum, s.N, b.Rows, b.Checksum)
			}
		}
	}
	return nil
}

// checkRowsRestored fails the seed if rows are still damaged after a recompute that ran without faults.
// The process checks all published rows since its start, so this recompute must restore them.
func (w *world) checkRowsRestored(name string) {
	if err := w.wrongRows(); err != nil && !w.lateDamage {
		w.failf("%s has recomputed, but ClickHouse still has damaged rows: %v", name, err)
	}
}

// checkLateDamage damages rows while no process starts and no query of a recomputing process misses them. The next
// check of each publisher is due, so rows are there again within some steps. A check that was under way while the
// clock advanced took that long, and its publisher waits for twenty times as long (publish.checkShare).
func (w *world) checkLateDamage() error {
	jump := int(publish.DefaultConfig(nil, 1).CheckEvery/step) + 1
	w.advanceClock(jump)
	w.lateDamage = true
	w.damageRows()
	last := w.ticks + 100 + 20*2*jump
	w.run(func() bool { return w.wrongRows() == nil || w.ticks > last }, func() {})
	if err := w.failure(); err != nil {
		return err
	}
	if err := w.wrongRows(); err != nil {
		return fmt.Errorf("no process has noticed that rows are damaged: %w", err)
	}
	w.observe("a check by the clock finds damaged rows")
	return nil
}

func (v *clickHouse) ReadVersions(ctx context.Context, view *catalog.View,
	versions []record.BucketVersion) (map[int64]record.BucketVersion, error) {
	got := map[int64]record.BucketVersion{}
	err := v.p.perform(ctx, op{kind: "read back", key: view.Name, fates: readFates, effect: func() error {
		for _, b := range versions {
			if found := v.w.content(sqlschema.Table(view, v.catalog.Digest(view)), b.Bucket, b.Ver); found.Rows > 0 {
				got[b.Bucket] = found
			}
		}
		return nil
	}})
	return got, err
}

// Project remembers the number alone: the simulation has no SQL VIEWs. Neither method is an
// operation of the schedule.
func (v *clickHouse) Project(_ context.Context, s *record.State) error {
	v.w.mu.Lock()
	defer v.w.mu.Unlock()
	v.w.projected = max(v.w.projected, s.N)
	return nil
}

func (v *clickHouse) Refuse(context.Context, string) error { return nil }

func (v *clickHouse) Projected(context.Context) (uint64, error) {
	v.w.mu.Lock()
	defer v.w.mu.Unlock()
	return v.w.projected, nil
}

func (v *clickHouse) DeleteProjection(context.Context, uint64) (int64, error) { return 0, nil }

func (v *clickHouse) Tables(ctx context.Context) (names []string, err error) {
	err = v.p.perform(ctx, op{kind: "list tables", fates: readFates,
		effect: func() error {
			names = slices.Sorted(maps.Keys(v.w.tables))
			return nil
		}})
	return names, err
}

func (v *clickHouse) Versions(ctx context.Context, table string, below uint64) iter.Seq2[record.BucketVersion, error] {
	return func(yield func(record.BucketVersion, error) bool) {
		found := map[[2]uint64]record.BucketVersion{}
		err := v.p.perform(ctx, op{kind: "versions", key: table, fates: readFates, effect: func() error {
			for _, r := range v.w.tables[table] {
				if key := [2]uint64{uint64(r.bucket), r.ver}; r.ver < below {
					found[key] = record.BucketVersion{Bucket: r.bucket, Ver: r.ver, Rows: found[key].Rows + 1}
				}
			}
			return nil
		}})
		if err != nil {
			yield(record.BucketVersion{}, err)
			return
		}
		for _, key := range slices.SortedFunc(maps.Keys(found),
			func(a, b [2]uint64) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) }) {
			if !yield(found[key], nil) {
				return
			}
		}
	}
}

func (v *clickHouse) DeleteVersions(ctx context.Context, table string, vers []record.BucketVersion) error {
	return v.p.perform(ctx, op{kind: "delete versions", key: table, fates: writeFates, effect: func() error {
		v.w.observe("rows are collected")
		for _, b := range vers {
			v.w.checkUnreferenced(table, b.Bucket, b.Ver)
			v.w.tables[table] = slices.DeleteFunc(v.w.tables[table],
				func(r row) bool { return r.bucket == b.Bucket && r.ver == b.Ver })
		}
		return nil
	}})
}

// checkUnreferenced fails the seed if a kept publication names rows that are about to be deleted (P3, V9).
func (w *world) checkUnreferenced(table string, bucket int64, ver uint64) {
	for _, s := range w.keptPublications() {
		for name, view := range s.Views {
			if sqlschema.Table(&catalog.View{Name: name}, view.Digest) != table {
				continue
			}
			for _, b := range view.VersionsBetween(bucket, bucket+1) {
				if b.Ver == ver && b.Rows > 0 {
					w.failf("rows of view %s are collected, but the kept publication %d names them", name, s.N)
				}
			}
		}
	}
}

func (v *clickHouse) DropTable(ctx context.Context, table string, below uint64) (rows int64, dropped bool, err error) {
	err = v.p.perform(ctx, op{kind: "drop table", key: table, fates: writeFates, rare: true, effect: func() error {
		for _, r := range v.w.tables[table] {
			if r.ver < below {
				rows++
				v.w.checkUnreferenced(table, r.bucket, r.ver)
			}
		}
		v.w.tables[table] = slices.DeleteFunc(v.w.tables[table], func(r row) bool { return r.ver < below })
		if len(v.w.tables[table]) == 0 {
			delete(v.w.tables, table)
			v.w.observe("the table of a changed view is dropped")
			dropped = true
		}
		return nil
	}})
	return rows, dropped, err
}
