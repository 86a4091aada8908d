package sqlschema

import (
	"fmt"

	"recount/schemas/catalog"
	"recount/schemas/quantile"
)

// This file has the SQL of quantiles, whose bins package quantile defines. It is what ClickHouse computes, and shares
// no code with that package.

// CountBins is the SQL aggregate of the bins of the values of type t, of type BinsType. A null is no value.
func CountBins(value string, t catalog.FieldType) string {
	number := "assumeNotNull(" + value + ")"
	if t.IsDecimal() {
		number = "reinterpretAsInt64(" + number + ")" // its units
	}
	return fmt.Sprintf("sumMapIf(map(%s, toUInt64(1)), isNotNull(%s))", binKey(number, t), value)
}

// binKey is the SQL of the key of a number's bin. The first 17 bits of a float64, without the sign, are its power of
// two and which of the 64 bins from there on it is in. 61,376 is what they are of 2^-64.
func binKey(number string, t catalog.FieldType) string {
	float := number
	if t != catalog.Float64 {
		// Without its last bits, a large integer is exact as a float64, and in the same bin.
		float = fmt.Sprintf("toFloat64(if(abs(%[1]s) < 9007199254740992, abs(%[1]s), bitAnd(abs(%[1]s), "+
			"18446744073709549568)))", number)
	}
	first := "toInt32(bitShiftRight(bitAnd(reinterpretAsUInt64(" + float + "), 9223372036854775807), 46))"
	return fmt.Sprintf("toInt16(if(%[1]s = 0, 0, if(%[1]s < 0, -1, 1) * "+
		"(least(greatest(%[2]s - 61376, 0), 8191) + 1)))", number, first)
}

// Quantile is the SQL of a quantile of values of type t, of the type of these values, whose bins are the SQL of a map.
// It is null without values. The bins are sorted, because ClickHouse keeps a map in the order in which it was written,
// and the checksum does not depend on that.
func Quantile(bins string, r quantile.Rank, t catalog.FieldType) string {
	bins = "mapSort(" + bins + ")"
	seen := "arrayCumSum(mapValues(" + bins + "))"
	place := fmt.Sprintf("greatest(intDiv(arraySum(mapValues(%s)) * %d + 99999, 100000), 1)", bins, r)
	key := fmt.Sprintf("mapKeys(%s)[arrayFirstIndex(n -> n >= %s, %s)]", bins, place, seen)
	magnitude := fmt.Sprintf("reinterpretAsFloat64(bitShiftLeft(toUInt64(abs(%s) + 61375), 46) + 35184372088832)", key)
	value := fmt.Sprintf("if(%[1]s = 0, 0, sign(%[1]s) * %[2]s)", key, magnitude)
	if t != catalog.Float64 { // The bin of the least int64 begins above it.
		value = fmt.Sprintf("accurateCastOrDefault(trunc(%s), 'Int64', toInt64('-9223372036854775808'))", value)
	}
	if t.IsDecimal() {
		value = "reinterpret(" + value + ", '" + Type(t) + "')"
	}
	return "if(empty(" + bins + "), NULL, " + value + ")"
}
