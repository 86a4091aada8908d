package encode

import "testing"

// TestStringsAreNotEscapedForHTML: a value reads the same with and without letters beyond ASCII in it.
func TestStringsAreNotEscapedForHTML(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{"<a&b>": `"<a&b>"`, "ä<a&b>": `"ä<a&b>"`, "<\"\n": `"<\"\n"`,
		"\u2028": `"\u2028"`, "a\xffb": `"a\ufffdb"`} {
		if got := string(appendString(nil, s)); got != want {
			t.Errorf("%q: got %s, want %s", s, got, want)
		}
	}
}
