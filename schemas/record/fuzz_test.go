package record

import (
	"errors"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fuzzDecode holds for every decoder: it never panics, it refuses with ErrInvalid,
// and what it accepts survives another turn.
func fuzzDecode[R interface{ Encode() ([]byte, error) }](f *testing.F, decode func([]byte) (R, error),
	seeds ...string) {
	for _, file := range seeds {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := decode(raw)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatalf("%v does not wrap ErrInvalid", err)
			}
			return
		}
		again, err := r.Encode()
		if err != nil {
			t.Fatalf("decoded, but does not encode: %v", err)
		}
		r2, err := decode(again)
		if err != nil {
			t.Fatalf("decoded, but not again: %v", err)
		}
		third, err := r2.Encode()
		if diff := cmp.Diff(string(again), string(third)); err != nil || diff != "" {
			t.Fatalf("changes with each turn: %v %s", err, diff)
		}
	})
}

func FuzzDecodeCommit(f *testing.F) {
	fuzzDecode(f, DecodeCommit, "testdata/commit.json", "testdata/seal.json",
		"testdata/format0/commit.json", "testdata/format0/seal.json")
}

func FuzzDecodePublication(f *testing.F) {
	fuzzDecode(f, DecodePublication, "testdata/publication.json", "testdata/format0/publication.json")
}

func FuzzDecodeGeneration(f *testing.F) {
	fuzzDecode(f, DecodeGeneration, "testdata/generation.json")
}

// FuzzApply resolves a publication on top of another: no panic, and a state that
// is not ascending never comes out (P2, V5).
func FuzzApply(f *testing.F) {
	raw, err := os.ReadFile("testdata/publication.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw, raw)
	f.Fuzz(func(t *testing.T, first, second []byte) {
		s := EmptyState(1)
		for _, raw := range [][]byte{first, second} {
			next, err := s.Apply(raw)
			if err != nil {
				continue
			}
			for name, v := range next.Views {
				for i := 1; i < len(v.Buckets); i++ {
					if v.Buckets[i-1].Bucket >= v.Buckets[i].Bucket {
						t.Fatalf("view %s: buckets %v", name, v.Buckets)
					}
				}
			}
			s = next
		}
	})
}

// TestNothingAfterARecord refuses bytes after a record, closing brackets among them.
func TestNothingAfterARecord(t *testing.T) {
	t.Parallel()
	raw := encoded(t, genesis())
	for _, after := range []string{"}", "]", "{}", "x", "\x00"} {
		if _, err := DecodeCommit(append(raw[:len(raw):len(raw)], after...)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q after the record: got %v", after, err)
		}
	}
}
