package record

import (
	"errors"
	"testing"
	"time"
)

// TestHorizons: the latest record of a type counts, whatever order a listing has.
func TestHorizons(t *testing.T) {
	t.Parallel()
	early := &Retired{Type: "a", Before: made}
	late := &Retired{Type: "a", Before: made.Add(time.Hour)}
	h, err := HorizonsOf([]string{late.Key(), early.Key(), (&Retired{Type: "b.c", Before: made}).Key()})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		typ    string
		landed time.Time
		want   bool
	}{
		{"a", made.Add(time.Hour - 1), true}, {"a", made.Add(time.Hour), false},
		{"b.c", made.Add(-1), true}, {"b.c", made, false}, {"other", time.Time{}.Add(1), false},
	} {
		if got := h.Retired(&Commit{Created: c.landed}, &Object{Type: c.typ}); got != c.want {
			t.Errorf("%s landed %s: got %v", c.typ, c.landed, got)
		}
	}
	if Horizons(nil).Retired(&Commit{}, &Object{Type: "a"}) {
		t.Error("retired without a record")
	}
	for _, key := range []string{"retired/", "retired/a", "retired/a/b.json", "retired/a/20240102T030405Z",
		"retired/a/b/20240102T030405Z.json", "other/20240102T030405Z.json"} {
		if _, err := HorizonsOf([]string{key}); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: got %v", key, err)
		}
	}
	for _, r := range []*Retired{{Before: made}, {Type: "a/b", Before: made}, {Type: "a", Before: made.Add(1)}} {
		if _, err := r.Encode(); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: got %v", r, err)
		}
	}
}
