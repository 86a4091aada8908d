package realtime

import "testing"

// TestResize grows slices by one item. A short one doubles, and a long one has at most half as much free.
func TestResize(t *testing.T) {
	t.Parallel()
	const m = doubledItems
	for length, want := range map[int]int{0: 16, 16: 32, m / 2: m, m/2 + 1: m, m: m + m/2, 4 * m: 6 * m} {
		s := make([]byte, length)
		if got := cap(resize(s, length+1)); length+1 <= cap(s) || got != want {
			t.Errorf("%d items grow to %d, want %d", length, got, want)
		}
	}
	s := resize([]int64{1, 2}, 3*m)
	if len(s) != 3*m || s[0] != 1 || s[1] != 2 || s[2] != 0 {
		t.Error("a slice that grows much has other items")
	}
}
