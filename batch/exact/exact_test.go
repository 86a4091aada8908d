package exact

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"recount/schemas/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func nullable[T any](g *rapid.Generator[T]) *rapid.Generator[*T] { return rapid.Ptr(g, true) }

// drawEvents draws events in position order. Ids are few, so that copies, conflicts and chains of
// assigned times across neighbouring buckets are common.
func drawEvents(t *rapid.T) (events []event) {
	floats := rapid.SampledFrom([]float64{0, math.Copysign(0, -1), 0.1, -8, 1e16, -1e16, 1e308, 1e-300})
	decimals := rapid.SampledFrom([]int64{0, 1250, -1, 99_999_999_999_999_999, -99_999_999_999_999_999})
	seq := int64(rapid.IntRange(1, 1000).Draw(t, "start"))
	index := int32(0)
	for range rapid.IntRange(1, 200).Draw(t, "events") {
		if rapid.Bool().Draw(t, "message") {
			seq = seq + 1
			index = 0
		} else {
			index++
		}
		e := event{
			tenant:   rapid.SampledFrom([]string{"a", "b"}).Draw(t, "tenant"),
			id:       rapid.StringMatching(`[a-f][a-c]?`).Draw(t, "id"),
			assigned: rapid.Bool().Draw(t, "assigned"), hash: rapid.Uint64Range(0, 1).Draw(t, "hash"),
			ofValues: rapid.Bool().Draw(t, "of values"),
			time: rapid.Int64Range(0, 4*60*minute-1).Draw(t,
				"time") - 60*minute*rapid.SampledFrom([]int64{0, 0, 0, 1000}).Draw(t, "old"),
			seq: seq, index: index,
			s: nullable(rapid.SampledFrom([]string{"", "x", "y", "z", "null"})).Draw(t, "s"),
			i: nullable(rapid.SampledFrom([]int64{-6, -5, 0, 7, math.MaxInt64, math.MinInt64})).Draw(t, "i"),
			f: nullable(floats).Draw(t, "f"), b: nullable(rapid.Bool()).Draw(t, "b"),
			t:    nullable(rapid.Int64Range(0, 5)).Draw(t, "t"),
			d:    nullable(decimals).Draw(t, "d"),
			over: rapid.SampledFrom([]string{"", "", "", "s", "i", "i,s"}).Draw(t, "over"),
		}
		e.lost = e.i == nil && rapid.Bool().Draw(t, "lost")
		events = append(events, e)
	}
	return events
}

func compute(t testing.TB, cfg Config, l lake, in Input) ([]string, Counts) {
	t.Helper()
	blocks := map[string][]string{}
	counts := map[string]int64{}
	found, err := Run(context.Background(), cfg, l.open, in, func(b *Block) error {
		for i, row := range textRows(b) {
			key := b.View.Name + " " + record.CommitKey(0, 0, uint64(b.Times[i]))
			blocks[key] = append(blocks[key], row)
		}
		for _, u := range b.Unconverted {
			counts[fmt.Sprint("unconverted ", b.View.Name, u.Bucket, u.Tenant)] += u.Events
		}
		for _, o := range b.Overflowed {
			counts[fmt.Sprint("overflowed ", b.View.Name, o.Bucket, o.Tenant)] += o.Events
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// The rows of a cell have an order; the cells have none.
	var rows []string
	keys := make([]string, 0, len(blocks))
	for k := range blocks {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		rows = append(rows, blocks[k]...)
	}
	for _, k := range slices.Sorted(maps.Keys(counts)) {
		rows = append(rows, fmt.Sprint(k, " ", counts[k]))
	}
	return rows, found
}

// TestOracle compares Run with the naive definition (B2, B7, I2, I3). It also compares one worker and
// few cuts with eight workers and many cuts (B1).
func TestOracle(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := testCatalog()
		events := drawEvents(t)
		partitions := rapid.IntRange(1, 3).Draw(t, "partitions")
		l := land(events, partitions, rapid.IntRange(1, 80).Draw(t, "segment"), rapid.IntRange(1, 40).Draw(t, "chunk"))
		all := l.buckets()
		dirty := rapid.SliceOfNDistinct(rapid.SampledFrom(all), 1, len(all), rapid.ID).Draw(t, "dirty")
		slices.Sort(dirty)
		fresh := l.markFresh(rapid.Uint64Range(0, 1200).Draw(t, "fresh"))
		whole := map[int64]bool{}
		for _, b := range dirty {
			whole[b] = rapid.Bool().Draw(t, "whole")
		}
		old := dirty[:rapid.IntRange(0, len(dirty)).Draw(t, "old")]
		in := Input{Catalog: c, Type: "e", Objects: l.objects, Buckets: dirty,
			Targets: []Target{{c.Views["wide"], dirty}, {c.Views["narrow"], old}},
			Limit:   rapid.SampledFrom([]int{0, 1, 2, 3, 100}).Draw(t, "limit"), Whole: whole}
		got, found := compute(panicking{T: t}, Config{Workers: 1, Memory: 16 << 20}, l, in)
		var gaveWay atomic.Bool
		giveWay := func(time.Duration) { gaveWay.Store(true) }
		cut := Config{Workers: 8, GiveWay: giveWay, Memory: 16 << 20, span: rapid.Int64Range(1, 100).Draw(t, "span"),
			slice: rapid.Int64Range(1, 30).Draw(t, "slice")}
		again, foundAgain := compute(panicking{T: t}, cut, l, in)
		if diff := cmp.Diff(got, again) + cmp.Diff(found, foundAgain); diff != "" {
			t.Fatalf("1 worker (-) and 8 workers with more cuts (+) differ: %s", diff)
		}
		if !gaveWay.Load() {
			t.Fatal("no worker called GiveWay")
		}
		want, wantCounts := oracle(events, dirty, in.Targets, in.Limit, l.lost)
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("rows (-oracle +exact): %s", diff)
		}
		if diff := cmp.Diff(wantCounts, found.Buckets); diff != "" {
			t.Fatalf("counts (-oracle +exact): %s", diff)
		}
		if diff := cmp.Diff(oracleAccounts(events, fresh, partitions, dirty, whole), found.Accounts); diff != "" {
			t.Fatalf("accounts (-oracle +exact): %s", diff)
		}
	})
}

// panicking lets compute fail a rapid check.
type panicking struct {
	testing.TB
	T *rapid.T
}

func (p panicking) Helper()           {}
func (p panicking) Fatal(args ...any) { p.T.Fatal(args...) }

func TestErrors(t *testing.T) {
	t.Parallel()
	c := testCatalog()
	events := manyEvents(1000, 10)
	l := land(events, 1, 100, 10)
	in := Input{Catalog: c, Type: "e", Objects: l.objects, Buckets: l.buckets(),
		Targets: []Target{{c.Views["wide"], l.buckets()}}}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	fail := errors.New("full")
	if _, err := Run(ctx, DefaultConfig(), l.open, in, func(*Block) error { return fail }); !errors.Is(err, fail) {
		t.Errorf("got %v, want the error of emit", err)
	}
	short := land(events, 1, 100, 10)
	cut := short.files[short.objects[3].Key]
	cut.rows = cut.rows[:50]
	short.files[short.objects[3].Key] = cut
	if _, err := Run(ctx, DefaultConfig(), short.open, in, func(*Block) error { return nil }); err == nil ||
		!strings.Contains(err.Error(), short.objects[3].Key) {
		t.Errorf("an object with too few rows: got %v, want an error that names it", err)
	}
	gone := lake{files: map[string]memFile{}}
	if _, err := Run(ctx, DefaultConfig(), gone.open, in, nil); err == nil ||
		!strings.Contains(err.Error(), "data/e/p0-") {
		t.Errorf("a missing object: got %v, want an error that names it", err)
	}
	stop()
	if _, err := Run(ctx, DefaultConfig(), l.open, in, func(*Block) error { return nil }); !errors.Is(err,
		context.Canceled) {
		t.Errorf("a cancelled run: got %v, want context.Canceled", err)
	}
	if err := (Config{}).Validate(); err == nil || !strings.Contains(err.Error(), "batch.memory") {
		t.Errorf("an empty Config: got %v, want an error that names batch.memory", err)
	}
}

// TestOpensOnce checks B3: each object is opened and closed exactly once.
func TestOpensOnce(t *testing.T) {
	t.Parallel()
	c := testCatalog()
	l := land(manyEvents(3000, 10), 2, 100, 50)
	var opened, closed atomic.Int64
	open := func(ctx context.Context, o record.Object) (File, error) {
		opened.Add(1)
		f, err := l.open(ctx, o)
		return counted{f, &closed}, err
	}
	in := Input{Catalog: c, Type: "e", Objects: l.objects, Buckets: l.buckets(),
		Targets: []Target{{c.Views["wide"], l.buckets()[1:]}}}
	if _, err := Run(context.Background(), DefaultConfig(), open, in, func(*Block) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if n := int64(len(l.objects)); opened.Load() != n || closed.Load() != n {
		t.Errorf("%d objects: opened %d times, closed %d times", n, opened.Load(), closed.Load())
	}
}

type counted struct {
	File
	closed *atomic.Int64
}

func (c counted) Close() error {
	c.closed.Add(1)
	return c.File.Close()
}
