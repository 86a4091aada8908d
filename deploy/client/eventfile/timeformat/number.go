package timeformat

import (
	"errors"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
)

var errForm = errors.New("is not a number of the unit that --time-format names")

// isNumber reports whether a text is a number in decimal.
func isNumber(text string) bool {
	f, err := strconv.ParseFloat(text, 64)
	return err == nil && !math.IsInf(f, 0) && !math.IsNaN(f) && strings.Trim(text, "0123456789+-.eE") == ""
}

// number reads a count of units since 1970, exactly. What is smaller than a nanosecond is cut off towards the past.
func (f *Format) number(text string) (string, error) {
	if !isNumber(text) {
		return "", errForm
	}
	units, err := strconv.ParseInt(text, 10, 64)
	if err == nil {
		perSecond := int64(time.Second) / f.unit
		seconds := floorDiv(units, perSecond)
		return inRange(seconds, (units-seconds*perSecond)*f.unit)
	}
	if _, exponent, _ := strings.Cut(strings.ToLower(text), "e"); len(exponent) > len("+18") {
		return "", errRange // The exact value would have as many digits as the exponent says.
	}
	exact, ok := new(big.Rat).SetString(text)
	if !ok {
		return "", errForm
	}
	exact.Mul(exact, new(big.Rat).SetInt64(f.unit))
	nanos := new(big.Int).Div(exact.Num(), exact.Denom()) // Div rounds down, because the denominator is positive.
	seconds, rest := new(big.Int).DivMod(nanos, big.NewInt(int64(time.Second)), new(big.Int))
	if !seconds.IsInt64() {
		return "", errRange
	}
	return inRange(seconds.Int64(), rest.Int64())
}

// The seconds of the first and after the last year that RFC 3339 can write.
const (
	firstSecond = -62167219200
	endSecond   = 253402300800
)

func inRange(seconds, nanos int64) (string, error) {
	if seconds < firstSecond || seconds >= endSecond {
		return "", errRange
	}
	return write(time.Unix(seconds, nanos)), nil
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
