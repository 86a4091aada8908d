package iceberg

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"recount/schemas/catalog"
	"recount/schemas/position"
	"recount/schemas/record"
)

var types = []string{"hit", "Sale"}

// schemas are what the objects of an event type may have: a column more, a column less, another type.
func schemas(eventType string) (out []*catalog.EventType) {
	for _, fields := range [][]catalog.Field{
		{{Name: "page", Type: catalog.String}},
		{{Name: "ms", Type: catalog.Int64}, {Name: "page", Type: catalog.String}},
		{{Name: "at", Type: catalog.Timestamp}, {Name: "ok", Type: catalog.Bool}, {Name: "x", Type: catalog.Float64}},
		{{Name: "ms", Type: catalog.String}},
	} {
		out = append(out, &catalog.EventType{Name: eventType, Fields: fields})
	}
	return out
}

// check compares the tables with what is committed, at every publication that may be read.
func (w *world) check() {
	w.tb.Helper()
	for _, eventType := range types {
		t := w.read(eventType)
		for _, s := range w.kept() {
			want := w.want(s, eventType)
			snapshot := t.snapshotAt(s.N)
			if snapshot == nil && len(want) == 0 {
				continue
			}
			if snapshot == nil {
				w.tb.Fatalf("%s: publication %d counts %d objects and has no snapshot", eventType, s.N, len(want))
			}
			w.checkSnapshot(t, snapshot, want)
		}
		w.checkMetadata(eventType, t)
	}
}

func (w *world) checkSnapshot(t *stored, s *storedSnapshot, want map[string]*record.Object) {
	w.tb.Helper()
	got := slices.Sorted(maps.Keys(s.files))
	paths := slices.Sorted(maps.Keys(want))
	if !slices.Equal(got, paths) {
		w.tb.Fatalf("snapshot %d has the files\n%s\nwant\n%s", s.id, strings.Join(got, "\n"), strings.Join(paths, "\n"))
	}
	for path, o := range want {
		file := s.files[path]
		if file["record_count"] != o.Rows || file["file_size_in_bytes"] != o.Size {
			w.tb.Fatalf("snapshot %d says of %s %v, the record %+v", s.id, path, file, o)
		}
		if sizes, found := file["column_sizes"].([]any); !found || len(sizes) > 0 {
			w.tb.Fatalf("snapshot %d has the column sizes %v of %s, want an empty list",
				s.id, file["column_sizes"], path)
		}
		micros := func(bounds string) int64 {
			b := file[bounds].([]any)[0].(map[string]any)
			if b["key"] != int32(t.mapping["time"]) {
				w.tb.Fatalf("the bounds are those of column %v", b["key"])
			}
			return int64(binary.LittleEndian.Uint64(b["value"].([]byte)))
		}
		first := o.Buckets[0].Bucket
		end := o.Buckets[len(o.Buckets)-1].Bucket + bucket.Microseconds()
		if micros("lower_bounds") != first || micros("upper_bounds") != end-1 {
			w.tb.Fatalf("bounds of %s are %d and %d, want [%d, %d)", path, micros("lower_bounds"),
				micros("upper_bounds"), first, end)
		}
	}
	w.checkColumns(t, s, want)
}

// checkColumns checks that a snapshot has the columns that its objects have, but for those that they have in two types,
// and that the mapping has a number for every column of every object.
func (w *world) checkColumns(t *stored, s *storedSnapshot, objects map[string]*record.Object) {
	w.tb.Helper()
	want := map[string]string{"_hash": ""}
	for _, c := range baseColumns {
		want[c.Name] = c.Type
	}
	for _, o := range objects {
		for _, f := range w.stored[fmt.Sprintf("schema/type=%s/%s.json", o.Type, o.Schema)].Fields {
			if before, found := want[f.Name]; found && before != typeOf(f.Type) {
				want[f.Name] = ""
				continue
			}
			want[f.Name] = typeOf(f.Type)
		}
	}
	for name, columnType := range want {
		id, mapped := t.mapping[name]
		column := s.columns[name]
		switch {
		case !mapped:
			w.tb.Fatalf("the name mapping lacks %s", name)
		case columnType == "" && column != nil, columnType != "" && column == nil:
			w.tb.Fatalf("snapshot %d has column %s: %v, want the type %q", s.id, name, column, columnType)
		case column != nil && (column["type"] != columnType || column["id"] != id):
			w.tb.Fatalf("snapshot %d has %v, the files %s, the mapping %v", s.id, column, columnType, id)
		}
	}
	if extra := len(s.columns) - len(want); extra > 0 {
		w.tb.Fatalf("snapshot %d has %d columns that no file has: %v", s.id, extra, s.columns)
	}
}

// checkMetadata checks what readers of the whole metadata rely on.
func (w *world) checkMetadata(eventType string, t *stored) {
	w.tb.Helper()
	if t == nil {
		return
	}
	for _, s := range t.metadata["schemas"].([]any) {
		s := s.(map[string]any)
		key := fmt.Sprint(eventType, s["schema-id"])
		if fields := fmt.Sprint(s["fields"]); w.schemas[key] == "" {
			w.schemas[key] = fields
		} else if w.schemas[key] != fields {
			w.tb.Fatalf("schema %v was\n%s\nand is\n%s", s["schema-id"], w.schemas[key], fields)
		}
	}
	last := t.snapshots[len(t.snapshots)-1]
	log := t.metadata["snapshot-log"].([]any)
	if t.metadata["current-snapshot-id"] != float64(last.id) || len(log) != len(t.snapshots) {
		w.tb.Fatalf("the current snapshot is %v, the last is %d", t.metadata["current-snapshot-id"], last.id)
	}
	before := 0.0
	for i, e := range log {
		e := e.(map[string]any)
		if e["timestamp-ms"].(float64) <= before || e["snapshot-id"] != float64(t.snapshots[i].id) {
			w.tb.Fatalf("snapshot log %v", log)
		}
		before = e["timestamp-ms"].(float64)
	}
	ids := map[float64]string{}
	for name, id := range t.mapping {
		if ids[id] != "" {
			w.tb.Fatalf("columns %s and %s have the number %v", name, ids[id], id)
		}
		ids[id] = name
	}
}

// readable checks that the table is whole, whatever has happened to its writers: it names no file that is missing, and
// each snapshot has what its publication counts.
func (w *world) readable() {
	w.tb.Helper()
	for _, eventType := range types {
		t := w.read(eventType)
		if t == nil {
			continue
		}
		for _, s := range t.snapshots {
			w.checkSnapshot(t, &s, w.want(w.states[s.id-1], eventType))
		}
	}
}

func (w *world) update(i int) {
	w.tb.Helper()
	if err := w.writers[i].Update(context.Background()); err != nil {
		w.tb.Fatal(err)
	}
}

// lose deletes files of tables, as an operator or a wrong rule of a bucket would.
func (w *world) lose(t *rapid.T) {
	for info, err := range w.store.List(t.Context(), "iceberg/", "") {
		if err != nil {
			t.Fatal(err)
		}
		if rapid.IntRange(0, 2).Draw(t, "lose") == 0 {
			if err := w.store.Delete(t.Context(), info.Key); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// retire raises the horizon of a type over about half of what landed, and deletes the objects.
func (w *world) retire(t *rapid.T, eventType string) {
	before := w.now.Add(-time.Duration(rapid.IntRange(0, 5).Draw(t, "age")) * time.Second)
	if !before.After(w.horizons[eventType]) {
		return
	}
	w.horizons[eventType] = before
	if err := w.writers[0].UpdateType(t.Context(), eventType); err != nil {
		t.Fatal(err)
	}
	for _, c := range w.chains {
		for _, s := range c.Segments {
			for i := range s.Objects {
				if o := &s.Objects[i]; o.Type == eventType && w.horizons.Retired(s, o) {
					w.deleted[w.store.URL(o.Key)] = true
				}
			}
		}
	}
}

// TestTablesAreTheCommittedObjects plays random histories. After each update the snapshot of each publication that may
// be read has exactly the objects that the publication counts, whoever wrote, failed or lost what before.
func TestTablesAreTheCommittedObjects(t *testing.T) {
	t.Parallel()
	cfg := serve(t)
	var worlds atomic.Int64
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, cfg, fmt.Sprint("w", worlds.Add(1)))
		writer := rapid.IntRange(0, 1)
		actions := map[string]func(*rapid.T){
			"land and publish": func(t *rapid.T) {
				for range rapid.IntRange(1, 6).Draw(t, "segments") {
					all := schemas(rapid.SampledFrom(types).Draw(t, "type"))
					p := rapid.IntRange(0, partitions-1).Draw(t, "partition")
					w.land(p, rapid.SampledFrom(all).Draw(t, "schema"))
				}
				w.publish(rapid.IntRange(0, 2).Draw(t, "without"))
			},
			"update": func(t *rapid.T) {
				w.update(writer.Draw(t, "writer"))
				w.check()
			},
			"two writers": func(t *rapid.T) {
				var g errgroup.Group
				for i := range w.writers {
					g.Go(func() error { return w.writers[i].Update(t.Context()) })
				}
				if err := g.Wait(); err != nil {
					t.Fatal(err)
				}
				w.check()
			},
			"crash": func(t *rapid.T) {
				w.faults.after(rapid.IntRange(0, 8).Draw(t, "puts"), rapid.Bool().Draw(t, "writes"))
				_ = w.writers[writer.Draw(t, "writer")].Update(t.Context()) // It may or may not have got to its end.
				w.restart()
				w.readable()
			},
			"restart": func(*rapid.T) { w.restart() },
			"lose files": func(t *rapid.T) {
				w.lose(t)
				w.restart()
				w.update(0)
				w.check()
			},
			"pin": func(t *rapid.T) {
				if n := len(w.states); n > 0 {
					w.pinned[uint64(rapid.IntRange(max(1, n-2), n).Draw(t, "pin"))] = true
				}
			},
			"retire": func(t *rapid.T) {
				if len(w.states) > 0 {
					w.retire(t, types[0])
					w.readable()
				}
			},
			"collect": func(t *rapid.T) {
				w.now = w.now.Add(2 * unusedFor)
				if err := w.writers[writer.Draw(t, "writer")].Collect(t.Context()); err != nil {
					t.Fatal(err)
				}
				w.readable()
			},
		}
		names := slices.Sorted(maps.Keys(actions))
		for range rapid.IntRange(1, 12).Draw(t, "actions") { // Each waits for fsyncs. Repeat would take many more.
			actions[rapid.SampledFrom(names).Draw(t, "action")](t)
		}
		w.update(0)
		w.check()
	})
}

// TestCrashAtEveryWrite ends the process at each PUT of an update, before and after the store has executed it. The
// table that readers find is always whole, and the next update completes it.
func TestCrashAtEveryWrite(t *testing.T) {
	t.Parallel()
	cfg := serve(t)
	for _, writes := range []bool{false, true} {
		for puts := range 11 {
			w := newWorld(t, cfg, fmt.Sprint("crash", writes, puts))
			w.land(0, schemas("hit")[0], schemas("Sale")[1])
			w.publish(0)
			w.update(0)
			w.land(1, schemas("hit")[1], schemas("Sale")[3])
			w.publish(0)
			w.faults.after(puts, writes)
			err := w.writers[0].Update(t.Context())
			if ended := puts < 10; ended != (err != nil) {
				t.Fatalf("after %d writes: %v; an update of two tables has 10", puts, err)
			}
			w.restart()
			w.readable()
			w.update(1)
			w.check()
		}
	}
}

// TestManifestsAreMerged: many small publications leave few manifests, and each file is written anew a few times only.
func TestManifestsAreMerged(t *testing.T) {
	t.Parallel()
	w := newWorld(t, serve(t), "many")
	const publications, fanOut = 70, 4
	w.writers[0].fanOut = fanOut
	w.writers[0].manifestFiles = 20 // So merged manifests are divided again.
	for range publications {
		w.land(0, schemas("hit")[0])
		w.publish(0)
		w.update(0)
	}
	w.check()
	tab := w.read("hit")
	snapshots := tab.metadata["snapshots"].([]any)
	manifests := w.decodeAvro(w.get(snapshots[len(snapshots)-1].(map[string]any)["manifest-list"].(string)))
	if n := len(manifests); n > 3*fanOut {
		t.Errorf("%d publications left %d manifests", publications, n)
	}
	if n := len(snapshots); n > 4 {
		t.Errorf("%d snapshots are there, and three publications are kept", n)
	}
	var entries int
	for info, err := range w.store.List(t.Context(), "iceberg/type=hit/metadata/files-", "") {
		if err != nil {
			t.Fatal(err)
		}
		entries += len(w.decodeAvro(w.get(w.store.URL(info.Key))))
	}
	if entries > 4*publications {
		t.Errorf("%d entries were written for %d files", entries, publications)
	}
}

// TestTheFirstToCreateAVersionWins: another process commits a version while this one writes the same. That version
// stays as it was, and this process adds what it lacks.
func TestTheFirstToCreateAVersionWins(t *testing.T) {
	t.Parallel()
	w := newWorld(t, serve(t), "race")
	w.land(0, schemas("hit")[0])
	w.publish(0)
	w.update(0)
	w.land(1, schemas("hit")[0])
	w.publish(0)
	var first []byte
	w.faults.beforeVersion = func() {
		w.update(1)
		first = w.get(w.store.URL("iceberg/type=hit/metadata/v2.metadata.json"))
		w.land(0, schemas("hit")[1])
		w.publish(0)
	}
	w.update(0)
	now := w.get(w.store.URL("iceberg/type=hit/metadata/v2.metadata.json"))
	if first == nil || !bytes.Equal(now, first) {
		t.Errorf("version 2 was\n%s\nand is\n%s", first, now)
	}
	w.update(0)
	w.check()
}

// TestTheHintNamesTheNewest: another process commits the next version and names it while this one has committed its own
// and not named it yet. The hint does not go back.
func TestTheHintNamesTheNewest(t *testing.T) {
	t.Parallel()
	w := newWorld(t, serve(t), "hint")
	w.land(0, schemas("hit")[0])
	w.publish(0)
	w.faults.beforeHint = func() {
		w.land(1, schemas("hit")[0])
		w.publish(0)
		w.update(1)
	}
	w.update(0)
	if hint := w.get(w.store.URL("iceberg/type=hit/metadata/version-hint.text")); string(hint) != "2" {
		t.Errorf("the hint is %s, want 2", hint)
	}
	w.check()
}

// TestFilesStayAfterTheyLeftTheTable: an old file that has just left the table stays for readers that have opened it.
func TestFilesStayAfterTheyLeftTheTable(t *testing.T) {
	t.Parallel()
	w := newWorld(t, serve(t), "left")
	for range 2 {
		w.land(0, schemas("hit")[0])
		w.publish(0)
		w.update(0)
		w.now = w.now.Add(2 * unusedFor)
	}
	first := "iceberg/type=hit/metadata/v1.metadata.json"
	for i, found := range []bool{true, true, false} {
		if err := w.writers[0].Collect(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := w.store.Head(t.Context(), first); (err == nil) != found {
			t.Errorf("collection %d: %v, want the file there: %v", i+1, err, found)
		}
		w.now = w.now.Add(unusedFor/2 + time.Second)
	}
	w.check()
}

// TestRun: after a failure the next update makes the table all the same.
func TestRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, serve(t), "run")
	w.land(0, schemas("hit")[0])
	w.publish(0)
	writer := w.writers[0]
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	w.faults.after(0, false)
	if err := writer.Update(ctx); err == nil {
		t.Fatal("an update without a store succeeded")
	}
	w.faults.heal()
	w.now = w.now.Add(retryEvery)
	ended := make(chan error, 1)
	go func() { ended <- writer.Run(ctx) }()
	for deadline := time.Now().Add(20 * time.Second); w.read("hit") == nil; {
		if time.Now().After(deadline) {
			t.Fatal("there is no table")
		}
		time.Sleep(10 * time.Millisecond)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	w.check()
}

// TestAFailedTableDelaysNoOther: while one table fails, the others follow each publication at once. The failed one is
// tried again when its time comes, without a publication.
func TestAFailedTableDelaysNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t, serve(t), "delay")
	for range 2 {
		w.land(0, schemas("Sale")[0], schemas("hit")[0])
		w.publish(0)
	}
	var newest, clock atomic.Int64
	newest.Store(1)
	clock.Store(w.now.UnixNano())
	writer := w.writers[0]
	writer.cfg.Newest = func() uint64 { return uint64(newest.Load()) }
	writer.cfg.Now = func() time.Time { return time.Unix(0, clock.Load()) }
	writer.cfg.Kept = func(context.Context) (*Kept, error) {
		return &Kept{States: w.states[:newest.Load()], Chains: w.chains, Horizons: w.horizons}, nil
	}
	w.faults.refuse("type=Sale")
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- writer.Run(ctx) }()
	follows := func(eventType string, n uint64) {
		t.Helper()
		deadline := time.Now().Add(20 * time.Second)
		for s := w.read(eventType).snapshotAt(n); s == nil || s.id != int64(n); s = w.read(eventType).snapshotAt(n) {
			if time.Now().After(deadline) {
				t.Fatalf("the table of %s has no snapshot %d", eventType, n)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	follows("hit", 1)
	newest.Store(2)
	follows("hit", 2)
	if w.read("Sale") != nil {
		t.Error("there is a table that cannot be written")
	}
	w.faults.refuse("")
	clock.Add(int64(retryEvery))
	follows("Sale", 2)
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	w.check()
}

// TestRestoredRecords: the records were restored from a copy that is older than the tables. The tables are made anew,
// also that of a type which the copy does not know, and after the lost numbers were given to other publications.
func TestRestoredRecords(t *testing.T) {
	t.Parallel()
	cfg := serve(t)
	for _, again := range []int{0, 1, 2, 9} {
		w := newWorld(t, cfg, fmt.Sprint("restored", again))
		w.land(0, schemas("hit")[0])
		w.publish(0)
		w.land(1, schemas("hit")[0], schemas("Sale")[0])
		w.publish(0)
		w.land(1, schemas("hit")[1])
		w.publish(0)
		w.update(0)
		w.states = w.states[:1]
		w.chains[1].Segments = nil
		w.chains[1].Head.Seq = position.First
		w.restart()
		for range again {
			w.land(0, schemas("hit")[2])
			w.publish(0)
			w.storePublication()
		}
		w.update(0)
		w.check()
	}
}

// TestAnotherProcessKnowsMore: a process that does not know the newest publication yet leaves the table that has it.
func TestAnotherProcessKnowsMore(t *testing.T) {
	t.Parallel()
	w := newWorld(t, serve(t), "more")
	for range 2 {
		w.land(0, schemas("hit")[0])
		w.publish(0)
	}
	w.storePublication()
	w.update(0)
	w.writers[1].cfg.Kept = func(context.Context) (*Kept, error) {
		return &Kept{States: w.states[:1], Chains: w.chains, Horizons: w.horizons}, nil
	}
	w.update(1)
	w.check()
	if v := w.get(w.store.URL("iceberg/type=hit/metadata/version-hint.text")); string(v) != "1" {
		t.Errorf("the table was written again, version %s", v)
	}
}

// TestLostTable: a running process notices that a table is gone, or a part of it, without a publication.
func TestLostTable(t *testing.T) {
	t.Parallel()
	w := newWorld(t, serve(t), "lost")
	w.land(0, schemas("hit")[0])
	w.publish(0)
	w.update(0)
	for _, lost := range []string{"", "files-", "snap-", "v"} {
		for info, err := range w.store.List(t.Context(), "iceberg/type=hit/metadata/"+lost, "") {
			if err == nil {
				err = w.store.Delete(t.Context(), info.Key)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := w.writers[0].Collect(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.update(0)
		w.check()
	}
}

// BenchmarkPublication is what a publication costs with four new objects of one type, by how many the table has. The
// S3 server is in the process, so its part is in the processor time.
func BenchmarkPublication(b *testing.B) {
	for _, history := range []int{100, 10_000} {
		b.Run(fmt.Sprint(history), func(b *testing.B) {
			w := newWorld(b, serve(b), "bench")
			writer := w.writers[0]
			writer.fanOut = defaultFanOut
			writer.manifestFiles = defaultManifestFiles
			for range history {
				w.land(0, schemas("hit")[1])
			}
			w.publish(0)
			w.update(0)
			before := processorTime(b)
			requests := w.faults.requests.Load()
			for b.Loop() {
				for range 4 {
					w.land(0, schemas("hit")[1])
				}
				w.publish(0)
				w.update(0)
			}
			b.ReportMetric((processorTime(b)-before).Seconds()*1e3/float64(b.N), "cpu-ms/op")
			b.ReportMetric(float64(w.faults.requests.Load()-requests)/float64(b.N), "requests/op")
		})
	}
}

// processorTime returns the processor time of the process.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
