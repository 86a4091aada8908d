package sqlschema

import (
	"fmt"
	"strings"

	"recount/schemas/decimal"
)

// Checksum returns the SQL of the checksum of a group of rows of a table of cells, which has these
// columns. Package batch/cells defines it and computes the same in Go. The bytes of a value follow
// from the column's type alone, so a reader can check a table whose definition it no longer knows.
func Checksum(columns []Column) (string, error) {
	var parts []string
	for _, c := range columns {
		if c.Name == ColVer {
			continue // The same rows have the same checksum in every attempt.
		}
		bytes, err := valueBytes(Quote(c.Name), c.Type)
		if err != nil {
			return "", err
		}
		parts = append(parts, bytes)
	}
	return "sum(xxHash64(concat(" + strings.Join(parts, ", ") + ")))", nil
}

// valueBytes returns the SQL of the bytes of a column's value.
func valueBytes(name, sqlType string) (string, error) {
	switch sqlType {
	case "UInt64", "Int128", "Int256", "Float64":
		return numberBytes(name), nil
	case timeType:
		return numberBytes("toUnixTimestamp64Micro(" + name + ")"), nil
	case "String", "LowCardinality(String)":
		return lengthAndBytes(name), nil
	case "LowCardinality(Nullable(String))":
		return nullAndBytes(name, lengthAndBytes("ifNull("+name+", '')")), nil
	case "Nullable(Bool)":
		return nullAndBytes(name, numberBytes("ifNull("+name+", false)")), nil
	case "Nullable(Int64)":
		return nullAndBytes(name, numberBytes("ifNull("+name+", toInt64(0))")), nil
	case "Nullable(Float64)":
		return nullAndBytes(name, numberBytes("ifNull("+name+", toFloat64(0))")), nil
	case "Nullable(" + timeType + ")":
		return nullAndBytes(name, numberBytes("ifNull(toUnixTimestamp64Micro("+name+"), toInt64(0))")), nil
	case BinsType:
		return lengthAndBytes("toString(mapSort(" + name + "))"), nil
	case "Array(UInt32)":
		return lengthAndBytes("toString(" + name + ")"), nil
	}
	if inner, ok := strings.CutPrefix(sqlType, fmt.Sprintf("Nullable(Decimal(%d, ", decimal.MaxPrecision)); ok {
		zero := "toDecimal64(0, " + strings.TrimSuffix(inner, "))") + ")"
		return nullAndBytes(name, numberBytes("ifNull("+name+", "+zero+")")), nil
	}
	if strings.HasPrefix(sqlType, fmt.Sprintf("Decimal(%d, ", decimal.MaxSum)) {
		return numberBytes(name), nil
	}
	return "", fmt.Errorf("column %s has the type %s, which recount does not write; was the table altered?", name,
		sqlType)
}

// numberBytes is the SQL of a number's bytes. reinterpretAsFixedString, unlike reinterpretAsString,
// keeps trailing zero bytes.
func numberBytes(expr string) string { return "reinterpretAsFixedString(" + expr + ")" }

// lengthAndBytes is the SQL of a string's length, then the string. The length keeps apart rows whose
// strings differ only in where one ends and the next begins.
func lengthAndBytes(expr string) string { return numberBytes("length("+expr+")") + ", " + expr }

// nullAndBytes is the SQL of a byte that says whether the column is null, then the value's bytes.
func nullAndBytes(name, value string) string { return numberBytes("isNull("+name+")") + ", " + value }
