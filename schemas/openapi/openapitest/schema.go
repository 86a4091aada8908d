package openapitest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// annotations are the keywords that say nothing about which values are valid.
var annotations = []string{"description", "default", "examples", "contentMediaType", "contentSchema"}

// assertions are the keywords that CheckValue knows. A schema may have no others: a keyword that nothing checks may be
// wrong for years.
var assertions = []string{
	"$ref", "type", "format", "enum", "properties", "required", "additionalProperties", "items", "anyOf", "oneOf",
	"pattern", "minimum", "maximum", "minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties",
}

// CheckValue returns an error for each difference between a value and a schema of the document, joined. Numbers are
// json.Number in both. It is stricter than JSON Schema in one way: an object has no members but those in properties,
// unless the schema has additionalProperties. The document leaves it out where clients should ignore unknown members.
func CheckValue(schema map[string]any, v any) error { return check("", schema, v) }

func check(at string, schema node, v any) error {
	for keyword := range schema {
		if !slices.Contains(assertions, keyword) && !slices.Contains(annotations, keyword) {
			return fmt.Errorf("%s: the schema has %s, which is not checked", at, keyword)
		}
	}
	if _, ok := schema["$ref"]; ok {
		return check(at, resolve(schema), v)
	}
	for _, keyword := range []string{"anyOf", "oneOf"} {
		if err := checkChoice(at, schema, keyword, v); err != nil {
			return err
		}
	}
	if enum, ok := schema["enum"].([]any); ok && !slices.Contains(enum, v) {
		return fmt.Errorf("%s: %v is not one of %v", at, v, enum)
	}
	switch schema["type"] {
	case nil:
		return nil
	case "null":
		if v == nil {
			return nil
		}
	case "boolean":
		if _, ok := v.(bool); ok {
			return nil
		}
	case "string":
		if s, ok := v.(string); ok {
			return checkString(at, schema, s)
		}
	case "integer", "number":
		if n, ok := v.(json.Number); ok {
			return checkNumber(at, schema, n)
		}
	case "array":
		if items, ok := v.([]any); ok {
			return checkArray(at, schema, items)
		}
	case "object":
		if members, ok := v.(node); ok {
			return checkObject(at, schema, members)
		}
	}
	return fmt.Errorf("%s: %.80v is not of type %v", at, fmt.Sprintf("%#v", v), schema["type"])
}

// checkChoice checks a value against the schemas of anyOf or oneOf.
func checkChoice(at string, schema node, keyword string, v any) error {
	choices, ok := schema[keyword].([]any)
	if !ok {
		return nil
	}
	fits := 0
	var errs []error
	for _, choice := range choices {
		if err := check(at, choice.(node), v); err != nil {
			errs = append(errs, err)
		} else {
			fits++
		}
	}
	switch {
	case fits == 0:
		return fmt.Errorf("%s: nothing of %s fits: %w", at, keyword, errors.Join(errs...))
	case fits > 1 && keyword == "oneOf":
		return fmt.Errorf("%s: %d schemas of oneOf fit", at, fits)
	}
	return nil
}

func checkString(at string, schema node, s string) error {
	if pattern, ok := schema["pattern"].(string); ok && !regexp.MustCompile(pattern).MatchString(s) {
		return fmt.Errorf("%s: %q does not match %s", at, s, pattern)
	}
	if schema["format"] == "date-time" {
		if _, err := time.Parse(time.RFC3339Nano, s); err != nil {
			return fmt.Errorf("%s: %w", at, err)
		}
	}
	return checkBounds(at, schema, "Length", float64(utf8.RuneCountInString(s)))
}

func checkNumber(at string, schema node, n json.Number) error {
	f, err := n.Float64()
	if err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	if schema["type"] == "integer" {
		if _, err := strconv.ParseInt(n.String(), 10, bits(schema)); err != nil {
			return fmt.Errorf("%s: %w", at, err)
		}
	}
	return checkBounds(at, schema, "imum", f)
}

// bits is the size of an integer in the languages that have several sizes: generators take 32 bits without a format.
func bits(schema node) int {
	if schema["format"] == "int64" {
		return 64
	}
	return 32
}

func checkArray(at string, schema node, items []any) error {
	errs := []error{checkBounds(at, schema, "Items", float64(len(items)))}
	for i, item := range items {
		errs = append(errs, check(at+"/"+strconv.Itoa(i), object(schema, "items"), item))
	}
	return errors.Join(errs...)
}

func checkObject(at string, schema, members node) error {
	errs := []error{checkBounds(at, schema, "Properties", float64(len(members)))}
	required, _ := schema["required"].([]any)
	for _, name := range required {
		if _, ok := members[name.(string)]; !ok {
			errs = append(errs, fmt.Errorf("%s/%s is missing", at, name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		member := at + "/" + strings.ReplaceAll(name, "/", "~1")
		if property, ok := object(schema, "properties")[name].(node); ok {
			errs = append(errs, check(member, property, members[name]))
			continue
		}
		switch rest := schema["additionalProperties"].(type) {
		case node:
			errs = append(errs, check(member, rest, members[name]))
		case nil, bool:
			if rest != true {
				errs = append(errs, fmt.Errorf("%s is not in the document", member))
			}
		}
	}
	return errors.Join(errs...)
}

// checkBounds checks minimum and maximum, or minLength, minItems and the like.
func checkBounds(at string, schema node, of string, value float64) error {
	for _, bound := range []string{"min" + of, "max" + of} {
		limit, ok := schema[bound].(json.Number)
		if !ok {
			continue
		}
		f, err := limit.Float64()
		if err != nil || bound[:3] == "min" && value < f || bound[:3] == "max" && value > f {
			return fmt.Errorf("%s: %v breaks %s: %s", at, value, bound, limit)
		}
	}
	return nil
}
