package guard

import (
	_ "embed" // of the lists
	"maps"
	"slices"
	"strings"
)

// ordinary are the functions that a statement may call: those that compute with their arguments and know nothing else.
// Not among them are functions that read files, dictionaries, tables, settings and the names of servers and users, that
// ask the network, that wait, that take the name of another function or a format, and that read bytes as the state of
// an aggregate function. Nor are those that see blocks of rows, or counters of the process: their values depend on the
// rows and statements of other tenants. Neither are those of libraries whose memory ClickHouse does not count, and
// those whose time grows with the square of one value: the engine looks at the clock between blocks of rows only, so
// such a call goes on for minutes after the statement's time.
//
//go:embed functions.txt
var ordinary string

// aggregates are the aggregate functions that a statement may call, also with combinators.
//
//go:embed aggregates.txt
var aggregates string

// unlisted are functions that ClickHouse does not list, because the analysis of a query replaces them.
const unlisted = "exists grouping untuple columns"

// combinators end the names of aggregate functions. Null makes no function of a name that a client writes.
var combinators = []string{"SimpleState", "OrDefault", "Distinct", "Resample", "ForEach", "ArgMax", "ArgMin", "OrNull",
	"Merge", "State", "Array", "Map", "If"}

// tableFunctions are those that a statement may call. They have rows of numbers, or of values in the statement.
var tableFunctions = wordSet("numbers generate_series generateSeries values VALUES")

// Functions returns the names of the functions and aggregate functions that a statement may call, without combinators.
func Functions() []string { return strings.Fields(ordinary + " " + aggregates) }

// Aggregates returns the names of the aggregate functions among them.
func Aggregates() []string { return strings.Fields(aggregates) }

// TableFunctions returns the names of the table functions that a statement may call.
func TableFunctions() []string { return slices.Sorted(maps.Keys(tableFunctions)) }

var (
	lowerFunctions   = wordSet(strings.ToLower(ordinary + " " + aggregates + " " + unlisted))
	lowerAggregates  = wordSet(strings.ToLower(aggregates))
	lowerCombinators = strings.Fields(strings.ToLower(strings.Join(combinators, " ")))
)

// allowsFunction reports whether a statement may call a function. The names of some functions are read in any case. No
// two functions differ in the case of their names alone, of which one is allowed (TestFunctionsAreSorted).
func allowsFunction(name string) bool {
	lower := strings.ToLower(name)
	return lowerFunctions[lower] || isCombined(lower)
}

// isCombined reports whether a name in lower case is an aggregate function with combinators.
func isCombined(lower string) bool {
	if lowerAggregates[lower] {
		return true
	}
	for _, c := range lowerCombinators {
		if rest, found := strings.CutSuffix(lower, c); found && rest != "" && isCombined(rest) {
			return true
		}
	}
	return false
}
