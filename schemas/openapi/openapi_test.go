package openapi

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestReferencesResolve walks the document: every $ref names something in it, and every
// operation has an id and at least one response.
func TestReferencesResolve(t *testing.T) {
	t.Parallel()
	var d map[string]any
	if err := json.Unmarshal(Document(), &d); err != nil {
		t.Fatal(err)
	}
	refs := 0
	walk(d, func(node map[string]any) {
		if ref, ok := node["$ref"].(string); ok {
			refs++
			if !resolves(d, ref) {
				t.Errorf("%s leads nowhere", ref)
			}
		}
		if _, ok := node["operationId"]; ok && len(node["responses"].(map[string]any)) == 0 {
			t.Errorf("%s has no responses", node["operationId"])
		}
	})
	if refs == 0 || d["openapi"] != "3.1.0" {
		t.Errorf("%d references, version %v", refs, d["openapi"])
	}
}

func walk(v any, visit func(map[string]any)) {
	switch v := v.(type) {
	case map[string]any:
		visit(v)
		for _, child := range v {
			walk(child, visit)
		}
	case []any:
		for _, child := range v {
			walk(child, visit)
		}
	}
}

func resolves(d map[string]any, ref string) bool {
	var at any = d
	for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
		node, ok := at.(map[string]any)
		if !ok {
			return false
		}
		at = node[part]
	}
	return at != nil
}
