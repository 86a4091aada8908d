package query

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// This is the grammar of conditions as a text. The words in quotation marks may be written in capital letters too.
//
//	conditions = all { "or" all }
//	all        = one { "and" one }
//	one        = "not" one | "(" conditions ")" | comparison
//	comparison = name ( "=" | "!=" | "<" | "<=" | ">" | ">=" | "prefix" | "suffix" | "contains" ) value
//	           | name [ "not" ] "in" "(" value { "," value } ")"
//	           | name "between" value "and" value
//	           | name "exists" [ "true" | "false" ]
//	value      = "null" | word | 'text' | "text"
//	name       = letters, digits, underscores, and points after the first of them | `any of them`
//
// A word ends before white space, a parenthesis, a comma or a quotation mark, and has the type of the dimension. In
// 'text' the sign ' is written twice, and "text" is a string of JSON. Both are strings. The text dimension:op:value,
// where op is one of Ops, is the short form of one comparison. Having is written so too, with names of measures.

// comparisons are the operators that stand between a name and one value. A longer one comes before its beginning.
var comparisons = []struct {
	sign string
	op   Op
}{{"!=", Ne}, {"<=", Le}, {">=", Ge}, {"=", Eq}, {"<", Lt}, {">", Gt}, {"prefix", Prefix}, {"suffix", Suffix},
	{"contains", Contains}}

// ofSQL are operators that people know from SQL, with what to write instead.
var ofSQL = []struct{ words, instead string }{{"<>", "!= in place of <>"},
	{"is not null", "!= null in place of is not null"}, {"is null", "= null in place of is null"},
	{"is", "= or != in place of is"}, {"like", "prefix, suffix or contains in place of like"},
	{"ilike", "prefix, suffix or contains in place of ilike; letters are compared as they are"}}

// clause is a part of a query that conditions are in, with the words for errors.
type clause struct {
	field     string
	subject   string // what is compared
	example   string
	short     string
	operators string
	fewer     string // what to do instead of many conditions
}

var whereClause = clause{field: "where", subject: "dimension", example: "country = DE",
	short:     "dimension:op:value, as in origin:in:ORD,ATL, or origin in (ORD, ATL)",
	operators: "=, !=, <, <=, >, >=, in (…), not in (…), between … and …, prefix, suffix, contains or exists",
	fewer:     "write several values of one dimension with in or not in"}

var havingClause = clause{field: "having", subject: "measure", example: "views > 10",
	short:     "measure:op:value, as in views:gt:10, or views > 10",
	operators: "=, !=, <, <=, >, >= or between … and …",
	fewer:     "write ranges of one measure with between"}

// comparing returns a comparison without an operator.
func (c *clause) comparing(name string) Condition {
	if c.field == havingClause.field {
		return Condition{Measure: name}
	}
	return Condition{Dimension: name}
}

// ParseWhere reads conditions on dimensions that are written as a text. Resolve checks them.
func ParseWhere(text string) ([]Condition, error) { return whereClause.parse(text) }

// ParseHaving reads conditions on measures that are written as a text. Resolve checks them.
func ParseHaving(text string) ([]Condition, error) { return havingClause.parse(text) }

func (c *clause) parse(text string) ([]Condition, error) {
	if !utf8.ValidString(text) {
		return nil, invalid(c.field, "not valid UTF-8")
	}
	if strings.TrimSpace(text) == "" {
		return nil, nil // A dashboard's variable without a value asks for all.
	}
	if name, rest, ok := strings.Cut(text, ":"); ok && name != "" && isName(strings.ReplaceAll(name, rankMark, "")) {
		return c.parseShort(text, name, rest)
	}
	r := &textReader{clause: c, text: text}
	return r.parse()
}

func (r *textReader) parse() ([]Condition, error) {
	c, err := r.conditions(0)
	if err == nil && r.rest() != "" {
		err = r.fail("write and or or before the next condition")
	}
	if err != nil {
		return nil, err
	}
	if c.And != nil {
		return c.And, nil
	}
	return []Condition{c}, nil
}

// parseShort reads the text dimension:op:value. For operators of one value, all after the second colon is the value.
func (c *clause) parseShort(text, name, rest string) ([]Condition, error) {
	op, value, ok := strings.Cut(rest, ":")
	if !ok {
		return nil, invalid(c.field, "%q: use %s", text, c.short)
	}
	one := c.comparing(name)
	one.Op = Op(op)
	switch one.Op {
	case In, NotIn, Between:
		for v := range strings.SplitSeq(value, ",") {
			one.Values = append(one.Values, word(v))
		}
	default:
		one.Value = word(value)
	}
	return []Condition{one}, nil
}

// textReader reads a text from left to right.
type textReader struct {
	clause      *clause
	text        string
	at          int // the place of the next byte
	comparisons int
}

// rest returns what is left, without the white space before it.
func (r *textReader) rest() string {
	left := strings.TrimLeft(r.text[r.at:], " \t\r\n")
	r.at = len(r.text) - len(left)
	return left
}

// fail says what to write at the place where the reader is.
func (r *textReader) fail(format string, args ...any) error {
	const shown = 20
	left := []rune(r.rest())
	where := "at the end"
	if len(left) > 0 {
		where = fmt.Sprintf("at character %d, before %q", utf8.RuneCountInString(r.text[:r.at])+1,
			string(left[:min(shown, len(left))]))
	}
	return invalid(r.clause.field, "%s: %s", where, fmt.Sprintf(format, args...))
}

// word takes a word of the grammar if it comes next.
func (r *textReader) word(w string) bool {
	left := r.rest()
	if len(left) < len(w) || !strings.EqualFold(left[:len(w)], w) || isName(w) && startsName(left[len(w):]) {
		return false
	}
	r.at += len(w)
	return true
}

// words takes several words of the grammar if they come next.
func (r *textReader) words(all string) bool {
	for w := range strings.SplitSeq(all, " ") {
		if !r.word(w) {
			return false
		}
	}
	return true
}

// startsName reports whether a text begins with a byte of a name.
func startsName(s string) bool { return s != "" && isName(s[:1]) }

// isName reports whether a text has only letters, digits and underscores.
func isName(s string) bool {
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == ""
}

func (r *textReader) conditions(depth int) (Condition, error) {
	list, err := r.separated("or", depth, func(depth int) (Condition, error) {
		all, err := r.separated("and", depth, r.one)
		if err != nil || len(all) == 1 {
			return first(all), err
		}
		return Condition{And: all}, nil
	})
	if err != nil || len(list) == 1 {
		return first(list), err
	}
	return Condition{Or: list}, nil
}

func first(list []Condition) Condition {
	if len(list) == 0 {
		return Condition{}
	}
	return list[0]
}

// separated reads conditions with a word between them.
func (r *textReader) separated(by string, depth int, read func(depth int) (Condition, error)) ([]Condition, error) {
	var list []Condition
	for {
		c, err := read(depth)
		if err != nil {
			return nil, err
		}
		list = append(list, c)
		if !r.word(by) {
			return list, nil
		}
	}
}

// one reads a comparison, or a condition in parentheses or after not.
func (r *textReader) one(depth int) (Condition, error) {
	isNot := r.word("not")
	if !isNot && !r.word("(") {
		return r.comparison()
	}
	if depth == 2*MaxDepth { // A not and its parentheses are two. Resolve counts what is left of them.
		return Condition{}, tooDeep(r.clause.field)
	}
	if isNot {
		c, err := r.one(depth + 1)
		return Condition{Not: &c}, err
	}
	c, err := r.conditions(depth + 1)
	if err == nil && !r.word(")") {
		err = r.fail("write and, or or )")
	}
	return c, err
}

func (r *textReader) comparison() (Condition, error) {
	if r.comparisons++; r.comparisons > MaxConditions {
		return Condition{}, r.fail("more than %d conditions; %s", MaxConditions, r.clause.fewer)
	}
	name, err := r.name()
	if err != nil {
		return Condition{}, err
	}
	c := r.clause.comparing(name)
	switch {
	case r.word("in"):
		c.Op = In
		c.Values, err = r.list()
		return c, err
	case r.word("not"):
		c.Op = NotIn
		if !r.word("in") {
			return c, r.fail("write in (…) after not, or put not before the name of the %s", r.clause.subject)
		}
		c.Values, err = r.list()
		return c, err
	case r.word("between"):
		c.Op = Between
		c.Values, err = r.readEnds()
		return c, err
	case r.word("exists"):
		c.Op = Exists
		c.Value = !r.word("false")
		if c.Value == true {
			r.word("true")
		}
		return c, nil
	}
	for _, other := range ofSQL {
		if from := *r; from.words(other.words) {
			return c, r.fail("write %s", other.instead)
		}
	}
	for _, o := range comparisons {
		if r.word(o.sign) {
			c.Op = o.op
			c.Value, err = r.value()
			return c, err
		}
	}
	return c, r.fail("write an operator: %s", r.clause.operators)
}

// name reads the name of a dimension or a measure.
func (r *textReader) name() (string, error) {
	left := r.rest()
	if name, ok := strings.CutPrefix(left, "`"); ok {
		end := strings.IndexByte(name, '`')
		if end < 0 {
			return "", r.fail("the name has no ` at its end")
		}
		r.at += end + 2
		return name[:end], nil
	}
	n := 0
	for n < len(left) && (isName(left[n:n+1]) || n > 0 && left[n:n+1] == rankMark) {
		n++
	}
	if n == 0 {
		return "", r.fail("write the name of a %s, not or (, as in %s", r.clause.subject, r.clause.example)
	}
	r.at += n
	return left[:n], nil
}

// list reads values in parentheses.
func (r *textReader) list() ([]any, error) {
	if !r.word("(") {
		return nil, r.fail("write the values as (DE, FR)")
	}
	var values []any
	for {
		if len(values) == MaxValues {
			return nil, r.fail("more than %d values; ask several queries", MaxValues)
		}
		v, err := r.value()
		if err != nil {
			return nil, err
		}
		values = append(values, v)
		switch {
		case r.word(")"):
			return values, nil
		case !r.word(","):
			return nil, r.fail("write a comma or ), and put values that have spaces into quotation marks")
		}
	}
}

// readEnds reads the ends of a range.
func (r *textReader) readEnds() ([]any, error) {
	low, err := r.value()
	if err != nil {
		return nil, err
	}
	if !r.word("and") {
		return nil, r.fail("write and before the highest value, as in status between 500 and 599")
	}
	high, err := r.value()
	return []any{low, high}, err
}

func (r *textReader) value() (any, error) {
	left := r.rest()
	switch {
	case strings.HasPrefix(left, `"`):
		return r.jsonText(left)
	case strings.HasPrefix(left, "'"):
		return r.plainText(left)
	case strings.IndexAny(left, "=<>!") == 0:
		return nil, r.fail(`write one of =, !=, <, <=, > and >=; a value that begins with such a sign is written as ` +
			`"value"`)
	}
	n := strings.IndexAny(left, " \t\r\n(),'\"`")
	if n < 0 {
		n = len(left)
	}
	if n == 0 {
		return nil, r.fail(`write a value; one that is empty, or has spaces, commas, parentheses or quotation marks, ` +
			`is written as "value"`)
	}
	r.at += n
	if strings.EqualFold(left[:n], "null") {
		return nil, nil
	}
	return word(left[:n]), nil
}

// jsonText reads a string of JSON.
func (r *textReader) jsonText(left string) (any, error) {
	end := 1
	for end < len(left) && left[end] != '"' {
		if left[end] == '\\' {
			end++
		}
		end++
	}
	if end >= len(left) {
		return nil, r.fail(`the text has no " at its end`)
	}
	quoted := left[:end+1]
	var text string
	if halfPair([]byte(quoted)) || json.Unmarshal([]byte(quoted), &text) != nil {
		return nil, r.fail(`this is no string of JSON: write \" for " and \\ for \, or use '…'`)
	}
	r.at += end + 1
	return text, nil
}

// plainText reads a text between two signs ', in which that sign is written twice.
func (r *textReader) plainText(left string) (any, error) {
	for end := 1; end < len(left); end++ {
		switch {
		case left[end] != '\'':
		case strings.HasPrefix(left[end+1:], "'"):
			end++
		default:
			r.at += end + 1
			return strings.ReplaceAll(left[1:end], "''", "'"), nil
		}
	}
	return nil, r.fail("the text has no ' at its end; a ' inside of it is written twice")
}

// FormatWhere writes resolved conditions as a text, which ParseWhere reads.
func FormatWhere(where []Condition) string {
	if len(where) == 1 {
		return where[0].String()
	}
	return joinTexts(where, " and ")
}

// String returns the condition as a text.
func (c *Condition) String() string {
	switch {
	case c.Not != nil:
		return "not (" + c.Not.String() + ")"
	case c.And != nil:
		return joinTexts(c.And, " and ")
	case c.Or != nil:
		return joinTexts(c.Or, " or ")
	}
	name := cmp.Or(c.Dimension, c.Measure)
	if !isName(name) || name == "" || strings.EqualFold(name, "not") {
		name = "`" + name + "`"
	}
	values := c.Values
	if len(values) == 0 {
		values = []any{c.Value}
	}
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = formatValue(v)
	}
	switch c.Op {
	case In:
		return name + " in (" + strings.Join(texts, ", ") + ")"
	case NotIn:
		return name + " not in (" + strings.Join(texts, ", ") + ")"
	case Between:
		return name + " between " + strings.Join(texts, " and ")
	}
	sign := string(c.Op)
	for _, o := range comparisons {
		if o.op == c.Op {
			sign = o.sign
		}
	}
	return name + " " + sign + " " + texts[0]
}

// joinTexts joins conditions, each of which is in parentheses unless it is a comparison or a negation.
func joinTexts(conditions []Condition, by string) string {
	texts := make([]string, len(conditions))
	for i := range conditions {
		if texts[i] = conditions[i].String(); conditions[i].And != nil || conditions[i].Or != nil {
			texts[i] = "(" + texts[i] + ")"
		}
	}
	return strings.Join(texts, by)
}

func formatValue(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return strconv.FormatBool(v)
	case string:
		return quoteText(v)
	}
	return fmt.Sprint(v)
}

// quoteText returns a text as a string of JSON. Encoding a string cannot fail.
func quoteText(text string) string {
	quoted, _ := json.Marshal(text)
	return string(quoted)
}
