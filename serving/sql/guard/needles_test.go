package guard_test

import (
	"strings"
	"testing"
)

// TestNeedlesAreShort looks for long texts in long ones. One call would go on for minutes after its time.
func TestNeedlesAreShort(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const long = "arrayStringConcat(arrayWithConstant(30, repeat('a', 1000000)))"
	for _, sql := range []string{
		"SELECT countSubstrings(" + long + ", 'a')", "SELECT position(" + long + ", concat(" + long + ", 'b'))",
		"SELECT POSITION(" + long + ", repeat('a', 1000000))", "SELECT " + long + " LIKE " + long,
		"SELECT " + long + " NOT ILIKE " + long, "SELECT locate(" + long + ", " + long + ")",
		"SELECT replaceAll(" + long + ", " + long + ", '')", "SELECT REPLACE(" + long + ", " + long + ", '')",
		"SELECT splitByString(" + long + ", " + long + ")", "SELECT instr(" + long + ", " + long + ")",
		"SELECT multiSearchAny(" + long + ", [" + long + "])", "SELECT substringIndex(" + long + ", " + long + ", 1)",
		"SELECT match(" + long + ", " + long + ")", "SELECT " + long + " REGEXP " + long,
		"WITH " + long + " AS x SELECT position(x, x)", "SELECT position(x, x) FROM (SELECT " + long + " AS x)",
		"SELECT arrayMap(x -> position(x, x), [" + long + "])", "SELECT * APPLY(x -> position(x, x)) FROM visits",
		"SELECT position('a', '" + strings.Repeat("a", 300) + "')", "SELECT position(page, page) FROM visits",
		"SELECT position('a', CAST('a' AS FixedString(1000000)))", "SELECT position('a', (SELECT " + long + "))",
		"SELECT position('a', lower(concat('a', " + long + ")))", "SELECT position('a', CAST(" + long + " AS String))",
		"SELECT page ILIKE '" + strings.Repeat("a", 70) + "' FROM visits",
		"SELECT multiSearchAnyCaseInsensitiveUTF8('a', ['" + strings.Repeat("a', 'a", 30) + "'])",
		"SELECT simpleJSONHas('a', " + long + ")", "SELECT visitParamExtractRaw('a', " + long + ")",
		"SELECT hasSubsequence('a', page) FROM visits", "SELECT mapContainsKeyLike(map('a', 1), " + long + ")",
	} {
		if _, err := w.decide(t, sql); !isRefusal(err) {
			t.Errorf("%.120s: %v, want a refusal", sql, err)
		}
	}
	for _, sql := range []string{
		"SELECT count() FROM visits WHERE page LIKE '/%' AND page NOT ILIKE lower('%X%') AND position('a' IN page) = 0",
		"SELECT locate('/', page), splitByString(', ', assumeNotNull(page)), replaceAll(page, '/', n::String) " +
			"FROM visits",
		"SELECT page LIKE concat('%', 'x'::String, '%'), multiSearchAny(page, ['a', 'b']), match(page, '^/') " +
			"FROM visits",
		"SELECT multiSearchAny(page, ['a', lower('B')]), page LIKE '%' || CAST('x', 'Nullable(String)') FROM visits",
		"SELECT replicate(n, [1]), extractKeyValuePairs('a:1'), startsWith(page, page), now() FROM visits",
	} {
		if _, err := w.run(t, sql); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
}
