package expression

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strings"
)

// function is an operator or a function: how its arguments are checked, and what it is in both meanings.
type function struct {
	name  string
	usage string // of a function; an operator has none
	help  string
	// check sets the type of the node. It returns what is wrong with the arguments, or nothing.
	check func(*node) string
	// evaluate returns the value of a row. Unless lazy is set, no argument is null.
	evaluate func(n *node, args []value) value
	lazy     bool
	// sql returns the SQL of the node from that of its arguments. Each may be null.
	sql func(n *node, args []string) string
}

// Function describes a function.
type Function struct{ Usage, Help string }

// Functions returns the functions, in the order in which documentation shows them.
func Functions() (out []Function) {
	for _, f := range functions {
		if f.usage != "" {
			out = append(out, Function{f.usage, f.help})
		}
	}
	return out
}

func functionNames() (out []string) {
	for _, f := range functions {
		if f.usage != "" {
			out = append(out, f.name)
		}
	}
	return out
}

// functions are the operators and the functions.
var functions = slices.Concat([]function{
	{name: "or", check: takes(Bool, Bool, Bool), lazy: true, evaluate: evaluateOr, sql: infix("OR")},
	{name: "and", check: takes(Bool, Bool, Bool), lazy: true, evaluate: evaluateAnd, sql: infix("AND")},
	{name: "not", check: takes(Bool, Bool), evaluate: func(_ *node, a []value) value { return truth(a[0].whole == 0) },
		sql: func(_ *node, a []string) string { return "NOT " + a[0] }},
	comparison("=", func(c int) bool { return c == 0 }), comparison("!=", func(c int) bool { return c != 0 }),
	comparison("<", func(c int) bool { return c < 0 }), comparison("<=", func(c int) bool { return c <= 0 }),
	comparison(">", func(c int) bool { return c > 0 }), comparison(">=", func(c int) bool { return c >= 0 }),
	arithmetic("+", addWhole, func(a, b float64) float64 { return a + b }),
	arithmetic("-", subtractWhole, func(a, b float64) float64 { return a - b }),
	arithmetic("*", multiplyWhole, func(a, b float64) float64 { return a * b }),
	{name: "/", check: checkQuotient, evaluate: func(n *node, a []value) value {
		return number(a[0].asFloat(n.args[0].resultOf) / a[1].asFloat(n.args[1].resultOf))
	}, sql: func(n *node, a []string) string {
		return finite(floatSQL(n.args[0], a[0]) + " / " + floatSQL(n.args[1], a[1]))
	}},
	{name: "%", check: takes(Int64, Int64, Int64), evaluate: func(_ *node, a []value) value {
		if a[1].whole == 0 {
			return none
		}
		return value{whole: a[0].whole % a[1].whole}
	}, sql: func(_ *node, a []string) string { return wholeDivision("modulo", a) }},
	{name: "negate", check: checkNegation, evaluate: func(n *node, a []value) value {
		if n.resultOf == Int64 {
			return subtractWhole(0, a[0].whole)
		}
		return number(-a[0].float)
	}, sql: func(n *node, a []string) string {
		if n.resultOf == Int64 {
			return "accurateCastOrNull(-toInt128(" + a[0] + "), 'Int64')"
		}
		return "(-" + a[0] + " + 0)"
	}},

	{name: "if", usage: "if(condition, value, otherwise)",
		help:  "The value where the condition is true, else the other one: also where it is null.",
		check: checkIf, lazy: true,
		evaluate: func(n *node, a []value) value {
			if !a[0].isNull && a[0].whole == 1 {
				return a[1].convert(n.args[1].resultOf, n.resultOf)
			}
			return a[2].convert(n.args[2].resultOf, n.resultOf)
		},
		sql: func(n *node, a []string) string {
			return "if(ifNull(" + a[0] + ", 0), " + castTo(n, 1, a) + ", " + castTo(n, 2, a) + ")"
		}},
	{name: "coalesce", usage: "coalesce(value, …)", help: "The first value that is not null.",
		check: func(n *node) string { return n.unify(n.args) }, lazy: true,
		evaluate: func(n *node, a []value) value {
			for i, v := range a {
				if !v.isNull {
					return v.convert(n.args[i].resultOf, n.resultOf)
				}
			}
			return none
		},
		sql: func(n *node, a []string) string {
			var out []string
			for i := range a {
				out = append(out, castTo(n, i, a))
			}
			return "coalesce(" + strings.Join(out, ", ") + ")"
		}},
	{name: "div", usage: "div(a, b)", help: "The quotient of two int64 without its fraction; null if b is 0.",
		check: takes(Int64, Int64, Int64), evaluate: func(_ *node, a []value) value {
			if a[1].whole == 0 || a[0].whole == math.MinInt64 && a[1].whole == -1 {
				return none
			}
			return value{whole: a[0].whole / a[1].whole}
		}, sql: func(_ *node, a []string) string { return wholeDivision("intDiv", a) }},
}, textFunctions, timeFunctions)

// takes returns a check of the number and the types of the arguments.
func takes(result Type, types ...Type) func(*node) string {
	return func(n *node) string {
		if len(n.args) != len(types) {
			return fmt.Sprintf("it has %d arguments, not %d", len(types), len(n.args))
		}
		for i, t := range types {
			if n.args[i].resultOf != t {
				return fmt.Sprintf("argument %d is %s, not %s", i+1, n.args[i].resultOf, t)
			}
		}
		n.resultOf = result
		return ""
	}
}

func isNumber(t Type) bool { return t == Int64 || t == Float64 }

// unify gives the node the type of the arguments, which have one: an int64 among float64 becomes one, and null has
// any type.
func (n *node) unify(args []*node) string {
	n.resultOf = null
	for _, a := range args {
		t := a.resultOf
		switch {
		case t == null || t == n.resultOf:
		case n.resultOf == null:
			n.resultOf = t
		case isNumber(t) && isNumber(n.resultOf):
			n.resultOf = Float64
		default:
			return fmt.Sprintf("the values are %s and %s; they need one type", n.resultOf, t)
		}
	}
	if n.resultOf == null {
		return "a value has to have a type, and null has none"
	}
	return ""
}

func checkIf(n *node) string {
	if len(n.args) != 3 {
		return fmt.Sprintf("it has 3 arguments, not %d", len(n.args))
	}
	if n.args[0].resultOf != Bool {
		return fmt.Sprintf("the condition is bool, not %s", n.args[0].resultOf)
	}
	return n.unify(n.args[1:])
}

func checkQuotient(n *node) string {
	for _, a := range n.args {
		if !isNumber(a.resultOf) {
			return fmt.Sprintf("it needs numbers, not %s", a.resultOf)
		}
	}
	n.resultOf = Float64
	return ""
}

func checkNegation(n *node) string {
	if n.resultOf = n.args[0].resultOf; !isNumber(n.resultOf) {
		return fmt.Sprintf("it needs a number, not %s", n.resultOf)
	}
	return ""
}

// asFloat returns a number of a type as a float64.
func (v value) asFloat(t Type) float64 {
	if t == Int64 {
		return float64(v.whole)
	}
	return v.float
}

// convert returns a value in the type that unify found.
func (v value) convert(t, result Type) value {
	if t == Int64 && result == Float64 && !v.isNull {
		return value{float: float64(v.whole)}
	}
	return v
}

func floatSQL(n *node, sql string) string {
	if n.resultOf == Int64 {
		return "toFloat64(" + sql + ")"
	}
	return sql
}

// castTo is the SQL of an argument in the type of the node.
func castTo(n *node, i int, args []string) string {
	return "CAST(" + args[i] + ", 'Nullable(" + sqlType(n.resultOf) + ")')"
}

func evaluateOr(_ *node, a []value) value {
	isTrue := !a[0].isNull && a[0].whole == 1 || !a[1].isNull && a[1].whole == 1
	if !isTrue && (a[0].isNull || a[1].isNull) {
		return none
	}
	return truth(isTrue)
}

func evaluateAnd(_ *node, a []value) value {
	isFalse := !a[0].isNull && a[0].whole == 0 || !a[1].isNull && a[1].whole == 0
	if !isFalse && (a[0].isNull || a[1].isNull) {
		return none
	}
	return truth(!isFalse)
}

func infix(operator string) func(*node, []string) string {
	return func(_ *node, a []string) string { return a[0] + " " + operator + " " + a[1] }
}

func comparison(name string, holds func(int) bool) function {
	return function{name: name,
		check: func(n *node) string {
			var both node
			if msg := both.unify(n.args); msg != "" {
				return msg
			}
			if n.args[0].resultOf == null || n.args[1].resultOf == null {
				return "nothing equals null"
			}
			if both.resultOf == Bool && name != "=" && name != "!=" {
				return "bool values have no order"
			}
			n.resultOf = Bool
			return ""
		},
		evaluate: func(n *node, a []value) value { return truth(holds(compareValues(n, a))) },
		sql: func(n *node, a []string) string {
			x := a[0]
			y := a[1]
			if n.args[0].resultOf != n.args[1].resultOf {
				x = floatSQL(n.args[0], x)
				y = floatSQL(n.args[1], y)
			}
			return x + " " + name + " " + y
		}}
}

// compareValues returns how two values compare: -1, 0 or 1.
func compareValues(n *node, a []value) int {
	t := n.args[0].resultOf
	switch {
	case t == String:
		return strings.Compare(a[0].text, a[1].text)
	case t == Float64 || t != n.args[1].resultOf:
		x := a[0].asFloat(t)
		y := a[1].asFloat(n.args[1].resultOf)
		switch {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	case a[0].whole < a[1].whole:
		return -1
	case a[0].whole > a[1].whole:
		return 1
	}
	return 0
}

// arithmetic returns an operator of two int64 or, if one of them is not, of two float64.
func arithmetic(name string, whole func(a, b int64) value, float func(a, b float64) float64) function {
	return function{name: name,
		check: func(n *node) string {
			if msg := checkQuotient(n); msg != "" {
				return msg
			}
			if n.args[0].resultOf == Int64 && n.args[1].resultOf == Int64 {
				n.resultOf = Int64
			}
			return ""
		},
		evaluate: func(n *node, a []value) value {
			if n.resultOf == Int64 {
				return whole(a[0].whole, a[1].whole)
			}
			return number(float(a[0].asFloat(n.args[0].resultOf), a[1].asFloat(n.args[1].resultOf)))
		},
		sql: func(n *node, a []string) string {
			if n.resultOf == Int64 {
				return "accurateCastOrNull(toInt128(" + a[0] + ") " + name + " toInt128(" + a[1] + "), 'Int64')"
			}
			return finite(floatSQL(n.args[0], a[0]) + " " + name + " " + floatSQL(n.args[1], a[1]))
		}}
}

// finite is the SQL of a float64 that is null if it is not finite, and never minus zero.
func finite(sql string) string {
	return bind(sql, "_x", func(x string) string { return "if(ifNull(isFinite(" + x + "), 0), " + x + " + 0, NULL)" })
}

func addWhole(a, b int64) value {
	sum := a + b
	if (sum < a) != (b < 0) {
		return none
	}
	return value{whole: sum}
}

func subtractWhole(a, b int64) value {
	difference := a - b
	if (difference < a) != (b > 0) {
		return none
	}
	return value{whole: difference}
}

func multiplyWhole(a, b int64) value {
	high, low := bits.Mul64(magnitude(a), magnitude(b))
	negative := (a < 0) != (b < 0)
	switch {
	case high == 0 && low <= math.MaxInt64 && negative:
		return value{whole: -int64(low)}
	case high == 0 && low <= math.MaxInt64:
		return value{whole: int64(low)}
	case high == 0 && low == 1<<63 && negative:
		return value{whole: math.MinInt64}
	}
	return none
}

func magnitude(a int64) uint64 {
	if a < 0 {
		return -uint64(a)
	}
	return uint64(a)
}

// wholeDivision is the SQL of a division of integers, which ClickHouse must not do by zero, not even for a row whose
// result is not used.
func wholeDivision(function string, a []string) string {
	return bind(a[1], "_y", func(y string) string {
		return fmt.Sprintf("if(ifNull(%s, 0) = 0, NULL, accurateCastOrNull(%s(toInt128(%s), toInt128(if(ifNull(%s, 0) "+
			"= 0, 1, %s))), 'Int64'))", y, function, a[0], y, y)
	})
}
