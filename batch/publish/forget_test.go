package publish

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"recount/schemas/catalog"
	"recount/schemas/query"
	"recount/schemas/record"
)

// publications returns the numbers of the publications that are stored.
func (w *world) publications() (numbers []uint64) {
	for key := range w.records.Bodies {
		if n, ok := record.PublicationNumber(key); ok {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers
}

// forgetful returns a publisher that makes every fourth publication a base and forgets after five hours.
func (w *world) forgetful(c *catalog.Catalog) *Publisher {
	p := w.publisher(c, nil)
	p.cfg.BaseEvery = 4
	p.cfg.CollectAfter = 5 * time.Hour
	return p
}

// newForgettingWorld has 20 hourly publications, every fourth of them a base, of which the seventh is pinned.
func newForgettingWorld(t *testing.T) (*world, *Publisher) {
	t.Helper()
	w, r := newRandomWorld(t)
	p := w.forgetful(catalogOf(slimView()))
	for n := uint64(1); n <= 20; n++ {
		w.land("flight", randomEvents(r, 3, epoch.UnixMicro()+int64(n%5)*hour, 1)...)
		w.recompute(p)
		if n == 7 {
			if err := p.Pin(t.Context(), n); err != nil {
				t.Fatal(err)
			}
		}
		w.advance(time.Hour)
	}
	return w, p
}

// numbersFrom returns the numbers from first to last.
func numbersFrom(first, last uint64) (numbers []uint64) {
	for n := first; n <= last; n++ {
		numbers = append(numbers, n)
	}
	return numbers
}

// TestForget deletes publications. What stays is five hours, what the kept ones need, and what a pinned one needs. A
// new process reads it, and the pinned publication still answers.
func TestForget(t *testing.T) {
	t.Parallel()
	w, p := newForgettingWorld(t)
	before, err := p.StateAt(t.Context(), 7)
	if err != nil {
		t.Fatal(err)
	}
	result := w.collect(p)
	// Publication 13 is the newest base of which the publication two later (Keep-1) is older than that.
	want := append(numbersFrom(5, 7), numbersFrom(13, 20)...)
	if got := w.publications(); !slices.Equal(got, want) || result.Publications != 20-int64(len(want)) {
		t.Errorf("%d publications were deleted, and %v are stored, want %v", result.Publications, got, want)
	}
	q := w.forgetful(catalogOf(slimView()))
	checkStateOf(t, q.State(), p.State())
	after, err := q.StateAt(t.Context(), 7)
	if err != nil {
		t.Fatal(err)
	}
	checkStateOf(t, after, before)
	if _, err := q.StateAt(t.Context(), 9); !errors.Is(err, query.ErrCollected) {
		t.Errorf("publication 9: got %v, want %v", err, query.ErrCollected)
	}
	more := w.unstarted(catalogOf(slimView()), nil)
	more.cfg.Keep = 100
	if err := more.Start(t.Context()); err != nil || more.State().N != 20 {
		t.Errorf("with batch.keep raised: publication %d, %v", more.State().N, err)
	}
	if result := w.collect(q); result.Publications != 0 {
		t.Errorf("a second run deletes %d more", result.Publications)
	}
	w.records.Delete(t.Context(), PinKey(7))
	w.advance(48 * time.Hour)
	w.collect(q)
	want = numbersFrom(17, 20)
	if got := w.publications(); !slices.Equal(got, want) {
		t.Errorf("without the pin and two days later %v are stored, want %v", got, want)
	}
	keys, err := w.records.List(t.Context(), record.ForgottenPrefix)
	if err != nil || !slices.Equal(keys, []string{record.ForgottenKey(17)}) {
		t.Errorf("records of forgotten publications: %v, %v", keys, err)
	}
}

// TestForgetComesAfterItsRecord fails to create the record that lets publications go. Nothing is deleted.
func TestForgetComesAfterItsRecord(t *testing.T) {
	t.Parallel()
	w, p := newForgettingWorld(t)
	p.records = refusing{p.records}
	if _, err := p.Collect(t.Context()); err == nil || len(w.publications()) != 20 {
		t.Errorf("got %v, and %d publications are stored", err, len(w.publications()))
	}
}

// refusing is a store that creates no record of forgotten publications.
type refusing struct{ record.CommitLog }

func (r refusing) Create(ctx context.Context, key string, body []byte) (record.Outcome, []byte, error) {
	if strings.HasPrefix(key, record.ForgottenPrefix) {
		return record.Unknown, nil, errors.New("refused")
	}
	return r.CommitLog.Create(ctx, key, body)
}

// TestSleeperGivesNoNumberAgain lets a process sleep until the number after the newest one that it knows is free
// again. It must neither give that number nor go on (P2).
func TestSleeperGivesNoNumberAgain(t *testing.T) {
	t.Parallel()
	w, r := newRandomWorld(t)
	c := catalogOf(slimView())
	w.land("flight", randomEvents(r, 3, epoch.UnixMicro(), 1)...)
	p := w.forgetful(c)
	w.recompute(p)
	sleeper := w.forgetful(c)
	w.land("flight", randomEvents(r, 3, epoch.UnixMicro(), 1)...)
	plan, err := sleeper.plan(t.Context()) // It falls asleep within a run.
	if err != nil {
		t.Fatal(err)
	}
	for range 14 {
		w.land("flight", randomEvents(r, 3, epoch.UnixMicro(), 1)...)
		w.recompute(p)
		w.advance(time.Hour)
	}
	w.collect(p)
	if slices.Contains(w.publications(), 2) {
		t.Fatal("publication 2 was not deleted")
	}
	_, won, err := sleeper.attempt(t.Context(), plan)
	if won || err == nil || !strings.Contains(err.Error(), "restart") {
		t.Errorf("the run that slept: won %v, %v", won, err)
	}
	if _, err := sleeper.Recompute(t.Context()); err == nil || !strings.Contains(err.Error(), "restart") {
		t.Errorf("the next run: %v", err)
	}
	if sleeper.State().N != 1 {
		t.Errorf("the process that slept is at publication %d", sleeper.State().N)
	}
	if w.collect(p); slices.Contains(w.publications(), 2) {
		t.Error("what the process that slept created is still there")
	}
	checkStateOf(t, w.forgetful(c).State(), p.State())
}

// TestForgottenFormat reads the record as it was first written.
func TestForgottenFormat(t *testing.T) {
	t.Parallel()
	golden, err := os.ReadFile("testdata/forgotten.json")
	if err != nil {
		t.Fatal(err)
	}
	f, err := record.DecodeForgotten(golden)
	if err != nil {
		t.Fatal(err)
	}
	want := record.Forgotten{Before: 33, Previous: strings.Repeat("ab", 32),
		Kept: []record.PublicationRange{{First: 5, Last: 7, Digest: strings.Repeat("cd", 32)}}}
	raw, err := want.Encode()
	if err != nil || string(raw) != strings.TrimSpace(string(golden)) || f.Before != 33 || len(f.Kept) != 1 {
		t.Errorf("got %+v, %s, %v", f, raw, err)
	}
	for n, forgets := range map[uint64]bool{4: true, 5: false, 7: false, 8: true, 32: true, 33: false} {
		if f.Forgets(n) != forgets || f.Begins(n) != (n == 5 || n == 33) {
			t.Errorf("publication %d: forgotten %v, begins %v", n, f.Forgets(n), f.Begins(n))
		}
	}
}
