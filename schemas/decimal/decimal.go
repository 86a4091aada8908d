// Package decimal reads and writes decimal numbers of a fixed number of digits after the point. A value is an integer:
// how many units of the last digit it has. So 12.50 in a type with two digits after the point is 1250.
//
// A text is a number as JSON has it, and nothing else: "+1", " 1", "0x1" and "NaN" are none. Spellings of one number
// are one value: 1.5, 1.50 and 15e-1. A number that a type cannot hold is refused and never rounded. Reading allocates
// nothing and takes time in proportion to the text, whatever its exponent.
package decimal

import (
	"errors"
	"fmt"
	"math/big"
	"math/bits"
	"strconv"
	"strings"
)

const (
	// MaxPrecision is the most digits that a declared type has. Every number of 18 digits fits int64, and not every
	// one of 19. So values take the same way through columns, files and tables as those of int64, at the same cost.
	MaxPrecision = 18
	// MaxSum is the most digits of a sum. Every number of 38 digits fits 128 bits, which is what ClickHouse, Arrow
	// and Parquet call a Decimal128.
	MaxSum = 38
)

// Type is a type of decimal numbers.
type Type struct {
	Precision int // the most digits of a number
	Scale     int // how many of them follow the point
}

// Valid reports whether a field can be declared with the type.
func (t Type) Valid() bool {
	return t.Precision >= 1 && t.Precision <= MaxPrecision && t.Scale >= 0 && t.Scale <= t.Precision
}

// String returns the type as it is declared.
func (t Type) String() string { return fmt.Sprintf("decimal(%d,%d)", t.Precision, t.Scale) }

// ParseType reads a type in the form of String. It may have more digits than a field can have. It is quick, so that a
// type may be kept as a text.
func ParseType(text string) (t Type, ok bool) {
	rest, ok := strings.CutPrefix(text, "decimal(")
	if !ok {
		return Type{}, false
	}
	var found1, found2 bool
	t.Precision, rest, found1 = leadingNumber(rest, ',')
	t.Scale, rest, found2 = leadingNumber(rest, ')')
	return t, found1 && found2 && rest == ""
}

// leadingNumber reads a number of one or two digits up to a mark, and returns what follows the mark.
func leadingNumber(text string, mark byte) (n int, rest string, ok bool) {
	end := strings.IndexByte(text, mark)
	if end < 1 || end > 2 || end == 2 && text[0] == '0' {
		return 0, "", false
	}
	for _, c := range []byte(text[:end]) {
		if c < '0' || c > '9' {
			return 0, "", false
		}
		n = 10*n + int(c-'0')
	}
	return n, text[end+1:], true
}

// The reasons for which a text is no number of a type.
var (
	ErrSyntax   = errors.New("it is no number")
	ErrFraction = errors.New("it has more digits after the point")
	ErrLarge    = errors.New("it has more digits before the point")
)

// Parse reads a number.
func Parse[T string | []byte](text T, t Type) (int64, error) {
	i := 0
	negative := len(text) > 0 && text[0] == '-'
	if negative {
		i++
	}
	var s significand
	whole := i
	for ; i < len(text) && text[i]-'0' <= 9; i++ {
		s.add(text[i])
	}
	if i == whole || text[whole] == '0' && i > whole+1 {
		return 0, ErrSyntax
	}
	fraction := 0
	if i < len(text) && text[i] == '.' {
		point := i + 1
		for i = point; i < len(text) && text[i]-'0' <= 9; i++ {
			s.add(text[i])
		}
		if fraction = i - point; fraction == 0 {
			return 0, ErrSyntax
		}
	}
	exponent, end, ok := parseExponent(text, i)
	if !ok || end < len(text) {
		return 0, ErrSyntax
	}
	v, err := s.value(exponent-int64(fraction), t)
	if negative {
		v = -v
	}
	return v, err
}

// ParseSum reads a number that may have as many digits as a sum, as the 128-bit number high:low of units. One with an
// exponent may have MaxPrecision digits.
func ParseSum(text string, scale int) (high int64, low uint64, err error) {
	v, err := Parse(text, Type{MaxPrecision, scale})
	if !errors.Is(err, ErrLarge) || strings.ContainsAny(text, "eE") {
		return v >> 63, uint64(v), err
	}
	whole, fraction, _ := strings.Cut(text, ".")
	fraction = strings.TrimRight(fraction, "0")
	if len(whole)+scale > 2*MaxSum {
		return 0, 0, ErrLarge
	}
	n, _ := new(big.Int).SetString(whole+fraction+strings.Repeat("0", scale-len(fraction)), 10)
	if n.CmpAbs(sumLimit) >= 0 {
		return 0, 0, ErrLarge
	}
	low = new(big.Int).And(n, new(big.Int).SetUint64(1<<64-1)).Uint64()
	return n.Rsh(n, 64).Int64(), low, nil
}

// parseExponent reads an exponent from i on, if there is one, and returns where it ends. A huge one is bounded.
func parseExponent[T string | []byte](text T, i int) (exponent int64, end int, ok bool) {
	if i == len(text) || text[i]|0x20 != 'e' {
		return 0, i, true
	}
	i++
	negative := i < len(text) && text[i] == '-'
	if negative || i < len(text) && text[i] == '+' {
		i++
	}
	start := i
	for ; i < len(text) && text[i]-'0' <= 9; i++ {
		if exponent < maxExponent {
			exponent = 10*exponent + int64(text[i]-'0')
		}
	}
	if negative {
		exponent = -exponent
	}
	return exponent, i, i > start
}

// maxExponent is far beyond what the digits of a text in memory can make up for.
const maxExponent = 1 << 50

// significand is what the digits of a number mean without its point and its exponent. Zeros at its end are only
// counted, so the digits are those that the number needs.
type significand struct {
	number uint64 // of the digits, if there are not too many
	digits int64
	zeros  int64 // that follow the digits
}

func (s *significand) add(digit byte) {
	if digit == '0' {
		if s.digits > 0 {
			s.zeros++
		}
		return
	}
	s.digits += s.zeros + 1
	if s.digits <= MaxPrecision {
		s.number = s.number*powers[s.zeros+1] + uint64(digit-'0')
	}
	s.zeros = 0
}

// value returns the number times ten to the power, in units of the last digit of the type.
func (s *significand) value(power int64, t Type) (int64, error) {
	shift := power + s.zeros + int64(t.Scale)
	switch {
	case s.digits == 0:
		return 0, nil
	case shift < 0:
		return 0, ErrFraction
	case s.digits+shift > int64(t.Precision):
		return 0, ErrLarge
	}
	return int64(s.number * powers[shift]), nil
}

// powers are the powers of ten that fit int64.
var powers = [MaxPrecision + 1]uint64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14,
	1e15, 1e16, 1e17, 1e18}

// Power returns 10^n, for n up to MaxPrecision.
func Power(n int) int64 { return int64(powers[n]) }

// Rescale returns a number of one type as one of another. ok is false if the other one cannot hold it.
func Rescale(v int64, from, to Type) (out int64, ok bool) {
	if to.Scale < from.Scale {
		unit := Power(from.Scale - to.Scale)
		if v%unit != 0 {
			return 0, false
		}
		return v / unit, to.Holds(v / unit)
	}
	high, low := bits.Mul64(magnitude(v), powers[to.Scale-from.Scale])
	if high > 0 || low >= powers[MaxPrecision] {
		return 0, false
	}
	out = int64(low)
	if v < 0 {
		out = -out
	}
	return out, to.Holds(out)
}

// Holds reports whether the type has enough digits for so many units.
func (t Type) Holds(v int64) bool { return magnitude(v) < powers[t.Precision] }

func magnitude(v int64) uint64 {
	if v < 0 {
		return -uint64(v)
	}
	return uint64(v)
}

// Append appends a number of so many units. It always has as many digits after the point as the type.
func Append(dst []byte, v int64, scale int) []byte {
	if v < 0 {
		dst = append(dst, '-')
	}
	start := len(dst)
	dst = strconv.AppendUint(dst, magnitude(v), 10)
	return point(dst, start, scale)
}

// Format returns a number of so many units as a text.
func Format(v int64, scale int) string { return string(Append(nil, v, scale)) }

// FormatShort is Format without zeros after the last digit of a fraction.
func FormatShort(v int64, scale int) string {
	digits := Format(v, scale)
	if scale > 0 {
		digits = strings.TrimSuffix(strings.TrimRight(digits, "0"), ".")
	}
	return digits
}

// AppendSum appends a number of so many units, given as the 128-bit number high:low in two's complement.
func AppendSum(dst []byte, high int64, low uint64, scale int) []byte {
	if high == int64(low)>>63 {
		return Append(dst, int64(low), scale)
	}
	n := Sum(high, low)
	if n.Sign() < 0 {
		dst = append(dst, '-')
	}
	start := len(dst)
	dst = n.Abs(n).Append(dst, 10)
	return point(dst, start, scale)
}

// Sum returns the 128-bit number high:low in two's complement.
func Sum(high int64, low uint64) *big.Int {
	n := new(big.Int).Lsh(big.NewInt(high), 64)
	return n.Add(n, new(big.Int).SetUint64(low))
}

// SumFits reports whether a sum, given as the 128-bit number high:low, has at most MaxSum digits.
func SumFits(high int64, low uint64) bool {
	if high == int64(low)>>63 {
		return true
	}
	return Sum(high, low).CmpAbs(sumLimit) < 0
}

var sumLimit = new(big.Int).Exp(big.NewInt(10), big.NewInt(MaxSum), nil)

// Mean returns the float64 nearest to the mean of n numbers with the sum high:low.
func Mean(high int64, low uint64, scale int, n uint64) float64 {
	unit := new(big.Int).Mul(new(big.Int).SetUint64(n), new(big.Int).SetUint64(powers[scale]))
	f, _ := new(big.Rat).SetFrac(Sum(high, low), unit).Float64()
	return f
}

// Nearest returns the float64 nearest to high:low units.
func Nearest(high int64, low uint64, scale int) float64 {
	const exact = 1 << 53 // Up to here each number of units is a float64, and so is each power of ten.
	if v := int64(low); high == v>>63 && -exact <= v && v <= exact {
		return float64(v) / float64(powers[scale])
	}
	return Mean(high, low, scale, 1)
}

// point puts the point into the digits that begin at start.
func point(dst []byte, start, scale int) []byte {
	if scale == 0 {
		return dst
	}
	for missing := scale + 1 - (len(dst) - start); missing > 0; missing-- {
		dst = append(dst, '0')
		copy(dst[start+1:], dst[start:])
		dst[start] = '0'
	}
	at := len(dst) - scale
	dst = append(dst, 0)
	copy(dst[at+1:], dst[at:])
	dst[at] = '.'
	return dst
}
