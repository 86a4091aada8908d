package jobs

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"recount/jobs/conservation"
	"recount/schemas/access"
	"recount/schemas/catalog"
	"recount/schemas/openapi"
	"recount/schemas/record/recordtest"
)

// TestEmptySystemKeepsTheContract asks a system in which nothing has happened: an empty partition, a
// job that never ran, a recheck without a publication. The answers conform to the OpenAPI document:
// arrays are empty, never null.
func TestEmptySystemKeepsTheContract(t *testing.T) {
	t.Parallel()
	empty := &conservation.Books{Catalog: &catalog.Catalog{},
		Partitions: []conservation.Partition{{Acknowledged: &conservation.Acknowledged{}}}}
	rechecker := NewRechecker(func(context.Context) (openapi.Recheck, error) {
		return openapi.Recheck{}, nil
	}, Options{})
	a := NewAuditor(empty.Conserve, rechecker, Options{})
	for _, run := range []func(context.Context) (Report, error){rechecker.run, a.run} {
		if _, err := run(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	s := scheduler(t, openLedger(t, &recordtest.Memory{}), a.Job(""))
	for path, h := range map[string]http.Handler{"/v1/audit": a.Handler(), "/v1/audit?tenant=acme": a.Handler(),
		"/v1/jobs": s.Handler()} {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r.WithContext(access.NewContext(r.Context(),
			access.Principal{Tenant: "ops", Scopes: access.Admin})))
		d := document(t)
		schema := lookup(d, "paths", strings.TrimSuffix(path, "?tenant=acme"), "get", "responses", "200", "content",
			"application/json", "schema")
		var answer any
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || schema == nil {
			t.Fatalf("%s: %v, schema %v", path, err, schema)
		}
		if conforms(t, d, path, schema.(map[string]any), answer) == 0 {
			t.Errorf("%s: the answer has no array: %s", path, w.Body)
		}
	}
}

func document(t *testing.T) (d map[string]any) {
	t.Helper()
	if err := json.Unmarshal(openapi.Document(), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// lookup returns the value at a path of keys, or nil.
func lookup(v any, keys ...string) any {
	for _, key := range keys {
		node, _ := v.(map[string]any)
		v = node[key]
	}
	return v
}

// conforms checks that a value has all required fields, and objects and arrays where the schema has
// them. It returns how many arrays it saw.
func conforms(t *testing.T, d map[string]any, where string, schema map[string]any, v any) (arrays int) {
	t.Helper()
	if ref, ok := schema["$ref"].(string); ok {
		schema = lookup(d, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...).(map[string]any)
	}
	switch schema["type"] {
	case "array":
		items, ok := v.([]any)
		if !ok {
			t.Errorf("%s is not an array: %v", where, v)
		}
		for _, item := range items {
			arrays += conforms(t, d, where+"[]", schema["items"].(map[string]any), item)
		}
		return arrays + 1
	case "object":
		fields, ok := v.(map[string]any)
		if !ok {
			t.Errorf("%s is not an object: %v", where, v)
		}
		required, _ := schema["required"].([]any)
		for _, name := range required {
			if _, ok := fields[name.(string)]; !ok {
				t.Errorf("%s.%s is missing", where, name)
			}
		}
		for name, value := range fields {
			field, ok := lookup(schema, "properties", name).(map[string]any)
			if !ok {
				t.Errorf("%s.%s is not in the OpenAPI document", where, name)
				continue
			}
			arrays += conforms(t, d, where+"."+name, field, value)
		}
	}
	return arrays
}
