package exact

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"recount/schemas/catalog"
)

// TestCodesOfStrings codes random strings, until the slots have grown many times, and compares with a map.
func TestCodesOfStrings(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	k := newCoder("origin", catalog.String)
	if got := k.knownOverflow(); got != 0 {
		t.Errorf("overflow has code %d before there is a string", got)
	}
	want := map[string]uint32{}
	for i := range 50_000 {
		s := fmt.Sprint(random.IntN(1 + i))
		switch random.IntN(100) {
		case 0:
			s = ""
		case 1:
			s = catalog.Overflow
		}
		known, found := want[s]
		if !found {
			known = uint32(len(want) + 1)
			want[s] = known
		}
		if got := k.codeString(s); got != known {
			t.Fatalf("string %d, %q: got code %d, want %d", i, s, got, known)
		}
		if got := k.knownOverflow(); got != want[catalog.Overflow] {
			t.Fatalf("overflow: got code %d, want %d", got, want[catalog.Overflow])
		}
	}
	for s, code := range want {
		if got := k.values.Strings[code]; got != s {
			t.Errorf("code %d: got %q, want %q", code, got, s)
		}
	}
}
