package realtime

import (
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"recount/schemas/catalog"
	"recount/schemas/position"
	"recount/schemas/query"
)

// world holds views and the log for an oracle. It drives the views message by message.
type world struct {
	*rapid.T
	g        generator
	dir      string
	log      *memLog
	epochs   []position.EpochStart
	catalog  *catalog.Catalog
	before   []*catalog.Catalog // definitions that views had before, which still count
	floor    []position.Offset  // H of the oldest kept publication
	views    *Views
	bounds   [][]uint64
	appended int64
}

// For every cut at a boundary, the answer for [cut, S) is the oracle's, no matter what was consumed,
// retained, saved, restarted or redefined before (S1–S7, D2, Q2, Q5). A partition that no longer reaches back to its
// cut is left out, and the others answer.
func TestScansMatchTheOracle(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp("", "realtime")
		if err != nil {
			rt.Fatal(err)
		}
		defer os.RemoveAll(dir)
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1))
		w := &world{T: rt, dir: dir, g: generator{rng, true, longDayLag}}
		w.start(t)
		for range 40 {
			w.step()
		}
	})
}

func (w *world) start(t *testing.T) {
	w.log = newMemLog(2)
	w.catalog = w.g.catalog(2)
	if err := w.catalog.Validate(); err != nil {
		w.Fatal(err)
	}
	w.epochs = []position.EpochStart{{Epoch: 1, Start: 1, Rule: w.g.rule()}}
	if w.g.chance(50) {
		w.epochs = append(w.epochs, position.EpochStart{Epoch: 2, Start: uint64(2 + w.g.IntN(60)), Rule: w.g.rule()})
	}
	w.appended = testStart
	for p := range w.log.partitions {
		w.floor = append(w.floor, position.Offset{Seq: position.First})
		for range 80 {
			w.appended += w.g.Int64N(4e6)
			w.log.append(p, w.g.message(t, p, w.appended))
		}
		w.bounds = append(w.bounds, w.log.boundaries(p, w.epochs))
	}
	w.open()
	// Without a snapshot, a restart does not know the ids from before the oldest kept publication (D3).
	if err := w.views.Snapshot(); err != nil {
		w.Fatal(err)
	}
}

func (w *world) open() {
	cfg := DefaultConfig(w.dir)
	var starts []PartitionStart
	for p := range w.log.partitions {
		starts = append(starts, PartitionStart{Epochs: w.epochs, OldestKept: w.floor[p].Seq, LogNext: w.log.next(p)})
	}
	var err error
	if w.views, err = Open(cfg, w.catalog, starts, w.log, w.before...); err != nil {
		w.Fatal(err)
	}
}

func (w *world) step() {
	switch w.g.IntN(11) {
	case 0, 1, 2, 3:
		p := w.views.partitions[w.g.IntN(len(w.views.partitions))]
		for n := w.g.IntN(12); n > 0 && p.next < w.log.next(p.id); n-- {
			if err := p.consume(w.log.message(p.id, p.next)); err != nil {
				w.Fatal(err)
			}
		}
	case 4, 5, 6:
		w.check()
	case 7:
		for p := range w.floor {
			later := slices.DeleteFunc(slices.Clone(w.bounds[p]), func(b uint64) bool { return b < w.floor[p].Seq })
			w.floor[p].Seq = later[min(w.g.IntN(3), len(later)-1)]
		}
		if err := w.views.Retain(w.floor); err != nil {
			w.Fatal(err)
		}
	case 8:
		if err := w.views.Snapshot(); err != nil {
			w.Fatal(err)
		}
	case 9:
		w.restart()
	case 10:
		w.redeclare()
	}
}

// restart simulates a crash: all that is not in a snapshot is lost. The views may change before the
// next start.
func (w *world) restart() {
	switch w.g.IntN(4) {
	case 0:
		w.changeCatalog()
	case 1:
		if err := w.views.Snapshot(); err != nil {
			w.Fatal(err)
		}
	}
	w.open()
}

// changeCatalog draws another catalog. One of the views keeps its definition from before, too.
func (w *world) changeCatalog() {
	w.before = nil
	for name, v := range w.catalog.Views {
		if w.g.chance(50) {
			w.before = append(w.before, &catalog.Catalog{Events: w.catalog.Events, Bucket: w.catalog.Bucket,
				Views: map[string]*catalog.View{name: v}})
			break
		}
	}
	w.catalog = w.g.catalog(1 + w.g.IntN(3))
}

// redeclare changes the catalog while the views count (S7).
func (w *world) redeclare() {
	w.changeCatalog()
	for _, p := range w.views.partitions {
		heir, err := p.newHeir(newPlan(w.catalog, w.before...))
		if err != nil {
			w.Fatal(err)
		}
		p.heir.Store(heir)
		for range 3 {
			if p.next < w.log.next(p.id) && w.g.chance(50) {
				if err := p.consume(w.log.message(p.id, p.next)); err != nil {
					w.Fatal(err)
				}
			}
			if w.g.chance(30) {
				if err := w.views.Retain(w.floor); err != nil {
					w.Fatal(err)
				}
			}
		}
		p.heir.Store(nil)
		if err := heir.follow(w.Context(), func() bool { return heir.next >= p.next }); err != nil {
			w.Fatal(err)
		}
		p.adoptHeir(heir)
	}
}

func (w *world) check() {
	declared := pick(w.g, append(w.before, w.catalog)...)
	s := w.g.scan(w, declared)
	cut := slices.Clone(w.floor)
	for p := range cut {
		cut[p].Seq = pick(w.g, w.bounds[p]...)
	}
	live, err := w.views.Scan(w.Context(), s, cut)
	if err != nil {
		w.Fatalf("cut %v, base %v: %v", cut, w.floor, err)
	}
	rows := live.Part
	live.Part = nil
	reached, err := w.views.Reach(s, cut)
	sameText := cmp.Comparer(func(a, b error) bool { return a.Error() == b.Error() })
	if diff := cmp.Diff(live, reached, sameText); diff != "" || err != nil {
		w.Fatalf("Reach: %v, (-scan +reach)\n%s", err, diff)
	}
	live.Part = rows
	for p, part := range w.views.partitions {
		expired := cut[p].Seq <= part.next && cut[p].Seq < w.floor[p].Seq
		stale := expired || cut[p].Seq > part.next
		want := max(cut[p].Seq, part.next)
		if expired {
			want = cut[p].Seq
		}
		refused := slices.ContainsFunc(live.Refused, func(r query.Refusal) bool {
			return r.Partition == p && errors.Is(r.Err, query.ErrPinExpired)
		})
		if live.Through[p].Seq != want || slices.Contains(live.Stale, p) != stale || refused != expired {
			w.Fatalf("partition %d, cut %d, base %d: got through %d, stale partitions %v, refused %v; want through "+
				"%d, stale %v, refused %v", p, cut[p].Seq, w.floor[p].Seq, live.Through[p].Seq, live.Stale,
				live.Refused, want, stale, expired)
		}
	}
	want, over, pending := oracle{w.log, w.catalog.Bucket}.answer(s, cut, live.Through)
	if diff := cmp.Diff(want, groupsOf(s, live.Part)); diff != "" {
		w.Fatalf("view %s, cut %v, through %v: (-want +got)\n%s", s.View.Name, cut, live.Through, diff)
	}
	unconverted := oracle{w.log, w.catalog.Bucket}.unconverted(s, cut, live.Through)
	if live.Part.Unconverted != unconverted {
		w.Fatalf("unconverted events of view %s: got %d, want %d", s.View.Name, live.Part.Unconverted, unconverted)
	}
	if live.Pending != pending || live.Part.Overflow != over {
		w.Fatalf("pending: got %d, want %d; overflow: got %+v, want %+v", live.Pending, pending, live.Part.Overflow,
			over)
	}
}

// A scan between two boundaries answers for exactly the messages between them (A2).
func TestScanUpToABoundary(t *testing.T) {
	t.Parallel()
	w := &world{g: generator{rand.New(rand.NewPCG(7, 7)), true, longDayLag}, dir: t.TempDir()}
	rapid.Check(t, func(rt *rapid.T) {
		if w.T = rt; w.log == nil {
			w.start(t)
			for _, p := range w.views.partitions {
				for p.next < w.log.next(p.id) {
					if err := p.consume(w.log.message(p.id, p.next)); err != nil {
						rt.Fatal(err)
					}
				}
			}
		}
		w.g = generator{rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1)), true, longDayLag}
		var from, to []position.Offset
		for p := range w.bounds {
			i := rapid.IntRange(0, len(w.bounds[p])-1).Draw(rt, "from")
			j := rapid.IntRange(i, len(w.bounds[p])-1).Draw(rt, "to")
			from = append(from, position.Offset{Seq: w.bounds[p][i]})
			to = append(to, position.Offset{Seq: w.bounds[p][j]})
		}
		s := w.g.scan(t, w.catalog)
		live, err := w.views.ScanBetween(rt.Context(), s, from, to)
		if err != nil {
			rt.Fatal(err)
		}
		want, over, _ := oracle{w.log, w.catalog.Bucket}.answer(s, from, to)
		if diff := cmp.Diff(want, groupsOf(s, live.Part)); diff != "" {
			rt.Fatalf("[%v, %v): (-want +got)\n%s", from, to, diff)
		}
		if live.Part.Overflow != over {
			rt.Fatalf("[%v, %v): overflow: got %+v, want %+v", from, to, live.Part.Overflow, over)
		}
	})
}
