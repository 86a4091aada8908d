package guard

import (
	"regexp"
	"regexp/syntax"
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
	if strings.HasSuffix(lower, "ilike") || strings.HasSuffix(lower, "caseinsensitiveutf8") {
		longest = maxNeedleILike
	} else if ignoresCase.MatchString(lower) {
		longest = maxNeedleNoCase
	}
	if length, isConstant := constantLength(argument); !isConstant || length > longest {
		return refuse("argument %d of %s must be a constant of at most %d bytes with its quotation marks", number,
			function, longest)
	}
	if repeated.MatchString(lower) {
		return checkRepeated(function, argument)
	}
	return nil
}

// repeated are the functions, in lower case, that look for a pattern again after each match.
var repeated = regexp.MustCompile(`^(?:countmatches|extractall|replaceregexpall$|regexp_replace$|splitbyregexp$|` +
	`regexpinstr$|regexpposition$|regexp_instr$)`)

// checkRepeated refuses a pattern of which a match may end long before what was read to find it. Each match then reads
// the rest of the text: a+b|a took 19 s of CPU in a text of 80,000 times a. A pattern without alternatives and without
// repeated or optional groups reads no further than its match: when it has begun to repeat a character, it has
// either matched so far or does not match before that repetition ends.
func checkRepeated(function string, pattern *node) error {
	text, isConstant := constantText(pattern)
	if !isConstant {
		return refuse("the pattern of %s must be written as one constant text", function)
	}
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return refuse("the pattern of %s cannot be read: %v", function, err)
	}
	if repeats(parsed) && branches(parsed) {
		return refuse("the pattern of %s may have * or +, or alternatives with | and repeated or optional groups, but "+
			"not both; each match could read the rest of the text. match, extract and replaceRegexpOne take any "+
			"pattern", function)
	}
	return nil
}

// maxRepeats is up to how often a repetition with a bound is none that matters.
const maxRepeats = 16

// repeats reports whether a part of a pattern repeats without a bound, or with a high one.
func repeats(r *syntax.Regexp) bool {
	switch r.Op {
	case syntax.OpStar, syntax.OpPlus:
		return true
	case syntax.OpRepeat:
		if r.Max < 0 || r.Max > maxRepeats {
			return true
		}
	}
	for _, sub := range r.Sub {
		if repeats(sub) {
			return true
		}
	}
	return false
}

// branches reports whether a pattern has alternatives, or a repeated or optional part of more than one character.
func branches(r *syntax.Regexp) bool {
	switch r.Op {
	case syntax.OpAlternate:
		return true
	case syntax.OpStar, syntax.OpPlus, syntax.OpQuest, syntax.OpRepeat:
		of := r.Sub[0]
		for of.Op == syntax.OpCapture {
			of = of.Sub[0]
		}
		switch of.Op {
		case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
			return false
		case syntax.OpLiteral:
			return len(of.Rune) > 1
		}
		return true
	}
	for _, sub := range r.Sub {
		if branches(sub) {
			return true
		}
	}
	return false
}

// unescaped undoes how the tree writes the signs of a text.
var unescaped = strings.NewReplacer(`\\`, `\`, `\'`, `'`, `\n`, "\n", `\t`, "\t", `\r`, "\r",
	`\0`, "\x00", `\b`, "\b", `\f`, "\f")

// constantText returns the text that a constant or a parameter has, and whether it is one.
func constantText(n *node) (text string, isConstant bool) {
	if lower := strings.ToLower(n.attributes["function_name"]); lower == "cast" || lower == "_cast" {
		return constantText(n.children[0].children[0].children[0])
	}
	quoted := n.attributes["constant_value"]
	if n.kind != "CONSTANT" || len(quoted) < 2 || quoted[0] != '\'' {
		return "", false
	}
	return unescaped.Replace(quoted[1 : len(quoted)-1]), true
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
		return refuse("all arguments of %s but one must be constants, of about 1,000 elements at most; write IN for a "+
			"longer list, and for two columns arrayExists(x -> x = value, list), or arrayFilter with it in place of "+
			"arrayIntersect, or mapKeys(m) as the list", function)
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
