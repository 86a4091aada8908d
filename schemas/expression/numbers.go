package expression

import (
	"cmp"
	"slices"
)

// Number is a value of an int64, in Whole, or of a float64, in Float. A timestamp is whole microseconds.
type Number struct {
	IsNull bool
	Whole  int64
	Float  float64
}

func (n Number) value() value { return value{isNull: n.IsNull, whole: n.Whole, float: n.Float} }

func (v value) number() Number { return Number{v.isNull, v.whole, v.float} }

// Numbers evaluates an expression whose columns are numbers or timestamps, and that is a number, for one row after the
// other. It allocates nothing for a row. It is not safe for concurrent use.
type Numbers struct {
	root    *node
	columns []span // in the order of Expression.Columns
	stack   []value
}

// Numbers returns an evaluation in which every column is null.
func (e *Expression) Numbers() *Numbers {
	n := &Numbers{root: e.root, columns: make([]span, len(e.Columns))}
	for i := range n.columns {
		n.columns[i] = pointOf(none)
	}
	return n
}

// Set gives a column a value.
func (n *Numbers) Set(column int, v Number) { n.columns[column] = pointOf(v.value()) }

// SetRange gives a column a value that is only known to lie within bounds. Value takes the given one.
func (n *Numbers) SetRange(column int, v, low, high Number) {
	n.columns[column] = span{v.value(), low.value(), high.value(), false}
}

// Value returns the expression's value.
func (n *Numbers) Value() Number { return n.evaluate(n.root).number() }

// evaluate returns the value of a node. The arguments are on the stack, so that none of them is allocated.
func (n *Numbers) evaluate(at *node) value {
	switch {
	case at.isLiteral:
		return at.value
	case at.function == nil:
		return n.columns[at.place].value
	}
	base := len(n.stack)
	anyNull := false
	for _, a := range at.args {
		v := n.evaluate(a)
		anyNull = anyNull || v.isNull
		n.stack = append(n.stack, v)
	}
	out := none
	if !anyNull || at.function.lazy {
		out = at.function.evaluate(at, n.stack[base:])
	}
	n.stack = n.stack[:base]
	return out
}

// Range returns bounds of the value of the expression, given bounds of its columns. It returns false if it knows none:
// the value may be any number of its type, or null. Each bound is a value of the expression for some numbers within the
// bounds of the columns, and rounding to float64 keeps their order, so nothing has to be added for it.
func (n *Numbers) Range() (low, high Number, known bool) {
	s := n.spanOf(n.root)
	return s.low.number(), s.high.number(), !s.isUnknown
}

// span is a value and what it is known to be. Low and high are both null where the value is null for certain. Otherwise
// it is not null, and between them.
type span struct {
	value, low, high value
	isUnknown        bool // nothing is known, so the value may be null
}

var unknown = span{isUnknown: true}

func pointOf(v value) span { return span{v, v, v, false} }

func (s *span) isPoint() bool { return !s.isUnknown && s.low == s.high }

// isNull reports whether the value is null for certain.
func (s *span) isNull() bool { return !s.isUnknown && s.low.isNull }

func (s span) convert(t, result Type) span {
	return span{s.value, s.low.convert(t, result), s.high.convert(t, result), s.isUnknown}
}

// spanOf returns what is known of a node.
func (n *Numbers) spanOf(at *node) span {
	switch {
	case at.isLiteral:
		return pointOf(at.value)
	case at.function == nil:
		return n.columns[at.place]
	}
	args := make([]span, len(at.args))
	arePoints := true
	for i, a := range at.args {
		args[i] = n.spanOf(a)
		arePoints = arePoints && args[i].isPoint()
	}
	lazy := at.function.lazy
	switch {
	case !lazy && slices.ContainsFunc(args, func(s span) bool { return s.isNull() }):
		return pointOf(none)
	case arePoints:
		return pointOf(at.function.evaluate(at, lows(args)))
	case !lazy && slices.ContainsFunc(args, func(s span) bool { return s.isUnknown }):
		return unknown
	}
	return spanOfCall(at, args)
}

func lows(args []span) []value {
	out := make([]value, len(args))
	for i := range args {
		out[i] = args[i].low
	}
	return out
}

// spanOfCall returns what is known of a function some of whose arguments are no points. Unless it is lazy, all of them
// have bounds. A function that is not listed here may be any value.
func spanOfCall(at *node, args []span) span {
	switch at.function.name {
	case "+", "-", "*", "negate":
		return atCorners(at, args)
	case "/", "div":
		divisor := at.args[1].resultOf
		if args[1].low.asFloat(divisor) <= 0 && args[1].high.asFloat(divisor) >= 0 {
			return unknown
		}
		return atCorners(at, args)
	case "=", "!=", "<", "<=", ">", ">=":
		return compareSpans(at, args)
	case "and", "or":
		decides := truth(at.function.name == "or")
		if slices.ContainsFunc(args, func(s span) bool { return s.isPoint() && s.low == decides }) {
			return pointOf(decides)
		}
	case "if":
		return spanOfIf(at, args)
	case "coalesce":
		for i, s := range args {
			if !s.isNull() {
				return s.convert(at.args[i].resultOf, at.resultOf)
			}
		}
	}
	return unknown
}

// atCorners returns the bounds of a function of one or two numbers that only rises or only falls with each of them,
// whatever the other one is. So it has its extremes where both are at an end.
func atCorners(at *node, args []span) span {
	var out span
	ends := make([]value, len(args))
	for corner := range 1 << len(args) {
		for i, s := range args {
			if ends[i] = s.low; corner>>i&1 == 1 {
				ends[i] = s.high
			}
		}
		v := at.function.evaluate(at, ends)
		if v.isNull { // It overflows there.
			return unknown
		}
		if corner == 0 {
			out = pointOf(v)
			continue
		}
		out = hull(out, pointOf(v), at.resultOf)
	}
	return out
}

// hull returns what is known of a value that is one of two.
func hull(a, b span, t Type) span {
	if a.isUnknown || b.isUnknown || a.isNull() != b.isNull() {
		return unknown
	}
	if compareNumbers(b.low, a.low, t) < 0 {
		a.low = b.low
	}
	if compareNumbers(b.high, a.high, t) > 0 {
		a.high = b.high
	}
	return a
}

func compareNumbers(a, b value, t Type) int {
	if t == Float64 {
		return cmp.Compare(a.float, b.float)
	}
	return cmp.Compare(a.whole, b.whole)
}

// compareSpans returns what is known of a comparison. It is decided where the values compare alike at all ends.
func compareSpans(at *node, args []span) span {
	least := []value{args[0].low, args[1].high}
	most := []value{args[0].high, args[1].low}
	if compareValues(at, least) == compareValues(at, most) {
		return pointOf(at.function.evaluate(at, least))
	}
	if isEquality := at.function.name == "=" || at.function.name == "!="; isEquality {
		return unknown // Values between the ends may be equal.
	}
	if v := at.function.evaluate(at, least); v == at.function.evaluate(at, most) {
		return pointOf(v)
	}
	return unknown
}

func spanOfIf(at *node, args []span) span {
	then := args[1].convert(at.args[1].resultOf, at.resultOf)
	otherwise := args[2].convert(at.args[2].resultOf, at.resultOf)
	switch condition := &args[0]; {
	case !condition.isPoint():
		return hull(then, otherwise, at.resultOf)
	case !condition.low.isNull && condition.low.whole == 1:
		return then
	}
	return otherwise
}

// Parts returns how many names, literals, operators and functions the expression has.
func (e *Expression) Parts() int { return e.root.parts() }

func (n *node) parts() int {
	count := 1
	for _, a := range n.args {
		count += a.parts()
	}
	return count
}

// Uses reports whether a part of the expression is of a type.
func (e *Expression) Uses(t Type) bool { return e.root.uses(t) }

func (n *node) uses(t Type) bool {
	return n.resultOf == t || slices.ContainsFunc(n.args, func(a *node) bool { return a.uses(t) })
}
