// Package timeformat reads the times that files of rows hold: RFC 3339, clock times without a zone, dates, and numbers
// of seconds since 1970.
package timeformat

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"recount/schemas/instant"
	"recount/schemas/window"
)

// maxText is how many bytes a time has at most. It bounds the work for a value that is no time.
const maxText = 64

// zoneless are the layouts that are read without being named, if a zone is given. The order of day and month is the
// same in all of them, so no text fits two.
var zoneless = []string{
	"2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02T15:04", time.DateOnly,
	"2006/01/02 15:04:05", "2006/01/02 15:04", "2006/01/02",
}

// zoned are the layouts beside RFC 3339 that are read without being named.
var zoned = []string{"2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05 Z07:00", "2006-01-02 15:04:05-07",
	"2006-01-02 15:04:05 -0700", "2006-01-02 15:04:05 UTC"}

// Format reads times of one form.
type Format struct {
	layout string        // layout is a layout of package time. Empty means RFC 3339 and the layouts above.
	unit   int64         // unit is how many nanoseconds a number counts, or 0 when times are no numbers.
	zone   *window.Clock // zone is where clocks show the times without a zone, or nil when it is not known.
}

// New returns the format with a name: empty, rfc3339, date, unix, unix-ms, unix-us, unix-ns, or a layout of package
// time such as "2006-01-02 15:04:05". Times without a zone are those of the clocks in zoneName, an IANA name.
func New(name, zoneName string) (*Format, error) {
	f := &Format{layout: name}
	if zoneName != "" {
		location, err := time.LoadLocation(zoneName)
		if err != nil || zoneName == "Local" {
			return nil, fmt.Errorf("%q is no IANA time zone such as Europe/Berlin", zoneName)
		}
		f.zone = &window.Clock{Location: location}
	}
	switch name {
	case "", "rfc3339":
		f.layout = ""
		return f, nil
	case "date":
		f.layout = time.DateOnly
		return f, nil
	}
	for i, unit := range []string{"unix-ns", "unix-us", "unix-ms", "unix"} {
		if name == unit {
			f.unit = [...]int64{1, 1e3, 1e6, 1e9}[i]
			return f, nil
		}
	}
	return f, checkLayout(name)
}

// checkLayout fails for a layout that does not say year, month and day, or that names zones by letters.
func checkLayout(layout string) error {
	const example = "write 2 January 2006, 15:04:05, as it looks there, such as \"02.01.2006 15:04\", or one of " +
		"rfc3339, date, unix, unix-ms, unix-us, unix-ns"
	first := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	read, err := time.Parse(layout, first.Format(layout))
	year, month, day := read.Date()
	switch {
	case strings.Contains(layout, "%"):
		return fmt.Errorf("%q: signs such as %%Y are not read; %s", layout, example)
	case strings.Contains(layout, "MST"):
		return fmt.Errorf("%q: the letters of a zone do not say which one it is; use an offset such as -0700", layout)
	case err != nil || year != 2001 || month != 2 || day != 3:
		return fmt.Errorf("%q does not say year, month and day; %s", layout, example)
	}
	return nil
}

// The reasons why a text is no time of the format. Each continues a sentence that quotes the text.
var (
	ErrZone = errors.New("has no zone, so it is another instant in every place; name the zone with --time-zone, such " +
		"as UTC or Europe/Berlin")
	ErrGap = errors.New("does not exist in the zone, because the clocks went forward over it")
	// ErrNumber is the reason why a number is refused. A number of seconds and one of milliseconds look alike.
	ErrNumber = errors.New("is a number; say what it counts since 1970 with --time-format unix, unix-ms, unix-us or " +
		"unix-ns")
	errRange = errors.New("is outside the years 0 to 9999")
)

// Parse reads a time. It returns RFC 3339. If clocks showed the time twice, it is the first of the two, and twice is
// true.
func (f *Format) Parse(text string) (rfc string, twice bool, err error) {
	switch {
	case len(text) > maxText:
		return "", false, fmt.Errorf("has %d bytes, and a time has at most %d", len(text), maxText)
	case f.unit != 0:
		rfc, err = f.number(text)
		return rfc, false, err
	case f.layout != "":
		return f.withLayout(text)
	}
	_, problem := instant.Parse([]byte(text))
	if problem == nil {
		return text, false, nil
	}
	for _, layout := range zoned {
		if t, err := time.Parse(layout, text); err == nil {
			return write(t), false, nil
		}
	}
	for _, layout := range zoneless {
		if t, err := time.Parse(layout, text); err == nil {
			return f.local(t, isDate(layout))
		}
	}
	if isNumber(text) {
		problem = ErrNumber
	}
	if layouts := likely(text); layouts != "" {
		problem = fmt.Errorf("%w; say how such times are written with --time-format %s", problem, layouts)
	}
	return "", false, problem
}

// likely returns the layouts in which a text that begins like 13/02/2024 is a time, for an error. Without a day after
// the 12th there are two.
func likely(text string) string {
	var found []string
	for _, date := range []string{"02/01/2006", "01/02/2006"} {
		for _, separator := range []string{"/", ".", "-"} {
			for _, clock := range []string{"", " 15:04", " 15:04:05"} {
				layout := strings.ReplaceAll(date, "/", separator) + clock
				if _, err := time.Parse(layout, text); err == nil {
					found = append(found, strconv.Quote(layout))
				}
			}
		}
	}
	return strings.Join(found, " or ")
}

func (f *Format) withLayout(text string) (rfc string, twice bool, err error) {
	t, err := time.Parse(f.layout, text)
	if err != nil {
		return "", false, fmt.Errorf("is not of the form %q", f.layout)
	}
	if strings.Contains(f.layout, "07") { // The layout has an offset. -07 stands for one, and no other part of a time.
		return write(t), false, nil
	}
	return f.local(t, isDate(f.layout))
}

// isDate reports whether a layout has no time of day.
func isDate(layout string) bool {
	midnight := time.Date(2001, 2, 3, 0, 0, 0, 0, time.UTC)
	const hour, minute, second, nanosecond = 16, 17, 18, 192021222
	later := time.Date(2001, 2, 3, hour, minute, second, nanosecond, time.UTC)
	return midnight.Format(layout) == later.Format(layout)
}

// Local returns the instant at which the clocks of the zone show what wall shows in UTC.
func (f *Format) Local(wall time.Time) (rfc string, twice bool, err error) {
	return f.local(wall, false)
}

// local returns the instant of a local time. A date whose midnight the clocks skipped begins when they went forward.
func (f *Format) local(wall time.Time, date bool) (rfc string, twice bool, err error) {
	if f.zone == nil {
		return "", false, ErrZone
	}
	t, times := f.zone.Instant(wall)
	if times == 0 && (!date || t.In(f.zone.Location).Format(time.DateOnly) != wall.Format(time.DateOnly)) {
		return "", false, fmt.Errorf("%w %s", ErrGap, f.zone.Location)
	}
	return write(t), times > 1, nil
}

// HasZone reports whether times without a zone can be read.
func (f *Format) HasZone() bool { return f.zone != nil }

// Date returns the begin of a date, in UTC when there is no zone.
func (f *Format) Date(date time.Time) (rfc string, err error) {
	if f.zone == nil {
		return write(date), nil
	}
	rfc, _, err = f.local(date, true)
	return rfc, err
}

// IsTime reports whether a text is a time that is read without a format, and whether it has a zone.
func IsTime(text string) (is, hasZone bool) {
	if len(text) < len(time.DateOnly) || len(text) > maxText {
		return false, false
	}
	if _, err := instant.Parse([]byte(text)); err == nil {
		return true, true
	}
	fits := func(layout string) bool {
		_, err := time.Parse(layout, text)
		return err == nil
	}
	if slices.ContainsFunc(zoned, fits) {
		return true, true
	}
	return slices.ContainsFunc(zoneless, fits), false
}

func write(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
