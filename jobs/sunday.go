package jobs

import (
	"strconv"
	"strings"
)

// weekdays are the names that a cron expression may use.
var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

const sunday = 7 // as many people write it; the parser wants 0

// withSunday returns a cron expression in which 7 and the end of a range such as fri-sun are written as the parser
// wants a Sunday.
func withSunday(expression string) string {
	fields := strings.Fields(expression)
	if len(fields) < 5 || strings.HasPrefix(expression, "@") {
		return expression
	}
	days := strings.Split(fields[len(fields)-1], ",")
	for i, item := range days {
		days[i] = itemWithSunday(item)
	}
	fields[len(fields)-1] = strings.Join(days, ",")
	return strings.Join(fields, " ")
}

// itemWithSunday is withSunday for one item of the weekdays: a day, or a range with or without a step. It returns what
// it cannot read as it is.
func itemWithSunday(item string) string {
	span, every, stepped := strings.Cut(item, "/")
	from, to, isRange := strings.Cut(span, "-")
	first := weekday(from)
	if !isRange {
		if first == sunday {
			return strings.Replace(item, from, "0", 1)
		}
		return item
	}
	last := weekday(to)
	if strings.EqualFold(to, weekdays[0]) && first > 0 {
		last = sunday
	}
	step := 1
	if stepped {
		step, _ = strconv.Atoi(every) // 0 is refused below.
	}
	if first < 0 || last != sunday || step < 1 {
		return item
	}
	var days []string
	for day := first; day <= last; day += step {
		days = append(days, strconv.Itoa(day%sunday))
	}
	return strings.Join(days, ",")
}

// weekday returns the number of a day, or -1.
func weekday(text string) int {
	for day, name := range weekdays {
		if strings.EqualFold(text, name) {
			return day
		}
	}
	if day, err := strconv.Atoi(text); err == nil && day <= sunday {
		return day
	}
	return -1
}
