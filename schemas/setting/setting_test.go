package setting

import (
	"strings"
	"testing"
	"time"
)

// everything is a component's Config with a field of each kind.
type everything struct {
	wait, past time.Duration
	body       int
	room       int64
	rate       float64
	url, mode  string
}

func (c *everything) settings() []Setting {
	return []Setting{
		Duration("a.wait", Range(time.Millisecond, time.Minute), "Longest wait.", &c.wait),
		DurationOr("unlimited", "a.past", "How old an event may be.", &c.past),
		Size("a.max_body", AtLeast(1<<10), "Largest body.", &c.body),
		Count("a.room", "ids", Range(1, 100).OrZero("no limit"), "Most ids.", &c.room),
		Rate("a.rate", "events", AtLeast(1).OrZero("no limit"), "Most events.", &c.rate),
		Text("a.url", "a URL", nil, "Where it is.", &c.url),
		Choice("a.mode", []string{"strict", "relaxed", "off"}, "How it is.", &c.mode),
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	for key, c := range map[string]struct {
		text, back, bounds string
	}{
		"a.wait":     {"60s", "1m", "1ms to 1m"},
		"a.past":     {"unlimited", "unlimited", "more than 0s, or unlimited"},
		"a.max_body": {"1.5MiB", "1536KiB", "at least 1KiB"},
		"a.room":     {"1e2", "100", "0 for no limit, or up to 100"},
		"a.rate":     {"0.5", "0.5", "0 for no limit"},
		"a.url":      {"s3://a", "s3://a", "a URL"},
		"a.mode":     {"off", "off", "strict, relaxed or off"},
	} {
		s := find(t, new(everything).settings(), key)
		if err := s.Set(c.text); err != nil || s.Text() != c.back || s.Bounds != c.bounds {
			t.Errorf("%s: %s, bounds %s, %v; want %s, bounds %s", key, s.Text(), s.Bounds, err, c.back, c.bounds)
		}
	}
	s := find(t, new(everything).settings(), "a.max_body")
	if s.Flag() != "a.max-body" || s.Env() != "RECOUNT_A_MAX_BODY" {
		t.Errorf("flag %s, variable %s", s.Flag(), s.Env())
	}
}

func find(t *testing.T, list []Setting, key string) Setting {
	t.Helper()
	for _, s := range list {
		if s.Key() == key {
			return s
		}
	}
	t.Fatalf("no setting %s", key)
	return Setting{}
}

// TestMistakes: what cannot be read, and what is out of bounds, is refused with what to write instead.
func TestMistakes(t *testing.T) {
	t.Parallel()
	for key, cases := range map[string]map[string]string{
		"a.wait": {"": "not a duration", "5": "not a duration", "2m": "a.wait: use 1ms to 1m", "0s": "use 1ms to 1m",
			"-1s": "use 1ms to 1m"},
		"a.past": {"0s": "neither a duration such as 720h nor unlimited", "-1h": "neither", "forever": "neither"},
		"a.max_body": {"": "not a size", "many": "write for example 64MiB", "-1": "not a size",
			"1023": "use at least 1KiB"},
		"a.room": {"0.5": "not a whole number", "x": "not a whole number",
			"101": "use 0 for no limit, or up to 100"},
		"a.rate": {"NaN": "not a number", "-1": "use 0 for no limit"},
		"a.mode": {"Strict": "use strict, relaxed or off"},
	} {
		for text, says := range cases {
			c := new(everything)
			s := find(t, c.settings(), key)
			err := s.Set(text)
			if err == nil {
				err = s.Check()
			}
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%s=%q: got %v, want %q", key, text, err, says)
			}
		}
	}
}

func TestWhere(t *testing.T) {
	t.Parallel()
	n := 6
	even := Count("n", "things", Range(1, 10), "A number.", &n).Where("an even one", func() bool { return n%2 == 0 })
	for value, good := range map[int]bool{6: true, 7: false, 12: false} {
		n = value
		if err := even.Check(); (err == nil) != good || err != nil && err.Error() != "n: use 1 to 10, an even one" {
			t.Errorf("%d: %v", value, err)
		}
	}
}

func TestSize(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{"64MiB": 64 << 20, "1.5GiB": 3 << 29, "1000": 1000, "2KB": 2000, "7B": 7} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("%s: got %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "-1", "1XB", "MiB", "99999999TiB", "NaN"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("%q was accepted as %d", text, got)
		}
	}
	for bytes, want := range map[int64]string{0: "0", 1000: "1000", 64 << 20: "64MiB", 1 << 40: "1TiB"} {
		if got := FormatSize(bytes); got != want {
			t.Errorf("%d: got %s, want %s", bytes, got, want)
		}
	}
}
