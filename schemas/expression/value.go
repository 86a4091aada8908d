package expression

import "math"

// value is a value of any type. A timestamp is whole microseconds, and true is 1.
type value struct {
	isNull bool
	whole  int64
	float  float64
	text   string
}

var none = value{isNull: true}

func truth(b bool) value {
	if b {
		return value{whole: 1}
	}
	return value{}
}

// number returns a float64, or null if it is not finite. Minus zero becomes zero.
func number(f float64) value {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return none
	}
	return value{float: f + 0}
}

func text(s string) value { return value{text: s} }
