package record

import (
	"bytes"
	"errors"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestEveryFlippedBitIsNoticed: no bit of what is stored can change, and no end be cut off,
// without CheckDigest saying so.
func TestEveryFlippedBitIsNoticed(t *testing.T) {
	t.Parallel()
	for _, raw := range [][]byte{nil, []byte("x"), encoded(t, segment(1, "00ff"))} {
		stored := WithDigest(raw)
		if got, err := CheckDigest(stored); err != nil || !bytes.Equal(got, raw) {
			t.Fatalf("got %q, %v; want %q", got, err, raw)
		}
		for i := range 8 * len(stored) {
			corrupt := bytes.Clone(stored)
			corrupt[i/8] ^= 1 << (i % 8)
			got, err := CheckDigest(corrupt)
			if !errors.Is(err, ErrCorrupt) || errors.Is(err, ErrInvalid) || got != nil {
				t.Fatalf("bit %d flipped: got %q, %v", i, got, err)
			}
		}
		for n := range stored {
			if _, err := CheckDigest(stored[:n]); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("%d of %d bytes: got %v", n, len(stored), err)
			}
		}
	}
}

func TestStoredGolden(t *testing.T) {
	t.Parallel()
	const file = "testdata/stored.json"
	got := WithDigest(encoded(t, genesis()))
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s is a stored format; what it holds can never be read otherwise:\n%s", file, diff)
	}
}
