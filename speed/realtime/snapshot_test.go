package realtime

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"recount/schemas/catalog"
	"recount/schemas/position"
	"recount/schemas/query"
)

var updateGolden = flag.Bool("update", false, "write the golden files")

// goldenCatalog has every kind of measure and every type of dimension.
func goldenCatalog() *catalog.Catalog {
	v := &catalog.View{Name: "every", Event: "wide", Cell: testCell, Dimensions: []string{"s", "i", "b"}}
	for _, m := range []catalog.Measure{{Kind: catalog.Count}, {Kind: catalog.Sum, Field: "i"},
		{Kind: catalog.Avg, Field: "f"},
		{Kind: catalog.Min, Field: "t"}, {Kind: catalog.Max, Field: "f"}, {Kind: catalog.Distinct, Field: "s"}} {
		m.Name = string(m.Kind)
		v.Measures = append(v.Measures, m)
	}
	all := &catalog.View{Name: "all", Event: "wide", Cell: testBucket, Dimensions: []string{},
		Measures: []catalog.Measure{{Name: "d", Kind: catalog.Distinct, Field: "t"}}}
	return &catalog.Catalog{Bucket: testBucket, Events: map[string]*catalog.EventType{"wide": wideType},
		Views: map[string]*catalog.View{"every": v, "all": all}}
}

// goldenPartition returns a partition that has consumed two segments, which are always the same. One of
// them has more distinct values than a set keeps exactly.
func goldenPartition(t testing.TB, dir string) *partition {
	t.Helper()
	log := goldenLog(t)
	v := openGolden(t, dir, log, 1, 1)
	consumeAll(t, v, log)
	return v.partitions[0]
}

// openGolden opens views in a folder, which may have snapshots.
func openGolden(t testing.TB, dir string, log *memLog, oldestKept, logNext uint64) *Views {
	t.Helper()
	epochs := []position.EpochStart{{Epoch: 1, Start: 1,
		Rule: position.CutRule{Interval: 2 * time.Minute, Rows: 2000, Bytes: 1 << 20}}}
	v, err := Open(DefaultConfig(dir), goldenCatalog(),
		[]PartitionStart{{Epochs: epochs, OldestKept: oldestKept, LogNext: logNext}}, log)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func goldenLog(t testing.TB) *memLog {
	t.Helper()
	log := newMemLog(1)
	g := generator{Rand: rand.New(rand.NewPCG(11, 12))}
	for i := range 3 {
		var events []event
		for range 6 {
			events = append(events, g.event(0))
		}
		log.append(0, newMessage(t, wideType, testStart+int64(i)*60e6, events, 1))
	}
	var many []event
	for i := range 1100 {
		many = append(many, event{tenant: "default", id: fmt.Sprint("many", i), time: testStart,
			fields: map[string]any{"t": int64(i)}})
	}
	log.append(0, newMessage(t, wideType, testStart+180e6, many, 1), heartbeat(testStart+240e6))
	return log
}

func encodeSnapshot(t testing.TB, s *snapshot) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := s.write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestSnapshotFormatIsFrozen(t *testing.T) {
	t.Parallel()
	s := checkGolden(t, goldenPartition(t, t.TempDir()), "partition.snap")
	if len(s.segments) != 2 || s.next != 5 || s.ring.len() == 0 {
		t.Errorf("got %d segments, next %d, %d identities", len(s.segments), s.next, s.ring.len())
	}
}

// TestUnconvertedInSnapshot: a snapshot with events that lack a value because its field had another type has a section
// more, and gives the same counts when it is read.
func TestUnconvertedInSnapshot(t *testing.T) {
	t.Parallel()
	log := newMemLog(1)
	for i, tenant := range []string{"default", "other", "default"} {
		e := event{tenant: tenant, id: fmt.Sprint(i), time: testStart + int64(i)*testBucket.Microseconds(),
			stored: map[string]any{"i": "n/a"}}
		log.append(0, newMessage(t, wideTypeText, testStart+int64(i)*60e6, []event{e}, 1))
	}
	log.append(0, heartbeat(testStart+240e6))
	epochs := []position.EpochStart{{Epoch: 1, Start: 1,
		Rule: position.CutRule{Interval: 2 * time.Minute, Rows: 2000, Bytes: 1 << 20}}}
	v, err := Open(DefaultConfig(t.TempDir()), goldenCatalog(),
		[]PartitionStart{{Epochs: epochs, OldestKept: 1, LogNext: 1}}, log)
	if err != nil {
		t.Fatal(err)
	}
	consumeAll(t, v, log)
	p := v.partitions[0]
	s := checkGolden(t, p, "unconverted.snap")
	for i, want := range p.capture().segments {
		if got := s.segments[i].types[0].tables; !maps.Equal(got[1].unconverted, want.types[0].tables[1].unconverted) {
			t.Errorf("segment %d: got %v, want %v", i, got[1].unconverted, want.types[0].tables[1].unconverted)
		}
	}
}

// checkGolden compares a partition's snapshot with a golden file, and returns what is read of that.
func checkGolden(t *testing.T, p *partition, name string) *snapshot {
	t.Helper()
	path := filepath.Join("testdata", name)
	got := encodeSnapshot(t, p.capture())
	if *updateGolden {
		if err := errors.Join(os.MkdirAll("testdata", 0o755), os.WriteFile(path, got, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the %d bytes written differ from the %d bytes of %s: a new format needs a new magic", len(got),
			len(want), path)
	}
	s, err := readSnapshot(bytes.NewReader(want), int64(len(want)), p.plan)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(encodeSnapshot(t, s), want) {
		t.Error("the snapshot that was read is written differently")
	}
	return s
}

// TestSnapshotOfVersion1 starts on a snapshot from before sums of floats were exact. Its views are counted
// again from the oldest kept publication on, with the identities that it knew before. The answer is that of a
// start on a snapshot of today.
func TestSnapshotOfVersion1(t *testing.T) {
	t.Parallel()
	q := &query.Query{View: "every", From: time.UnixMicro(testStart).UTC().Add(-24 * time.Hour),
		To: time.UnixMicro(testStart).UTC().Add(24 * time.Hour), GroupBy: []string{"s", "b"}}
	s, err := q.Resolve(goldenCatalog(), "default")
	if err != nil {
		t.Fatal(err)
	}
	answers := map[string][]group{}
	for file, next := range map[string]uint64{"partition_1.snap": 3, "partition.snap": 5} {
		raw, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "p000-00000000000000000001.snap"), raw, 0o600); err != nil {
			t.Fatal(err)
		}
		log := goldenLog(t)
		v := openGolden(t, dir, log, 3, log.next(0))
		if status := v.Status()[0]; status.Through.Seq != next || status.WindowEntries == 0 {
			t.Errorf("%s: starts at %d with %d ids, want %d", file, status.Through.Seq, status.WindowEntries, next)
		}
		consumeAll(t, v, log)
		live, err := v.Scan(t.Context(), s, []position.Offset{{Epoch: 1, Seq: 3}})
		if err != nil {
			t.Fatal(err)
		}
		answers[file] = groupsOf(s, live.Part)
	}
	if diff := cmp.Diff(answers["partition.snap"], answers["partition_1.snap"]); diff != "" ||
		len(answers["partition.snap"]) == 0 {
		t.Errorf("answers (-version 2 +version 1): %s", diff)
	}
}

// A flipped byte and a missing end are always found.
func TestDamagedSnapshots(t *testing.T) {
	t.Parallel()
	p := goldenPartition(t, t.TempDir())
	good := encodeSnapshot(t, p.capture())
	for i := 0; i < len(good); i += 1 + i/200 {
		bad := bytes.Clone(good)
		bad[i] ^= 0x40
		if _, err := readSnapshot(bytes.NewReader(bad), int64(len(bad)), p.plan); !errors.Is(err, errSnapshot) {
			t.Fatalf("byte %d flipped: got %v, want errSnapshot", i, err)
		}
		if _, err := readSnapshot(bytes.NewReader(good[:i]), int64(i), nil); !errors.Is(err, errSnapshot) {
			t.Fatalf("only %d of %d bytes: got %v, want errSnapshot", i, len(good), err)
		}
	}
}

// TestWhichSnapshotIsUsed checks which snapshots are used and where the partition continues (S5, L5).
func TestWhichSnapshotIsUsed(t *testing.T) {
	t.Parallel()
	other := position.CutRule{Interval: time.Hour, Rows: 5, Bytes: 1 << 30}
	second := func(start uint64) []position.EpochStart {
		return append(everyFour[:1:1], position.EpochStart{Epoch: 2, Start: start, Rule: other})
	}
	damage := func(files ...string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			for _, f := range files {
				if err := os.WriteFile(filepath.Join(dir, f), []byte("RCNSNAP1"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	otherRule := []position.EpochStart{{Epoch: 1, Start: 1, Rule: other}}
	const (
		older      = "p000-00000000000000000002.snap"
		newer      = "p000-00000000000000000003.snap"
		unfinished = "p000-00000000000000000004.snap.tmp"
		foreign    = "p001-00000000000000000009.snap"
	)
	for name, c := range map[string]struct {
		epochs   []position.EpochStart
		logNext  uint64
		oldest   uint64
		before   func(t *testing.T, dir string)
		next     uint64
		entries  int
		segments int
	}{
		"newest":                                 {everyFour, 11, 1, nil, 9, 16, 4},
		"newest with a later publication":        {everyFour, 11, 5, nil, 9, 16, 2},
		"newest ends below the publication":      {everyFour, 31, 21, nil, 9, 16, 0},
		"newest is damaged":                      {everyFour, 11, 1, damage(newer), 5, 8, 2},
		"both are damaged":                       {everyFour, 11, 3, damage(older, newer), 3, 0, 0},
		"newest ends above the log":              {everyFour, 6, 1, nil, 5, 8, 2},
		"both counted lost messages":             {everyFour, 2, 1, nil, 1, 0, 0},
		"another cut rule":                       {otherRule, 11, 1, nil, 1, 0, 0},
		"newest is from before a new epoch":      {second(9), 11, 1, nil, 9, 16, 4},
		"newest reaches into a new epoch":        {second(7), 11, 1, nil, 5, 8, 2},
		"publication is not at a boundary":       {everyFour, 11, 4, nil, 4, 0, 0},
		"an unfinished file is ignored":          {everyFour, 11, 1, damage(unfinished), 9, 16, 4},
		"a file of another partition is ignored": {everyFour, 11, 1, damage(foreign), 9, 16, 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			saveAt(t, dir, 1, 5, 9)
			if c.before != nil {
				c.before(t, dir)
			}
			log := newNumberedLog(t, int(c.logNext)-1, 2)
			v := openTest(t, DefaultConfig(dir), log, c.epochs, c.oldest)
			s := v.Status()[0]
			if s.Through.Seq != c.next || s.WindowEntries != c.entries || s.Segments != c.segments {
				t.Errorf("got next %d, %d ids, %d segments; want %d, %d, %d", s.Through.Seq, s.WindowEntries,
					s.Segments, c.next, c.entries, c.segments)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "*.tmp")); left != nil {
				t.Errorf("unfinished files are left: %v", left)
			}
		})
	}
}

// saveAt writes snapshots with the given offsets, numbered from 1.
func saveAt(t *testing.T, dir string, offsets ...uint64) {
	t.Helper()
	log := newNumberedLog(t, 10, 2)
	v := openTest(t, DefaultConfig(dir), log, everyFour, 1)
	for _, at := range offsets {
		for p := v.partitions[0]; p.open.start < at; {
			if err := p.consume(log.message(0, p.next)); err != nil {
				t.Fatal(err)
			}
		}
		if err := v.Snapshot(); err != nil {
			t.Fatal(err)
		}
		if err := v.Snapshot(); err != nil { // The offset is the same, so this writes no file.
			t.Fatal(err)
		}
	}
}

// An added view is counted from the oldest kept publication on. The ids from before that publication
// are still known (S5, D2).
func TestAddedViewIsCountedAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	saveAt(t, dir, 9)
	log := newNumberedLog(t, 10, 2)
	log.append(0, numbered(t, 0, 8)) // copies of events before and after the publication's end
	c := countCatalog()
	c.Views["w"] = &catalog.View{Name: "w", Event: "slim", Cell: testCell, Dimensions: []string{},
		Measures: []catalog.Measure{{Name: "n", Kind: catalog.Count}}}
	v, err := Open(DefaultConfig(dir), c, []PartitionStart{{Epochs: everyFour, OldestKept: 3, LogNext: log.next(0)}},
		log)
	if err != nil {
		t.Fatal(err)
	}
	if s := v.Status()[0]; s.Through.Seq != 3 || s.WindowEntries != 4 {
		t.Fatalf("status: %+v", s)
	}
	consumeAll(t, v, log)
	s := countScan(t)
	s.View = c.Views["w"]
	s.Digest = c.Digest(c.Views["w"])
	live, err := v.Scan(t.Context(), s, []position.Offset{{Seq: 3}})
	if err != nil || live.Part.Events[0] != 16 {
		t.Errorf("got %+v, %v, want 16 events", live, err)
	}
}

func FuzzReadSnapshot(f *testing.F) {
	p := goldenPartition(f, f.TempDir())
	good := encodeSnapshot(f, p.capture())
	f.Add(good[len(snapshotMagic):])
	few := p.capture()
	few.segments = few.segments[:1]
	few.next = few.segments[0].end
	few.marks = few.marks[:2]
	few.ring.end = few.marks[1].first
	f.Add(encodeSnapshot(f, few)[len(snapshotMagic):])
	f.Fuzz(func(t *testing.T, sections []byte) {
		data := fixChecksums(append([]byte(snapshotMagic), sections...))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		s, err := readSnapshot(bytes.NewReader(data), int64(len(data)), p.plan)
		runtime.ReadMemStats(&after)
		got := after.TotalAlloc - before.TotalAlloc
		most := uint64(4<<20 + 100*len(data))
		if got > most {
			t.Errorf("%d bytes allocated for %d", got, len(data))
		}
		if err != nil {
			if !errors.Is(err, errSnapshot) {
				t.Errorf("got %v, want errSnapshot", err)
			}
			return
		}
		again := encodeSnapshot(t, s)
		if r, err := readSnapshot(bytes.NewReader(again), int64(len(again)), p.plan); err != nil ||
			!cmp.Equal(r.views, s.views, cmp.AllowUnexported(viewID{})) {
			t.Errorf("read, written and read: %v", err)
		}
		restoredWindow(p.cfg, testBucket, s)
	})
}

// fixChecksums corrects the checksums of all sections, so that fuzzing reaches the code after the check.
func fixChecksums(data []byte) []byte {
	for at := len(snapshotMagic); len(data)-at >= sectionHead; {
		head := data[at : at+sectionHead]
		n := littleEndian.Uint64(head[1:])
		if n > uint64(len(data)-at-sectionHead) {
			break
		}
		payload := data[at+sectionHead : at+sectionHead+int(n)]
		littleEndian.PutUint32(head[9:], sectionSum(head, payload))
		at += sectionHead + int(n)
	}
	return data
}
