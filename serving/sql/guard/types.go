package guard

import (
	"regexp"
	"strings"
)

// takesType are the functions, in lower case, whose last argument is the name of a type. It must be a constant.
// Some types are not only types: one of an aggregate function has the function compute with bytes that a client wrote.
var takesType = map[string]bool{
	"cast": true, "_cast": true, "accuratecast": true, "accuratecastornull": true, "reinterpret": true,
	"jsonextract": true, "jsonextractcaseinsensitive": true,
	"jsonextractkeysandvalues": true, "jsonextractkeysandvaluescaseinsensitive": true,
}

// states are the types of aggregate functions that tables of states are cast to.
var states = []string{"AggregateFunction(uniqExact, UInt64)"}

// typeWords are the words of types.
var typeWords = wordSet(`Int8 Int16 Int32 Int64 Int128 Int256 UInt8 UInt16 UInt32 UInt64 UInt128 UInt256 Float32 Float64
	BFloat16 Decimal Decimal32 Decimal64 Decimal128 Decimal256 String FixedString Date Date32 DateTime DateTime32
	DateTime64 Time Time64 Bool UUID IPv4 IPv6 Enum Enum8 Enum16 Array Tuple Map Nullable LowCardinality Nothing
	IntervalNanosecond IntervalMicrosecond IntervalMillisecond IntervalSecond IntervalMinute IntervalHour IntervalDay
	IntervalWeek IntervalMonth IntervalQuarter IntervalYear
	int integer bigint smallint tinyint float double real decimal numeric varchar char text string date datetime
	timestamp boolean bool unsigned signed Boolean Integer Float Double
	INT INTEGER BIGINT SMALLINT TINYINT FLOAT DOUBLE REAL DECIMAL NUMERIC VARCHAR CHAR TEXT STRING DATE DATETIME
	TIMESTAMP BOOLEAN BOOL UNSIGNED SIGNED PRECISION`)

// typeText splits a type into its words, numbers and quoted parts.
var typeText = regexp.MustCompile(`'[^'\\]*'|[A-Za-z_][A-Za-z0-9_]*|[0-9]+|[(), =-]|.`)

func wordSet(words string) map[string]bool {
	set := map[string]bool{}
	for _, w := range strings.Fields(words) {
		set[w] = true
	}
	return set
}

// checkType decides about the argument of a function that is the name of a type.
func checkType(function string, n *node) error {
	if n.kind != "CONSTANT" || n.attributes["constant_value_type"] != "String" {
		return refuse("the type that %s takes must be written as a constant", function)
	}
	if err := checkShape(n); err != nil {
		return err
	}
	value := strings.TrimSuffix(strings.TrimPrefix(n.attributes["constant_value"], "'"), "'")
	value = strings.ReplaceAll(value, `\'`, `'`)
	for _, s := range states {
		if value == s {
			return nil
		}
	}
	for _, part := range typeText.FindAllString(value, -1) {
		first := part[0]
		letter := first == '_' || first >= 'a' && first <= 'z' || first >= 'A' && first <= 'Z'
		known := strings.IndexByte("(), =-'0123456789", first) >= 0 && (first != '\'' || len(part) > 1)
		if letter && !typeWords[part] || !letter && !known {
			return refuse("the type %s is not allowed", value)
		}
	}
	return nil
}

// checkParameter decides about the type of a parameter, with which rest begins. The engine reads the value as one of
// this type before there is a tree: an Identifier becomes a name, and the state of an aggregate function is any bytes.
func checkParameter(parameter string, rest []token) error {
	for i, t := range rest {
		number := t.kind == word && strings.Trim(t.text, "0123456789") == ""
		switch {
		case t.isSymbol("}") && i > 0:
			return nil
		case number || t.kind == word && typeWords[t.text] || t.kind == str:
		case t.kind == symbol && strings.Contains("(),=-", t.text):
		default:
			return refuse("the type of the parameter %s may not have %q; write names into the statement", parameter,
				t.text)
		}
	}
	return refuseText("the parameter %s has no type", parameter)
}
