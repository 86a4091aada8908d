package sim

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v15/arrow/array"

	"recount/batch/exact"
	"recount/batch/lake"
	"recount/batch/object"
	"recount/schemas/eventbatch"
	"recount/schemas/record"
)

// The faults that each kind of operation may suffer.
var (
	readFates   = []fate{requestLost}
	writeFates  = []fate{requestLost, replyLost, delayed}
	createFates = []fate{requestLost, replyLost, delayed, conflict, refused, broken}
	putFates    = []fate{requestLost, replyLost, delayed, altered, delayedAltered}
	insertFates = []fate{requestLost, replyLost, delayed, altered}
)

// recordBackend is the store of the commit log as one process sees it.
type recordBackend struct {
	w         *world
	p         *proc
	goroutine string // goroutine of the process that asks, where that must be told apart
}

func (b recordBackend) CreateOnce(ctx context.Context, key string, body []byte) error {
	body = bytes.Clone(body)
	return b.p.perform(ctx, op{kind: "create", key: key + b.goroutine, fates: createFates,
		effect: func() error { return b.w.createRecord(key, body) }})
}

func (b recordBackend) GetOnce(ctx context.Context, key string) (body []byte, err error) {
	err = b.p.perform(ctx, op{kind: "get", key: key + b.goroutine, fates: readFates, effect: func() error {
		r, ok := b.w.records[key]
		if body = r.body; !ok {
			return fmt.Errorf("get %s: %w", key, record.ErrNotFound)
		}
		return nil
	}})
	return body, err
}

func (b recordBackend) Get(ctx context.Context, key string) ([]byte, error) {
	return b.GetOnce(ctx, key)
}

func (b recordBackend) List(ctx context.Context, prefix, _ string) iter.Seq2[lake.Info, error] {
	return list(ctx, b.p, b.w, b.w.records, prefix)
}

// list is a LIST of a store. Its result may be stale and out of order.
func list(ctx context.Context, p *proc, w *world, from map[string]stored, prefix string) iter.Seq2[lake.Info, error] {
	return func(yield func(lake.Info, error) bool) {
		var infos []lake.Info
		show := func(stale, unsorted bool) {
			for _, k := range w.listKeys(from, prefix, stale, unsorted) {
				infos = append(infos, lake.Info{Key: k, Size: int64(len(from[k].body)), Modified: from[k].at})
			}
		}
		err := p.perform(ctx, op{kind: "list", key: prefix, fates: []fate{requestLost, altered},
			effect: func() error {
				show(false, false)
				return nil
			},
			alter: func() { show(w.rng.IntN(2) == 0, w.rng.IntN(2) == 0) }})
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

// loseObject removes a landed object, while no process reads any. The log still has its events (C8),
// so it does nothing where the log loses events too, or while a trim is under way: the trim has
// already checked the objects.
func (w *world) loseObject() {
	busy := slices.ContainsFunc(w.nodes, func(n *node) bool { return n.busy })
	trims := slices.ContainsFunc(w.pending, func(o *op) bool { return o.kind == "trim" })
	if w.lossy || w.ackEarly || w.vanish || len(w.states) == 0 || busy || trims {
		return
	}
	h := w.states[len(w.states)-1].H
	for _, i := range w.rng.Perm(len(w.segments)) {
		c := w.segments[i]
		if c.Start < w.logs[c.Partition].first || len(c.Objects) == 0 {
			continue
		}
		if o := c.Objects[0].Key; w.objects[o].body != nil {
			delete(w.objects, o)
			w.observe("the store loses an object")
			if c.Start < h[c.Partition].Seq {
				w.observe("the store loses a published object")
			}
			w.tracef("the store loses the object of [%d, %d) of partition %d", c.Start, c.End, c.Partition)
		}
		return
	}
}

// unnamed returns an object's key without the random name of its attempt.
func unnamed(key string) string { return key[:strings.LastIndexByte(key, '-')] }

// processObjects is the object store as one process sees it.
type processObjects struct {
	w *world
	p *proc
}

func (o processObjects) Put(ctx context.Context, key string, body io.ReaderAt, size int64) error {
	raw := make([]byte, size)
	if _, err := body.ReadAt(raw, 0); err != nil && err != io.EOF {
		return err
	}
	return o.p.perform(ctx, op{kind: "put", key: unnamed(key), fates: putFates,
		effect: func() error {
			o.w.storeObject(key, raw, false)
			return nil
		}, alter: func() { o.w.storeObject(key, raw, true) }})
}

func (o processObjects) Get(ctx context.Context, key string) (body []byte, err error) {
	err = o.p.perform(ctx, op{kind: "fetch", key: unnamed(key), fates: readFates, effect: func() error {
		_, err := o.w.objectInfo(key)
		body = o.w.objects[key].body
		return err
	}})
	return body, err
}

func (o processObjects) Head(ctx context.Context, key string) (info lake.Info, err error) {
	err = o.p.perform(ctx, op{kind: "head", key: unnamed(key), fates: readFates,
		effect: func() (err error) {
			info, err = o.w.objectInfo(key)
			return err
		}})
	return info, err
}

func (o processObjects) List(ctx context.Context, prefix, _ string) iter.Seq2[lake.Info, error] {
	return list(ctx, o.p, o.w, o.w.objects, prefix)
}

func (o processObjects) Delete(ctx context.Context, keys ...string) error {
	return o.p.perform(ctx, op{kind: "delete", key: fmt.Sprint(len(keys)), fates: writeFates, rare: true,
		effect: func() error {
			o.w.deleteObjects(keys)
			return nil
		}})
}

// open reads an object for the batch engine. It is not an operation of the schedule, because the
// engine opens objects in an order that differs from run to run.
func (o processObjects) open(ctx context.Context, r record.Object) (exact.File, error) {
	if _, err := o.w.objectInfo(r.Key); err != nil {
		return nil, err
	}
	body := o.w.objects[r.Key].body
	var f file
	var err error
	outsideBubble(func() {
		if err = object.Verify(ctx, r, bytes.NewReader(body)); err != nil {
			return
		}
		var opened *object.File
		if opened, err = object.Open(ctx, r, bytes.NewReader(body)); err != nil {
			return
		}
		all := append(slices.Clone(objectColumns), "amount", "code", "cost", "kind", "late", "name", "user",
			eventbatch.ColExtra)
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

var objectColumns = []string{eventbatch.ColKey, eventbatch.ColHash, eventbatch.ColFlags, eventbatch.ColTime,
	eventbatch.ColTenant, exact.ColSeq, exact.ColIndex}

// file is an object that was decoded outside the bubble.
type file []eventbatch.Columns

func (f file) Close() error { return nil }

func (f file) Has(column string) bool { return len(f) == 0 || f[0].Field(column) != nil }

func (f file) Read(_ context.Context, _ []string, from, to int64) iter.Seq2[eventbatch.Columns, error] {
	return func(yield func(eventbatch.Columns, error) bool) {
		start := int64(0)
		for _, c := range f {
			lo := max(from-start, 0)
			hi := min(to-start, c.Rec.NumRows())
			start += c.Rec.NumRows()
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
