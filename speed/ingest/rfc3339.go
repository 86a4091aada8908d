package ingest

// parseTime reads an RFC 3339 time as microseconds since 1970, and cuts off any digits beyond
// the microsecond. It accepts only capital T and Z, no leap second, and offsets up to 23:59.
func parseTime(b []byte) (int64, bool) {
	if len(b) < len("2006-01-02T15:04:05Z") || b[4] != '-' || b[7] != '-' || b[10] != 'T' || b[13] != ':' ||
		b[16] != ':' {
		return 0, false
	}
	century := twoDigits(b, 0)
	year := twoDigits(b, 2)
	month := twoDigits(b, 5)
	day := twoDigits(b, 8)
	hour := twoDigits(b, 11)
	minute := twoDigits(b, 14)
	second := twoDigits(b, 17)
	if century > 99 || year > 99 || hour > 23 || minute > 59 || second > 59 {
		return 0, false
	}
	year += century * 100
	if month-1 > 11 || day-1 >= daysInMonth(month, year) {
		return 0, false
	}
	micros, rest, ok := parseFraction(b[19:])
	if !ok {
		return 0, false
	}
	offset, ok := parseZone(rest)
	t := (daysSince1970(int64(year), int64(month), int64(day))*24+int64(hour))*3600 + int64(minute)*60 + int64(second)
	return (t-offset)*1_000_000 + micros, ok
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

// daysSince1970 counts from March, so that the leap day is the last of its year.
func daysSince1970(y, m, d int64) int64 {
	if m <= 2 {
		y--
		m += 12
	}
	return y*365 + y/4 - y/100 + y/400 + (153*(m-3)+2)/5 + d - 1 - 719468
}

// parseFraction reads the digits after the seconds, if there are any, and returns the bytes after them.
func parseFraction(b []byte) (micros int64, rest []byte, ok bool) {
	if b[0] != '.' {
		return 0, b, true
	}
	i := 1
	scale := int64(100_000)
	for ; i < len(b) && b[i]-'0' <= 9; i++ {
		micros += int64(b[i]-'0') * scale
		scale /= 10
	}
	return micros, b[i:], i > 1
}

// parseZone reads Z or an offset such as -06:00, in seconds.
func parseZone(b []byte) (int64, bool) {
	if len(b) == 1 && b[0] == 'Z' {
		return 0, true
	}
	if len(b) != 6 || b[3] != ':' || b[0] != '+' && b[0] != '-' {
		return 0, false
	}
	hours := twoDigits(b, 1)
	minutes := twoDigits(b, 4)
	offset := int64(hours)*3600 + int64(minutes)*60
	if b[0] == '-' {
		offset = -offset
	}
	return offset, hours < 24 && minutes < 60
}
