package query_test

import (
	"errors"
	"testing"
	"time"

	"recount/schemas/query"
	"recount/serving/oracle"
)

// TestRollingIsAnyNumberOfWindows: a rolling window need not divide a day, and a wrong one is told what fits.
func TestRollingIsAnyNumberOfWindows(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for _, c := range []struct {
		by, rolling string
		width       int
		want        string
	}{
		{"1h", "5h", 5, ""}, {"1h", "7h", 7, ""}, {"1h", "18h", 18, ""}, {"1h", "30h", 30, ""}, {"1h", "48h", 48, ""},
		{"6h", "18h", 3, ""}, {"15m", "75m", 5, ""}, {"1h", "2d", 48, ""}, {"1d", "7d", 7, ""},
		{"1h", "90m", 0, "rolling: 90m is no whole number of windows of 1h; use such as 1h or 2h"},
		{"1d", "36h", 0, "rolling: 36h is no whole number of windows of 1d; use such as 1d or 2d"},
		{"1mo", "30d", 0, "rolling: 30d is no whole number of windows of 1mo; use such as 1mo or 2mo"},
		{"1h", "soon", 0, `rolling: "soon" is no length of time; use such as 1h or 2h`},
		{"1h", "0h", 0, `rolling: "0h" is no length of time; use such as 1h or 2h`},
	} {
		from := time.Date(2024, 5, 1, 0, 0, 0, 0, time.UTC)
		q := &query.Query{View: "flights", From: from, To: from.Add(2 * day), Granularity: c.by, Rolling: c.rolling}
		scan, err := q.Resolve(oracle.Catalog(), "default")
		if wrong := (*query.Error)(nil); c.want != "" {
			if !errors.As(err, &wrong) || err.Error() != c.want {
				t.Errorf("%s by %s: got %v", c.rolling, c.by, err)
			}
			continue
		}
		if err != nil || scan.Overlap.Width != c.width {
			t.Errorf("%s by %s: got %+v, %v", c.rolling, c.by, scan, err)
		}
	}
}
