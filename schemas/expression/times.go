package expression

import (
	"fmt"
	"time"

	"recount/schemas/instant"
	_ "recount/schemas/window" // Time zones must not depend on the machine.
)

// timeFunctions are the functions of times. All but timestamp take a zone, which is UTC if there is none.
var timeFunctions = []function{
	{name: "timestamp", usage: "timestamp('2024-05-01T00:00:00Z')", help: "A time. The text is a literal.",
		check: checkTimestamp, evaluate: func(n *node, _ []value) value { return n.value },
		sql: func(n *node, _ []string) string { return timeSQL(n.value.whole) }},
	part("year", "The year of a time in a zone.", func(t time.Time) int { return t.Year() }, "toYear"),
	part("month", "The month of a time in a zone, 1 to 12.", func(t time.Time) int { return int(t.Month()) },
		"toMonth"),
	part("day", "The day of the month of a time in a zone, 1 to 31.", time.Time.Day, "toDayOfMonth"),
	part("hour", "The hour of a time in a zone, 0 to 23.", time.Time.Hour, "toHour"),
	part("minute", "The minute of a time in a zone, 0 to 59.", time.Time.Minute, "toMinute"),
	part("weekday", "The day of the week of a time in a zone, 1 for Monday to 7.",
		func(t time.Time) int { return (int(t.Weekday())+6)%7 + 1 }, "toDayOfWeek"),
	{name: "date", usage: "date(time, 'Europe/Oslo')", help: "The date of a time in a zone, such as 2024-05-01.",
		check:    checkPart(String),
		evaluate: func(n *node, a []value) value { return text(local(n, a[0]).Format(time.DateOnly)) },
		sql: func(n *node, a []string) string {
			return "toString(toDate32(toTimeZone(" + a[0] + ", " + quote(zoneOf(n)) + ")))"
		}},
}

func part(name, help string, of func(time.Time) int, clickhouse string) function {
	return function{name: name, usage: name + "(time, 'Europe/Oslo')", help: help, check: checkPart(Int64),
		evaluate: func(n *node, a []value) value { return value{whole: int64(of(local(n, a[0])))} },
		sql: func(n *node, a []string) string {
			return fmt.Sprintf("toInt64(%s(toTimeZone(%s, %s)))", clickhouse, a[0], quote(zoneOf(n)))
		}}
}

func checkTimestamp(n *node) string {
	if msg := takes(Timestamp, String)(n); msg != "" {
		return msg
	}
	if !n.args[0].isLiteral {
		return "the text is a literal"
	}
	micros, err := instant.Parse([]byte(n.args[0].value.text))
	if err != nil {
		return fmt.Sprintf("%q %v", n.args[0].value.text, err)
	}
	n.value = value{whole: micros}
	return ""
}

func checkPart(result Type) func(*node) string {
	return func(n *node) string {
		types := []Type{Timestamp, String}[:max(1, min(2, len(n.args)))]
		if msg := takes(result, types...)(n); msg != "" {
			return msg
		}
		if len(n.args) == 2 && !n.args[1].isLiteral {
			return "the zone is a literal"
		}
		zone, err := time.LoadLocation(zoneOf(n))
		if err != nil || zoneOf(n) == "" || zoneOf(n) == "Local" {
			return fmt.Sprintf("%q is no time zone such as Europe/Oslo", zoneOf(n))
		}
		n.zone = zone
		return ""
	}
}

func zoneOf(n *node) string {
	if len(n.args) < 2 {
		return "UTC"
	}
	return n.args[1].value.text
}

func local(n *node, v value) time.Time { return time.UnixMicro(v.whole).In(n.zone) }
