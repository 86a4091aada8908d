package guard

import (
	"regexp"
	"strings"
	"time"
)

// zoneName is what names of time zones look like. They have no colon and no point, and do not begin with a slash.
var zoneName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$`)

// IsZone reports whether a text is the name of a time zone. The engine opens a file for a name that it does not know,
// which may be any file, and which it may wait for.
func IsZone(name string) bool {
	if !zoneName.MatchString(name) || name == "Local" {
		return false
	}
	_, err := time.LoadLocation(name)
	return err == nil
}

const wantZone = "the time zone %q is not allowed; write the name of one, as 'UTC' or 'Europe/Berlin'"

var (
	// zonedType is a type that takes a time zone.
	zonedType = regexp.MustCompile(`(?i)datetime(?:32|64)?|timestamp`)
	// zonedArguments are the arguments of such a type.
	zonedArguments = regexp.MustCompile(`^\(\s*(?:[0-9]+\s*)?(?:,\s*)?(?:'([^']*)')?\s*\)`)
	// escaped is a character of a string that is written with a backslash.
	escaped = regexp.MustCompile(`\\(.)`)
)

// CheckText refuses a text that could be read as a type with something else than a time zone. The engine makes types
// before there is a tree. So all strings of a statement are checked, and the values of parameters.
func CheckText(text string) error {
	plain := escaped.ReplaceAllString(text, "$1")
	if strings.Contains(text, `\x`) && strings.ContainsAny(plain, "'(") && len(text) > len("file:") {
		return refuseText("\\x is not allowed in a string with quotes or parentheses; use unhex")
	}
	for _, at := range zonedType.FindAllStringIndex(plain, -1) {
		rest := strings.TrimLeft(plain[at[1]:], " \t\r\n\f\v`\"")
		if rest == "" || !strings.ContainsAny(rest[:1], "(/-#") || !strings.ContainsAny(rest, "'$‘’") {
			continue
		}
		m := zonedArguments.FindStringSubmatch(rest)
		if m == nil || m[1] != "" && !IsZone(m[1]) {
			return refuse(wantZone, rest)
		}
	}
	return nil
}

// checkZones refuses time zones that are none in the types of a statement.
func checkZones(tokens []token) error {
	for i, t := range tokens {
		if t.kind == str {
			if err := CheckText(t.text); err != nil {
				return err
			}
		}
		typed := (t.kind == word || t.kind == name) && zonedType.FindString(t.text) == t.text
		if !typed || i+1 == len(tokens) || !tokens[i+1].isSymbol("(") {
			continue
		}
		depth := 0
		for _, argument := range tokens[i+1:] {
			if argument.isSymbol("(") {
				depth++
			} else if argument.isSymbol(")") {
				depth--
			}
			if depth == 0 {
				break
			}
			isTime := argument.text != "" && argument.text[0] >= '0' && argument.text[0] <= '9'
			if argument.kind == str && !IsZone(argument.text) && !isTime {
				return refuse(wantZone, argument.text)
			}
		}
	}
	return nil
}

// zoned are the functions that may take a time zone as their second argument or one after it.
var zoned = regexp.MustCompile(`^(?:to_?(?:year|month|quarter|day|hour|minute|second|millisecond|monday|lastday|` +
	`startof|relative|yyyymm|iso|week|unix|date|time|string|utc)|from_?(?:utc|unix)|parsedate|snowflake|uuidv7|` +
	`yyyymm|now|date|day|hour|minute|second|millisecond|month|quarter|year|week|last_day|time_?slot|utc|str_to_date|` +
	`current_timestamp|make_?date|timezone|timestamp|age|time_bucket|today|yesterday|curdate)`)

// zoneAt is the first place of a time zone among the arguments of those where it is not the second.
var zoneAt = map[string]int{"now": 1, "nowinblock": 1, "current_timestamp": 1, "formatdatetime": 3, "date_format": 3,
	"formatdatetimeinjodasyntax": 3, "fromunixtimestampinjodasyntax": 3, "fromunixtimestamp": 3, "from_unixtime": 3,
	"parsedatetime": 3, "parsedatetimeornull": 3, "parsedatetimeorzero": 3, "parsedatetime64": 3, "str_to_date": 3,
	"parsedatetime64ornull": 3, "parsedatetime64orzero": 3, "datetrunc": 3, "date_trunc": 3, "datename": 3,
	"tostartofinterval": 3, "time_bucket": 3, "date_bin": 3, "datediff": 4, "date_diff": 4, "timestampdiff": 4,
	"timestamp_diff": 4, "age": 4, "makedate": 7, "makedate32": 7, "makedatetime": 7, "makedatetime64": 8,
	"timeslots": 4, "timestamp": 3}

// times are functions whose value is a time, and so no time zone.
var times = wordSet("todate todate32 todatetime todatetime64 now now64 today yesterday tointervalsecond " +
	"tointervalminute tointervalhour tointervalday tointervalweek tointervalmonth tointervalquarter tointervalyear")

// checkZone refuses an argument in the place of a time zone which is no constant name of one.
func checkZone(function string, number int, argument *node) error {
	lower := strings.ToLower(function)
	first := zoneAt[lower]
	switch {
	case first > 0:
	case zoned.MatchString(lower):
		first = 2
	case strings.HasPrefix(lower, "add") || strings.HasPrefix(lower, "subtract"):
		first = 3
	}
	if first == 0 || number < first {
		return nil
	}
	value := argument.attributes["constant_value"]
	switch {
	case argument.kind == "FUNCTION" && times[strings.ToLower(argument.attributes["function_name"])]:
	case argument.kind == "CONSTANT" && !strings.HasPrefix(value, "'"):
	case argument.kind == "CONSTANT" && IsZone(strings.Trim(value, "'")):
	case argument.kind == "CONSTANT":
		return refuse(wantZone, strings.Trim(value, "'"))
	default:
		return refuse("argument %d of %s must be a constant: the name of a time zone, or a number", number, function)
	}
	return nil
}
