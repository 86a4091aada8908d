package sim

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow/go/v15/arrow/array"

	"recount/batch/cells"
	"recount/batch/exact"
	"recount/batch/lake"
	"recount/batch/landing"
	"recount/schemas/catalog"
	"recount/schemas/eventbatch"
	"recount/schemas/record"
	"recount/schemas/sqlschema"
	"recount/speed/eventlog"
	"recount/speed/realtime"
)

// How each kind of operation may go wrong.
var (
	readFates   = []fate{unsent}
	writeFates  = []fate{unsent, unheard, delayed}
	createFates = []fate{unsent, unheard, delayed, conflict, refused, broken}
	putFates    = []fate{unsent, unheard, delayed, mangled, lateWrong}
	insertFates = []fate{unsent, unheard, delayed, mangled}
)

// logOf is the log as a process sees it.
type logOf struct {
	w *world
	p *proc
}

type cursor struct {
	logOf
	partition int
	next      uint64
	speed     bool
}

func (r *cursor) trimmed(first uint64) error {
	if r.speed {
		return fmt.Errorf("%w: the first is %d", realtime.ErrGap, first)
	}
	return fmt.Errorf("%w: the first is %d", landing.ErrTrimmed, first)
}

func (l logOf) open(ctx context.Context, partition int, from uint64, speed bool) (*cursor, error) {
	r := &cursor{l, partition, from, speed}
	err := l.p.do(ctx, op{kind: "read", key: fmt.Sprintf("p%d %t", partition, speed), fates: readFates, effect: func() error {
		if first := l.w.logs[partition].first; from < first {
			return r.trimmed(first)
		}
		return nil
	}})
	return r, err
}

// Next hands out the next message there is; the code under test notices one that is missing.
func (r *cursor) Next(ctx context.Context) (m eventbatch.Message, err error) {
	l := &r.w.logs[r.partition]
	err = r.p.do(ctx, op{kind: "next", key: fmt.Sprintf("p%d %t", r.partition, r.speed), fates: readFates,
		ready: func() bool {
			if r.speed && r.w.slowSpeed && r.w.bad > 0 && r.w.ticks%8 != 0 {
				return false
			}
			return r.next < l.first || r.next < l.next && (r.next != l.gone || r.next+1 < l.next)
		},
		effect: func() error {
			if r.next < l.first {
				return r.trimmed(l.first)
			}
			at := r.next
			if at == l.gone {
				at++
			}
			m = eventbatch.Message{Seq: at, Frame: bytes.Clone(l.line[at].frame)}
			r.next = at + 1
			return nil
		}})
	return m, err
}

func (r *cursor) Close() {}

type landingLog struct{ logOf }

func (l landingLog) Read(ctx context.Context, p int, from uint64) (landing.Reader, error) {
	return l.open(ctx, p, from, false)
}

func (l landingLog) Heartbeat(ctx context.Context, p int) error {
	f := eventbatch.AppendHeartbeat(nil, time.Now().UnixMicro())
	return l.p.do(ctx, op{kind: "heartbeat", key: fmt.Sprint(p), fates: writeFates, ready: l.w.accepts, effect: func() error { return l.w.append(p, f, nil, "") }})
}

type speedLog struct{ logOf }

func (l speedLog) Read(ctx context.Context, p int, from uint64) (realtime.Reader, error) {
	return l.open(ctx, p, from, true)
}

// janitorLog answers at once: boot and trimming ask little.
type janitorLog struct{ logOf }

func (janitorLog) Partitions() int { return partitions }

func (l janitorLog) Bounds(_ context.Context, p int) (first, next uint64, err error) {
	l.w.see()
	return l.w.logs[p].first, l.w.logs[p].next, nil
}

func (l janitorLog) Get(_ context.Context, p int, seq uint64) (eventlog.Message, error) {
	l.w.see()
	g := &l.w.logs[p]
	switch m := g.line[seq]; {
	case seq < g.first:
		return eventlog.Message{}, eventlog.ErrTrimmed
	case seq >= g.next || m == nil:
		return eventlog.Message{}, eventlog.ErrNotFound
	default:
		return eventlog.Message{Seq: seq, Data: m.frame}, nil
	}
}

func (l janitorLog) Advance(ctx context.Context, p int, next uint64) error {
	return l.p.do(ctx, op{kind: "advance", key: fmt.Sprint(p), fates: writeFates[:2], effect: func() error {
		g := &l.w.logs[p]
		g.first, g.next = max(g.first, next), max(g.next, next)
		return nil
	}})
}

func (l janitorLog) Trim(ctx context.Context, p int, below uint64) error {
	return l.p.do(ctx, op{kind: "trim", key: fmt.Sprintf("%d below %d", p, below), fates: writeFates, effect: func() error {
		g := &l.w.logs[p]
		g.first = max(g.first, min(below, g.next))
		for _, n := range l.w.nodes {
			n.outrun(p, g.first)
		}
		return nil
	}})
}

// backend is the store under a commit log.
type backend struct {
	w *world
	p *proc
}

func (b backend) CreateOnce(ctx context.Context, key string, body []byte) error {
	body = bytes.Clone(body)
	return b.p.do(ctx, op{kind: "create", key: key, fates: createFates, effect: func() error { return b.w.create(key, body) }})
}

func (b backend) GetOnce(ctx context.Context, key string) (body []byte, err error) {
	err = b.p.do(ctx, op{kind: "get", key: key, fates: readFates, effect: func() error {
		r, ok := b.w.records[key]
		if body = r.body; !ok {
			return fmt.Errorf("get %s: %w", key, lake.ErrNotFound)
		}
		return nil
	}})
	return body, err
}

func (b backend) Get(ctx context.Context, key string) ([]byte, error) { return b.GetOnce(ctx, key) }

func (b backend) List(ctx context.Context, prefix, _ string) iter.Seq2[lake.Info, error] {
	return list(ctx, b.p, b.w, b.w.records, prefix)
}

// list is a LIST of a store: it may be stale, and out of order.
func list(ctx context.Context, p *proc, w *world, from map[string]stored, prefix string) iter.Seq2[lake.Info, error] {
	return func(yield func(lake.Info, error) bool) {
		var infos []lake.Info
		show := func(stale, unsorted bool) {
			for _, k := range w.list(from, prefix, stale, unsorted) {
				infos = append(infos, lake.Info{Key: k, Size: int64(len(from[k].body)), Modified: from[k].at})
			}
		}
		err := p.do(ctx, op{kind: "list", key: prefix, fates: []fate{unsent, mangled},
			effect: func() error { show(false, false); return nil },
			mangle: func() { show(w.rng.IntN(2) == 0, w.rng.IntN(2) == 0) }})
		if err != nil {
			yield(lake.Info{}, err)
			return
		}
		for _, i := range infos {
			if !yield(i, nil) {
				return
			}
		}
	}
}

// unnamed is an object's key without the random name of its attempt.
func unnamed(key string) string { return key[:strings.LastIndexByte(key, '-')] }

// objectsOf is the object store as a process sees it.
type objectsOf struct {
	w *world
	p *proc
}

func (o objectsOf) Put(ctx context.Context, key string, body io.ReaderAt, size int64) error {
	raw := make([]byte, size)
	if _, err := body.ReadAt(raw, 0); err != nil && err != io.EOF {
		return err
	}
	return o.p.do(ctx, op{kind: "put", key: unnamed(key), fates: putFates,
		effect: func() error { o.w.put(key, raw, false); return nil }, mangle: func() { o.w.put(key, raw, true) }})
}

func (o objectsOf) Get(ctx context.Context, key string) (body []byte, err error) {
	err = o.p.do(ctx, op{kind: "fetch", key: unnamed(key), fates: readFates, effect: func() error {
		_, err := o.w.info(key)
		body = o.w.objects[key].body
		return err
	}})
	return body, err
}

func (o objectsOf) Head(ctx context.Context, key string) (info lake.Info, err error) {
	err = o.p.do(ctx, op{kind: "head", key: unnamed(key), fates: readFates, effect: func() (err error) { info, err = o.w.info(key); return err }})
	return info, err
}

func (o objectsOf) List(ctx context.Context, prefix, _ string) iter.Seq2[lake.Info, error] {
	return list(ctx, o.p, o.w, o.w.objects, prefix)
}

func (o objectsOf) Delete(ctx context.Context, keys ...string) error {
	return o.p.do(ctx, op{kind: "delete", key: fmt.Sprint(len(keys)), fates: writeFates, effect: func() error { o.w.delete(keys); return nil }})
}

// open reads an object for the batch engine. It is no operation of its own: the engine
// opens objects in an order that is not the schedule's.
func (o objectsOf) open(ctx context.Context, r record.Object) (exact.File, error) {
	if _, err := o.w.info(r.Key); err != nil {
		return nil, err
	}
	body := o.w.objects[r.Key].body
	var f file
	var err error
	outside(func() {
		if err = lake.Verify(ctx, r, bytes.NewReader(body)); err != nil {
			return
		}
		var opened *lake.File
		if opened, err = lake.OpenParquet(ctx, r, bytes.NewReader(body)); err != nil {
			return
		}
		all := append(slices.Clone(objectColumns), "amount", "kind", "name", "user")
		for c, readErr := range opened.Read(ctx, all, 0, r.Rows) {
			if err = readErr; err != nil {
				return
			}
			c.Rec.Retain()
			f = append(f, c)
		}
	})
	return f, err
}

var objectColumns = []string{eventbatch.ColKey, eventbatch.ColHash, eventbatch.ColFlags, eventbatch.ColTime, eventbatch.ColTenant, exact.ColSeq, exact.ColIndex}

// file is an object that was decoded outside the bubble.
type file []eventbatch.Columns

func (f file) Close() error { return nil }

func (f file) Read(_ context.Context, _ []string, from, to int64) iter.Seq2[eventbatch.Columns, error] {
	return func(yield func(eventbatch.Columns, error) bool) {
		at := int64(0)
		for _, c := range f {
			lo, hi := max(from-at, 0), min(to-at, c.Rec.NumRows())
			at += c.Rec.NumRows()
			if lo >= hi {
				continue
			}
			part := eventbatch.Columns{Rec: c.Rec.NewSlice(lo, hi)}
			part.Key, _ = part.Field(eventbatch.ColKey).(*array.FixedSizeBinary)
			part.Tenant, _ = part.Field(eventbatch.ColTenant).(*array.String)
			part.Flags, _ = part.Field(eventbatch.ColFlags).(*array.Uint8)
			part.Hash, _ = part.Field(eventbatch.ColHash).(*array.Uint64)
			part.Time, _ = part.Field(eventbatch.ColTime).(*array.Timestamp)
			if !yield(part, nil) {
				return
			}
		}
	}
}

// row is one row of a table of cells.
type row struct {
	bucket int64
	ver    uint64
	piece  exact.Piece
}

// viewsOf is ClickHouse as a publisher sees it.
type viewsOf struct {
	w       *world
	p       *proc
	catalog *catalog.Catalog
}

func (v viewsOf) Prepare(ctx context.Context) error { return v.CreateTables(ctx) }

func (v viewsOf) CreateTables(ctx context.Context) error {
	return v.p.do(ctx, op{kind: "tables", fates: writeFates[:2], effect: func() error {
		for _, view := range v.catalog.Views {
			name := sqlschema.Table(view, v.catalog.Digest(view))
			if _, ok := v.w.tables[name]; !ok {
				v.w.tables[name] = nil
			}
		}
		return nil
	}})
}

func (v viewsOf) Insert(ctx context.Context, view *catalog.View, ver uint64, pieces []exact.Piece) (map[int64]record.BucketVersion, error) {
	name := sqlschema.Table(view, v.catalog.Digest(view))
	var rows []row
	for _, x := range pieces {
		for i := x.Lo; i < x.Hi; i++ {
			rows = append(rows, row{x.Block.Buckets[i], ver, exact.Piece{Block: x.Block, Lo: i, Hi: i + 1}})
		}
	}
	add := func(rows []row) error {
		if _, ok := v.w.tables[name]; !ok {
			return fmt.Errorf("no table %s", name)
		}
		v.w.tables[name] = append(v.w.tables[name], rows...)
		return nil
	}
	err := v.p.do(ctx, op{kind: "insert", key: view.Name, fates: insertFates,
		effect: func() error { return add(rows) }, mangle: func() { _ = add(rows[:len(rows)/2]) }})
	return cells.Sums(v.catalog, view, ver, pieces), err
}

func (v viewsOf) ReadBack(ctx context.Context, view *catalog.View, ver uint64, buckets []int64) (map[int64]record.BucketVersion, error) {
	var pieces []exact.Piece
	err := v.p.do(ctx, op{kind: "read back", key: view.Name, fates: readFates, effect: func() error {
		for _, r := range v.w.tables[sqlschema.Table(view, v.catalog.Digest(view))] {
			if r.ver == ver && slices.Contains(buckets, r.bucket) {
				pieces = append(pieces, r.piece)
			}
		}
		return nil
	}})
	return cells.Sums(v.catalog, view, ver, pieces), err
}

func (v viewsOf) Project(context.Context, *record.State) error { return nil }

func (v viewsOf) DeleteProjection(context.Context, uint64) (int64, error) { return 0, nil }

func (v viewsOf) Tables(ctx context.Context) (names []string, err error) {
	err = v.p.do(ctx, op{kind: "list tables", fates: readFates, effect: func() error { names = slices.Sorted(maps.Keys(v.w.tables)); return nil }})
	return names, err
}

func (v viewsOf) Versions(ctx context.Context, table string, below uint64) iter.Seq2[record.BucketVersion, error] {
	return func(yield func(record.BucketVersion, error) bool) {
		found := map[[2]uint64]record.BucketVersion{}
		err := v.p.do(ctx, op{kind: "versions", key: table, fates: readFates, effect: func() error {
			for _, r := range v.w.tables[table] {
				if at := [2]uint64{uint64(r.bucket), r.ver}; r.ver < below {
					found[at] = record.BucketVersion{Bucket: r.bucket, Ver: r.ver, Rows: found[at].Rows + 1}
				}
			}
			return nil
		}})
		if err != nil {
			yield(record.BucketVersion{}, err)
			return
		}
		for _, at := range slices.SortedFunc(maps.Keys(found), func(a, b [2]uint64) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) }) {
			if !yield(found[at], nil) {
				return
			}
		}
	}
}

func (v viewsOf) DeleteVersions(ctx context.Context, table string, vers []record.BucketVersion) error {
	return v.p.do(ctx, op{kind: "delete versions", key: table, fates: writeFates, effect: func() error {
		for _, b := range vers {
			v.w.spare(table, b.Bucket, b.Ver)
			v.w.tables[table] = slices.DeleteFunc(v.w.tables[table], func(r row) bool { return r.bucket == b.Bucket && r.ver == b.Ver })
		}
		return nil
	}})
}

// spare fails when a kept publication names what is about to be deleted (P3, V9).
func (w *world) spare(table string, bucket int64, ver uint64) {
	for _, s := range w.kept() {
		for name, view := range s.Views {
			if sqlschema.Table(&catalog.View{Name: name}, view.Digest) != table {
				continue
			}
			for _, b := range view.Between(bucket, bucket+1) {
				if b.Ver == ver && b.Rows > 0 {
					w.fail("rows of view %s were collected that publication %d names and that is kept", name, s.N)
				}
			}
		}
	}
}

func (v viewsOf) DropTable(ctx context.Context, table string, below uint64) (rows int64, dropped bool, err error) {
	err = v.p.do(ctx, op{kind: "drop table", key: table, fates: writeFates, effect: func() error {
		for _, r := range v.w.tables[table] {
			if r.ver < below {
				rows++
				v.w.spare(table, r.bucket, r.ver)
			}
		}
		v.w.tables[table] = slices.DeleteFunc(v.w.tables[table], func(r row) bool { return r.ver < below })
		if len(v.w.tables[table]) == 0 {
			delete(v.w.tables, table)
			dropped = true
		}
		return nil
	}})
	return rows, dropped, err
}

// Put and Get are the store without faults, for what runs outside the bubble.
func (x plain) Put(_ context.Context, key string, body io.ReaderAt, size int64) error {
	raw := make([]byte, size)
	if _, err := body.ReadAt(raw, 0); err != nil && err != io.EOF {
		return err
	}
	x.w.put(key, raw, false)
	return nil
}

func (x plain) Get(_ context.Context, key string) ([]byte, error) { return x.w.objects[key].body, nil }
