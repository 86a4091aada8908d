package guard

import "strings"

// TakesLimit reports whether the settings limit and offset cut the result of a statement in the right place. The tree
// is that of Decide. ClickHouse ignores the settings for a UNION, and takes them for others where LIMIT is negative or
// a fraction (26.5). A calculation may be either.
func TakesLimit(tree string) bool {
	root, err := parseTree(tree)
	if err != nil || root.kind != "QUERY" {
		return false
	}
	for _, s := range root.children {
		if s.kind != "LIMIT" && s.kind != "OFFSET" {
			continue
		}
		if len(s.children) != 1 || !strings.HasPrefix(s.children[0].attributes["constant_value"], "UInt64_") {
			return false
		}
	}
	return true
}
