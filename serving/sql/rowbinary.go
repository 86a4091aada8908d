package sql

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"recount/schemas/sqlschema"
)

// cellWriter appends the value of a row in the format RowBinary.
type cellWriter func(dst []byte, row int) []byte

// flagWriter writes flags.
func flagWriter(flags []bool) cellWriter {
	return func(dst []byte, row int) []byte {
		if flags[row] {
			return append(dst, 1)
		}
		return append(dst, 0)
	}
}

// newCellWriter returns what writes an array as a column of ClickHouse. A nil array is null in every row.
func newCellWriter(c sqlschema.Column, a arrow.Array) (cellWriter, error) {
	base := c.Type
	inner, nullable := strings.CutPrefix(c.Type, "Nullable(")
	if nullable {
		base = strings.TrimSuffix(inner, ")")
	}
	if a == nil && nullable {
		return func(dst []byte, _ int) []byte { return append(dst, isNull) }, nil
	}
	write := valueWriter(base, a)
	if write == nil {
		return nil, fmt.Errorf("column %s of events is %T, and not %s", c.Name, a, c.Type)
	}
	if !nullable {
		return write, nil
	}
	return func(dst []byte, row int) []byte {
		if a.IsNull(row) {
			return append(dst, isNull)
		}
		return write(append(dst, isThere), row)
	}, nil
}

// valueWriter writes values of a type that are not null. It is nil if the array is of another type.
func valueWriter(sqlType string, a arrow.Array) cellWriter {
	switch a := a.(type) {
	case *array.String:
		if sqlType == "String" {
			return func(dst []byte, row int) []byte { return appendText(dst, a.Value(row)) }
		}
	case *array.Dictionary:
		indices, ok1 := a.Indices().(*array.Int32)
		words, ok2 := a.Dictionary().(*array.String)
		if ok1 && ok2 && sqlType == "String" {
			return func(dst []byte, row int) []byte { return appendText(dst, words.Value(int(indices.Value(row)))) }
		}
	case *array.Int64: // Decimals too; they count units of the last digit.
		if sqlType == "Int64" || strings.HasPrefix(sqlType, "Decimal(") {
			return func(dst []byte, row int) []byte { return appendInt(dst, a.Value(row)) }
		}
	case *array.Timestamp:
		if sqlType == timeType {
			return func(dst []byte, row int) []byte { return appendInt(dst, int64(a.Value(row))) }
		}
	case *array.Float64:
		if sqlType == "Float64" {
			return func(dst []byte, row int) []byte {
				return binary.LittleEndian.AppendUint64(dst, math.Float64bits(a.Value(row)))
			}
		}
	case *array.Int32:
		if sqlType == "Int32" {
			return func(dst []byte, row int) []byte {
				return binary.LittleEndian.AppendUint32(dst, uint32(a.Value(row)))
			}
		}
	case *array.Boolean:
		if sqlType == "Bool" {
			return func(dst []byte, row int) []byte {
				if a.Value(row) {
					return append(dst, 1)
				}
				return append(dst, 0)
			}
		}
	}
	return nil
}
