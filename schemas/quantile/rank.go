package quantile

import (
	"fmt"
	"math/bits"
	"strings"
)

// Rank says which quantile is meant, in thousandths of a percent: 99,900 is p99.9. Of n values in their order it is the
// first one that p percent of them do not exceed, as PERCENTILE_DISC has it in SQL. So a quantile is one of the values.
type Rank int32

const (
	perPercent = 1000
	whole      = 100 * perPercent
)

// The ranks that a measure is answered for if a query names none.
const (
	P50 Rank = 50 * perPercent
	P95 Rank = 95 * perPercent
	P99 Rank = 99 * perPercent
)

// Defaults are the ranks that a measure is answered for if a query names none.
var Defaults = []Rank{P50, P95, P99}

// ParseRank reads p50, p99.9 or p99.999. Each rank has one form, so two names are never the same number.
func ParseRank(text string) (Rank, error) {
	digits, isRank := strings.CutPrefix(text, "p")
	percent, fraction, _ := strings.Cut(digits, ".")
	r := 0
	for _, c := range percent + (fraction + "000")[:max(3, len(fraction))] {
		isRank = isRank && c >= '0' && c <= '9' && r <= whole
		r = 10*r + int(c-'0')
	}
	if !isRank || len(fraction) > 3 || percent == "" || r > whole {
		return 0, fmt.Errorf("%.80q is no quantile; write p50, p99.9, or another number from p0 to p100 with at most "+
			"three digits after the point", text)
	}
	if name := Rank(r).String(); name != text {
		return 0, fmt.Errorf("%.80q: write %s", text, name)
	}
	return Rank(r), nil
}

// String returns the form that ParseRank reads.
func (r Rank) String() string {
	text := fmt.Sprintf("p%d.%03d", r/perPercent, r%perPercent)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}

// Place returns the place of the quantile among n > 0 values in their order, counted from 1.
func (r Rank) Place(n uint64) uint64 {
	high, low := bits.Mul64(uint64(r), n)
	place, rest := bits.Div64(high, low, whole)
	if rest > 0 {
		place++
	}
	return max(place, 1)
}
