package floatsum

import (
	"math"
	"math/bits"
)

// Quotient returns x · 2^scale / n, rounded once to the nearest float64 (ties to even), and false if
// the result is beyond the range of float64. x is two's complement, with the least word first, and has
// at most 35 words. n is at least 1.
func Quotient(x []uint64, scale int, n uint64) (float64, bool) {
	var space [meanWords + 2]uint64 // Two words below x keep 64 bits or more of any quotient.
	words := space[:len(x)+2]
	copy(words[2:], x)
	negative := int64(x[len(x)-1]) < 0
	if negative {
		negate(words[2:])
	}
	rest := uint64(0)
	if n > 1 {
		for i := len(words) - 1; i >= 0; i-- {
			words[i], rest = bits.Div64(rest, words[i], n)
		}
	}
	v := round(words, scale-128, rest > 0)
	if negative {
		v = -v
	}
	return v + 0, !math.IsInf(v, 0) // -0 is 0.
}

func negate(words []uint64) {
	borrow := uint64(0)
	for i, w := range words {
		words[i], borrow = bits.Sub64(0, w, borrow)
	}
}

// round returns the float64 nearest to words · 2^scale. With more, the number is a little greater, by
// less than one of the last bit.
func round(words []uint64, scale int, more bool) float64 {
	top := len(words) - 1
	for top >= 0 && words[top] == 0 {
		top--
	}
	if top < 0 {
		return 0
	}
	length := 64*top + bits.Len64(words[top])
	// The last bit of a float64 is the 53rd, or that of the subnormal numbers.
	drop := max(length-53, -1074-scale)
	if drop <= 0 {
		return math.Ldexp(float64(words[0]), scale) // The number has at most 53 bits.
	}
	if drop > length {
		return 0
	}
	mantissa := words[drop/64] >> (drop % 64)
	if next := drop/64 + 1; drop%64 > 0 && next < len(words) {
		mantissa |= words[next] << (64 - drop%64)
	}
	half := bit(words, drop-1)
	if half && (more || anyBit(words, drop-1) || mantissa&1 == 1) {
		mantissa++
	}
	return math.Ldexp(float64(mantissa), scale+drop)
}

func bit(words []uint64, i int) bool { return words[i/64]>>(i%64)&1 == 1 }

// anyBit reports whether a bit below n is set.
func anyBit(words []uint64, n int) bool {
	for _, w := range words[:n/64] {
		if w != 0 {
			return true
		}
	}
	return words[n/64]&(1<<(n%64)-1) != 0
}
