package sqlschema

import (
	"fmt"

	"recount/schemas/floatsum"
)

// This file has the SQL of sums of floats, whose state package floatsum defines. It is what ClickHouse
// computes, and shares no code with that package.

// NearSum is the SQL aggregate of the near part of a sum of Float64 values, of type Int256. A null is no value.
func NearSum(value string) string {
	return fmt.Sprintf("sum(if(%s, %s * bitShiftLeft(toInt256(%s), %s - 960), toInt256(0)))", isNear(value),
		sign(value), mantissa(value), "if("+isNear(value)+", "+exponent(value)+", 960)")
}

// FarSum is the SQL aggregate of the far part of a sum of Float64 values, of type String.
func FarSum(value string) string {
	isFar := "isNotNull(" + value + ") AND " + value + " != 0 AND NOT " + isNear(value)
	atLeast1 := "greatest(" + exponent(value) + ", 1)"
	bin := "toUInt8(if(isFinite(" + value + "), intDiv(" + atLeast1 + ", 16), 128))"
	summand := fmt.Sprintf("if(isFinite(%s), %s * bitShiftLeft(toInt128(%s), %s %% 16), toInt128(1))", value,
		sign(value), mantissa(value), atLeast1)
	return farText(fmt.Sprintf("sumMapIf([%s], [%s], %s)", bin, summand, isFar))
}

// MergedFar is the SQL aggregate that adds the far parts in a column of them. It has type String.
func MergedFar(column string) string {
	each := func(expr string) string {
		return fmt.Sprintf("arrayMap(i -> %s, range(intDiv(length(%s), %d)))", expr, column, floatsum.BinBytes)
	}
	return farText(fmt.Sprintf("sumMap(%s, %s)",
		each(fmt.Sprintf("reinterpretAsUInt8(substring(%s, %d * i + 1, 1))", column, floatsum.BinBytes)),
		each(fmt.Sprintf("reinterpretAsInt128(substring(%s, %d * i + 2, 16))", column, floatsum.BinBytes))))
}

// farText is the SQL of the bytes of a far part. sumMap returns the bins in order, without sums of zero.
func farText(sums string) string {
	return "arrayStringConcat(arrayMap((bin, sum) -> concat(reinterpretAsFixedString(bin), " +
		"reinterpretAsFixedString(sum)), " + sums + ".1, " + sums + ".2))"
}

// ReadableSum is the SQL of the Float64 that near and far parts come to. It is for people: it may differ from
// the exact sum in the last bits. It is null beyond the range of Float64.
func ReadableSum(near, far string) string {
	bin := fmt.Sprintf("toInt32(reinterpretAsUInt8(substring(%s, %d * i + 1, 1)))", far, floatsum.BinBytes)
	farther := fmt.Sprintf("arraySum(i -> if(%[3]s = 128, inf, "+
		"toFloat64(reinterpretAsInt128(substring(%[1]s, %[2]d * i + 2, 16))) * "+
		"pow(2, 8 * %[3]s - 537) * pow(2, 8 * %[3]s - 538)), range(intDiv(length(%[1]s), %[2]d)))", far,
		floatsum.BinBytes, bin)
	sum := fmt.Sprintf("toFloat64(%s) * pow(2, -115) + %s", near, farther)
	return "if(isFinite(" + sum + "), " + sum + ", NULL)"
}

func bits(value string) string { return "reinterpretAsUInt64(ifNull(" + value + ", 0.))" }

func exponent(value string) string {
	return "toInt32(bitAnd(bitShiftRight(" + bits(value) + ", 52), 2047))"
}

func mantissa(value string) string {
	return "(bitAnd(" + bits(value) + ", 4503599627370495) + if(" + exponent(value) + " = 0, 0, 4503599627370496))"
}

func sign(value string) string { return "if(" + value + " < 0, -1, 1)" }

func isNear(value string) string {
	return "(" + exponent(value) + " >= 960 AND " + exponent(value) + " < 1088)"
}
