package guard

import (
	"regexp"
	"strings"
)

// How many bytes may be in what a function looks for in a text, also where it ignores the case. The time of the search
// is in the worst case the product of both lengths, and the engine does not look at the clock meanwhile. In 30 MB
// position took 2 s for 250 bytes, and more than a minute for 15 MB. ILIKE took 3 s of CPU for 59 bytes in 3 MB. With
// the same needle positionCaseInsensitive took 0.05 s, and LIKE of lowerUTF8 0.05 s.
//
// trim takes 16 characters at most, and str_to_map separators of one, as the engine has it.
const (
	maxNeedle       = 256
	maxNeedleNoCase = 64
	maxNeedleILike  = 32
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
	if strings.HasSuffix(lower, "ilike") {
		longest = maxNeedleILike
	} else if ignoresCase.MatchString(lower) {
		longest = maxNeedleNoCase
	}
	if length, isConstant := constantLength(argument); !isConstant || length > longest {
		return refuse("argument %d of %s must be a constant of at most %d bytes", number, function, longest)
	}
	return nil
}

// maxElements is how many bytes the tree may have for an array in which a function looks for other values.
const maxElements = 16 << 10

// ofArrays are the functions, in lower case, whose time is the product of the rows of a block and the elements of an
// array that is the same in all rows.
var ofArrays = wordSet("has indexof countequal mapcontains mapcontainskey mapcontainsvalue arrayintersect arrayunion " +
	"arraysymmetricdifference arrayjaccardindex arrayexcept")

// checkElements refuses such a function with two arguments that are not short constants. The engine keeps an array that
// is the same in all rows once, so no limit of memory bounds it. In one call has took 49 s of CPU for 100,000 elements
// and 65,536 rows, and arrayIntersect 1.9 s for 2,000. With one such argument, the call is either over constants, and
// made once, or over an array that is in memory for each row. The tree does not show which of them an argument is.
func checkElements(n *node) error {
	function := n.attributes["function_name"]
	if !ofArrays[strings.ToLower(function)] {
		return nil
	}
	others := 0
	for _, s := range n.children {
		if s.kind != "ARGUMENTS" || len(s.children) != 1 {
			continue
		}
		for _, argument := range s.children[0].children {
			if length, isConstant := constantLength(argument); !isConstant || length > maxElements {
				others++
			}
		}
	}
	if others > 1 {
		return refuse("all arguments of %s but one must be constants of at most %d bytes; write IN for a longer list, "+
			"and arrayExists(x -> x = value, list) for two columns", function, maxElements)
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
