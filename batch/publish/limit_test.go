package publish

import (
	"slices"
	"testing"

	"recount/schemas/record"
)

// TestLimit changes the limit of values (B7) while events land in any order of their times. Ingest found every value
// too many. Each publication follows the limit of its publisher over everything that has landed, and buckets in which
// no limit was ever reached are not computed again.
func TestLimit(t *testing.T) {
	t.Parallel()
	w, r := newRandomWorld(t)
	c := catalogOf(wideView(), slimView())
	over := "delay,origin"
	quiet := epoch.UnixMicro() - 100*hour
	w.land("flight", event{id: "quiet", tenant: "acme", time: quiet, origin: pointer("ORD"), over: &over})
	for i, limit := range []int{0, 2, 1, 3, 3, 0, 1000, 1} {
		if i%2 == 0 { // Otherwise nothing has landed, and the limit alone has changed.
			events := randomEvents(r, 100, epoch.UnixMicro(), 3)
			for i := range events {
				events[i].over = &over
			}
			w.land("flight", events...)
		}
		w.limit = limit
		p := w.publisher(c, nil)
		before := p.State()
		w.recompute(p)
		w.checkWide("a limit of " + textOf(&limit))
		now := p.State()
		if now.N != before.N+1 || now.Limit() != limit {
			t.Errorf("publication %d has the limit %d, want %d with %d", now.N, now.Limit(), before.N+1, limit)
		}
		if b := now.Views["wide"].VersionsBetween(quiet, quiet+1); len(b) != 1 || b[0].Ver>>32 != 1 {
			t.Errorf("limit %d: the bucket of one event was computed again: %+v", limit, b)
		}
		if n := overflowed(now, "wide"); (n > 0) != (limit > 0 && limit < 4) {
			t.Errorf("limit %d: %d events are published as overflowed", limit, n)
		}
		if got := w.recompute(p); !got.Nothing {
			t.Errorf("limit %d: the next recompute did %+v, want nothing", limit, got)
		}
	}
}

// overflowed returns how many events of a view have values beyond the limit.
func overflowed(s *record.State, view string) (n int64) {
	for _, o := range s.Views[view].Overflowed {
		n += o.Events
	}
	return n
}

// TestRaisedLimit checks that a higher limit computes only the buckets again that had overflowed.
func TestRaisedLimit(t *testing.T) {
	t.Parallel()
	w, r := newRandomWorld(t)
	c := catalogOf(wideView())
	w.land("flight", randomEvents(r, 60, epoch.UnixMicro(), 1)...)
	for i := range 60 { // One value in many rows.
		w.land("flight", event{id: textOf(&i), tenant: "acme", origin: pointer("ORD"),
			time: epoch.UnixMicro() + 5*hour + int64(i)*60e6})
	}
	w.limit = 2
	w.recompute(w.publisher(c, nil))
	w.limit = 3
	p := w.publisher(c, nil)
	w.recompute(p)
	w.checkWide("the raised limit")
	var numbers []uint64
	for _, b := range p.State().Views["wide"].Buckets {
		numbers = append(numbers, b.Ver>>32)
	}
	if want := []uint64{2, 1}; !slices.Equal(numbers, want) {
		t.Errorf("the buckets are of the publications %v, want %v", numbers, want)
	}
}
