package generations

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"recount/schemas/catalog"
	"recount/schemas/record"
	"recount/schemas/record/recordtest"
)

func open(t *testing.T, records record.CommitLog) *Chain {
	t.Helper()
	c, err := Open(t.Context(), Config{Bucket: time.Hour, Every: time.Millisecond}, records)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// declaring returns a change that declares an event type and a view over it.
func declaring(name string) func(*catalog.Catalog) (*catalog.Catalog, error) {
	return func(c *catalog.Catalog) (*catalog.Catalog, error) {
		out := &catalog.Catalog{Events: maps.Clone(c.Events), Views: maps.Clone(c.Views), Bucket: c.Bucket}
		out.Events[name] = &catalog.EventType{Name: name, Fields: []catalog.Field{{Name: "f", Type: catalog.String}}}
		out.Views[name] = &catalog.View{Name: name, Event: name, Dimensions: []string{"f"}, Cell: time.Minute,
			Measures: []catalog.Measure{{Name: "n", Kind: catalog.Count}}}
		return out, nil
	}
}

func propose(t *testing.T, c *Chain, name string) *Generation {
	t.Helper()
	g, err := c.Propose(t.Context(), declaring(name))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestChain(t *testing.T) {
	t.Parallel()
	records := &recordtest.Memory{}
	c := open(t, records)
	if g := c.Current(); g.N != 0 || len(g.Catalog.Views) != 0 {
		t.Errorf("a new store has generation %d with %d views", g.N, len(g.Catalog.Views))
	}
	other := open(t, records)
	changed := other.Changed()
	first := propose(t, c, "a")
	second := propose(t, c, "b")
	if again := propose(t, c, "b"); again != second {
		t.Errorf("the same declarations made generation %d", again.N)
	}
	if first.N != 1 || second.N != 2 || c.Current() != second || len(second.Catalog.Views) != 2 {
		t.Errorf("got generations %d and %d", first.N, second.N)
	}
	if err := other.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-changed:
	default:
		t.Error("a process is not told of the change that it has read")
	}
	late := open(t, records)
	for _, follower := range []*Chain{other, late} {
		if g := follower.Current(); g.N != 2 || g.Digest != second.Digest ||
			!cmp.Equal(g.Catalog, second.Catalog) {
			t.Errorf("a process that followed has generation %d", g.N)
		}
	}
	refusal := errors.New("no")
	if _, err := c.Propose(t.Context(),
		func(*catalog.Catalog) (*catalog.Catalog, error) { return nil, refusal }); !errors.Is(err, refusal) {
		t.Errorf("got %v", err)
	}
	if _, err := c.Propose(t.Context(), func(current *catalog.Catalog) (*catalog.Catalog, error) {
		broken, err := declaring("c")(current)
		delete(broken.Events, "c")
		return broken, err
	}); !errors.Is(err, record.ErrUndeclarable) {
		t.Errorf("a catalog with mistakes: got %v", err)
	}
}

// TestRun: a process follows by itself.
func TestRun(t *testing.T) {
	t.Parallel()
	records := &recordtest.Memory{}
	c := open(t, records)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- c.Run(ctx) }()
	propose(t, open(t, records), "a")
	for c.Current().N < 1 {
		<-c.Changed()
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestRace: changes that are proposed at once are all made, one after the other.
func TestRace(t *testing.T) {
	t.Parallel()
	const proposers = 6
	records := &recordtest.Memory{}
	var wg sync.WaitGroup
	numbers := make([]uint64, proposers)
	for i := range proposers {
		c := open(t, records)
		wg.Go(func() {
			g, err := c.Propose(t.Context(), declaring(fmt.Sprint("v", i)))
			if err != nil {
				t.Error(err)
				return
			}
			numbers[i] = g.N
			if g.Catalog.Views[fmt.Sprint("v", i)] == nil {
				t.Errorf("generation %d lacks its own change", g.N)
			}
		})
	}
	wg.Wait()
	if g := open(t, records).Current(); g.N != proposers || len(g.Catalog.Views) != proposers {
		t.Errorf("%d proposals made %d generations with %d views: %v", proposers, g.N, len(g.Catalog.Views), numbers)
	}
}

// TestNamedGeneration: the number of a generation that is missing is not given again while a publication names it.
func TestNamedGeneration(t *testing.T) {
	t.Parallel()
	records := &recordtest.Memory{}
	propose(t, open(t, records), "a")
	named := uint64(2)
	c, err := Open(t.Context(), Config{Bucket: time.Hour,
		Named: func() Named { return Named{named, "publication 7"} }}, records)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Propose(t.Context(), declaring("b")); !errors.Is(err, record.ErrMissing) ||
		!strings.Contains(err.Error(), record.GenerationKey(2)) {
		t.Errorf("got %v", err)
	}
	named = 1
	if g := propose(t, c, "b"); g.N != 2 {
		t.Errorf("got generation %d", g.N)
	}
}

// unclear is a store whose answers to writes are lost.
type unclear struct {
	recordtest.Memory
	drop bool // The write is lost too.
}

var errUnclear = errors.New("the connection was lost")

func (u *unclear) Create(ctx context.Context, key string, body []byte) (record.Outcome, []byte, error) {
	if !u.drop {
		if _, _, err := u.Memory.Create(ctx, key, body); err != nil {
			return record.Unknown, nil, err
		}
	}
	return record.Unknown, nil, errUnclear
}

// TestUnknownOutcome: a proposal whose answer was lost is read back (C5).
func TestUnknownOutcome(t *testing.T) {
	t.Parallel()
	done := &unclear{}
	if g, err := open(t, done).Propose(t.Context(), declaring("a")); err != nil || g.N != 1 {
		t.Errorf("a write that was done: got %v, %v", g, err)
	}
	lost := &unclear{drop: true}
	c := open(t, lost)
	if _, err := c.Propose(t.Context(), declaring("a")); !errors.Is(err, errUnclear) || c.Current().N != 0 {
		t.Errorf("a write that was lost: generation %d, %v", c.Current().N, err)
	}
}

// TestBrokenChain: a record that does not continue the chain is refused, and the process keeps what it has.
func TestBrokenChain(t *testing.T) {
	t.Parallel()
	other := &recordtest.Memory{}
	foreign := open(t, other)
	propose(t, foreign, "x")
	propose(t, foreign, "y")
	records := &recordtest.Memory{}
	var lines bytes.Buffer
	c, err := Open(t.Context(), Config{Bucket: time.Hour, Logger: slog.New(slog.NewTextHandler(&lines, nil))}, records)
	if err != nil {
		t.Fatal(err)
	}
	first := propose(t, c, "a")
	records.Bodies[record.GenerationKey(2)] = other.Bodies[record.GenerationKey(2)]
	if err := c.Refresh(t.Context()); !errors.Is(err, record.ErrInvalid) || !strings.Contains(err.Error(),
		"recount verify") {
		t.Errorf("got %v", err)
	}
	if c.Current() != first || c.Failed() == nil {
		t.Errorf("the process has generation %d and says %v", c.Current().N, c.Failed())
	}
	if _, err := c.Propose(t.Context(), declaring("b")); !errors.Is(err, record.ErrInvalid) ||
		errors.Is(err, record.ErrUndeclarable) {
		t.Errorf("a proposal over a broken chain: got %v", err)
	}
	delete(records.Bodies, record.GenerationKey(2))
	if second := propose(t, c, "b"); second.N != 2 || c.Failed() != nil {
		t.Errorf("after the repair: generation %d, %v", second.N, c.Failed())
	}
	if _, err := Open(t.Context(), Config{Bucket: time.Minute}, records); !errors.Is(err, record.ErrInvalid) {
		t.Errorf("another width of buckets: got %v", err)
	}
}

// TestDiscovered: a generation names the types that discovery has declared, whatever else changes, until one is removed
// or a file declares it.
func TestDiscovered(t *testing.T) {
	t.Parallel()
	records := &recordtest.Memory{}
	c := open(t, records)
	discover := func(name string) func(*catalog.Catalog) (*catalog.Catalog, error) {
		return func(newest *catalog.Catalog) (*catalog.Catalog, error) {
			next, _ := newest.Discover(name, []catalog.Found{{Path: []string{"f"}, Type: catalog.Int64}}, 10)
			return next, nil
		}
	}
	check := func(what string, want ...string) {
		t.Helper()
		for _, c := range []*Chain{c, open(t, records)} {
			got := slices.Sorted(maps.Keys(c.Catalog().Discovered))
			if !slices.Equal(got, want) {
				t.Errorf("%s: discovered are %v, want %v", what, got, want)
			}
		}
	}
	for _, name := range []string{"x", "y"} {
		if _, err := c.Propose(t.Context(), discover(name)); err != nil {
			t.Fatal(err)
		}
	}
	propose(t, c, "a")
	check("another type is declared", "x", "y")
	generation := c.Current().N
	if g, err := c.Propose(t.Context(), discover("x")); err != nil || g.N != generation {
		t.Errorf("nothing new made generation %d, %v", g.N, err)
	}
	_, err := c.Propose(t.Context(), func(newest *catalog.Catalog) (*catalog.Catalog, error) {
		out := record.DeclarationsOf(newest).Complete().Catalog(newest.Bucket)
		delete(out.Events, "x")
		delete(out.Views, "x")
		return out, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	check("x is removed", "y")
	propose(t, c, "x")
	check("x is declared by hand", "y")
	undecided := func(what string, want [][]string) {
		t.Helper()
		for _, c := range []*Chain{c, open(t, records)} {
			if diff := cmp.Diff(want, c.Catalog().Undecided["y"]); diff != "" {
				t.Errorf("%s: %s", what, diff)
			}
		}
	}
	want := [][]string{{"code"}}
	for range 2 {
		_, err = c.Propose(t.Context(), func(newest *catalog.Catalog) (*catalog.Catalog, error) {
			next, _ := newest.Discover("y", []catalog.Found{{Path: want[0]}}, 10)
			return next, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		undecided("a member has no common type", want)
	}
	propose(t, c, "z")
	undecided("another type is declared", want)
	file := record.DeclarationsOf(c.Catalog()).Catalog(time.Hour)
	if _, _, err := c.Apply(t.Context(), file, false); err != nil {
		t.Fatal(err)
	}
	check("a file declares all")
	undecided("a file declares all", want)
	_, err = c.Propose(t.Context(), func(newest *catalog.Catalog) (*catalog.Catalog, error) {
		out := record.DeclarationsOf(newest).Complete().Catalog(newest.Bucket)
		delete(out.Events, "y")
		delete(out.Views, "y")
		return out, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	undecided("y is removed", nil)
}
