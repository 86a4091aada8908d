package realtime

import (
	"math/rand/v2"
	"testing"
	"time"

	"recount/schemas/eventbatch"
)

func smallWindow(entries int64, span time.Duration) *idWindow {
	return newIDWindow(Config{WindowEntries: entries, Window: span}, testBucket, 1)
}

func randomIdentity(r *rand.Rand) identity { return identity{r.Uint64(), r.Uint64()} }

// The window is the set of the newest entries, no matter what was forgotten and rebuilt before.
func TestWindowIsASetOfTheNewest(t *testing.T) {
	t.Parallel()
	const limit = 5000
	r := rand.New(rand.NewPCG(1, 2))
	w := smallWindow(limit, time.Hour)
	var admitted []identity
	newest := map[identity]int{} // index in admitted
	for range 200_000 {
		id := randomIdentity(r)
		if len(admitted) > 0 && r.IntN(3) == 0 {
			id = admitted[max(0, len(admitted)-1-r.IntN(2*limit))]
		}
		n, known := newest[id]
		known = known && n >= len(admitted)-limit
		if got := w.contains(id); got != known {
			t.Fatalf("contains: got %v, want %v", got, known)
		}
		if got := w.claim(id); got == known {
			t.Fatalf("claim of an identity (known: %v): got %v, want %v", known, got, !known)
		}
		if !known {
			newest[id] = len(admitted)
			admitted = append(admitted, id)
		}
		w.advance(1)
		if w.ring.len() > limit {
			t.Fatalf("the window has %d entries, the limit is %d", w.ring.len(), limit)
		}
	}
	got := w.dropped
	want := uint64(len(admitted) - limit)
	if got != want {
		t.Errorf("dropped: got %d, want %d", got, want)
	}
	bytes := w.totals().bytes
	most := int64(limit*27*3/2 + shards*minSlots*8 + 2*chunkSize*16)
	if bytes > most {
		t.Errorf("%d bytes for %d entries, want at most %d", bytes, limit, most)
	}
}

func TestWindowForgetsByAppendTime(t *testing.T) {
	t.Parallel()
	w := smallWindow(1000, time.Minute)
	r := rand.New(rand.NewPCG(3, 4))
	var ids []identity
	for s := range int64(300) { // Each second has a segment with one identity.
		w.beginSegment(uint64(s) + 2)
		ids = append(ids, randomIdentity(r))
		w.claim(ids[s])
		w.advance((1000 + s) * 1e6)
	}
	for s, id := range ids {
		got := w.contains(id)
		want := s >= 300-61
		if got != want {
			t.Fatalf("identity of second %d: got %v, want %v", s, got, want)
		}
	}
	if got := w.totals().reach; got != time.Minute {
		t.Errorf("reach: got %v, want 1m", got)
	}
	if got := w.dropped; got != 0 {
		t.Errorf("dropped: got %d, want 0", got)
	}
}

// After 2^32 admissions, a slot of a forgotten entry may hold the low half of another entry's number.
// The comparison of the identities decides.
func TestWindowSurvivesNumbersThatRepeat(t *testing.T) {
	t.Parallel()
	w := smallWindow(10, time.Hour)
	start := uint64(1)<<32 - 5
	w.ring.base = start
	w.ring.first = start
	w.ring.end = start
	w.marks[0].first = start
	r := rand.New(rand.NewPCG(5, 6))
	var ids []identity
	for i := range 30 {
		ids = append(ids, randomIdentity(r))
		if !w.claim(ids[i]) {
			t.Fatalf("identity %d was known", i)
		}
		w.advance(1)
		for k, id := range ids {
			got := w.contains(id)
			want := k > i-10
			if got != want {
				t.Fatalf("after %d: identity %d: got %v, want %v", i, k, got, want)
			}
		}
	}
}

// Two identities with the same tag are different.
func TestSharedTag(t *testing.T) {
	t.Parallel()
	w := smallWindow(10, time.Hour)
	a := identity{1, 2}
	w.claim(a)
	s, tag := w.place(a)
	if _, found := w.find(s, tag, a); !found {
		t.Error("find did not find the identity")
	}
	if _, found := w.find(s, tag, identity{1, 3}); found {
		t.Error("find found another identity with the same tag")
	}
}

// TestDuplicates checks I1–I3 case by case: which of the events, in the order of the log, are counted.
func TestDuplicates(t *testing.T) {
	t.Parallel()
	at := func(hour float64, assigned bool) event {
		return event{tenant: "default", id: "x", time: testStart + int64(hour*3600e6), assigned: assigned}
	}
	other := at(0, false)
	other.tenant = "other"
	for name, c := range map[string]struct {
		events []event
		want   []int32
	}{
		"a copy":                              {[]event{at(0, false), at(0.5, false)}, []int32{0}},
		"the same id of another tenant":       {[]event{at(0, false), other}, []int32{0, 1}},
		"another bucket":                      {[]event{at(0.9, false), at(1.1, false)}, []int32{0, 1}},
		"an assigned retry over the edge":     {[]event{at(0.9, true), at(1.1, true)}, []int32{0}},
		"an assigned retry two buckets later": {[]event{at(0.9, true), at(2.1, true)}, []int32{0, 1}},
		"a chain of retries":                  {[]event{at(0.9, true), at(1.1, true), at(2.1, true)}, []int32{0}},
		"assigned after a client's time":      {[]event{at(0.9, false), at(1.1, true)}, []int32{0, 1}},
		"a client's time after assigned":      {[]event{at(0.9, true), at(1.1, false)}, []int32{0, 1}},
		"a dropped assigned copy is marked too": {[]event{at(0.1, false), at(0.9, true), at(1.1, true)},
			[]int32{0}},
		"a client's copy of a dropped assigned copy": {[]event{at(0.9, true), at(1.1, true), at(1.2, false)},
			[]int32{0}},
		"an assigned retry by a slower clock": {[]event{at(1.1, true), at(0.9, true)}, []int32{0}},
		"a client's time by a slower clock":   {[]event{at(1.1, true), at(0.9, false)}, []int32{0, 1}},
		"before 1970":                         {[]event{at(-600000, false), at(-600000, false)}, []int32{0}},
	} {
		rec := newRecord(eventbatch.Schema(slimType), c.events)
		cols, err := eventbatch.NewColumns(rec)
		if err != nil {
			t.Fatal(err)
		}
		got := smallWindow(100, time.Hour).admit("slim", cols, nil)
		if len(got) != len(c.want) {
			t.Errorf("%s: counted %v, want %v", name, got, c.want)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%s: counted %v, want %v", name, got, c.want)
			}
		}
	}
}
