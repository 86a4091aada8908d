package guard

import (
	"regexp"
	"strings"
)

// How many bytes may be in what a function looks for in a text, also where it ignores the case. The time of the search
// is in the worst case the product of both lengths, and the engine does not look at the clock meanwhile. In 30 MB
// position took 2 s for 250 bytes, and more than a minute for 15 MB. ILIKE took 19 s for 250 bytes in 3 MB.
const (
	maxNeedle       = 256
	maxNeedleNoCase = 64
)

// ignoresCase are the functions, in lower case, that ignore the case.
var ignoresCase = regexp.MustCompile(`ilike|caseinsensitive|^instr$`)

// needled are the functions that look for a text or a pattern in their first argument, in lower case. It is the second
// one.
var needled = regexp.MustCompile(`^(?:position|instr$|countmatches|multisearch|replace|` +
	`regexp_|regexpextract$|regexpinstr$|regexpposition$|extract(?:all|groups|$)|hastoken|hassubsequence|` +
	`substring_?index|(?:not)?i?like$|match$|mapcontains(?:key|value)like$|mapextract(?:key|value)like$|` +
	`simplejson|visitparam|extracturlparameter$|cuturlparameter$|reversebyseparator$)`)

// needleFirst are those that have the needle first.
var needleFirst = wordSet("locate splitbystring splitbyregexp")

// checkNeedle refuses an argument in the place of a needle that is not a short constant. A column could be one of a
// subquery, with any text.
func checkNeedle(function string, number int, argument *node) error {
	lower := strings.ToLower(function)
	at := 2
	if needleFirst[lower] {
		at = 1
	} else if !needled.MatchString(lower) {
		return nil
	}
	if number != at {
		return nil
	}
	longest := maxNeedle
	if ignoresCase.MatchString(lower) {
		longest = maxNeedleNoCase
	}
	if length, isConstant := constantLength(argument); !isConstant || length > longest {
		return refuse("argument %d of %s must be a constant of at most %d bytes", number, function, longest)
	}
	return nil
}

// ofConstants are the functions, in lower case, whose text is at most as long as all their arguments are.
var ofConstants = wordSet("concat lower upper array")

// constantLength returns how long a text is at most as the tree writes it, and whether it is a constant. The value of
// a parameter is cast to its type. A type with a length could be longer than the value.
func constantLength(n *node) (length int, isConstant bool) {
	switch lower := strings.ToLower(n.attributes["function_name"]); {
	case n.kind == "CONSTANT":
		return len(n.attributes["constant_value"]), true
	case lower == "cast" || lower == "_cast":
		arguments := n.children[0].children[0].children
		if len(arguments) != 2 || strings.Contains(arguments[1].attributes["constant_value"], "Fixed") {
			return 0, false
		}
		return constantLength(arguments[0])
	case !ofConstants[lower] || len(n.children) != 1:
		return 0, false
	}
	for _, argument := range n.children[0].children[0].children {
		one, isConstant := constantLength(argument)
		if !isConstant {
			return 0, false
		}
		length += one
	}
	return length, true
}
