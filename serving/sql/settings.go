package sql

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"recount/schemas/instant"
	"recount/schemas/window"
	"recount/serving/sql/guard"
)

// allowedSettings are what a statement may set: how results are written, and what operations mean that other systems
// define otherwise. None has to do with what is read, or at which cost.
var allowedSettings = map[string]bool{
	"aggregate_functions_null_for_empty": true, "date_time_output_format": true, "group_by_use_nulls": true,
	"join_use_nulls": true, "union_default_mode": true, "output_format_arrow_string_as_string": true,
	"output_format_csv_crlf_end_of_line": true, "output_format_json_quote_64bit_floats": true,
	"output_format_json_quote_64bit_integers": true, "output_format_json_quote_decimals": true,
	"output_format_json_quote_denormals": true, "output_format_parquet_compression_method": true,
	"output_format_parquet_string_as_string": true, "output_format_arrow_compression_method": true,
	"transform_null_in": true, "prefer_column_name_to_alias": true, sessionZone: true,
}

// sessionZone is the time zone of what a statement does not give one.
const sessionZone = "session_timezone"

// Settings with which a client asks for less than the limits allow. A limit is never raised, and 0 means no limit of
// the client's own.
const (
	maxExecutionTime   = "max_execution_time" // seconds
	maxMemoryUsage     = "max_memory_usage"
	maxResultRows      = "max_result_rows"
	maxResultBytes     = "max_result_bytes"
	resultOverflowMode = "result_overflow_mode" // of max_result_rows: throw or break
	limitRows          = "limit"
	offsetRows         = "offset"
)

// Settings that say of which times a statement reads events: from, and before. They are recount's own, and the engine
// does not get them.
const (
	eventsFrom = "events_from"
	eventsTo   = "events_to"
)

// limitSettings are the settings of limits and of times, by what is wrong with a value, or an empty text.
var limitSettings = map[string]func(value string) string{
	maxExecutionTime: func(v string) string {
		if seconds, err := strconv.ParseFloat(v, 64); err != nil || seconds < 0 || math.IsNaN(seconds) {
			return "must be a number of seconds"
		}
		return ""
	},
	maxMemoryUsage: wrongCount, maxResultRows: wrongCount, maxResultBytes: wrongCount, limitRows: wrongCount,
	offsetRows: wrongCount, eventsFrom: wrongTime, eventsTo: wrongTime,
	resultOverflowMode: func(v string) string {
		if v != "throw" && v != "break" {
			return "must be throw or break"
		}
		return ""
	},
}

func wrongCount(v string) string {
	if _, err := strconv.ParseUint(v, 10, 64); err != nil {
		return "must be a whole number"
	}
	return ""
}

func wrongTime(v string) string {
	if _, err := instant.Parse([]byte(v)); err != nil {
		return err.Error()
	}
	return ""
}

// timesOf returns the range of times of events, of settings that were checked.
func timesOf(settings map[string]string) (from, to int64) {
	from = window.MinTime
	to = window.MaxTime + 1
	if t, err := instant.Parse([]byte(settings[eventsFrom])); err == nil {
		from = t
	}
	if t, err := instant.Parse([]byte(settings[eventsTo])); err == nil {
		to = t
	}
	return from, to
}

// ignoredSettings say how the engine goes about a statement. The result does not depend on them, and the server
// chooses.
var ignoredSettings = map[string]bool{"max_threads": true, "max_block_size": true, "log_comment": true,
	"select_sequential_consistency": true}

// whyRefused are settings that clients have reasons to send, by what to do instead.
var whyRefused = map[string]string{
	"max_rows_to_read":      tellsRows,
	"max_bytes_to_read":     tellsRows,
	"read_overflow_mode":    tellsRows,
	"timeout_overflow_mode": "a result is whole, or there is none; leave it out",
}

const tellsRows = "rows that are read may also be of other tenants, and their number is not told; use " +
	"max_execution_time or max_result_rows"

// settingsOfStatements returns the names of all settings that are not refused.
func settingsOfStatements() []string {
	names := slices.Concat(slices.Collect(maps.Keys(allowedSettings)), slices.Collect(maps.Keys(limitSettings)),
		slices.Collect(maps.Keys(ignoredSettings)))
	slices.Sort(names)
	return names
}

// checkSettings refuses a setting that is not allowed. None is ignored on which the result depends, because it would
// not be what was asked.
func checkSettings(settings map[string]string) error {
	if zone := settings[sessionZone]; zone != "" && !guard.IsZone(zone) {
		return wrongSetting(sessionZone, zone, ": it is no time zone", codeBadArguments, "BAD_ARGUMENTS")
	}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		if wrong := limitSettings[name]; wrong != nil {
			if why := wrong(settings[name]); why != "" {
				return wrongSetting(name, settings[name], ": it "+why, codeBadArguments, "BAD_ARGUMENTS")
			}
			continue
		}
		if !allowedSettings[name] && !ignoredSettings[name] {
			why := cmp.Or(whyRefused[name], "allowed are "+strings.Join(settingsOfStatements(), ", "))
			return &Failure{Kind: Refused, Text: "the setting " + quoted(name) + " is not allowed; " + why}
		}
	}
	return nil
}

// codeBadArguments is ClickHouse's of a value that cannot be read.
const codeBadArguments = 36

func wrongSetting(name, value, why string, code int, codeName string) error {
	return &Failure{Kind: Invalid, Text: "the setting " + name + " does not take the value " + quoted(value) + why,
		Code: code, Name: codeName}
}

// tightened returns the limits of a statement with these settings, which were checked.
func (l Limits) tightened(settings map[string]string) Limits {
	if seconds, _ := strconv.ParseFloat(settings[maxExecutionTime], 64); seconds > 0 {
		l.Timeout = time.Duration(min(float64(l.Timeout), seconds*float64(time.Second)))
	}
	l.Memory = lower(l.Memory, settings[maxMemoryUsage])
	l.ResultBytes = lower(l.ResultBytes, settings[maxResultBytes])
	if settings[resultOverflowMode] != "break" {
		l.Rows = lower(l.Rows, settings[maxResultRows])
	}
	return l
}

// lower returns the lower one of a limit and a number in a setting, of which 0 is none.
func lower(limit int64, setting string) int64 {
	if n, _ := strconv.ParseUint(setting, 10, 64); n > 0 && n < uint64(limit) {
		return int64(n)
	}
	return limit
}

// cut returns the settings that cut the result of a statement. With the mode break it ends after max_result_rows. The
// engine's own mode would return whole blocks, and would cut a result that is too large without saying so.
func cut(settings map[string]string, rows int64) map[string]string {
	limit := lower(math.MaxInt64, settings[limitRows])
	if settings[resultOverflowMode] == "break" {
		limit = lower(limit, settings[maxResultRows])
	}
	out := map[string]string{}
	if limit <= rows { // Otherwise nothing is cut that is not refused.
		out[limitRows] = strconv.FormatInt(limit, 10)
	}
	if offset := settings[offsetRows]; offset != "" {
		out[offsetRows] = offset
	}
	return out
}

// setChosen gives a session the settings that the client has chosen, one by one, so that a wrong value is told from
// another and from a mistake of ours.
func setChosen(session Session, settings map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		if !allowedSettings[name] {
			continue
		}
		err := session.Set(map[string]string{name: settings[name]})
		var e Exception
		switch {
		case errors.As(err, &e) && e.ExceptionCode() != codeMemory:
			return wrongSetting(name, settings[name], "", e.ExceptionCode(), nameOf(e))
		case err != nil:
			return fmt.Errorf("%w: %w", errScript, err)
		}
	}
	return nil
}
