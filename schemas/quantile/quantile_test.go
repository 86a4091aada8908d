package quantile

import (
	"fmt"
	"maps"
	"math"
	"math/big"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// naiveKey is the definition of the package comment, with numbers that are never rounded.
func naiveKey(v *big.Rat) int16 {
	if v.Sign() < 0 {
		return -naiveKey(new(big.Rat).Neg(v))
	}
	if v.Sign() == 0 {
		return 0
	}
	if v.Cmp(new(big.Rat).SetFloat64(math.Ldexp(1, 64))) >= 0 {
		return MaxKey
	}
	for e := 63; e >= -64; e-- {
		power := new(big.Rat).SetFloat64(math.Ldexp(1, e))
		if v.Cmp(power) < 0 {
			continue
		}
		rest := new(big.Rat).Quo(v, power)
		rest.Mul(rest.Sub(rest, big.NewRat(1, 1)), big.NewRat(64, 1))
		step := new(big.Int).Quo(rest.Num(), rest.Denom())
		return int16(64*(e+64) + int(step.Int64()) + 1)
	}
	return 1
}

// floats draws numbers of every size and sign, many of them at the ends of bins.
func floats() *rapid.Generator[float64] {
	edges := rapid.Custom(func(t *rapid.T) float64 {
		b := FloatBinOf(int16(rapid.IntRange(-MaxKey, MaxKey).Draw(t, "key")))
		v := rapid.SampledFrom([]float64{b.Low, b.High}).Draw(t, "edge")
		if math.Abs(v) == math.MaxFloat64 {
			return v
		}
		return math.Nextafter(v, v+float64(rapid.IntRange(-1, 1).Draw(t, "side")))
	})
	return rapid.OneOf(edges, rapid.Float64Range(-math.MaxFloat64, math.MaxFloat64), rapid.Float64Range(-1e6, 1e6),
		rapid.SampledFrom([]float64{0, math.Copysign(0, -1), 5e-324, -5e-324, math.MaxFloat64, -math.MaxFloat64}))
}

// ints draws numbers of every size and sign, many of them at the ends of bins.
func ints() *rapid.Generator[int64] {
	edges := rapid.Custom(func(t *rapid.T) int64 {
		b := IntBinOf(KeyOfInt(rapid.Int64().Draw(t, "inside")))
		return rapid.SampledFrom([]int64{b.Low, b.High, b.Value}).Draw(t, "edge")
	})
	return rapid.OneOf(edges, rapid.Int64(), rapid.Int64Range(-2000, 2000),
		rapid.SampledFrom([]int64{math.MinInt64, math.MaxInt64, 1 << 53, 1<<53 + 1, -1<<53 - 1}))
}

func TestKeysAreTheDefinition(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		v := floats().Draw(t, "float")
		if want := naiveKey(new(big.Rat).SetFloat64(v)); KeyOfFloat(v) != want {
			t.Fatalf("%v has key %d, want %d", v, KeyOfFloat(v), want)
		}
		i := ints().Draw(t, "int")
		if want := naiveKey(new(big.Rat).SetInt64(i)); KeyOfInt(i) != want {
			t.Fatalf("%d has key %d, want %d", i, KeyOfInt(i), want)
		}
	})
}

func TestBinsHaveTheirValues(t *testing.T) {
	t.Parallel()
	const most = RelativeError * (1 + 1e-9)
	rapid.Check(t, func(t *rapid.T) {
		v := floats().Draw(t, "float")
		b := FloatBinOf(KeyOfFloat(v))
		inRange := math.Abs(v) >= math.Ldexp(1, -64) && math.Abs(v) < math.Ldexp(1, 64)
		if v < b.Low || v > b.High || b.Value < b.Low || b.Value > b.High ||
			inRange && math.Abs(b.Value-v) > most*math.Abs(v) {
			t.Fatalf("%v is in %+v", v, b)
		}
		i := ints().Draw(t, "int")
		whole := IntBinOf(KeyOfInt(i))
		if i < whole.Low || i > whole.High || whole.Value < whole.Low || whole.Value > whole.High ||
			math.Abs(float64(whole.Value-i)) > most*math.Abs(float64(i)) {
			t.Fatalf("%d is in %+v", i, whole)
		}
		if KeyOfInt(whole.Low) != KeyOfInt(i) || KeyOfInt(whole.High) != KeyOfInt(i) {
			t.Fatalf("an end of %+v, the bin of %d, is in another bin", whole, i)
		}
		if i > -128 && i < 128 && whole != (IntBin{i, i, i}) {
			t.Fatalf("%d has no bin of its own: %+v", i, whole)
		}
	})
}

// TestGolden holds what is stored: a key can never mean another bin.
func TestGolden(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]int16{0: 0, 1: 4097, -1: -4097, 1.015: 4097, 1.015625: 4098, 2: 4161, 0.5: 4033,
		100: 4517, 1234.5: 4750, -0.001: -3458, 1e-30: 1, 5e-324: 1, math.MaxFloat64: 8192, -1e30: -8192, 1e19: 8134,
		math.Ldexp(1, -64): 1, math.Ldexp(1, 64): 8192} {
		if got := KeyOfFloat(v); got != want {
			t.Errorf("%v has key %d, want %d", v, got, want)
		}
	}
	for v, want := range map[int64]int16{0: 0, 1: 4097, -1: -4097, 127: 4544, 128: 4545, 129: 4545, 130: 4546,
		math.MaxInt64: 8128, math.MinInt64: -8129, 1<<53 - 1: 7488, 1 << 53: 7489} {
		if got := KeyOfInt(v); got != want {
			t.Errorf("%d has key %d, want %d", v, got, want)
		}
	}
	if got := FloatBinOf(4098); got != (FloatBin{1.015625, 1.0234375, 1.03125}) {
		t.Errorf("got %+v", got)
	}
	if got := IntBinOf(-4546); got != (IntBin{-131, -131, -130}) {
		t.Errorf("got %+v", got)
	}
}

// naiveSketch adds values one by one.
func naiveSketch(values []int64) *Sketch {
	counts := map[int16]uint64{}
	for _, v := range values {
		counts[KeyOfInt(v)]++
	}
	s := &Sketch{}
	for _, key := range slices.Sorted(maps.Keys(counts)) {
		s.keys = append(s.keys, key)
		s.counts = append(s.counts, counts[key])
	}
	return s
}

// TestQuantiles compares with the sorted values, whatever sketches they were in before.
func TestQuantiles(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(ints(), 1, 300).Draw(t, "values")
		parts := make([]Sketch, 3)
		for _, v := range values {
			parts[rapid.IntRange(0, 2).Draw(t, "part")].Add(KeyOfInt(v), 1)
		}
		var all Sketch
		for i := range parts {
			all.Merge(&parts[i])
		}
		all.Merge(nil)
		want := naiveSketch(values)
		if !slices.Equal(all.keys, want.keys) || !slices.Equal(all.counts, want.counts) ||
			all.Count() != uint64(len(values)) {
			t.Fatalf("merged %v, at once %v", all, want)
		}
		r := Rank(rapid.OneOf(rapid.IntRange(0, whole), rapid.SampledFrom([]int{0, 50_000, 99_900, whole})).
			Draw(t, "rank"))
		slices.Sort(values)
		place := 0 // The first value that r of all values do not exceed.
		for float64(place+1)*whole < float64(r)*float64(len(values)) {
			place++
		}
		b := IntBinOf(all.Key(r))
		if truth := values[place]; truth < b.Low || truth > b.High || all.Key(r) != KeyOfInt(truth) {
			t.Fatalf("%s of %v is %d, got %+v", r, values, truth, b)
		}
	})
}

func TestRanks(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Rank{"p0": 0, "p50": P50, "p99.9": 99_900, "p99.999": 99_999, "p0.001": 1,
		"p100": whole, "p5.05": 5050} {
		r, err := ParseRank(text)
		if err != nil || r != want || r.String() != text {
			t.Errorf("%s: %d, %v", text, r, err)
		}
	}
	for _, text := range []string{"", "p", "50", "p50.", "p50.0", "p050", "p101", "p100.001", "p-1", "p1e1", "p99.9999",
		"P50", "p.5", "p5 ", "p" + fmt.Sprintf("%0500d", 1), "p99999999999999999999", "pé"} {
		if r, err := ParseRank(text); err == nil {
			t.Errorf("%q is read as %s", text, r)
		}
	}
	for _, c := range []struct {
		r       Rank
		n, want uint64
	}{{0, 5, 1}, {P50, 1, 1}, {P50, 2, 1}, {P50, 3, 2}, {P99, 100, 99}, {P99, 101, 100}, {whole, 7, 7},
		{whole, math.MaxUint64, math.MaxUint64}} {
		if got := c.r.Place(c.n); got != c.want {
			t.Errorf("%s of %d values is number %d, want %d", c.r, c.n, got, c.want)
		}
	}
}
