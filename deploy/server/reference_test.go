package server

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestDeclarationsAreDocumented: each key of the structs that the file's maps are read into is in the reference.
func TestDeclarationsAreDocumented(t *testing.T) {
	t.Parallel()
	var documented []string
	for _, s := range Reference() {
		for _, k := range s.Keys {
			documented = append(documented, k.Key)
		}
	}
	for prefix, example := range map[string]any{
		"events.EVENT_TYPE.": EventConfig{}, "views.VIEW.": ViewConfig{}, "views.VIEW.where.": FilterConfig{},
	} {
		for _, f := range reflect.VisibleFields(reflect.TypeOf(example)) {
			key := prefix + f.Tag.Get("yaml")
			if !slices.ContainsFunc(documented, func(k string) bool {
				return k == key || strings.HasPrefix(k, key+".")
			}) {
				t.Errorf("%s is not in the reference", key)
			}
		}
	}
}
