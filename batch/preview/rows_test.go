package preview

import (
	"testing"

	"recount/batch/exact"
	"recount/schemas/catalog"
	"recount/schemas/quantile"
)

// TestDecimals shows decimals as answers do: as texts, and a mean as a number.
func TestDecimals(t *testing.T) {
	t.Parallel()
	m := exact.Measure{Type: "decimal(18,2)", N: []uint64{2}, Hi: []int64{1}, Lo: []uint64{44}, Ints: []int64{-5}}
	for kind, want := range map[catalog.MeasureKind]any{catalog.Sum: "184467440737095516.60", catalog.Min: "-0.05",
		catalog.Max: "-0.05", catalog.Avg: 92233720368547758.3} {
		m.Kind = kind
		if got := measureValue(&m, 0); got != want {
			t.Errorf("%s: got %v, want %v", kind, got, want)
		}
	}
	m.Starts = []int{0, 2}
	m.Keys = []int16{quantile.KeyOfInt(250), quantile.KeyOfInt(1000)}
	m.Counts = []uint64{1, 1}
	if got := []any{quantileValue(&m, 0, quantile.P50), quantileValue(&m, 0, quantile.P99)}; got[0] != "2.51" ||
		got[1] != "10.04" {
		t.Errorf("quantiles: got %v", got)
	}
	m.N[0] = 0
	if got := measureValue(&m, 0); got != nil {
		t.Errorf("without a value: got %v", got)
	}
}
