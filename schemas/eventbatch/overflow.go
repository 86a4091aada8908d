package eventbatch

import (
	"slices"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
)

// OverflowSchema is a batch's schema with the column ColOverflow, which only batches have
// in which a value overflowed.
func OverflowSchema(s *arrow.Schema) *arrow.Schema {
	return arrow.NewSchema(append(slices.Clone(s.Fields()),
		arrow.Field{Name: ColOverflow, Type: arrow.BinaryTypes.String, Nullable: true}), nil)
}

// Overflowed returns the rows, ascending, whose value of a field ingest found beyond the limit of a dimension.
// Real-time views count catalog.Overflow or OverflowInt in its place; filters and measures read the value itself. The
// batch layer decides by itself (B7).
func (c Columns) Overflowed(field string) []int {
	col := c.Field(ColOverflow)
	if col == nil || col.NullN() == col.Len() {
		return nil
	}
	var rows []int
	for i := range col.Len() {
		if col.IsValid(i) && listed(textOf(col, i), field) {
			rows = append(rows, i)
		}
	}
	return rows
}

func listed(names, field string) bool {
	for name := range strings.SplitSeq(names, ",") {
		if name == field {
			return true
		}
	}
	return false
}

// textOf returns a string of a batch. Columns of the lake may hold it in a dictionary.
func textOf(a arrow.Array, i int) string {
	switch a := a.(type) {
	case *array.String:
		return a.Value(i)
	case *array.Dictionary:
		return textOf(a.Dictionary(), a.GetValueIndex(i))
	}
	return ""
}
