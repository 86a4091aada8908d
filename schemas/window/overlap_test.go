package window_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"recount/schemas/window"
	"recount/schemas/window/windowtest"
)

// trailed are granularities with the bound of their length, which the test adds before the range so that New makes the
// windows before it too.
var trailed = map[string]time.Duration{"15m": time.Hour, "1h": time.Hour, "6h": 6 * time.Hour, "1d": 25 * time.Hour,
	"1w": 170 * time.Hour, "2d": 50 * time.Hour, "1mo": 745 * time.Hour, "1q": 2210 * time.Hour}

// TestTrailing compares the windows before a range with those that New has for a range that begins long before.
func TestTrailing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := windowtest.Draw(t, time.Minute)
		if trailed[c.Granularity] == 0 {
			c.Granularity = rapid.SampledFrom([]string{"15m", "1h", "6h", "1d", "1w", "2d", "1mo", "1q"}).Draw(t, "by")
		}
		n := rapid.IntRange(2, 40).Draw(t, "n")
		g, err := window.ParseGranularity(c.Granularity)
		if err != nil {
			t.Fatal(err)
		}
		own, err := c.Windows(time.Minute)
		if err != nil {
			t.Skip(err)
		}
		long := c
		long.From = c.From.Add(-time.Duration(n+2) * trailed[c.Granularity])
		if long.From.UnixMicro() < window.MinTime {
			long.From = time.UnixMicro(window.MinTime).UTC()
		}
		whole, err := long.Windows(time.Minute)
		if err != nil {
			t.Skip(err)
		}
		w, first, err := window.Trailing(c.From, c.To, g, n, c.Location(), time.Minute)
		if err != nil {
			t.Fatalf("%s: %v", c, err)
		}
		starts := windowtest.Starts(whole)
		at := slices.Index(starts, own.Start(0))
		want := starts[max(at-(n-1), 0):]
		if got := windowtest.Starts(w); !slices.Equal(got, want) || first != min(at, n-1) || w.To != own.To {
			t.Fatalf("%s, %d windows: got the first %d of %d, want %d", c, n, first, len(got), len(want))
		}
		if _, end := w.Span(first); w.From != max(want[0], window.MinTime) && at > 0 || end > w.To {
			t.Fatalf("%s: from %d to %d", c, w.From, w.To)
		}
	})
}

func TestMultiple(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		narrow, wide string
		want         int
	}{{"1d", "7d", 7}, {"1d", "1w", 7}, {"1h", "24h", 24}, {"1h", "7d", 168}, {"15m", "1h", 4}, {"1mo", "1q", 3},
		{"1q", "1y", 4}, {"1w", "2w", 2}, {"1d", "1mo", 0}, {"1mo", "30d", 0}, {"2d", "7d", 0}, {"1d", "12h", 0},
		{"1h", "1mo", 0}, {"1h", "90m", 0}, {"1d", "1d", 1},
		{"1h", "5h", 5}, {"1h", "7h", 7}, {"1h", "30h", 30}, {"1h", "48h", 48}, {"6h", "18h", 3}, {"15m", "75m", 5},
		{"1d", "48h", 2}, {"1h", "90m", 0}, {"1d", "36h", 0}, {"1h", "3600s", 1}} {
		narrow, _ := window.ParseGranularity(c.narrow)
		wide, ok := window.ParseLength(c.wide)
		if !ok {
			t.Errorf("%s is no length", c.wide)
		}
		if got := narrow.Multiple(wide); got != c.want {
			t.Errorf("%s by %s: got %d windows, want %d", c.wide, c.narrow, got, c.want)
		}
	}
}

func TestFitting(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ narrow, wide, less, more string }{{"1h", "90m", "1h", "2h"},
		{"6h", "20h", "18h", "24h"},
		{"1h", "1mo", "1h", "2h"}, {"1d", "36h", "1d", "2d"}, {"2d", "7d", "6d", "8d"}, {"1mo", "30d", "1mo", "2mo"},
		{"1q", "4mo", "1q", "2q"}, {"15m", "5m", "15m", "30m"}, {"1d", "x", "1d", "2d"}} {
		narrow, _ := window.ParseGranularity(c.narrow)
		wide, _ := window.ParseLength(c.wide)
		if got := narrow.Fitting(wide); got != [2]string{c.less, c.more} {
			t.Errorf("%s by %s: got %v", c.wide, c.narrow, got)
		}
		for _, fits := range narrow.Fitting(wide) {
			if length, ok := window.ParseLength(fits); !ok || narrow.Multiple(length) == 0 {
				t.Errorf("%s by %s: %s does not fit", c.wide, c.narrow, fits)
			}
		}
	}
}
