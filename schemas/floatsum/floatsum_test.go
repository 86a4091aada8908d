package floatsum

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// precision is enough for big.Float to add any float64 values, and to divide their sum, without an error that
// rounding to 53 bits could show.
const precision = 2400

// oracle returns the sum of the values divided by n, by big.Float.
func oracle(values []float64, n uint64) (float64, bool) {
	sum := new(big.Float).SetPrec(precision)
	for _, v := range values {
		sum.Add(sum, big.NewFloat(v))
	}
	v, _ := sum.Quo(sum, new(big.Float).SetPrec(precision).SetUint64(n)).Float64()
	return v + 0, !math.IsInf(v, 0) // -0 is 0.
}

func sum(values []float64) *Sum {
	s := &Sum{}
	for _, v := range values {
		s.Add(v)
	}
	return s
}

// drawValue draws floats of every exponent, those at the ends of the window, and those that people use.
func drawValue() *rapid.Generator[float64] {
	return rapid.OneOf(
		rapid.Custom(func(t *rapid.T) float64 {
			return math.Float64frombits(rapid.Uint64().Filter(func(b uint64) bool { return b>>52&0x7ff != 0x7ff }).
				Draw(t, "bits"))
		}),
		rapid.Custom(func(t *rapid.T) float64 {
			exponent := rapid.SampledFrom([]int{-1074, -1022, -64, -63, -62, -1, 0, 1, 2, 63, 64, 65, 1023}).
				Draw(t, "exponent")
			v := math.Ldexp(1+rapid.Float64Range(0, 1).Draw(t, "fraction")/2, exponent)
			return math.Copysign(v, rapid.SampledFrom([]float64{1, -1}).Draw(t, "sign"))
		}),
		rapid.Custom(func(t *rapid.T) float64 { return float64(rapid.IntRange(-1e7, 1e7).Draw(t, "cents")) / 100 }),
		rapid.SampledFrom([]float64{0, math.Copysign(0, -1), 1e16, -1e16, 1, math.MaxFloat64, -math.MaxFloat64,
			math.SmallestNonzeroFloat64}))
}

// TestSumIsThatOfBigFloat checks that any order and any division into cells and parts give the same state, and
// that sum and mean are those of big.Float.
func TestSumIsThatOfBigFloat(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(drawValue(), 0, 40).Draw(t, "values")
		n := rapid.OneOf(rapid.Uint64Range(1, 50), rapid.Uint64Range(1, math.MaxUint64)).Draw(t, "n")
		whole := sum(values)
		merged := &Sum{}
		rest := rapid.Permutation(values).Draw(t, "order")
		for len(rest) > 0 {
			size := rapid.IntRange(1, len(rest)).Draw(t, "part")
			part := sum(rest[:size])
			far, err := ParseFar(part.Far.Append(nil))
			if err != nil {
				t.Fatal(err)
			}
			merged.Merge(&Sum{part.Near, far})
			rest = rest[size:]
		}
		if merged.Near != whole.Near || !slices.Equal(merged.Far, whole.Far) {
			t.Fatalf("parts give %+v, the whole %+v", merged, whole)
		}
		for _, divisor := range []uint64{1, n} {
			got, fits := whole.Mean(divisor)
			want, wantFits := oracle(values, divisor)
			if fits != wantFits || fits && math.Float64bits(got) != math.Float64bits(want) {
				t.Fatalf("sum / %d is %g, %t; want %g, %t", divisor, got, fits, want, wantFits)
			}
		}
	})
}

// golden is a sum whose state and value can never change.
type golden struct {
	Name   string
	Repeat int
	Values []float64
	Near   string
	Far    string
	Sum    string // as %x; empty beyond the range
	Mean   string
}

// TestGoldenSums reads testdata/sums.json. Publications hold such states.
func TestGoldenSums(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("testdata/sums.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []golden
	if err := json.Unmarshal(raw, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) < 8 {
		t.Fatalf("%d cases", len(cases))
	}
	for _, c := range cases {
		var values []float64
		for range c.Repeat {
			values = append(values, c.Values...)
		}
		s := sum(values)
		near := ""
		for i := range s.Near {
			near += fmt.Sprintf("%016x", s.Near[3-i])
		}
		text := func(n uint64) string {
			v, fits := s.Mean(n)
			if !fits {
				return ""
			}
			return fmt.Sprintf("%x", v)
		}
		got := golden{c.Name, c.Repeat, c.Values, near, hex.EncodeToString(s.Far.Append(nil)), text(1),
			text(uint64(len(values)))}
		if fmt.Sprint(got) != fmt.Sprint(c) {
			t.Errorf("%s:\n got %+v\nwant %+v", c.Name, got, c)
		}
	}
}

// TestCosts adds 4,000 costs with two decimals in many orders: the correctly rounded sum each time.
func TestCosts(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 1))
	values := make([]float64, 4000)
	for i := range values {
		values[i] = float64(r.IntN(10_000)) / 100
	}
	want, _ := oracle(values, 1)
	for range 80 {
		r.Shuffle(len(values), func(i, j int) { values[i], values[j] = values[j], values[i] })
		if got, _ := sum(values).Float64(); got != want {
			t.Fatalf("sum is %v, want %v", got, want)
		}
	}
}

// TestFarIsRefused checks that bytes which are not a far part are refused.
func TestFarIsRefused(t *testing.T) {
	t.Parallel()
	for name, raw := range map[string][]byte{"short": make([]byte, 16),
		"bin": append([]byte{129}, make([]byte, 16)...)} {
		if _, err := ParseFar(raw); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if far, err := ParseFar(make([]byte, BinBytes)); err != nil || len(far) != 0 {
		t.Errorf("a bin whose sum is zero gives %v, %v", far, err)
	}
}

// TestNotFinite checks that an infinity or NaN, which ingest refuses, is never taken for a number.
func TestNotFinite(t *testing.T) {
	t.Parallel()
	for _, v := range []float64{math.Inf(1), math.Inf(-1), math.NaN(), math.Float64frombits(1<<64 - 1)} {
		if got, fits := sum([]float64{1, v, -1e308, -v, math.MaxFloat64}).Float64(); fits {
			t.Errorf("with %v the sum is %v", v, got)
		}
	}
}

// TestAddAllocatesNothing: near values are added for every event.
func TestAddAllocatesNothing(t *testing.T) {
	s := &Sum{}
	n := testing.AllocsPerRun(100, func() {
		s.Add(12.34)
		s.Merge(s)
		s.Mean(3)
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkAdd(b *testing.B) {
	values := make([]float64, 1024)
	for i := range values {
		values[i] = float64(rand.IntN(100_000)-20_000) / 100
	}
	b.Run("exact", func(b *testing.B) {
		sums := make([]Sum, 64)
		for i := 0; b.Loop(); i++ {
			sums[i&63].Add(values[i&1023])
		}
	})
	b.Run("plain", func(b *testing.B) {
		sums := make([]float64, 64)
		for i := 0; b.Loop(); i++ {
			sums[i&63] += values[i&1023]
		}
	})
}

func BenchmarkFloat64(b *testing.B) {
	s := sum([]float64{1.1, 2.2, -3.4, 1e7})
	for b.Loop() {
		s.Float64()
	}
}
