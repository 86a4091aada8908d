package realtime

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"recount/schemas/catalog"
	"recount/schemas/eventbatch"
	"recount/schemas/position"
	"recount/schemas/query"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// countCatalog has one view. It counts events of slimType by s and minute.
func countCatalog() *catalog.Catalog {
	return &catalog.Catalog{
		Bucket: testBucket, Events: map[string]*catalog.EventType{"slim": slimType},
		Views: map[string]*catalog.View{"v": {Name: "v", Event: "slim", Cell: testCell, Dimensions: []string{"s"},
			Measures: []catalog.Measure{{Name: "n", Kind: catalog.Count}}}},
	}
}

// everyFour cuts a segment every four events.
var everyFour = []position.EpochStart{{Epoch: 1, Start: 1,
	Rule: position.CutRule{Interval: time.Hour, Rows: 4, Bytes: 1 << 30}}}

// numbered returns a message of events with the ids n, n+1, ….
func numbered(t testing.TB, n, count int) message {
	var events []event
	for i := range count {
		events = append(events, event{tenant: "default", id: fmt.Sprint(n + i), time: testStart,
			fields: map[string]any{"s": fmt.Sprintf("value %06d", n+i)}})
	}
	return newMessage(t, slimType, testStart+int64(n)*1000, events, 1)
}

func openTest(t testing.TB, cfg Config, log *memLog, epochs []position.EpochStart, oldest uint64) *Views {
	t.Helper()
	v, err := Open(cfg, countCatalog(), []PartitionStart{{Epochs: epochs, OldestKept: oldest, LogNext: log.next(0)}},
		log)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// runViews runs the views until the test ends or stop is called.
func runViews(t testing.TB, v *Views) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- v.Run(ctx) }()
	var err error
	ended := false
	stop = func() error {
		if cancel(); !ended {
			err = <-done
			ended = true
		}
		return err
	}
	t.Cleanup(func() { _ = stop() })
	return stop
}

func consumeAll(t testing.TB, v *Views, log *memLog) {
	t.Helper()
	for p := v.partitions[0]; p.next < log.next(0); {
		if err := p.consume(log.message(0, p.next)); err != nil {
			t.Fatal(err)
		}
	}
}

func countScan(t testing.TB) *query.Scan {
	t.Helper()
	q := query.Query{View: "v", From: time.UnixMicro(testStart).UTC(),
		To: time.UnixMicro(testStart).UTC().Add(24 * time.Hour)}
	s, err := q.Resolve(countCatalog(), "default")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// count scans from a cut and returns the number of events.
func count(t testing.TB, v *Views, cut position.Offset) (uint64, *query.LivePart, error) {
	t.Helper()
	live, err := v.Scan(t.Context(), countScan(t), []position.Offset{cut})
	if err != nil || live.Part.Rows() == 0 {
		return 0, live, err
	}
	return live.Part.Events[0], live, nil
}

func wantCount(t testing.TB, v *Views, cut, want uint64) {
	t.Helper()
	if got, _, err := count(t, v, position.Offset{Seq: cut}); err != nil || got != want {
		t.Fatalf("events from %d: got %d, %v, want %d", cut, got, err, want)
	}
}

// wantRefused scans from a cut that partition 0 must refuse: it then gives nothing and is stale (Q2). A scan up to
// the end fails.
func wantRefused(t testing.TB, v *Views, cut uint64, want error) {
	t.Helper()
	from := position.Offset{Seq: cut}
	got, live, err := count(t, v, from)
	if err != nil || got != 0 || !slices.Equal(live.Stale, []int{0}) || live.Through[0] != from ||
		live.Pending != 0 || len(live.Refused) != 1 || !errors.Is(live.Refused[0].Err, want) {
		t.Errorf("cut %d: got %d events, %+v, %v, want a stale partition and %v", cut, got, live, err, want)
	}
	end := []position.Offset{v.Status()[0].Through}
	if _, err := v.ScanBetween(t.Context(), countScan(t), []position.Offset{from}, end); !errors.Is(err, want) {
		t.Errorf("scan of [%d, %d): got %v, want %v", cut, end[0].Seq, err, want)
	}
}

// statusWhenIdle waits until every goroutine of the bubble waits, and returns the status of partition 0.
func statusWhenIdle(v *Views) PartitionStatus {
	synctest.Wait()
	return v.Status()[0]
}

func newNumberedLog(t testing.TB, messages, perMessage int) *memLog {
	log := newMemLog(1)
	for i := range messages {
		log.append(0, numbered(t, i*perMessage, perMessage))
	}
	return log
}

func TestCuts(t *testing.T) {
	t.Parallel()
	log := newNumberedLog(t, 10, 2) // Segments of two messages begin at 1, 3, 5, 7 and 9.
	v := openTest(t, DefaultConfig(t.TempDir()), log, everyFour, 1)
	consumeAll(t, v, log)
	for cut, want := range map[uint64]uint64{1: 20, 3: 16, 9: 4, 11: 0} {
		wantCount(t, v, cut, want)
	}
	for _, cut := range []uint64{2, 4, 10} {
		wantRefused(t, v, cut, ErrNotBoundary) // S2
	}
	for _, cut := range []position.Offset{{Seq: 12}, {Seq: 3, Epoch: 2}} {
		got, live, err := count(t, v, cut)
		if want := []position.Offset{cut}; err != nil || got != 0 || !cmp.Equal(live.Through, want) ||
			!cmp.Equal(live.Stale, []int{0}) {
			t.Errorf("cut %v: got %d, %+v, %v, want a stale partition (Q2)", cut, got, live, err)
		}
	}
	if err := v.Retain([]position.Offset{{Seq: 4}}); !errors.Is(err, ErrNotBoundary) {
		t.Errorf("retain from 4: got %v, want ErrNotBoundary (S2)", err)
	}
	if err := v.Retain([]position.Offset{{Seq: 5}}); err != nil {
		t.Fatal(err)
	}
	wantRefused(t, v, 3, query.ErrPinExpired) // S4
	wantCount(t, v, 5, 12)
	if s := v.Status()[0]; s.Base != 5 || s.Segments != 2 || s.Groups != 12 {
		t.Errorf("status after retain: %+v", s)
	}
}

func TestScanOfAnotherDefinition(t *testing.T) {
	t.Parallel()
	log := newNumberedLog(t, 1, 1)
	v := openTest(t, DefaultConfig(t.TempDir()), log, everyFour, 1)
	s := countScan(t)
	s.Digest = "0123456789abcdef"
	if _, err := v.Scan(t.Context(), s, []position.Offset{{Seq: 1}}); !errors.Is(err, query.ErrViewNotReady) {
		t.Errorf("scan of another definition: got %v, want query.ErrViewNotReady (S5)", err)
	}
	if _, err := v.Scan(t.Context(), countScan(t), nil); err == nil {
		t.Error("scan with a cut of no partitions: got no error")
	}
}

// TestScansAreOfOneMoment scans several times at once while the log is consumed. All results end at the same message,
// and a scan that has an error takes none from the others.
func TestScansAreOfOneMoment(t *testing.T) {
	t.Parallel()
	log := newNumberedLog(t, 2000, 1)
	rules := []position.EpochStart{{Epoch: 1, Start: 1, Rule: everyFour[0].Rule}}
	rules[0].Rule.Rows = 500
	v := openTest(t, DefaultConfig(t.TempDir()), log, rules, 1)
	unknown := countScan(t)
	unknown.Digest = "0123456789abcdef"
	done := make(chan struct{})
	go func() {
		defer close(done)
		consumeAll(t, v, log)
	}()
	for through := uint64(0); through < 2001; {
		scans := []*query.Scan{countScan(t), unknown, countScan(t), countScan(t)}
		results := v.ScanAll(t.Context(), scans, []position.Offset{{Seq: 1}})
		if !errors.Is(results[1].Err, query.ErrViewNotReady) || results[1].Live != nil {
			t.Fatalf("scan of another definition: got %+v", results[1])
		}
		through = results[0].Live.Through[0].Seq
		for _, r := range []query.LiveResult{results[0], results[2], results[3]} {
			if r.Err != nil || r.Live.Through[0].Seq != through || r.Live.Pending != through-1 ||
				through > 1 && r.Live.Part.Events[0] != through-1 {
				t.Fatalf("through %d: got %+v, %v", through, r.Live, r.Err)
			}
		}
	}
	<-done
}

// A message that cannot be counted stops its partition, which then gives nothing and reports why. The
// other partitions continue.
func TestCorruptMessageStopsThePartition(t *testing.T) {
	t.Parallel()
	flipped := numbered(t, 50, 1)
	flipped.frame[len(flipped.frame)-1] ^= 1
	cfg := DefaultConfig(t.TempDir())
	synctest.Test(t, func(t *testing.T) { testCorruptMessage(t, cfg, "a flipped bit", flipped) })
}

func testCorruptMessage(t *testing.T, cfg Config, name string, bad message) {
	log := newMemLog(2)
	log.append(0, numbered(t, 0, 2), bad, numbered(t, 4, 2))
	log.append(1, numbered(t, 0, 2))
	metrics := prometheus.NewRegistry()
	cfg.Registerer = metrics
	start := PartitionStart{Epochs: everyFour, OldestKept: 1, LogNext: 1}
	v, err := Open(cfg, countCatalog(), []PartitionStart{start, start}, log)
	if err != nil {
		t.Fatal(err)
	}
	stop := runViews(t, v)
	if s := statusWhenIdle(v); !errors.Is(s.Failed, eventbatch.ErrCorrupt) || s.Through.Seq != 2 {
		t.Errorf("%s: status %+v", name, s)
	}
	log.append(1, numbered(t, 2, 2))
	synctest.Wait()
	live, err := v.Scan(t.Context(), countScan(t), []position.Offset{{Seq: 1}, {Seq: 1}})
	want := []position.Offset{{Seq: 1}, {Epoch: 1, Seq: 3}}
	if err != nil || live.Part.Events[0] != 4 || !cmp.Equal(live.Through, want) || !cmp.Equal(live.Stale, []int{0}) {
		t.Errorf("%s: got %+v, %v", name, live, err)
	}
	if got := metricValue(t, metrics, "recount_realtime_failed"); got != 1 {
		t.Errorf("%s: alarm metric: got %v, want 1", name, got)
	}
	if err := stop(); !errors.Is(err, eventbatch.ErrCorrupt) {
		t.Errorf("%s: run: got %v, want ErrCorrupt", name, err)
	}
}

// metricValue returns the value of a metric of partition 0.
func metricValue(t testing.TB, g prometheus.Gatherer, name string) float64 {
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.Metric[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// The messages before the oldest kept publication are in the batch view. If the log no longer has them,
// the partition begins at that publication, and it still knows the ids of its snapshot.
func TestGapBeforeTheOldestPublicationIsSkipped(t *testing.T) {
	t.Parallel()
	log := newNumberedLog(t, 10, 2)
	cfg := DefaultConfig(t.TempDir())
	v := openTest(t, cfg, log, everyFour, 1)
	for range 4 {
		if err := v.partitions[0].consume(log.message(0, v.partitions[0].next)); err != nil {
			t.Fatal(err)
		}
	}
	if err := v.Snapshot(); err != nil {
		t.Fatal(err)
	}
	log.first[0] = 7
	log.append(0, numbered(t, 0, 1)) // The snapshot knows its id.
	synctest.Test(t, func(t *testing.T) {
		log.changed = make(chan struct{}) // The channel must belong to this bubble.
		v := openTest(t, cfg, log, everyFour, 7)
		runViews(t, v)
		if s := statusWhenIdle(v); s.Through.Seq != 12 {
			t.Fatalf("status: %+v", s)
		}
		wantCount(t, v, 7, 8)
	})
}

// A partition that has used up its share of the memory waits, and its answers stay exact. Retain makes
// it continue, even with an H that it has not reached.
func TestMemoryLimit(t *testing.T) {
	t.Parallel()
	for _, rows := range []int64{100, 5000} { // The memory is full after many segments, or within the first.
		cfg := DefaultConfig(t.TempDir())
		synctest.Test(t, func(t *testing.T) { testMemoryLimit(t, cfg, rows) })
	}
}

func testMemoryLimit(t *testing.T, cfg Config, rows int64) {
	log := newNumberedLog(t, 200, 50)
	metrics := prometheus.NewRegistry()
	cfg.Registerer = metrics
	epochs := []position.EpochStart{{Epoch: 1, Start: 1,
		Rule: position.CutRule{Interval: time.Hour, Rows: rows, Bytes: 1 << 30}}}
	v := openTest(t, cfg, log, epochs, 1)
	v.partitions[0].budget = 64 << 10 // An operator cannot set so little.
	runViews(t, v)
	s := statusWhenIdle(v)
	if s.Stalled != stalledMemory || s.Through.Seq < 3 || s.Through.Seq > 100 {
		t.Fatalf("status: %+v", s)
	}
	wantCount(t, v, 1, 50*(s.Through.Seq-1))
	if got := metricValue(t, metrics, "recount_realtime_stalled"); got != 1 {
		t.Errorf("metric: got %v, want 1", got)
	}
	for _, h := range []uint64{s.Boundary, 101} { // a boundary that was reached, and a later one
		if err := v.Retain([]position.Offset{{Seq: h}}); err != nil {
			t.Fatal(err)
		}
		s := statusWhenIdle(v)
		if s.Stalled != stalledMemory || s.Through.Seq <= h+1 {
			t.Fatalf("status after retain from %d: %+v", h, s)
		}
		wantCount(t, v, h, 50*(s.Through.Seq-h))
	}
}

// A partition waits for a log that does not answer; it does not stop.
func TestSilentLog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		log := &silentLog{memLog: newNumberedLog(t, 3, 2), silent: true}
		v, err := Open(DefaultConfig(dir), countCatalog(),
			[]PartitionStart{{Epochs: everyFour, OldestKept: 1, LogNext: 4}}, log)
		if err != nil {
			t.Fatal(err)
		}
		stop := runViews(t, v)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if s := v.Status()[0]; !strings.Contains(s.Stalled, "silent") || s.Failed != nil {
			t.Errorf("status: %+v", s)
		}
		log.setSilent(false)
		time.Sleep(2 * maxBackoff)
		synctest.Wait()
		if s := v.Status()[0]; s.Stalled != "" || s.Through.Seq != 4 {
			t.Errorf("status after recovery: %+v", s)
		}
		if err := stop(); err != nil {
			t.Errorf("run: %v", err)
		}
	})
}

// silentLog is a log that does not answer while it is silent.
type silentLog struct {
	*memLog
	silent bool
}

func (l *silentLog) setSilent(silent bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.silent = silent
}

func (l *silentLog) Read(ctx context.Context, p int, from uint64) (eventbatch.Reader, error) {
	l.mu.Lock()
	silent := l.silent
	l.mu.Unlock()
	if silent {
		return nil, errors.New("silent")
	}
	return l.memLog.Read(ctx, p, from)
}

// Snapshots are written at the set interval and when Run ends. Two of them are kept.
func TestSnapshotsOnTime(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		log := newMemLog(1)
		v := openTest(t, DefaultConfig(dir), log, everyFour, 1)
		stop := runViews(t, v)
		for i := range 5 {
			log.append(0, numbered(t, 4*i, 4))
			time.Sleep(DefaultSnapshotEvery)
			synctest.Wait()
			got := v.Status()[0].Snapshot
			want := uint64(i + 1)
			if got != want {
				t.Fatalf("after %d messages: snapshot at %d, want %d", i+1, got, want)
			}
		}
		log.append(0, numbered(t, 20, 4))
		synctest.Wait()
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
	files, err := filepath.Glob(filepath.Join(dir, "*"+snapshotSuffix))
	if err != nil || len(files) != keptSnapshots {
		t.Fatalf("files: got %v, %v, want %d", files, err, keptSnapshots)
	}
	at, found, err := SnapshotOffset(dir, "", 0)
	if want := (position.Offset{Epoch: 1, Seq: 6}); err != nil || !found || at != want {
		t.Errorf("snapshot offset: got %v, %v, %v, want %v", at, found, err, want)
	}
	if _, found, err := SnapshotOffset(filepath.Join(dir, "none"), "", 0); found || err != nil {
		t.Errorf("snapshot offset in a missing folder: got %v, %v, want none", found, err)
	}
}

// Scans see exact prefixes while other goroutines consume, evict and save. Run it with -race.
func TestScansWhileConsuming(t *testing.T) {
	t.Parallel()
	const messages = 400
	log := newMemLog(1)
	cfg := DefaultConfig(t.TempDir())
	cfg.Registerer = prometheus.NewRegistry()
	v := openTest(t, cfg, log, everyFour, 1)
	runViews(t, v)
	go func() {
		for i := range messages {
			log.append(0, numbered(t, 2*i, 2))
		}
	}()
	r := rand.New(rand.NewPCG(1, 1))
	for base, through := uint64(1), uint64(1); through <= messages; {
		cut := base + 2*r.Uint64N(1+(through-base)/2)
		got, live, err := count(t, v, position.Offset{Seq: cut})
		if err != nil {
			t.Fatal(err)
		}
		through = live.Through[0].Seq
		if want := 2 * (through - cut); got != want || live.Pending != want {
			t.Fatalf("[%d, %d): got %d events, %d pending, want %d", cut, through, got, live.Pending, want)
		}
		switch r.IntN(10) {
		case 0:
			base = cut
			if err := v.Retain([]position.Offset{{Seq: base}}); err != nil {
				t.Fatal(err)
			}
		case 1:
			if err := v.Snapshot(); err != nil {
				t.Fatal(err)
			}
		case 2:
			metricValue(t, cfg.Registerer.(prometheus.Gatherer), "recount_realtime_groups")
		}
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	if err := DefaultConfig("x").Validate(); err != nil {
		t.Errorf("default config: %v", err)
	}
	err := Config{}.Validate()
	for _, field := range []string{"dir", "speed.dedup_window", "speed.dedup_entries", "speed.memory",
		"speed.snapshot_interval"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("empty config: %q is not in error %v", field, err)
		}
	}
	log := newMemLog(1)
	if _, err := Open(DefaultConfig(t.TempDir()), countCatalog(), []PartitionStart{{OldestKept: 1}}, log); err == nil {
		t.Error("open without epochs: got no error")
	}
}
