package window_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"recount/schemas/window"
	"recount/schemas/window/windowtest"
)

// compareWithWalk compares all that windows say with a walk over the time.
func compareWithWalk(t rapid.TB, c windowtest.Calendar, cell time.Duration) {
	t.Helper()
	want := c.Bounds(walkUnit(c, cell))
	w, err := c.Windows(cell)
	aligned := !slices.ContainsFunc(want[:len(want)-1], func(s int64) bool { return window.Floor(s, cell) != s })
	if !aligned {
		if err == nil || !strings.HasPrefix(err.Error(), "time_zone: ") {
			t.Fatalf("%s: windows begin inside a cell of %s, and the error is %v", c, cell, err)
		}
		return
	}
	if err != nil {
		t.Fatalf("%s: %v", c, err)
	}
	var bounds []int64
	for i, r := range w.Runs() {
		end := w.Len()
		if i+1 < len(w.Runs()) {
			end = w.Runs()[i+1].First
		}
		for n := r.First; n < end; n++ {
			bounds = append(bounds, r.Start+int64(n-r.First)*r.Width)
		}
		if i+1 == len(w.Runs()) {
			bounds = append(bounds, r.Start+int64(end-r.First)*r.Width)
		}
	}
	if !slices.Equal(bounds, want) || w.Len() != len(want)-1 {
		t.Fatalf("%s: got runs %+v, want bounds %v", c, w.Runs(), want)
	}
	for i := range w.Len() {
		from := max(want[i], w.From)
		to := min(want[i+1], w.To)
		if gotFrom, gotTo := w.Span(i); w.Start(i) != want[i] || gotFrom != from || gotTo != to {
			t.Fatalf("%s: window %d: got start %d and span [%d, %d), want %d and [%d, %d)", c, i, w.Start(i), gotFrom,
				gotTo, want[i], from, to)
		}
		for _, at := range []int64{from, (from + to) / 2, to - 1} {
			if got := w.Index(at); got != i {
				t.Fatalf("%s: Index(%d): got %d, want %d", c, at, got, i)
			}
		}
	}
	for _, outside := range []int64{want[0] - 1, w.From - 1, w.To, want[len(want)-1]} {
		if got := w.Index(outside); got != -1 {
			t.Fatalf("%s: Index(%d): got %d, want -1", c, outside, got)
		}
	}
}

// walkUnit is a minute, or less where the cell or the zone's offset from UTC is no multiple of a minute.
func walkUnit(c windowtest.Calendar, cell time.Duration) time.Duration {
	_, offset := c.From.AddDate(0, 0, -40).In(c.Location()).Zone()
	if offset%60 != 0 {
		return min(cell, 30*time.Second)
	}
	return min(cell, time.Minute)
}

// TestWindowsAgainstAWalk draws calendars of all zones and compares windows with a walk over the minutes.
func TestWindowsAgainstAWalk(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		cell := rapid.SampledFrom([]time.Duration{time.Second, time.Minute, time.Minute, time.Minute, 5 * time.Minute,
			15 * time.Minute, 30 * time.Minute, time.Hour}).Draw(t, "width")
		c := windowtest.Draw(t, cell)
		if cell == time.Second {
			c.Granularity = rapid.SampledFrom([]string{"1s", "10s", "30s", "1m", "1h", "1d"}).Draw(t, "fine")
			c.To = c.From.Add(min(c.To.Sub(c.From), 3*time.Hour))
		}
		compareWithWalk(t, c, cell)
	})
}

// TestChangesOfEveryZone compares windows around the clock changes of all zones since 1970. Each range ends with
// the window that holds the change, which is longer or shorter than the others, or with a later hour.
func TestChangesOfEveryZone(t *testing.T) {
	t.Parallel()
	const cell = 15 * time.Minute
	changes := 0
	for _, zone := range windowtest.Zones {
		loc, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		for _, change := range windowtest.Changes(loc) {
			if changes++; changes%5 > 0 {
				continue // A fifth of the changes covers all zones and takes a fifth of the time.
			}
			c := windowtest.Calendar{Zone: zone, Granularity: []string{"1d", "1d", "3h"}[changes/5%3]}
			c.From = change.AddDate(0, 0, -2).Truncate(cell).UTC()
			c.To = change.Add(time.Duration(changes/5%24) * time.Hour).Truncate(cell).Add(cell).UTC()
			if _, offset := change.In(loc).Zone(); offset%900 == 0 {
				compareWithWalk(t, c, cell)
			}
		}
	}
	if changes < 10_000 {
		t.Errorf("only %d clock changes were found", changes)
	}
}

// TestLastWindowLonger covers ranges whose windows begin at equal distances, but whose last window is longer. The
// distance of the starts must not be taken for the width of all windows.
func TestLastWindowLonger(t *testing.T) {
	t.Parallel()
	for _, c := range windowtest.LongLast() {
		compareWithWalk(t, c, time.Minute)
		w, err := c.Windows(time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if got := w.Index(w.To - 1); got != w.Len()-1 {
			t.Errorf("%s: the last microsecond is in window %d of %d", c, got, w.Len())
		}
		if len(w.Runs()) != 2 {
			t.Errorf("%s: got runs %+v, want one of equal windows and the last window", c, w.Runs())
		}
	}
}

// TestDatesThatNeverWere covers zones that jumped over a date, over midnight or back over midnight.
func TestDatesThatNeverWere(t *testing.T) {
	t.Parallel()
	for _, c := range []windowtest.Calendar{
		windowtest.Parse("2011-12-25T00:00:00Z", "2012-01-05T00:00:00Z", "1d", "Pacific/Apia"),
		windowtest.Parse("2011-12-25T00:00:00Z", "2012-02-05T00:00:00Z", "1mo", "Pacific/Apia"),
		windowtest.Parse("2011-12-30T10:00:00Z", "2012-01-05T00:00:00Z", "1w", "Pacific/Fakaofo"),
		windowtest.Parse("1993-08-19T00:00:00Z", "1993-08-25T00:00:00Z", "1d", "Pacific/Kwajalein"),
		windowtest.Parse("1993-08-19T00:00:00Z", "1993-08-25T00:00:00Z", "12h", "Pacific/Kwajalein"),
		windowtest.Parse("1994-12-25T00:00:00Z", "1995-02-05T00:00:00Z", "1mo", "Pacific/Kiritimati"),
		windowtest.Parse("2006-10-27T00:00:00Z", "2006-10-30T03:00:00Z", "1d", "America/St_Johns"),
		windowtest.Parse("2006-10-29T02:40:00Z", "2006-10-30T03:00:00Z", "1h", "America/St_Johns"),
		windowtest.Parse("1985-12-30T00:00:00Z", "1986-01-02T00:00:00Z", "1d", "Asia/Kathmandu"),
		windowtest.Parse("1970-01-01T00:00:00Z", "1970-02-03T00:00:00Z", "1mo", "America/New_York"),
		windowtest.Parse("2261-10-01T00:00:00Z", "2262-01-01T00:00:00Z", "1mo", "America/New_York"),
	} {
		compareWithWalk(t, c, time.Minute)
	}
}

// TestEndsOfLeapYears compares windows around the ends of leap years, which Go's zones get wrong after their listed
// changes: the search for the start of January 1 never ended there.
func TestEndsOfLeapYears(t *testing.T) {
	t.Parallel()
	for _, zone := range windowtest.Zones {
		for _, year := range []int{2024, 2040, 2260} {
			from := time.Date(year, time.December, 30, 0, 0, 0, 0, time.UTC)
			at := from.AddDate(0, 0, 1).Add(time.Hour)
			c := windowtest.Calendar{From: from, To: from.AddDate(0, 0, 3), Granularity: "1d", Zone: zone}
			if end := window.OffsetEnd(at.In(c.Location())); !end.IsZero() && !end.After(at) {
				t.Fatalf("%s: the offset of %s ends at %s", zone, at, end)
			}
			compareWithWalk(t, c, time.Minute)
		}
	}
}

// TestRunsAreFew bounds the runs, because each of them costs a statement's length and a search's time.
func TestRunsAreFew(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		windowtest.Calendar
		most int
	}{
		{windowtest.Parse("2000-01-01T06:00:00Z", "2020-01-01T06:00:00Z", "1d", "America/Chicago"), 90},
		{windowtest.Parse("2000-01-01T00:00:00Z", "2020-01-01T00:00:00Z", "1d", "UTC"), 1},
		{windowtest.Parse("2000-01-01T06:00:00Z", "2020-01-01T06:00:00Z", "1h", "America/Chicago"), 1},
	} {
		w, err := c.Windows(time.Minute)
		if err != nil || len(w.Runs()) > c.most {
			t.Errorf("%s: %d runs, want at most %d; %v", c.Calendar, len(w.Runs()), c.most, err)
		}
	}
}

// TestNeighboursShareWindows draws two ranges that overlap: a window of both begins and ends at the same times. So what
// a window of several days or months counts does not depend on where a query begins.
func TestNeighboursShareWindows(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := windowtest.Draw(t, time.Minute)
		later := c
		later.From = c.From.Add(c.To.Sub(c.From) / 2).Truncate(time.Minute)
		if c.Granularity == "all" || !later.From.Before(c.To) {
			return
		}
		w, err := c.Windows(time.Minute)
		if err != nil {
			return // A window begins inside a cell.
		}
		x, err := later.Windows(time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		starts := windowtest.Starts(w)
		if got := windowtest.Starts(x); !slices.Equal(got, starts[len(starts)-len(got):]) {
			t.Fatalf("%s: windows begin at %v, and those from %s on at %v", c, starts, later.From, got)
		}
	})
}

// TestSparse compares windows with gaps with a search in the spans.
func TestSparse(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		const width = 10
		var spans [][2]int64
		at := rapid.Int64Range(0, 3).Draw(t, "before") * width
		for range rapid.IntRange(0, 4).Draw(t, "spans") {
			end := at + rapid.Int64Range(1, 3).Draw(t, "windows")*width
			spans = append(spans, [2]int64{at, end})
			at = end + rapid.Int64Range(1, 3).Draw(t, "gap")*width
		}
		to := at + rapid.Int64Range(0, 3).Draw(t, "after")*width
		w := window.Sparse(0, to, spans, width*time.Microsecond)
		for at := range to {
			from, end := w.Span(w.Index(at))
			wantFrom := int64(0)
			wantEnd := to
			for _, s := range spans {
				switch {
				case s[1] <= at:
					wantFrom = s[1]
				case s[0] <= at:
					wantFrom = at - at%width
					wantEnd = wantFrom + width
				default:
					wantEnd = min(wantEnd, s[0])
				}
			}
			if from != wantFrom || end != wantEnd {
				t.Fatalf("%d is in [%d, %d), want [%d, %d) of %v", at, from, end, wantFrom, wantEnd, spans)
			}
		}
	})
}

// TestEven compares windows of one width with a division.
func TestEven(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		from := rapid.Int64Range(0, 1e15).Draw(t, "from")
		width := rapid.Int64Range(1, 1e12).Draw(t, "width")
		length := rapid.Int64Range(1, 1000*width).Draw(t, "length")
		w := window.Even(from, from+length, time.Duration(width)*time.Microsecond)
		if len(w.Runs()) != 1 || w.Len() != int((length+width-1)/width) {
			t.Fatalf("got %d windows in runs %+v", w.Len(), w.Runs())
		}
		at := rapid.Int64Range(0, length-1).Draw(t, "at")
		i := int(at / width)
		if got := w.Index(from + at); got != i || w.Start(i) != from+int64(i)*width {
			t.Fatalf("%d is in window %d from %d, want %d", at, got, w.Start(i), i)
		}
	})
}
