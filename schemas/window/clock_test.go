package window_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"recount/schemas/window"
	"recount/schemas/window/windowtest"
)

// TestClock compares the instants of local times with those that a search over all quarters of hours finds. Times are
// drawn near changes of clocks.
func TestClock(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		location, err := time.LoadLocation(rapid.SampledFrom(windowtest.Zones).Draw(r, "zone"))
		if err != nil {
			r.Fatal(err)
		}
		z := &window.Clock{Location: location}
		at := time.Unix(rapid.Int64Range(0, 9e9).Draw(r, "at"), 0).In(location)
		for range 3 { // One zone serves all rows of a file.
			if _, end := at.ZoneBounds(); rapid.Bool().Draw(r, "change") && !end.IsZero() {
				at = end
			}
			at = at.Add(time.Duration(rapid.IntRange(-300, 300).Draw(r, "minutes")) * time.Minute)
			year, month, day := at.Date()
			wall := time.Date(year, month, day, at.Hour(), at.Minute(), rapid.IntRange(0, 59).Draw(r, "s"), 0, time.UTC)
			var want []time.Time
			for offset := -16 * time.Hour; offset <= 16*time.Hour; offset += 30 * time.Second {
				if found := wall.Add(offset).In(location); found.Minute() == wall.Minute() &&
					found.Format(time.DateTime) == wall.Format(time.DateTime) {
					want = append(want, found)
				}
			}
			got, times := z.Instant(wall)
			if times != len(want) || times > 0 && !got.Equal(want[0]) {
				r.Fatalf("%s in %s: got %s and %d, want %v", wall, location, got, times, want)
			}
		}
	})
}
