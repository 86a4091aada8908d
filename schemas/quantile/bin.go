// Package quantile keeps the distribution of a field's values in bins, from which any quantile follows. Bins of two
// sets of values add up, so both layers, every cell and SQL can be merged, and the result is as if all values had been
// counted at once.
//
// It is a DDSketch (Masson, Rim and Lee, "DDSketch: a fast and fully-mergeable quantile sketch with relative-error
// guarantees", VLDB 2019). The mapping of values to bins is the one of its authors' libraries that reads the bits of a
// float64 in place of a logarithm ("bitwise linearly interpolated mapping"): a power of two begins 64 bins of the same
// width. Rejected: bins at powers of 1.02. There would be 30 % fewer, but a logarithm may differ in its last bit from
// one processor or language to another, and then two layers would count one value in two bins.
//
// # Bins
//
// A bin has a key. That of zero is 0. Those of positive values are 1 to 8192, and those of negative values -1 to
// -8192, so keys have the order of values:
//
//	key of v > 0   64 * (e + 64) + floor(64 * (v / 2^e - 1)) + 1, where 2^e <= v < 2^(e+1)
//	key of v < 0   -(key of -v)
//
// Bins reach from 2^-64 (5.4e-20) to 2^64 (1.8e19), so they have every int64. Values nearer to zero are in the bins 1
// and -1, and values farther from it in 8192 and -8192. The value of a bin is its middle, which differs from every
// value between 2^-64 and 2^64 by at most 1/128 (0.8 %) of it. A value of int64 below 128 has a bin of its own, so it
// is exact. A decimal is counted by its units.
//
// Stored rows have these keys, so a key can never mean another bin.
package quantile

import (
	"math"
	"math/bits"
)

const (
	// RelativeError is the most by which the value of a bin differs from one in it, of the latter.
	RelativeError = 1.0 / 128
	// MaxKey is the key of the bin of the largest values. That of the least ones is -MaxKey.
	MaxKey = 64 * 2 * maxExponent

	maxExponent  = 64
	perPower     = 64 // bins from a power of two to the next
	perPowerBits = 6
	mantissaBits = 52
	// lowest is what the highest 17 bits of the float64 2^-64 are, without the sign.
	lowest = (1023 - maxExponent) * perPower
)

// KeyOfFloat returns the key of a value, which must be finite.
func KeyOfFloat(v float64) int16 {
	magnitude := math.Float64bits(v) &^ (1 << 63)
	if magnitude == 0 {
		return 0
	}
	top := int(magnitude >> (mantissaBits - perPowerBits))
	key := int16(min(max(top-lowest, 0), MaxKey-1) + 1)
	if v < 0 {
		return -key
	}
	return key
}

// KeyOfInt returns the key of a value. A conversion to float64 would round large ones, some into the next bin.
func KeyOfInt(v int64) int16 {
	if v == 0 {
		return 0
	}
	magnitude := uint64(v)
	if v < 0 {
		magnitude = -magnitude
	}
	power := bits.Len64(magnitude) - 1
	step := magnitude << (63 - power) >> (63 - perPowerBits) & (perPower - 1)
	key := int16((power+maxExponent)*perPower + int(step) + 1)
	if v < 0 {
		return -key
	}
	return key
}

// FloatBin is where the values of a bin are: at least Low and at most High. Value stands for them.
type FloatBin struct{ Low, Value, High float64 }

// FloatBinOf returns the bin of a key for values of float64.
func FloatBinOf(key int16) FloatBin {
	if key == 0 {
		return FloatBin{}
	}
	b := magnitudes(key)
	switch key {
	case 1, -1:
		b.Low = 0
	case MaxKey, -MaxKey:
		b.High = math.MaxFloat64
	}
	if key < 0 {
		return FloatBin{-b.High, -b.Value, -b.Low}
	}
	return b
}

// magnitudes returns the beginning, the middle and the end of a bin, without the sign.
func magnitudes(key int16) FloatBin {
	const shift = mantissaBits - perPowerBits
	top := uint64(max(int(key), -int(key)) - 1 + lowest)
	return FloatBin{math.Float64frombits(top << shift), math.Float64frombits(top<<shift | 1<<(shift-1)),
		math.Float64frombits((top + 1) << shift)}
}

// IntBin is where the values of a bin are: at least Low and at most High. Value stands for them.
type IntBin struct{ Low, Value, High int64 }

// IntBinOf returns the bin of a key for values of int64. The key must be one of KeyOfInt.
func IntBinOf(key int16) IntBin {
	if key == 0 {
		return IntBin{}
	}
	m := magnitudes(key) // Its numbers have few digits, so they are exact as integers.
	low := uint64(math.Ceil(m.Low))
	high := uint64(math.Ceil(m.High)) - 1
	if key < 0 {
		return IntBin{negative(high), negative(uint64(m.Value)), negative(low)}
	}
	return IntBin{int64(low), int64(m.Value), int64(high)}
}

// negative returns -v, or the least int64 if that is greater.
func negative(v uint64) int64 {
	if v > math.MaxInt64 {
		return math.MinInt64
	}
	return -int64(v)
}
