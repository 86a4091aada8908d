package viewplan

import (
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"recount/schemas/catalog"
	"recount/schemas/eventbatch"
)

// TestStrings compares the filter on plain strings and on a dictionary with its definition.
func TestStrings(t *testing.T) {
	t.Parallel()
	words := rapid.SampledFrom([]string{"", "a", "b", "c"})
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOf(rapid.Ptr(words, true)).Draw(t, "values")
		op := rapid.SampledFrom([]catalog.FilterOp{catalog.Eq, catalog.Ne, catalog.In, catalog.NotIn}).Draw(t, "op")
		var wanted []any
		for _, w := range rapid.SliceOfN(words, 1, 12).Draw(t, "wanted") {
			wanted = append(wanted, w)
		}
		want := make([]bool, len(values))
		for i, v := range values {
			for _, w := range wanted {
				want[i] = want[i] || v != nil && *v == w
			}
			want[i] = want[i] == (op == catalog.Eq || op == catalog.In)
		}
		filters := []catalog.Filter{{Field: "s", Op: op, Values: wanted}}
		for name, col := range map[string]arrow.Array{"plain": plain(values), "dictionary": dictionary(values)} {
			rec := array.NewRecord(arrow.NewSchema([]arrow.Field{{Name: "s", Type: col.DataType(), Nullable: true}},
				nil), []arrow.Array{col}, int64(len(values)))
			keep := make([]bool, len(values))
			for i := range keep {
				keep[i] = true
			}
			Select(filters, eventbatch.Columns{Rec: rec}, keep)
			if diff := cmp.Diff(want, keep); diff != "" {
				t.Fatalf("%s: (-want +got): %s", name, diff)
			}
		}
	})
}

func plain(values []*string) arrow.Array {
	b := array.NewStringBuilder(memory.DefaultAllocator)
	for _, v := range values {
		if v == nil {
			b.AppendNull()
		} else {
			b.Append(*v)
		}
	}
	return b.NewArray()
}

func dictionary(values []*string) arrow.Array {
	t := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: arrow.BinaryTypes.String}
	b := array.NewDictionaryBuilder(memory.DefaultAllocator, t).(*array.BinaryDictionaryBuilder)
	for _, v := range values {
		if v == nil {
			b.AppendNull()
		} else if err := b.AppendString(*v); err != nil {
			panic(err)
		}
	}
	return b.NewArray()
}
