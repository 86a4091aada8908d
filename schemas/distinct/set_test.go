package distinct

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestOverlapAgainstNaive counts what sets share, one pair after another with one Overlap. Some hashes are small
// numbers, of which one is 0, so that many fall into few slots.
func TestOverlapAgainstNaive(t *testing.T) {
	t.Parallel()
	var o Overlap
	rapid.Check(t, func(t *rapid.T) {
		o.factor = rapid.Uint64().Draw(t, "factor") | 1
		hash := rapid.OneOf(rapid.Uint64Range(0, 40), rapid.Uint64())
		in := rapid.SliceOfNDistinct(hash, 0, 60, rapid.ID[uint64]).Draw(t, "set")
		var live Sketch
		want := 0
		for _, h := range rapid.SliceOfNDistinct(hash, 0, 60, rapid.ID[uint64]).Draw(t, "sketch") {
			live.Add(h)
			if slices.Contains(in, h) {
				want++
			}
		}
		if got := o.Count(SetOf(in), &live); got != want {
			t.Fatalf("got %d shared hashes, want %d", got, want)
		}
	})
}

// TestSetIsItsHashesWhileSmall: a set keeps up to MaxHashes hashes, and its registers are those of its hashes anyway.
func TestSetIsItsHashesWhileSmall(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, MaxHashes, MaxHashes + 1} {
		all := hashes("v", n)
		s := SetOf(all)
		if got := s.HasHashes(); got != (n <= MaxHashes) {
			t.Errorf("%d hashes: has hashes: %t", n, got)
		}
		if s.Bytes() > SetBytes+MaxRegisterBytes {
			t.Errorf("%d hashes: %d bytes", n, s.Bytes())
		}
		var u Union
		u.AddSet(s)
		got := u.AppendRegisters(nil)
		slices.Sort(got)
		if want := AppendRegisters(nil, all); !slices.Equal(got, want) {
			t.Errorf("%d hashes: other registers", n)
		}
	}
	if (*Set)(nil).HasHashes() || (*Set)(nil).Bytes() != 0 {
		t.Error("a set that nobody asked for is known")
	}
}

// BenchmarkOverlap unites sets with live ones of 1 and 1,024 values.
func BenchmarkOverlap(b *testing.B) {
	for name, size := range map[string][2]int{"3 with 1": {3, 1}, "1000 with 10": {1000, 10},
		"8192 with 1024": {MaxHashes, ExactLimit}} {
		set := SetOf(hashes("a", size[0]))
		var live Sketch
		for _, h := range hashes("b", size[1]) {
			live.Add(h)
		}
		var o Overlap
		var u Union
		b.Run("hashes "+name, func(b *testing.B) {
			for b.Loop() {
				o.Count(set, &live)
			}
		})
		b.Run("registers "+name, func(b *testing.B) {
			for b.Loop() {
				u.Reset()
				u.AddSet(set)
				u.Approximate()
				u.Add(&live)
				u.Approximate()
			}
		})
	}
}
