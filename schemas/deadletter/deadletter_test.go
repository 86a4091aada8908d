package deadletter

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"recount/schemas/catalog"
)

// turn is raw through both columns and back.
func turn(raw []byte) ([]byte, error) {
	var columns [2]*string
	text, encoded := Encode(raw)
	for i, b := range [][]byte{text, encoded} {
		if b != nil {
			s := string(b)
			columns[i] = &s
		}
	}
	return Decode(columns[0], columns[1])
}

// TestEveryByteSurvives sends every byte alone, every pair with a quote before it, all of them at once, and nothing.
func TestEveryByteSurvives(t *testing.T) {
	t.Parallel()
	all := make([]byte, 256)
	samples := [][]byte{{}, all}
	for i := range all {
		all[i] = byte(i)
		samples = append(samples, []byte{byte(i)}, []byte{'"', byte(i)})
	}
	for _, raw := range samples {
		got, err := turn(raw)
		if err != nil || !bytes.Equal(got, raw) {
			t.Errorf("%x: got %x, %v", raw, got, err)
		}
	}
}

func TestAnyBytesSurvive(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.SliceOf(rapid.Byte()).Draw(t, "raw")
		if rapid.Bool().Draw(t, "text") {
			raw = []byte(rapid.String().Draw(t, "string"))
		}
		if got, err := turn(raw); err != nil || !bytes.Equal(got, raw) {
			t.Fatalf("got %x, %v", got, err)
		}
		limit := rapid.IntRange(0, 64).Draw(t, "limit")
		kept, truncated := Cut(raw, limit)
		if !bytes.HasPrefix(raw, kept) || len(kept) > limit || truncated != (len(raw) > limit) || truncated &&
			len(kept) < limit-3 {
			t.Fatalf("limit %d: kept %d of %d bytes, truncated %v", limit, len(kept), len(raw), truncated)
		}
		if utf8.Valid(raw) && !utf8.Valid(kept) {
			t.Fatalf("limit %d: %q is cut inside a character", limit, kept)
		}
	})
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	a := "a"
	broken := "a"
	for _, c := range [][2]*string{{nil, nil}, {&a, &a}, {nil, &broken}} {
		if raw, err := Decode(c[0], c[1]); err == nil {
			t.Errorf("got %q", raw)
		}
	}
}

// TestDigest: the same bytes refused for another reason are another dead letter, and a
// byte cannot move between code and bytes.
func TestDigest(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, c := range [][2]string{{"a", "b"}, {"b", "b"}, {"a", "a"}, {"ab", ""}, {"", "ab"}} {
		seen[EventID(Digest(c[0], []byte(c[1])))] = true
	}
	if len(seen) != 5 {
		t.Errorf("%d ids of 5 letters", len(seen))
	}
	const golden = "a7fffb77d3844d7c357ac9b6e7744dfc"
	if got := EventID(Digest("unknown_type", []byte("{}"))); got != golden {
		t.Errorf("the id of stored letters has changed: got %s, want %s", got, golden)
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for _, n := range []Name{{}, {Partition: 255, Seq: 1 << 63, Index: 65535}} {
		if got, err := ParseName(n.String()); err != nil || got != n {
			t.Errorf("%v: got %v, %v", n, got, err)
		}
	}
	for _, s := range []string{"", "1", "1-2", "1-2-3-4", "-1-2-3", "1--2-3", "01-2-3", "1-2-3 ", "+1-2-3", "a-b-c",
		"1-99999999999999999999-0", strings.Repeat("9", 1<<12)} {
		if n, err := ParseName(s); !errors.Is(err, ErrName) {
			t.Errorf("%.64q: got %v, %v", s, n, err)
		}
	}
}

// TestEventType: the schema is one a catalog can hold; only its name is reserved.
func TestEventType(t *testing.T) {
	t.Parallel()
	e := EventType()
	if !slices.IsSortedFunc(e.Fields, func(a, b catalog.Field) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("fields are not sorted by name")
	}
	c := &catalog.Catalog{Bucket: 1e9 * 3600, Events: map[string]*catalog.EventType{Type: e}}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
}

// FuzzDecode: what Decode takes, Encode and Decode give back.
func FuzzDecode(f *testing.F) {
	f.Add("text", "", true)
	f.Add("", "AP8=", false)
	f.Fuzz(func(t *testing.T, text, encoded string, isText bool) {
		columns := [2]*string{nil, &encoded}
		if isText {
			columns = [2]*string{&text, nil}
		}
		raw, err := Decode(columns[0], columns[1])
		if err != nil {
			return
		}
		if got, err := turn(raw); err != nil || !bytes.Equal(got, raw) {
			t.Errorf("%x came back as %x, %v", raw, got, err)
		}
	})
}

// FuzzParseName: a name that is taken is written in the same way.
func FuzzParseName(f *testing.F) {
	f.Add("2-8120-0")
	f.Add("-1-1-1")
	f.Fuzz(func(t *testing.T, s string) {
		if n, err := ParseName(s); err == nil && (n.String() != s || n.Partition < 0 || n.Index < 0) {
			t.Errorf("%q was read as %+v", s, n)
		}
	})
}
