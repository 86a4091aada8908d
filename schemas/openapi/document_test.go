package openapi_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"recount/schemas/openapi"
	"recount/schemas/openapi/openapitest"
)

// node is an object of the document.
type node = map[string]any

// document returns the document. Its numbers are json.Number, as CheckValue wants them.
func document(t *testing.T) (d node) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(openapi.Document()))
	decoder.UseNumber()
	if err := decoder.Decode(&d); err != nil {
		t.Fatal(err)
	}
	return d
}

// walk calls visit for each object of the document, with its place.
func walk(at string, v any, visit func(at string, n node)) {
	switch v := v.(type) {
	case node:
		visit(at, v)
		for name, child := range v {
			walk(at+"/"+name, child, visit)
		}
	case []any:
		for _, child := range v {
			walk(at+"/[]", child, visit)
		}
	}
}

// lookup returns the object at a reference.
func lookup(d node, ref string) node {
	for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
		d, _ = d[part].(node)
	}
	return d
}

// operations calls visit for each operation, with its method and path as the place.
func operations(d node, visit func(at string, op node)) int {
	n := 0
	for path, item := range d["paths"].(node) {
		for method, op := range item.(node) {
			if method != "parameters" {
				visit(method+" "+path, op.(node))
				n++
			}
		}
	}
	return n
}

// TestOperations: each operation has what generators and readers need, and the refusals that may always come.
func TestOperations(t *testing.T) {
	t.Parallel()
	d := document(t)
	var tags []string
	for _, tag := range d["tags"].([]any) {
		tags = append(tags, tag.(node)["name"].(string))
	}
	ids := map[string]string{}
	n := operations(d, func(at string, op node) {
		id, _ := op["operationId"].(string)
		if id == "" || ids[id] != "" {
			t.Errorf("%s: the operationId %q is empty, or that of %s", at, id, ids[id])
		}
		ids[id] = at
		if op["summary"] == nil || op["description"] == nil || op["security"] == nil {
			t.Errorf("%s lacks a summary, a description or security", at)
		}
		for _, tag := range op["tags"].([]any) {
			if !slices.Contains(tags, tag.(string)) {
				t.Errorf("%s has the unknown tag %s", at, tag)
			}
		}
		always := []string{"429", "503"}
		if op["x-scopes"] != nil {
			always = append(always, "401", "403", "404", "500")
		}
		if op["requestBody"] != nil {
			always = append(always, "400", "413")
		}
		responses := op["responses"].(node)
		for _, status := range always {
			if responses[status] == nil {
				t.Errorf("%s lacks the response %s", at, status)
			}
		}
		for status, response := range responses {
			if ref, _ := response.(node)["$ref"].(string); status >= "400" && ref == "" {
				t.Errorf("%s does not share its response %s", at, status)
			}
		}
	})
	if n < 20 || len(d["servers"].([]any)) == 0 {
		t.Errorf("%d operations, servers %v", n, d["servers"])
	}
}

// TestReferencesResolve: each reference names something in the document, and each component is named by one.
func TestReferencesResolve(t *testing.T) {
	t.Parallel()
	d := document(t)
	named := map[string]bool{}
	walk("", d, func(at string, n node) {
		if ref, ok := n["$ref"].(string); ok {
			named[ref] = true
			if lookup(d, ref) == nil {
				t.Errorf("%s: %s leads nowhere", at, ref)
			}
		}
	})
	for kind, all := range d["components"].(node) {
		for name := range all.(node) {
			if ref := "#/components/" + kind + "/" + name; kind != "securitySchemes" && !named[ref] {
				t.Errorf("nothing refers to %s", ref)
			}
		}
	}
}

// TestExamples: each body has an example, and each example is what the schema says.
func TestExamples(t *testing.T) {
	t.Parallel()
	d := document(t)
	checked := 0
	walk("", d, func(at string, n node) {
		content, ok := n["content"].(node)
		if !ok {
			return
		}
		for media, form := range content {
			schema := form.(node)["schema"].(node)
			example, ok := form.(node)["example"]
			switch {
			case schema["format"] == "binary":
			case !ok:
				t.Errorf("%s: %s has no example", at, media)
			default:
				checked++
				if err := openapitest.CheckValue(schema, example); err != nil {
					t.Errorf("%s: the example of %s: %v", at, media, err)
				}
			}
		}
	})
	walk("", d, func(at string, n node) {
		if n["in"] == nil || n["example"] == nil {
			return
		}
		checked++
		if err := openapitest.CheckValue(n["schema"].(node), n["example"]); err != nil {
			t.Errorf("%s: the example of %s: %v", at, n["name"], err)
		}
	})
	if checked < 60 {
		t.Errorf("only %d examples", checked)
	}
}

// TestSchemas: schemas have the forms that all generators accept. A type is one type, a value that may be null is anyOf
// of a type and null, and objects have names. An object or null is not required, although it is always sent: clients of
// openapi-generator for Java refuse null in a required object.
func TestSchemas(t *testing.T) {
	t.Parallel()
	d := document(t)
	schemas := d["components"].(node)["schemas"].(node)
	for _, name := range slices.Sorted(maps.Keys(schemas)) {
		schema := schemas[name].(node)
		if schema["description"] == nil {
			t.Errorf("%s has no description", name)
		}
		walk(name, schema, func(at string, n node) {
			if _, several := n["type"].([]any); several {
				t.Errorf("%s has several types", at)
			}
			if _, ok := n["const"]; ok {
				t.Errorf("%s: use enum instead of const", at)
			}
			required, _ := n["required"].([]any)
			for _, property := range required {
				choices, _ := n["properties"].(node)[property.(string)].(node)["anyOf"].([]any)
				if len(choices) > 0 && choices[0].(node)["$ref"] != nil {
					t.Errorf("%s: %s is an object or null, so do not require it", at, property)
				}
			}
			if at != name && n["type"] == "object" && n["properties"] != nil {
				t.Errorf("%s: give the object a name under components", at)
			}
			if choices, ok := n["anyOf"].([]any); ok &&
				(len(choices) != 2 || choices[1].(node)["type"] != "null") {
				t.Errorf("%s: anyOf is for a type and null", at)
			}
		})
	}
}
