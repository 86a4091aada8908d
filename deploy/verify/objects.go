package verify

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"recount/batch/lake"
	"recount/batch/object"
	"recount/schemas/record"
)

const (
	dataPrefix   = "data/"
	parallelRead = 4 // objects read at the same time
)

// checkObjects compares every object that a commit record names with that record, byte for byte (V2).
// Then it judges the objects that no record names.
func checkObjects(ctx context.Context, e *Evidence, r *recorder, s *snapshot) error {
	there := map[string]lake.Info{}
	for info, err := range e.Objects.List(ctx, dataPrefix, "") {
		if err != nil {
			return fmt.Errorf("list objects: %w", err)
		}
		there[info.Key] = info
	}
	total := int64(0)
	retired := 0
	for _, c := range s.chains {
		for _, seg := range c.segments {
			total += int64(len(seg.Objects))
		}
	}
	var mu sync.Mutex
	done := int64(0)
	named := map[string]bool{}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelRead)
	for _, c := range s.chains {
		for _, seg := range c.segments {
			for _, o := range seg.Objects {
				named[o.Key] = true
				if s.horizons.Retired(seg, &o) {
					retired++
					continue
				}
				g.Go(func() error {
					sound, err := checkObject(gctx, e, r, seg, o, there)
					mu.Lock()
					defer mu.Unlock()
					s.damaged[o.Key] = s.damaged[o.Key] || !sound
					done++
					r.progress("V2 objects", done, total)
					return err
				})
			}
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	r.examine(V2, total-int64(retired), "objects")
	if retired > 0 {
		r.addNote("%d objects are older than what is kept of their types; they are removed on purpose", retired)
	}
	return checkUnnamed(ctx, e, r, s, there, named)
}

// checkObject reports whether an object is as its record says. An error is a failure of the store and
// says nothing about the object.
func checkObject(ctx context.Context, e *Evidence, r *recorder, seg *record.Commit, o record.Object,
	there map[string]lake.Info) (bool, error) {
	where := placeOf(seg.Partition).AtOffsets(seg.Epoch, seg.Start, seg.End).InFile(o.Key)
	info, ok := there[o.Key]
	if !ok {
		r.find(V2, where, "restore it from a copy of the bucket under the same key; while the log still has the "+
			"segment, a recompute that reads the object rebuilds it, and so does the job expire before it trims (C8)",
			"the object is missing: %d events of type %s", o.Rows, o.Type)
		return false, nil
	}
	const damaged = "restore it from a copy of the bucket under the same key; its digest says whether the copy is " +
		"the right one"
	if info.Size != o.Size {
		r.find(V2, where, damaged, "the object has %d bytes and its record says %d", info.Size, o.Size)
		return false, nil
	}
	body, err := e.Objects.Open(ctx, o.Key)
	if errors.Is(err, record.ErrNotFound) {
		return false, fmt.Errorf("object %s was removed while it was being verified: %w", o.Key, err)
	}
	if err == nil {
		err = object.Verify(ctx, o, body)
	}
	if err == nil {
		_, err = object.Open(ctx, o, body)
	}
	if errors.Is(err, object.ErrMalformed) {
		r.find(V2, where, damaged, "the object is damaged: %v", err)
		return false, nil
	}
	return err == nil, err
}

// objectName matches the keys that landing gives to objects with object.Key.
var objectName = regexp.MustCompile(
	`^data/type=[^/]+/landed=\d{4}-\d{2}-\d{2}/e(\d+)-p(\d+)-(\d+)-(\d+)-[^/]+\.parquet$`)

// copyAfter is how much younger than the record of its segment an unnamed object must be to count as
// a copy. In a shared store, another lander may be writing an object of a segment that it fails to
// commit, and the store's clock may differ.
const (
	copyAfterOneWriter = 2 * time.Second
	copyAfter          = 10 * time.Minute
)

// checkUnnamed judges the objects that no record names. The remains of a failed attempt are expected,
// and a job removes them (C8); they are older than their segment's record. A younger object, or one
// whose name no lander gives, is a copy. No view counts it, but a program that reads the whole folder
// as one data set does, and finds two events at one position (V10).
func checkUnnamed(ctx context.Context, e *Evidence, r *recorder, s *snapshot, there map[string]lake.Info,
	named map[string]bool) error {
	margin := copyAfter
	if e.OneWriter {
		margin = copyAfterOneWriter
	}
	var left int
	var bytes int64
	records := recordTimes{ctx: ctx, e: e, known: map[string]time.Time{}}
	for key, info := range there {
		if named[key] {
			continue
		}
		l, inside := coveringSegment(s, key)
		switch {
		case l == nil && !inside:
			r.find(V10, Place{File: key}, "remove it if it is a copy; recount never reads it",
				"the object has a name that no lander gives, and no commit record names it")
			continue
		case l != nil:
			landed, err := records.stored(l)
			if err != nil {
				return err
			}
			if info.Modified.Sub(landed) > margin {
				r.find(V10, placeOf(l.Partition).AtOffsets(l.Epoch, l.Start, l.End).InFile(key),
					"remove it: a program that reads the whole folder counts its events twice",
					"the object repeats events that landed %s before it was written, and no commit record names it",
					info.Modified.Sub(landed).Round(time.Second))
				continue
			}
		}
		left++
		bytes += info.Size
	}
	if left > 0 {
		r.addNote("%d objects (%d bytes) are the remains of attempts that did not land: no commit record names them, "+
			"and the job collect removes them a day after they were written", left, bytes)
	}
	return nil
}

// coveringSegment returns the landed segment to which an object's name belongs. ours is false if no
// lander gives such a name.
func coveringSegment(s *snapshot, key string) (seg *record.Commit, ours bool) {
	m := objectName.FindStringSubmatch(key)
	if m == nil {
		return nil, false
	}
	epoch, err1 := strconv.ParseUint(m[1], 10, 32)
	p, err2 := strconv.Atoi(m[2])
	start, err3 := strconv.ParseUint(m[3], 10, 64)
	if err1 != nil || err2 != nil || err3 != nil || p >= len(s.chains) {
		return nil, false
	}
	for _, seg := range s.chains[p].segments {
		if seg.Epoch == uint32(epoch) && seg.Start <= start && start < seg.End {
			return seg, true
		}
	}
	return nil, true
}

// recordTimes caches when commit records were stored, by the store's clock.
type recordTimes struct {
	ctx   context.Context
	e     *Evidence
	known map[string]time.Time
}

// stored returns when a commit record was stored.
func (t *recordTimes) stored(c *record.Commit) (time.Time, error) {
	key := record.CommitKey(c.Epoch, c.Partition, c.Start)
	if at, ok := t.known[key]; ok {
		return at, nil
	}
	info, err := t.e.Objects.Head(t.ctx, key)
	if err != nil {
		return time.Time{}, fmt.Errorf("read when commit record %s was stored: %w", key, err)
	}
	t.known[key] = info.Modified
	return info.Modified, nil
}
