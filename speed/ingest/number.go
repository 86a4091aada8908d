package ingest

import (
	"encoding/binary"
	"math"
	"strconv"
	"unsafe"
)

// number is a JSON number as it was scanned. mantissa has its digits without the point, and is
// exact for up to 19 digits.
type number struct {
	raw      []byte
	mantissa uint64
	digits   int // how many the mantissa has, without leading zeros
	fraction int // how many digits follow the point
	negative bool
	exponent bool // whether there is an exponent
}

func (s *scanner) scanNumber() (n number, ok bool) {
	b := s.buf
	i := s.pos
	start := i
	if i < len(b) && b[i] == '-' {
		n.negative = true
		i++
	}
	whole := i
	i = n.scanDigits(b, i)
	if i == whole || b[whole] == '0' && i > whole+1 {
		return n, s.malformed(notAValue)
	}
	if i < len(b) && b[i] == '.' {
		point := i + 1
		i = n.scanDigits(b, point)
		if n.fraction = i - point; n.fraction == 0 {
			return n, s.malformed("a number has no digit after its point")
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		n.exponent = true
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		digits := i
		for i < len(b) && b[i]-'0' <= 9 {
			i++
		}
		if i == digits {
			return n, s.malformed("a number has an empty exponent")
		}
	}
	n.raw = b[start:i]
	s.pos = i
	return n, true
}

// scanDigits adds the digits from i on to the mantissa, and returns the index after them.
func (n *number) scanDigits(b []byte, i int) int {
	for ; i < len(b); i++ {
		d := b[i] - '0'
		if d > 9 {
			break
		}
		n.mantissa = n.mantissa*10 + uint64(d)
		if n.mantissa != 0 {
			n.digits++
		}
	}
	return i
}

// int64 returns the number if it is whole and fits. 5, 5.0 and 5e0 are all 5, because some
// clients write every number with a point.
func (n *number) int64() (v int64, whole, fits bool) {
	if n.fraction == 0 && !n.exponent && n.digits <= 18 {
		if n.negative {
			return -int64(n.mantissa), true, true
		}
		return int64(n.mantissa), true, true
	}
	return n.exactInt64()
}

// canonical is a number in the canonical form of an event. It does not depend on how the number is spelled.
type canonical struct {
	form byte   // 'i', 'd' or 'n'
	exp  int32  // of ten, for 'd'
	word int64  // the integer, or for 'd' what ten to the exponent is multiplied by
	text []byte // for 'n'
}

// canonical evaluates the number without rounding.
func (n *number) canonical() canonical {
	if n.digits > 18 || n.exponent {
		return n.longCanonical()
	}
	word := int64(n.mantissa)
	fraction := n.fraction
	for fraction > 0 && word%10 == 0 {
		word /= 10
		fraction--
	}
	if n.negative {
		word = -word
	}
	if fraction == 0 || word == 0 {
		return canonical{form: 'i', word: word}
	}
	return canonical{form: 'd', word: word, exp: int32(-fraction)}
}

// longCanonical is canonical for a number with an exponent or with many digits.
func (n *number) longCanonical() canonical {
	if v, whole, fits := n.exactInt64(); whole && fits {
		return canonical{form: 'i', word: v}
	}
	digits, exp, ok := n.decimal()
	if !ok || len(digits) > 18 {
		return canonical{form: 'n', text: n.raw}
	}
	word, _ := strconv.ParseInt(unsafeString(digits), 10, 64) // At most 18 digits fit.
	if n.negative {
		word = -word
	}
	return canonical{form: 'd', word: word, exp: int32(exp)}
}

func (c canonical) append(b []byte) []byte {
	if c.form == 'n' {
		return appendPart(append(b, 'n'), c.text)
	}
	b = appendWord(b, c.form, c.word)
	if c.form == 'd' {
		b = binary.LittleEndian.AppendUint32(b, uint32(c.exp))
	}
	return b
}

// exactInt64 evaluates digits × 10^exponent without rounding.
func (n *number) exactInt64() (v int64, whole, fits bool) {
	digits, exp, ok := n.decimal()
	if !ok {
		return 0, true, false
	}
	if len(digits) == 0 {
		return 0, true, true
	}
	if exp < 0 {
		return 0, false, true
	}
	if len(digits)+exp > 19 {
		return 0, true, false
	}
	var text [24]byte
	b := text[:0]
	if n.negative {
		b = append(b, '-')
	}
	b = append(b, digits...)
	for range exp {
		b = append(b, '0')
	}
	v, err := strconv.ParseInt(unsafeString(b), 10, 64)
	return v, true, err == nil
}

// decimal returns the significant digits and the power of ten by which to multiply them. ok is
// false when there are too many digits or the exponent is beyond 1,000. The number is then
// treated as out of range.
func (n *number) decimal() (digits []byte, exp int, ok bool) {
	digits = make([]byte, 0, 64) // A rare allocation: most numbers do not get here.
	rest := n.raw
	if n.negative {
		rest = rest[1:]
	}
	for i, c := range rest {
		if c|0x20 == 'e' {
			e, err := strconv.Atoi(string(rest[i+1:]))
			if err != nil || e > 1000 || e < -1000 {
				return nil, 0, len(digits) == 0
			}
			exp = e
			break
		}
		if c == '.' || c == '0' && len(digits) == 0 {
			continue
		}
		if len(digits) == cap(digits) {
			return nil, 0, false
		}
		digits = append(digits, c)
	}
	exp -= n.fraction
	for len(digits) > 0 && digits[len(digits)-1] == '0' {
		digits = digits[:len(digits)-1]
		exp++
	}
	return digits, exp, true
}

var powersOfTen = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// float64 returns the nearest float64. fits is false when that is infinite. Minus zero becomes
// zero, so that equal values have equal bits.
func (n *number) float64() (v float64, fits bool) {
	if n.digits <= 15 && n.fraction <= 15 && !n.exponent {
		// Both operands are exact, so the quotient is rounded only once.
		v = float64(n.mantissa) / powersOfTen[n.fraction]
		if n.negative && v != 0 {
			v = -v
		}
		return v, true
	}
	v, err := strconv.ParseFloat(unsafeString(n.raw), 64)
	if v == 0 {
		v = 0
	}
	return v, err == nil && !math.IsInf(v, 0)
}

// unsafeString returns b as a string without a copy, for calls that do not keep the string.
func unsafeString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
