package decimal

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParse(t *testing.T) {
	t.Parallel()
	million := strings.Repeat("9", 1_000_000)
	for _, c := range []struct {
		text      string
		precision int
		scale     int
		want      int64
		err       error
	}{
		{"12.34", 18, 2, 1234, nil},
		{"1e-2", 18, 2, 1, nil},
		{"1.50", 18, 1, 15, nil},
		{"1.50000000000000000000000000000000000000000", 2, 1, 15, nil},
		{"15E-1", 2, 1, 15, nil},
		{"1.5e+1", 2, 0, 15, nil},
		{"-0", 1, 0, 0, nil},
		{"-0.00e5", 1, 1, 0, nil},
		{"0e" + million, 1, 0, 0, nil},
		{"0.0000e-" + million, 1, 0, 0, nil},
		{"-99", 2, 0, -99, nil},
		{"0.99", 2, 2, 99, nil},
		{"1000e-3", 1, 0, 1, nil},
		{"999999999999999999", 18, 0, 999_999_999_999_999_999, nil},
		{"-0.999999999999999999", 18, 18, -999_999_999_999_999_999, nil},
		{"100000000000000000000e-20", 1, 0, 1, nil},
		{"1" + strings.Repeat("0", 500_000) + "e-500000", 1, 0, 1, nil},
		{"0." + strings.Repeat("0", 500_000) + "1e500001", 1, 0, 1, nil},
		{"1", 2, 2, 0, ErrLarge},
		{"100", 2, 0, 0, ErrLarge},
		{"1e400", 18, 2, 0, ErrLarge},
		{"1e" + million, 18, 2, 0, ErrLarge},
		{"9223372036854775807", 18, 0, 0, ErrLarge},
		{"1000000000000000000", 18, 0, 0, ErrLarge},
		{million, 18, 0, 0, ErrLarge},
		{"1e-19", 18, 18, 0, ErrFraction},
		{"1e-" + million, 18, 2, 0, ErrFraction},
		{"12.345", 18, 2, 0, ErrFraction},
		{"0.001", 18, 2, 0, ErrFraction},
		{"0.10000000000000000000000001", 18, 2, 0, ErrFraction},
		{"", 18, 2, 0, ErrSyntax},
		{"-", 18, 2, 0, ErrSyntax},
		{"NaN", 18, 2, 0, ErrSyntax},
		{"Infinity", 18, 2, 0, ErrSyntax},
		{" 1", 18, 2, 0, ErrSyntax},
		{"1 ", 18, 2, 0, ErrSyntax},
		{"+1", 18, 2, 0, ErrSyntax},
		{"0x1", 18, 2, 0, ErrSyntax},
		{"01", 18, 2, 0, ErrSyntax},
		{"-01", 18, 2, 0, ErrSyntax},
		{".5", 18, 2, 0, ErrSyntax},
		{"1.", 18, 2, 0, ErrSyntax},
		{"1.e1", 18, 2, 0, ErrSyntax},
		{"1e", 18, 2, 0, ErrSyntax},
		{"1e+", 18, 2, 0, ErrSyntax},
		{"1e1.0", 18, 2, 0, ErrSyntax},
		{"1,5", 18, 2, 0, ErrSyntax},
		{"1_000", 18, 2, 0, ErrSyntax},
		{"--1", 18, 2, 0, ErrSyntax},
		{"1.5.5", 18, 2, 0, ErrSyntax},
		{"１", 18, 2, 0, ErrSyntax},
	} {
		got, err := Parse(c.text, Type{c.precision, c.scale})
		if got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%.40s as %s: got %d, %v, want %d, %v", c.text, Type{c.precision, c.scale}, got, err, c.want,
				c.err)
		}
	}
}

// TestParseAllocatesNothing reads an exponent of a million digits.
func TestParseAllocatesNothing(t *testing.T) {
	for _, text := range []string{"1e" + strings.Repeat("9", 1_000_000), "12.34", "1e-19"} {
		if n := testing.AllocsPerRun(3, func() { _, _ = Parse(text, Type{18, 2}) }); n > 0 {
			t.Errorf("%.20s: Parse allocates %v times", text, n)
		}
	}
}

func TestParseType(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Type{"decimal(18,2)": {18, 2}, "decimal(1,0)": {1, 0},
		"decimal(38,18)": {38, 18}} {
		if got, ok := ParseType(text); !ok || got != want || got.String() != text {
			t.Errorf("%s: got %v, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "decimal", "decimal()", "decimal(18)", "decimal(18,)", "decimal(,2)",
		"decimal(18,2", "decimal(18,2) ", "decimal(018,2)", "decimal(18,02)", "decimal(118,2)", "decimal(18,-2)",
		"decimal(1x,2)", "int64"} {
		if got, ok := ParseType(text); ok {
			t.Errorf("%q: got %v", text, got)
		}
	}
}

// drawType draws a type that can be declared.
func drawType(t *rapid.T) Type {
	precision := rapid.IntRange(1, MaxPrecision).Draw(t, "precision")
	return Type{precision, rapid.IntRange(0, precision).Draw(t, "scale")}
}

// unitsOf returns the number in units of the last digit of a type, and whether that is a whole number of few digits.
func unitsOf(r *big.Rat, to Type) (int64, error) {
	units := new(big.Rat).Mul(r, new(big.Rat).SetInt64(Power(to.Scale)))
	switch {
	case !units.IsInt():
		return 0, ErrFraction
	case units.Num().CmpAbs(big.NewInt(Power(to.Precision))) >= 0:
		return 0, ErrLarge
	}
	return units.Num().Int64(), nil
}

// TestParseIsExact compares with rational numbers.
func TestParseIsExact(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		typ := drawType(t)
		text := rapid.StringMatching(`-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,22})?([eE][+-]?[0-9]{1,2})?`).Draw(t, "text")
		r, ok := new(big.Rat).SetString(text)
		if !ok {
			t.Skip()
		}
		want, wantErr := unitsOf(r, typ)
		got, err := Parse([]byte(text), typ)
		if got != want || (err == nil) != (wantErr == nil) {
			t.Fatalf("%s as %s: got %d, %v, want %d, %v", text, typ, got, err, want, wantErr)
		}
		if err == nil {
			again, err := Parse(Format(got, typ.Scale), typ)
			if again != got || err != nil {
				t.Fatalf("%s as %s: got %d, %v of its own text", text, typ, again, err)
			}
		}
	})
}

// TestRescale compares with rational numbers.
func TestRescale(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		from := drawType(t)
		to := drawType(t)
		limit := Power(from.Precision) - 1
		v := rapid.Int64Range(-limit, limit).Draw(t, "units")
		if rapid.Bool().Draw(t, "round") {
			v -= v % Power(rapid.IntRange(0, from.Precision).Draw(t, "zeros"))
		}
		want, err := unitsOf(big.NewRat(v, Power(from.Scale)), to)
		got, ok := Rescale(v, from, to)
		if ok != (err == nil) || ok && got != want {
			t.Fatalf("%d of %s as %s: got %d, %v, want %d, %v", v, from, to, got, ok, want, err)
		}
	})
}

func TestAppend(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		v     int64
		scale int
		want  string
	}{{1234, 2, "12.34"}, {0, 2, "0.00"}, {-5, 3, "-0.005"}, {7, 0, "7"}, {100, 2, "1.00"}, {-100, 1, "-10.0"},
		{math.MinInt64, 18, "-9.223372036854775808"}, {math.MaxInt64, 0, "9223372036854775807"}} {
		if got := Format(c.v, c.scale); got != c.want {
			t.Errorf("%d with %d digits after the point: got %s, want %s", c.v, c.scale, got, c.want)
		}
	}
}

// TestSums compares sums and means of 128 bits with rational numbers.
func TestSums(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		high := rapid.Int64Range(-1<<40, 1<<40).Draw(t, "high")
		low := rapid.Uint64().Draw(t, "low")
		scale := rapid.IntRange(0, MaxPrecision).Draw(t, "scale")
		n := rapid.Uint64Range(1, math.MaxUint64).Draw(t, "n")
		exact := new(big.Rat).SetFrac(Sum(high, low), big.NewInt(Power(scale)))
		if got := string(AppendSum(nil, high, low, scale)); got != exact.FloatString(scale) {
			t.Fatalf("%d:%d: got %s, want %s", high, low, got, exact.FloatString(scale))
		}
		want, _ := new(big.Rat).Quo(exact, new(big.Rat).SetInt(new(big.Int).SetUint64(n))).Float64()
		if got := Mean(high, low, scale, n); got != want {
			t.Fatalf("mean of %s over %d: got %v, want %v", exact.FloatString(scale), n, got, want)
		}
	})
	for sum, fits := range map[string]bool{strings.Repeat("9", 38): true, "-" + strings.Repeat("9", 38): true,
		"1" + strings.Repeat("0", 38): false, "-1" + strings.Repeat("0", 38): false, "0": true, "-1": true} {
		n, _ := new(big.Int).SetString(sum, 10)
		low := new(big.Int).And(n, new(big.Int).SetUint64(math.MaxUint64)).Uint64()
		high := new(big.Int).Rsh(n, 64).Int64()
		if got := SumFits(high, low); got != fits {
			t.Errorf("%s: got %v, want %v", sum, got, fits)
		}
	}
}

// FuzzParse compares with rational numbers, and checks that no text makes Parse slow.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"12.34", "1e400", "1e-19", "-0", "NaN", " 1", "+1", "0x1", "1e-99999999999", "0.10"} {
		f.Add(text, uint8(18), uint8(2))
	}
	f.Fuzz(func(t *testing.T, text string, precision, scale uint8) {
		typ := Type{int(precision%MaxPrecision) + 1, int(scale)}
		if !typ.Valid() {
			return
		}
		got, err := Parse(text, typ)
		if err != nil {
			if got != 0 {
				t.Errorf("%q: got %d with an error", text, got)
			}
			return
		}
		if !typ.Holds(got) {
			t.Errorf("%q as %s: got %d", text, typ, got)
		}
		if len(text) > 50 || strings.ContainsAny(text, "eE") && !smallExponent(text) {
			return // Rational numbers would take long.
		}
		r, ok := new(big.Rat).SetString(text)
		if want, err := unitsOf(r, typ); !ok || err != nil || want != got {
			t.Errorf("%q as %s: got %d, want %d, %v", text, typ, got, want, err)
		}
	})
}

func smallExponent(text string) bool {
	_, exponent, _ := strings.Cut(strings.ToLower(text), "e")
	n, err := strconv.Atoi(exponent)
	return err == nil && n < 1000 && n > -1000
}

func ExampleFormat() {
	v, err := Parse("12.5", Type{18, 2})
	fmt.Println(Format(v, 2), err)
	// Output: 12.50 <nil>
}

// TestParseSum reads random numbers of up to 41 digits and compares them with big integers.
func TestParseSum(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		scale := rapid.IntRange(0, MaxPrecision).Draw(t, "scale")
		digits := rapid.StringMatching(`-?[1-9][0-9]{0,40}`).Draw(t, "digits")
		want, _ := new(big.Int).SetString(digits, 10)
		text := new(big.Rat).SetFrac(want, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil)).
			FloatString(scale + rapid.IntRange(0, 2).Draw(t, "zeros"))
		high, low, err := ParseSum(text, scale)
		if large := want.CmpAbs(sumLimit) >= 0; large != errors.Is(err, ErrLarge) || !large && err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if err == nil && Sum(high, low).Cmp(want) != 0 {
			t.Fatalf("%s: got %v, want %v", text, Sum(high, low), want)
		}
	})
	for text, want := range map[string]error{"1e2": nil, "1e18": ErrLarge,
		"1" + strings.Repeat("0", 1_000_000): ErrLarge, "0.001": ErrFraction, "x": ErrSyntax, "+1": ErrSyntax} {
		if _, _, err := ParseSum(text, 2); !errors.Is(err, want) {
			t.Errorf("%.20s: got %v, want %v", text, err, want)
		}
	}
}

// TestNearest: a number of units becomes the nearest float64, of a fraction with big integers too.
func TestNearest(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		scale := rapid.IntRange(0, MaxPrecision).Draw(t, "scale")
		low := rapid.OneOf(rapid.Int64(), rapid.Int64Range(1<<53-2, 1<<53+2)).Draw(t, "low")
		high := rapid.SampledFrom([]int64{low >> 63, low >> 63, 1, -2}).Draw(t, "high")
		want := Mean(high, uint64(low), scale, 1)
		if got := Nearest(high, uint64(low), scale); got != want {
			t.Fatalf("%d:%d of scale %d: got %v, want %v", high, low, scale, got, want)
		}
	})
}
