package window

import "time"

// Shift is how far back an earlier range lies: months or days of a calendar, or a length of time.
type Shift struct {
	months, days int
	length       time.Duration
	// step is the width of windows shorter than a day. Those of more than an hour keep their place in the day, because
	// they begin at other times of the day where clocks change. Shorter ones keep their time of the day.
	step time.Duration
}

// PreviousPeriod returns the shift to the range before [from, to). It is the smallest by which the earlier range does
// not reach into the later one, and by which windows come to lie on windows. A range of whole local months is shifted
// by months, so the one before March is February. One of whole local days is shifted by days, so clock changes do not
// matter. Any other is shifted by its length, unless clocks change by a part of a window: then it is shifted by days,
// too.
func PreviousPeriod(from, to time.Time, g Granularity, loc *time.Location) Shift {
	wholeDays := isDate(from, loc) && isDate(to, loc)
	wholeMonths := wholeDays && from.In(loc).Day() == 1 && to.In(loc).Day() == 1
	length := to.Sub(from)
	unit := Shift{days: max(g.days, 1)}
	width := 24 * time.Hour * time.Duration(unit.days)
	switch {
	case g.months > 0 || wholeMonths && g.days <= 1:
		unit = Shift{months: max(g.months, 1)}
		width = 31 * 24 * time.Hour * time.Duration(unit.months)
	case g.days == 0 && !wholeDays && g.step == 0:
		return Shift{length: length}
	case g.days == 0 && !wholeDays:
		s := Shift{length: (length + g.step - 1) / g.step * g.step}
		if isEven(from.Add(-s.length), to, g.step, loc) {
			return s
		}
	}
	for n := max(int(length/width)-1, 1); ; n++ { // Days and months differ in length, so n is tried.
		s := Shift{months: n * unit.months, days: n * unit.days, step: g.step}
		if !s.End(to, loc).After(from) {
			return s
		}
	}
}

// isEven reports whether all windows from those of the day of from until to have one width: whatever clocks change by
// in between is a number of windows.
func isEven(from, to time.Time, step time.Duration, loc *time.Location) bool {
	t := from.Add(-2 * 24 * time.Hour).In(loc)
	_, first := t.Zone()
	for !t.IsZero() && t.Before(to) {
		_, offset := t.Zone()
		if time.Duration(offset-first)*time.Second%step != 0 {
			return false
		}
		t = OffsetEnd(t)
	}
	return true
}

// YearBefore returns the shift to the same range a year earlier. Windows of several days lie on windows after 364 days,
// so each week is compared with one that has the same days of the week. It returns false if windows of the granularity
// do not lie on windows after a year.
func YearBefore(g Granularity) (Shift, bool) {
	if g.days > 1 {
		return Shift{days: 364}, 364%g.days == 0
	}
	return Shift{months: 12, step: g.step}, g.months == 0 || 12%g.months == 0
}

// Begin returns where a range that begins at t begins when it is shifted. A date that does not exist there, such as 29
// February a year before 2024, is the last of its month.
func (s Shift) Begin(t time.Time, loc *time.Location) time.Time {
	date, exists := s.date(t.In(loc))
	if !exists {
		date = date.AddDate(0, 0, -1)
	}
	begin, _ := s.onDate(t, date, loc)
	return begin
}

// End returns where a range that ends at t ends when it is shifted. A date that does not exist there is the end of its
// month.
func (s Shift) End(t time.Time, loc *time.Location) time.Time {
	date, exists := s.date(t.In(loc))
	if !exists {
		return time.UnixMicro(startOf(date, loc))
	}
	end, _ := s.onDate(t, date, loc)
	return end
}

// Window returns a time in the window with which one that starts at t is compared: the same time of the day at the
// shifted date, or the same place in it. It returns false if there is none there.
func (s Shift) Window(t time.Time, loc *time.Location) (time.Time, bool) {
	date, exists := s.date(t.In(loc))
	if !exists {
		return t, false
	}
	return s.onDate(t, date, loc)
}

// date returns the shifted date of a local time. If it does not exist, date is the first of the next month.
func (s Shift) date(local time.Time) (date time.Time, exists bool) {
	y, m, d := local.Date()
	month := time.Date(y, m-time.Month(s.months), 1, 0, 0, 0, 0, time.UTC)
	next := month.AddDate(0, 1, 0)
	if date = month.AddDate(0, 0, d-1); !date.Before(next) {
		return next, false
	}
	return date.AddDate(0, 0, -s.days), true
}

// onDate returns t at the shifted date. It is the start of that date if t is the start of its own one. Otherwise it is
// as long after the start, or the same time of the day. The date may end before that, and clocks may not show it there.
func (s Shift) onDate(t, date time.Time, loc *time.Location) (time.Time, bool) {
	switch {
	case s.length > 0:
		return t.Add(-s.length), true
	case isDate(t, loc):
		return time.UnixMicro(startOf(date, loc)), true
	}
	local := t.In(loc)
	if s.step > time.Hour {
		y, m, d := local.Date()
		own := startOf(time.Date(y, m, d, 0, 0, 0, 0, time.UTC), loc)
		at := startOf(date, loc) + t.UnixMicro() - own
		end := startOf(date.AddDate(0, 0, 1), loc)
		return time.UnixMicro(min(at, end)), at < end
	}
	h, m, sec := local.Clock()
	wall := date.Add(time.Duration(h)*time.Hour + time.Duration(m)*time.Minute + time.Duration(sec)*time.Second +
		time.Duration(local.Nanosecond()))
	clock := Clock{Location: loc}
	out, times := clock.Instant(wall)
	return out, times > 0
}

// isDate reports whether a local date starts at t.
func isDate(t time.Time, loc *time.Location) bool {
	y, m, d := t.In(loc).Date()
	return t.UnixMicro() == startOf(time.Date(y, m, d, 0, 0, 0, 0, time.UTC), loc)
}
