package distinct

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func hashes(prefix string, n int) []uint64 {
	out := make([]uint64, n)
	for i := range out {
		out[i] = HashString(fmt.Sprint(prefix, i))
	}
	return out
}

func TestExactWhileSmall(t *testing.T) {
	t.Parallel()
	var s Sketch
	for range 2 {
		for _, h := range hashes("v", ExactLimit) {
			s.Add(h)
		}
	}
	if !s.Exact() || s.Estimate() != ExactLimit {
		t.Errorf("got %d, exact %v", s.Estimate(), s.Exact())
	}
}

// TestErrorStaysWithinTheory checks the relative error over sizes and streams against
// three and a half standard errors.
func TestErrorStaysWithinTheory(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1500, 10_000, 40_000, 100_000, 1_000_000} {
		var squares float64
		const streams = 4
		for i := range streams {
			var s Sketch
			for _, h := range hashes(fmt.Sprint("stream", i, "-"), n) {
				s.Add(h)
			}
			e := float64(s.Estimate())/float64(n) - 1
			if math.Abs(e) > 3.5*StandardError {
				t.Errorf("n=%d stream %d: relative error %.4f", n, i, e)
			}
			squares += e * e
		}
		if rms := math.Sqrt(squares / streams); rms > 2.5*StandardError {
			t.Errorf("n=%d: rms error %.4f", n, rms)
		}
	}
}

// TestMergeIsUnion compares merging with adding every element to one sketch, over
// the border between exact and dense, and through the register form.
func TestMergeIsUnion(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a := hashes("x", rapid.IntRange(0, 3000).Draw(t, "a"))
		b := hashes("x", rapid.IntRange(0, 3000).Draw(t, "b"))
		b = append(b, hashes("y", rapid.IntRange(0, 100).Draw(t, "c"))...)
		var sa, sb, all, regs Sketch
		for _, h := range a {
			sa.Add(h)
			all.Add(h)
		}
		for _, h := range b {
			sb.Add(h)
			all.Add(h)
		}
		sa.Merge(&sb)
		if diff := cmp.Diff(all.Registers(), sa.Registers()); diff != "" {
			t.Fatal(diff)
		}
		for _, r := range sa.Registers() {
			regs.AddRegister(r)
		}
		if regs.Approximate() != sa.Approximate() {
			t.Fatalf("registers give %d, the sketch %d", regs.Approximate(), sa.Approximate())
		}
	})
}

// TestAppendRegisters compares the registers of hashes, ascending and in any order, with those of a sketch.
func TestAppendRegisters(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		set := rapid.SliceOfN(rapid.Uint64(), 0, 50).Draw(t, "hashes")
		for _, h := range set { // Another hash of the same register.
			set = append(set, h^rapid.Uint64Range(0, 1<<(64-Precision)-1).Draw(t, "low"))
		}
		var s Sketch
		s.AddRegister(Register(1))
		for _, h := range set {
			s.AddRegister(Register(h))
		}
		set = append(set, 1)
		sorted := slices.Clone(set)
		slices.Sort(sorted)
		before := []uint32{Register(sorted[0])} // Registers of another set, which must stay as they are.
		for _, in := range [][]uint64{set, sorted} {
			if diff := cmp.Diff(append(slices.Clone(before), s.Registers()...),
				AppendRegisters(slices.Clone(before), in)); diff != "" {
				t.Fatal(diff)
			}
		}
	})
}

func BenchmarkAppendRegisters(b *testing.B) {
	set := hashes("x", 4)
	slices.Sort(set)
	var out []uint32
	for b.Loop() {
		out = AppendRegisters(out[:0], set)
	}
}

func BenchmarkAdd(b *testing.B) {
	hs := hashes("x", 1<<16)
	var s Sketch
	for i := 0; b.Loop(); i++ {
		s.Add(hs[i&(1<<16-1)])
	}
}
