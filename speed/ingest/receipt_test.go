package ingest

import (
	"errors"
	"strings"
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
		got, err := DecodeReceipt(string(appendReceipt(nil, nameOf("here"), want)), "here")
		if err != nil || len(got) != len(want) || len(want) > 0 && !cmp.Equal(got, want) {
			t.Fatalf("got %v, %v, want %v", got, err, want)
		}
	})
	whole := string(appendReceipt(nil, nameOf("here"), []Place{{Seq: 1}}))
	elsewhere := string(appendReceipt(nil, nameOf("there"), []Place{{Seq: 1}}))
	for _, bad := range []string{"", "!", "Ag", "Agxx", "AwE", "AQE", "AQEBAQEB_", whole[:5], whole[:10], elsewhere} {
		if p, err := DecodeReceipt(bad, "here"); !errors.Is(err, ErrReceipt) {
			t.Errorf("%q: got %v, %v", bad, p, err)
		}
	}
	if _, err := DecodeReceipt(elsewhere, "here"); strings.Contains(err.Error(), "not a receipt") {
		t.Errorf("a receipt of another installation: %v", err)
	}
	if _, err := DecodeReceipt(elsewhere, ""); err != nil {
		t.Errorf("a receipt of any installation: %v", err)
	}
}

// TestReceiptFormat: the bytes of both versions are frozen.
func TestReceiptFormat(t *testing.T) {
	t.Parallel()
	want := []Place{{Partition: 0, Epoch: 1, Seq: 6, First: 0, Count: 2}}
	if got := string(appendReceipt(nil, nameOf("here"), want)); got != "AvzskVAAAQYAAg" {
		t.Errorf("got %s", got)
	}
	for _, token := range []string{"AQABBgAC", "AvzskVAAAQYAAg"} {
		if got, err := DecodeReceipt(token, "here"); err != nil || !cmp.Equal(got, want) {
			t.Errorf("%s: got %v, %v, want %v", token, got, err, want)
		}
	}
}

func FuzzDecodeReceipt(f *testing.F) {
	f.Add(string(appendReceipt(nil, nameOf("here"), []Place{{1, 2, 3, 4, 5}})))
	f.Add("AQABBgAC")
	f.Fuzz(func(t *testing.T, token string) {
		if places, err := DecodeReceipt(token, "here"); err == nil && len(places) > len(token) {
			t.Errorf("got %d places from %d characters", len(places), len(token))
		}
	})
}
