package window

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"recount/schemas/instant"
)

// ErrMoment says which forms a moment has. It continues a sentence that quotes the text.
var ErrMoment = errors.New("is no time: write 2024-05-01T10:00:00Z, 2024-05-01 10:00, 2024-05-01, 2024-05, 2024, " +
	"seconds or milliseconds since 1970, now, today, yesterday, tomorrow, this_week, last_week, this_month, " +
	"last_month, this_year or last_year, also as in now-6h or today-7d")

// ErrSkipped means that the clocks of the zone never showed a time.
var ErrSkipped = errors.New("does not exist in the time zone, because the clocks went forward over it")

// ErrTwice means that the clocks of the zone showed a time twice.
var ErrTwice = errors.New("is ambiguous in the time zone, because the clocks went back and showed it twice")

// localLayouts are the forms of a time without a zone.
var localLayouts = []string{"2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04"}

// dateLayouts are the forms of a day, a month and a year, each of which stands for its beginning.
var dateLayouts = []string{time.DateOnly, "2006-01", "2006"}

var wordFormat = regexp.MustCompile(`^([a-z_]+)(?:([+-])([0-9]{1,6})(s|m|h|d|w|mo|y))?$`)

// ParseMoment reads a time as people give it. A day, week, month or year stands for its beginning in the zone. A time
// that the clocks showed twice is refused, because the other of the two can be meant.
func ParseMoment(text string, loc *time.Location, now time.Time) (time.Time, error) {
	if t, err := instant.Time(text); err == nil || errors.Is(err, instant.ErrLeap) {
		return t, err
	}
	for _, layout := range localLayouts {
		if wall, err := time.Parse(layout, text); err == nil {
			clock := Clock{Location: loc}
			t, times := clock.Instant(wall)
			switch times {
			case 0:
				return t, fmt.Errorf("%w %s", ErrSkipped, loc)
			case 1:
				return t.UTC(), nil
			}
			return t, fmt.Errorf("%w: write %s, or the later one with its offset", ErrTwice,
				t.In(loc).Format(time.RFC3339))
		}
	}
	for _, layout := range dateLayouts {
		if date, err := time.Parse(layout, text); err == nil {
			return begin(date, loc), nil
		}
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return sinceEpoch(n)
	}
	if m := wordFormat.FindStringSubmatch(text); m != nil {
		return relative(m[1], m[2]+m[3], m[4], loc, now)
	}
	return time.Time{}, ErrMoment
}

// begin is the first instant of a date, which is given as its midnight in UTC.
func begin(date time.Time, loc *time.Location) time.Time {
	return time.UnixMicro(startOf(date, loc)).UTC()
}

// The seconds since 1970 of the years up to 2261 have at most 10 digits, and their milliseconds from 1973 on have at
// least 12.
const (
	leastMillis = 100_000_000_000
	mostSeconds = 10_000_000_000
)

// sinceEpoch reads seconds or milliseconds since 1970.
func sinceEpoch(n int64) (time.Time, error) {
	switch {
	case n < 0 || n >= mostSeconds && n < leastMillis || n > MaxTime/1000:
		return time.Time{}, fmt.Errorf("is neither seconds nor milliseconds since 1970 of a year up to 2261")
	case n < mostSeconds:
		return time.Unix(n, 0).UTC(), nil
	}
	return time.UnixMilli(n).UTC(), nil
}

// relative reads a word and what is added to it. Days and longer are added to the date in the zone, so that today-1d is
// yesterday when the clocks change.
func relative(word, amount, unit string, loc *time.Location, now time.Time) (time.Time, error) {
	n := 0
	if amount != "" {
		n, _ = strconv.Atoi(amount) // The pattern has bounded it.
	}
	local := now.In(loc)
	y, m, d := local.Date()
	date := time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
	add := func(date time.Time) time.Time { return date }
	switch unit {
	case "d":
		add = func(date time.Time) time.Time { return date.AddDate(0, 0, n) }
	case "w":
		add = func(date time.Time) time.Time { return date.AddDate(0, 0, 7*n) }
	case "mo":
		add = func(date time.Time) time.Time { return addMonths(date, n) }
	case "y":
		add = func(date time.Time) time.Time { return addMonths(date, 12*n) }
	}
	if year := add(date).Year(); year < 0 || year > 9999 { // Its microseconds could be those of another year.
		return time.Time{}, errors.New("is no time of the years 1970 to 2261")
	}
	step := time.Duration(n) * map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}[unit]
	if word == "now" {
		clock := Clock{Location: loc}
		wall := add(date).Add(time.Duration(local.Hour())*time.Hour + time.Duration(local.Minute())*time.Minute +
			time.Duration(local.Second())*time.Second + time.Duration(local.Nanosecond()))
		if add(date).Equal(date) {
			return now.UTC().Add(step), nil
		}
		t, _ := clock.Instant(wall) // Where there is none, it is when the clocks went forward.
		return t.UTC(), nil
	}
	week := date.AddDate(0, 0, -((int(date.Weekday()) + 6) % 7))
	month := time.Date(y, m, 1, 0, 0, 0, 0, time.UTC)
	year := time.Date(y, 1, 1, 0, 0, 0, 0, time.UTC)
	named, known := map[string]time.Time{"today": date, "yesterday": date.AddDate(0, 0, -1),
		"tomorrow": date.AddDate(0, 0, 1), "this_week": week, "last_week": week.AddDate(0, 0, -7), "this_month": month,
		"last_month": month.AddDate(0, -1, 0), "this_year": year, "last_year": year.AddDate(-1, 0, 0)}[word]
	if !known {
		return time.Time{}, ErrMoment
	}
	return begin(add(named), loc).Add(step), nil
}

// addMonths adds months to a date. A day that the month does not have becomes its last day: one month before March 31
// is the last of February.
func addMonths(date time.Time, n int) time.Time {
	y, m, d := date.Date()
	first := time.Date(y, m, 1, 0, 0, 0, 0, time.UTC).AddDate(0, n, 0)
	last := first.AddDate(0, 1, -1).Day()
	return first.AddDate(0, 0, min(d, last)-1)
}
