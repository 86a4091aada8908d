package guard

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Refusal is why a statement does not run. Its text names the first thing that is not allowed, and what to write
// instead. It holds nothing but the statement's own words.
type Refusal struct {
	// Code is ClickHouse's number of the error, and Name its name, for clients that speak its protocol.
	Code int
	Name string
	text string
}

func (r *Refusal) Error() string { return r.text }

// refuse returns the refusal of something that is not on a list.
func refuse(format string, args ...any) error { return refuseAs(497, "ACCESS_DENIED", format, args...) }

// refuseText returns the refusal of a text that cannot be read.
func refuseText(format string, args ...any) error {
	return refuseAs(62, "SYNTAX_ERROR", format, args...)
}

func refuseAs(code int, name, format string, args ...any) error {
	return &Refusal{code, name, fmt.Sprintf(format, args...)}
}

// NoTable returns the refusal of a table that a client may not read, or that does not exist.
func NoTable(plain string) error {
	database, table, _ := strings.Cut(plain, " ")
	if slices.Contains(slices.Collect(maps.Values(systemDatabases)), database) {
		plain = database + "." + table
	}
	return refuseAs(60, "UNKNOWN_TABLE", "there is no table %s for this key; SHOW TABLES lists them", plain)
}
