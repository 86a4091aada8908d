package timeformat

import (
	"time"

	"recount/schemas/window"
)

// maxOffset is longer than the offset of any zone.
const maxOffset = 26 * time.Hour

// zone finds the instants of local times. It remembers the period of the last one, because the rows of a file are
// mostly close to each other.
type zone struct {
	location *time.Location
	from, to time.Time     // In the middle of this range of instants the offset does not change.
	offset   time.Duration // offset is that of the range.
}

// instant returns the first instant at which clocks show wall, which is given in UTC, and how many such instants there
// are: none where clocks went forward, and two where they went back. Where there is none, first is when the clocks went
// forward.
func (z *zone) instant(wall time.Time) (first time.Time, times int) {
	if t := wall.Add(-z.offset); t.After(z.from) && t.Before(z.to) {
		return t, 1
	}
	earliest := wall.Add(-maxOffset)
	latest := wall.Add(maxOffset)
	for t := earliest.In(z.location); ; {
		_, seconds := t.Zone()
		offset := time.Duration(seconds) * time.Second
		end := window.OffsetEnd(t)
		last := end.IsZero() || end.After(latest)
		switch found := wall.Add(-offset); {
		case times == 0 && first.IsZero() && found.Before(t):
			first = t
		case !found.Before(t) && (last || found.Before(end)):
			if times == 0 {
				first = found
			}
			times++
		}
		if last {
			z.remember(t, end, offset)
			return first, times
		}
		t = end
	}
}

// remember keeps the period that begins at start or earlier.
func (z *zone) remember(start, end time.Time, offset time.Duration) {
	if end.IsZero() {
		end = start.AddDate(1, 0, 0)
	}
	z.from = start.Add(maxOffset)
	z.to = end.Add(-maxOffset)
	z.offset = offset
}
