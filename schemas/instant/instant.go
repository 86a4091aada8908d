// Package instant reads times as RFC 3339 writes them, in the same way wherever recount takes one: in events, in
// queries, in filters of views, in parameters and on the command line.
//
//	2001-01-01T00:01:00Z  2001-01-01t00:01:00.123456z  2000-12-31T18:01:00-06:00
//
// T and Z may be small letters, as section 5.6 permits. Digits beyond the microsecond are cut off. An offset is at most
// 23:59. A time without a zone is refused, because it names a different instant in every place.
//
// A leap second, 60, is accepted where there can be one: as 23:59:60 UTC on the last day of a month. It is read as the
// last microsecond of that day. It then counts in the day and the month that its sender wrote, and times keep their
// order. The next midnight, which POSIX would take, belongs to another day.
package instant

import (
	"errors"
	"time"
)

// The reasons why a text is not an instant. Each continues a sentence that quotes the text.
var (
	ErrForm = errors.New("is not an RFC 3339 time such as 2001-01-01T00:01:00Z")
	ErrZone = errors.New("is not an RFC 3339 time: it has no zone; append Z for UTC, or an offset such as -06:00")
	ErrLeap = errors.New("has second 60, which exists only at 23:59:60 UTC on the last day of a month: write 59")
)

// zoneless is the length of a time without fraction and zone.
const zoneless = len("2006-01-02T15:04:05")

const microsPerSecond = 1_000_000

// Time reads an instant as a time in UTC.
func Time(text string) (time.Time, error) {
	micros, err := Parse([]byte(text))
	if err != nil {
		return time.Time{}, err
	}
	return time.UnixMicro(micros).UTC(), nil
}

// Parse reads an instant as microseconds since 1970. It allocates nothing, because every event has a time.
func Parse(b []byte) (int64, error) {
	if len(b) < zoneless || b[4] != '-' || b[7] != '-' || b[10]|0x20 != 't' || b[13] != ':' || b[16] != ':' {
		return 0, ErrForm
	}
	century := twoDigits(b, 0)
	year := twoDigits(b, 2)
	month := twoDigits(b, 5)
	day := twoDigits(b, 8)
	hour := twoDigits(b, 11)
	minute := twoDigits(b, 14)
	second := twoDigits(b, 17)
	if century > 99 || year > 99 || hour > 23 || minute > 59 || second > 60 {
		return 0, ErrForm
	}
	year += century * 100
	if month-1 > 11 || day-1 >= daysInMonth(month, year) {
		return 0, ErrForm
	}
	micros, rest, ok := parseFraction(b[zoneless:])
	if !ok {
		return 0, ErrForm
	}
	offset, err := parseZone(rest)
	if err != nil {
		return 0, err
	}
	t := (daysSince1970(int64(year), int64(month), int64(day))*24+int64(hour))*3600 + int64(minute)*60 +
		int64(second) - offset
	if second == 60 {
		return leapSecond(t)
	}
	return t*microsPerSecond + micros, nil
}

// leapSecond reads second 60. The second after it is t, in seconds since 1970.
func leapSecond(t int64) (int64, error) {
	if next := time.Unix(t, 0).UTC(); next.Day() != 1 || next.Hour() != 0 || next.Minute() != 0 {
		return 0, ErrLeap
	}
	return t*microsPerSecond - 1, nil
}

// twoDigits reads the two digits at i. For any other bytes the result is above 99.
func twoDigits(b []byte, i int) uint {
	hi := uint(b[i] - '0')
	lo := uint(b[i+1] - '0')
	if hi > 9 || lo > 9 {
		return 1000
	}
	return hi*10 + lo
}

func daysInMonth(month, year uint) uint {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// daysSince1970 counts from March, so that the leap day is the last of its year. It adds 400 years, which are 146,097
// days, so that January of year 0 does not divide a negative number.
func daysSince1970(y, m, d int64) int64 {
	y += 400
	if m <= 2 {
		y--
		m += 12
	}
	return y*365 + y/4 - y/100 + y/400 + (153*(m-3)+2)/5 + d - 1 - 719468 - 146097
}

// parseFraction reads the digits after the seconds, if there are any, and returns the bytes after them.
func parseFraction(b []byte) (micros int64, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != '.' {
		return 0, b, true
	}
	i := 1
	scale := int64(microsPerSecond / 10)
	for ; i < len(b) && b[i]-'0' <= 9; i++ {
		micros += int64(b[i]-'0') * scale
		scale /= 10
	}
	return micros, b[i:], i > 1
}

// parseZone reads Z or an offset such as -06:00, in seconds.
func parseZone(b []byte) (int64, error) {
	if len(b) == 0 {
		return 0, ErrZone
	}
	if len(b) == 1 && b[0]|0x20 == 'z' {
		return 0, nil
	}
	if len(b) != 6 || b[3] != ':' || b[0] != '+' && b[0] != '-' {
		return 0, ErrForm
	}
	hours := twoDigits(b, 1)
	minutes := twoDigits(b, 4)
	if hours > 23 || minutes > 59 {
		return 0, ErrForm
	}
	offset := int64(hours)*3600 + int64(minutes)*60
	if b[0] == '-' {
		offset = -offset
	}
	return offset, nil
}
