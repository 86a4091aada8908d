package window

import "time"

// maxOffset is longer than the offset of any zone.
const maxOffset = 26 * time.Hour

// Clock finds the instants of local times in a zone. It remembers the period of the last one, because the rows of a
// file are mostly close to each other. It is not safe for concurrent use.
type Clock struct {
	Location *time.Location
	from, to time.Time     // In the middle of this range of instants the offset does not change.
	offset   time.Duration // offset is that of the range.
}

// Instant returns the first instant at which clocks show wall, which is given in UTC, and how many such instants there
// are: none where clocks went forward, and two where they went back. Where there is none, first is when the clocks went
// forward.
func (c *Clock) Instant(wall time.Time) (first time.Time, times int) {
	if t := wall.Add(-c.offset); t.After(c.from) && t.Before(c.to) {
		return t, 1
	}
	earliest := wall.Add(-maxOffset)
	latest := wall.Add(maxOffset)
	for t := earliest.In(c.Location); ; {
		_, seconds := t.Zone()
		offset := time.Duration(seconds) * time.Second
		end := OffsetEnd(t)
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
			c.remember(t, end, offset)
			return first, times
		}
		t = end
	}
}

// remember keeps the period that begins at start or earlier.
func (c *Clock) remember(start, end time.Time, offset time.Duration) {
	if end.IsZero() {
		end = start.AddDate(1, 0, 0)
	}
	c.from = start.Add(maxOffset)
	c.to = end.Add(-maxOffset)
	c.offset = offset
}
