package server

import (
	"slices"
	"strings"
	"testing"

	"recount/schemas/declaration"
)

// TestDeclarationsAreDocumented: each key of a declaration is in the reference.
func TestDeclarationsAreDocumented(t *testing.T) {
	t.Parallel()
	var documented []string
	for _, s := range Reference() {
		for _, k := range s.Keys {
			documented = append(documented, k.Key)
		}
	}
	for prefix, keys := range map[string][]string{
		"events.EVENT_TYPE.": declaration.EventTypeKeys, "events.EVENT_TYPE.fields.FIELD.": declaration.FieldKeys,
		"views.VIEW.": declaration.ViewKeys, "views.VIEW.where.": declaration.FilterKeys,
	} {
		for _, key := range keys {
			key = prefix + key
			if !slices.ContainsFunc(documented, func(k string) bool {
				return k == key || strings.HasPrefix(k, key+".")
			}) {
				t.Errorf("%s is not in the reference", key)
			}
		}
	}
}
