package expression

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// node is a part of an expression.
type node struct {
	function  *function // nil for a column or a literal
	args      []*node
	column    string
	place     int   // of the column in Expression.Columns
	value     value // of a literal
	isLiteral bool
	zone      *time.Location // of a function of times
	resultOf  Type
	at        int
}

// Expression is an expression whose columns and types were checked.
type Expression struct {
	Type    Type
	Columns []string // that it reads, each once
	root    *node
}

// Parse reads an expression. column returns the type of a column, and false if there is none of the name. The error is
// an *Error.
func Parse(text string, column func(name string) (Type, bool)) (*Expression, error) {
	if len(text) > MaxText {
		return nil, mistake(text, 0, "the expression has %d bytes; at most %d", len(text), MaxText)
	}
	if !utf8.ValidString(text) {
		return nil, mistake(text, 0, "the expression is not valid UTF-8")
	}
	tokens, err := tokenize(text)
	if err != nil {
		return nil, err
	}
	p := parser{text: text, tokens: tokens, column: column}
	root, err := p.binary(0)
	if err != nil {
		return nil, err
	}
	if p.kind() != endToken {
		return nil, p.unexpected("an operator or the end")
	}
	if root.resultOf == null {
		return nil, mistake(text, root.at, "the expression is always null")
	}
	return &Expression{Type: root.resultOf, Columns: p.columns, root: root}, nil
}

type parser struct {
	text    string
	tokens  []token
	column  func(string) (Type, bool)
	columns []string
	nodes   int
	depth   int
}

// kind returns the kind of the next token: that of a keyword is the keyword.
func (p *parser) kind() string {
	t := p.tokens[0]
	if t.kind == nameToken && p.text[t.at] != '"' && slices.Contains(keywords, t.text) {
		return t.text
	}
	return t.kind
}

func (p *parser) takeToken() token {
	t := p.tokens[0]
	if len(p.tokens) > 1 {
		p.tokens = p.tokens[1:]
	}
	return t
}

func (p *parser) unexpected(want string) error {
	found := p.kind()
	if text := p.tokens[0].text; text != "" {
		found = strconv.Quote(text)
	}
	return mistake(p.text, p.tokens[0].at, "found %s, want %s", found, want)
}

// levels are the binary operators, the weakest first. The operator not stands between the second and the third level.
var levels = [][]string{{"or"}, {"and"}, {"=", "!=", "<", "<=", ">", ">="}, {"+", "-"}, {"*", "/", "%"}}

const (
	notLevel     = 2
	compareLevel = 2
)

// binary reads operators of a level and all that bind stronger.
func (p *parser) binary(level int) (*node, error) {
	if level == len(levels) {
		return p.unary()
	}
	if level == notLevel && p.kind() == "not" {
		t := p.takeToken()
		return p.nested(func() (*node, error) {
			arg, err := p.binary(notLevel)
			if err != nil {
				return nil, err
			}
			return p.call(t.at, "not", arg)
		})
	}
	left, err := p.binary(level + 1)
	for err == nil && slices.Contains(levels[level], p.kind()) {
		operator := p.kind()
		at := p.takeToken().at
		var right *node
		if right, err = p.binary(level + 1); err == nil {
			left, err = p.call(at, operator, left, right)
		}
		if level == compareLevel {
			break // A comparison of a comparison is a mistake that looks right.
		}
	}
	return left, err
}

// nested runs a step of the parser one level deeper.
func (p *parser) nested(step func() (*node, error)) (*node, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, mistake(p.text, p.tokens[0].at, "parts are nested more than %d deep", maxDepth)
	}
	n, err := step()
	p.depth--
	return n, err
}

func (p *parser) unary() (*node, error) {
	if p.kind() != "-" {
		return p.primary()
	}
	at := p.takeToken().at
	if p.kind() == numberToken { // The lowest int64 has no positive one.
		return p.number(at, "-")
	}
	return p.nested(func() (*node, error) {
		arg, err := p.unary()
		if err != nil {
			return nil, err
		}
		return p.call(at, "negate", arg)
	})
}

func (p *parser) primary() (*node, error) {
	at := p.tokens[0].at
	switch p.kind() {
	case numberToken:
		return p.number(at, "")
	case stringToken:
		return p.literal(at, String, value{text: p.takeToken().text})
	case "true", "false":
		return p.literal(at, Bool, truth(p.takeToken().text == "true"))
	case "null":
		p.takeToken()
		return p.literal(at, null, value{isNull: true})
	case "(":
		p.takeToken()
		n, err := p.nested(func() (*node, error) { return p.binary(0) })
		if err == nil && p.kind() != ")" {
			err = p.unexpected("a closing bracket")
		}
		p.takeToken()
		return n, err
	case nameToken:
		return p.named()
	}
	return nil, p.unexpected("a value")
}

func (p *parser) number(at int, sign string) (*node, error) {
	t := p.takeToken()
	text := sign + t.text
	if !strings.ContainsAny(text, ".eE") {
		i, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, mistake(p.text, t.at, "%s is no int64", text)
		}
		return p.literal(at, Int64, value{whole: i})
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(f, 0) {
		return nil, mistake(p.text, t.at, "%s is no float64", text)
	}
	return p.literal(at, Float64, number(f))
}

func (p *parser) literal(at int, t Type, v value) (*node, error) {
	return p.count(&node{isLiteral: true, value: v, resultOf: t, at: at})
}

func (p *parser) count(n *node) (*node, error) {
	if p.nodes++; p.nodes > maxNodes {
		return nil, mistake(p.text, n.at, "the expression has more than %d parts", maxNodes)
	}
	return n, nil
}

// named reads a column, or a function with its arguments.
func (p *parser) named() (*node, error) {
	t := p.takeToken()
	if p.kind() == "(" && p.text[t.at] != '"' {
		return p.nested(func() (*node, error) { return p.function(t) })
	}
	columnType, ok := p.column(t.text)
	if !ok {
		return nil, mistake(p.text, t.at, "there is no field %q that a computed field may use", t.text)
	}
	if !slices.Contains(fieldTypes, columnType) {
		return nil, mistake(p.text, t.at, "the field %q is %s, and expressions have no exact arithmetic for it; use "+
			"the field itself in measures and conditions", t.text, columnType)
	}
	if !slices.Contains(p.columns, t.text) {
		p.columns = append(p.columns, t.text)
	}
	return p.count(&node{column: t.text, place: slices.Index(p.columns, t.text), resultOf: columnType, at: t.at})
}

func (p *parser) function(name token) (*node, error) {
	p.takeToken() // the bracket
	var args []*node
	for p.kind() != ")" {
		if len(args) > 0 {
			if p.kind() != "," {
				return nil, p.unexpected("a comma or a closing bracket")
			}
			p.takeToken()
		}
		n, err := p.binary(0)
		if err != nil {
			return nil, err
		}
		args = append(args, n)
	}
	p.takeToken()
	i := slices.IndexFunc(functions, func(f function) bool { return f.name == name.text && f.usage != "" })
	if i < 0 {
		return nil, mistake(p.text, name.at, "there is no function %s; there are %s", name.text,
			strings.Join(functionNames(), ", "))
	}
	return p.call(name.at, name.text, args...)
}

// call returns a node of a function or an operator, if the types of the arguments fit.
func (p *parser) call(at int, name string, args ...*node) (*node, error) {
	f := &functions[slices.IndexFunc(functions, func(f function) bool { return f.name == name })]
	n := &node{function: f, args: args, at: at}
	msg := f.check(n)
	if msg != "" {
		if f.usage != "" {
			msg += "; write " + f.usage
		}
		return nil, mistake(p.text, at, "%s: %s", name, msg)
	}
	return p.count(n)
}
