package ingest

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestReceipt(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOf(rapid.Custom(func(t *rapid.T) Place {
			return Place{Partition: rapid.IntRange(0, 64).Draw(t, "p"), Epoch: rapid.Uint32Range(0, 1<<30).Draw(t, "e"),
				Seq:   rapid.Uint64().Draw(t, "s"),
				First: rapid.IntRange(0, 1<<20).Draw(t, "f"), Count: rapid.IntRange(0, 1<<20).Draw(t, "c")}
		})).Draw(t, "places")
		got, err := DecodeReceipt(string(appendReceipt(nil, want)))
		if err != nil || len(got) != len(want) || len(want) > 0 && !cmp.Equal(got, want) {
			t.Fatalf("got %v, %v, want %v", got, err, want)
		}
	})
	for _, bad := range []string{"", "!", "Ag", "AQE", "AQEBAQEB_", string(appendReceipt(nil, []Place{{Seq: 1}}))[:5]} {
		if p, err := DecodeReceipt(bad); !errors.Is(err, ErrReceipt) {
			t.Errorf("%q: got %v, %v", bad, p, err)
		}
	}
}

func FuzzDecodeReceipt(f *testing.F) {
	f.Add(string(appendReceipt(nil, []Place{{1, 2, 3, 4, 5}})))
	f.Fuzz(func(t *testing.T, token string) {
		if places, err := DecodeReceipt(token); err == nil && len(places) > len(token) {
			t.Errorf("got %d places from %d characters", len(places), len(token))
		}
	})
}
