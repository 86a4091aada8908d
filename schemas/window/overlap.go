package window

import (
	"slices"
	"strconv"
	"time"
)

// Multiple returns how many windows of granularity g a wider one has, such as 7 days of 7d by 1d. Windows of days,
// months and shorter times are different units, except that a day has a fixed number of shorter windows. It returns 0
// if there is no whole number.
func (g Granularity) Multiple(wide Granularity) int {
	switch {
	case g.months > 0 && wide.months%g.months == 0:
		return wide.months / g.months
	case g.days > 0 && wide.days%g.days == 0:
		return wide.days / g.days
	case g.step > 0 && wide.step%g.step == 0 && wide.months == 0:
		return int((wide.step + time.Duration(wide.days)*24*time.Hour) / g.step)
	}
	return 0
}

// Fitting returns the lengths of whole windows next to a wider one, such as 1h and 2h for 90m by 1h. They are the first
// two where the units differ.
func (g Granularity) Fitting(wide Granularity) [2]string {
	n := 1
	switch {
	case g.months > 0:
		n = wide.months / g.months
	case g.days > 0:
		n = int((time.Duration(wide.days)*24*time.Hour + wide.step) / (time.Duration(g.days) * 24 * time.Hour))
	case g.step > 0:
		n = int((time.Duration(wide.days)*24*time.Hour + wide.step) / g.step)
	}
	m := granularityFormat.FindStringSubmatch(g.text)
	own, _ := strconv.Atoi(m[1]) // The pattern has bounded it.
	n = max(n, 1)
	return [2]string{strconv.Itoa(n*own) + m[2], strconv.Itoa((n+1)*own) + m[2]}
}

// Trailing returns the windows of New with n−1 windows before them, and the number of the first window of New. Windows
// before 1970 are left out, because they have no events.
func Trailing(from, to time.Time, g Granularity, n int, loc *time.Location, cell time.Duration) (w Windows, first int,
	err error) {
	if w, err = New(from, to, g, loc, cell); err != nil || n < 2 {
		return w, 0, err
	}
	reach := Windows{From: g.back(from.In(loc), n).UnixMicro(), To: w.To}
	if g.step > 0 && (reach.To-reach.From)/g.step.Microseconds() > MaxWindows {
		return w, 0, errWindows
	}
	if err := reach.divide(g, loc); err != nil {
		return w, 0, err
	}
	at, _ := slices.BinarySearch(reach.bounds, w.bounds[0])
	begin := max(at-(n-1), 0)
	for reach.bounds[begin+1] <= MinTime {
		begin++
	}
	reach.bounds = reach.bounds[begin:]
	if reach.From = max(reach.bounds[0], MinTime); begin == at {
		reach.From = w.From
	}
	reach.findRuns()
	return reach, at - begin, reach.checkStarts(loc, cell)
}

// back returns a time that is at least n windows before t. No window is longer than its days or hours, except that a
// date may be missing, over which a zone jumped.
func (g Granularity) back(t time.Time, n int) time.Time {
	return t.Add(-time.Duration(n)*g.step).AddDate(0, -n*g.months, -n*g.days-1)
}

// Holding returns the window that holds t, which may be outside of [From, To), or -1.
func (w Windows) Holding(t int64) int {
	i, found := slices.BinarySearch(w.bounds, t)
	if !found {
		i--
	}
	if i == w.Len() {
		return -1
	}
	return i
}

// Starting returns the window that starts at t, or -1.
func (w Windows) Starting(t int64) int {
	if i, found := slices.BinarySearch(w.bounds[:w.Len()], t); found {
		return i
	}
	return -1
}

// Join returns the windows without the bounds before those that drop names, so that each of these is one with the
// window before it. The first window stays.
func (w Windows) Join(drop func(i int) bool) Windows {
	joined := Windows{From: w.From, To: w.To}
	for i, b := range w.bounds {
		if i == 0 || i == w.Len() || !drop(i) {
			joined.bounds = append(joined.bounds, b)
		}
	}
	joined.findRuns()
	return joined
}
