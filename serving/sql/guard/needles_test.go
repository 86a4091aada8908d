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
		"SELECT page NOT ILIKE '%" + strings.Repeat("a", 30) + "' FROM visits",
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

// TestPatternsReadNoFurtherThanTheirMatches looks for a pattern again after each match. A match that ends long before
// what was read for it makes the time the square of the text.
func TestPatternsReadNoFurtherThanTheirMatches(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, pattern := range []string{"a+b|a", "a(a*b)?", "a(?:[ab]*c)*", "(a|b+c)a", "a{1,1000}b|a",
		"(ab)*c|x", "(a+b){0,1}a"} {
		for _, call := range []string{"countMatches(page, P)", "countMatchesCaseInsensitive(page, P)",
			"extractAll(page, P)", "extractAllGroupsVertical(page, P)",
			"extractAllGroups(page, P)", "replaceRegexpAll(page, P, '')",
			"REGEXP_REPLACE(page, P, '')", "splitByRegexp(P, assumeNotNull(page))"} {
			sql := "SELECT " + strings.ReplaceAll(call, "P", "'"+pattern+"'") + " FROM visits"
			if _, err := w.decide(t, sql); !isRefusal(err) {
				t.Errorf("%s: %v, want a refusal", sql, err)
			}
		}
	}
	for _, sql := range []string{
		"SELECT countMatches(page, '[0-9]+'), extractAll(page, '([a-z]+)/(\\\\d+)') FROM visits",
		"SELECT replaceRegexpAll(page, 'https?:[^/]+', ''), splitByRegexp('\\\\s*,', assumeNotNull(page)) FROM visits",
		"SELECT replaceRegexpAll(page, 'foo|bar', 'x'::String), countMatches(page, CAST('a|bc', 'String')) FROM visits",
		"SELECT match(page, 'a+b|a'), extract(page, '(a+b)?'), replaceRegexpOne(page, 'a+b|a', '') FROM visits",
	} {
		if _, err := w.run(t, sql); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
}

// TestSearchesInArraysAreShort looks for the values of many rows in a long array that is the same for all. One call
// would go on for minutes after its time.
func TestSearchesInArraysAreShort(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	literal := "['" + strings.Repeat("value', '", 2000) + "']"
	for _, sql := range []string{
		"SELECT has(range(100000), n) FROM visits", "WITH range(100000) AS r SELECT has(r, n) FROM visits",
		"SELECT has(r, n) FROM (SELECT range(100000) AS r, n FROM visits)",
		"SELECT has(range(100000 + ignore(n)), n) FROM visits", "SELECT has(" + literal + ", page) FROM visits",
		"SELECT arrayMap(x -> has(range(100000), x), range(100000))", "SELECT indexOf(range(100000), n) FROM visits",
		"SELECT countEqual(range(100000), n) FROM visits", "SELECT arrayIntersect(range(100000), [n]) FROM visits",
		"SELECT mapContains(mapFromArrays(range(100000), range(100000)), n) FROM visits",
		"SELECT mapContainsValue(mapFromArrays(range(100000), range(100000)), n) FROM visits",
		"SELECT arrayUnion([1], range(100000), [n]) FROM visits", "SELECT arrayExcept([n], range(100000)) FROM visits",
		"SELECT arraySymmetricDifference(range(100000), [n]), arrayJaccardIndex(range(100000), [n]) FROM visits",
	} {
		if _, err := w.decide(t, sql); !isRefusal(err) {
			t.Errorf("%.120s: %v, want a refusal", sql, err)
		}
	}
	for _, sql := range []string{
		"SELECT has(['/1', '/2'], assumeNotNull(page)), indexOf([1, 2, 3], n) FROM visits",
		"SELECT has(groupArray(n), 5), has(splitByChar('/', assumeNotNull(any(page))), lower('X')) FROM visits",
		"SELECT arrayFilter(x -> has([1, 2], x), groupArray(n)), mapContains(map('a', 1), 'a') FROM visits",
		"SELECT arrayIntersect(groupArray(n), [1, 2], [2, 3]), has([n, 2], CAST('2', 'UInt64')) FROM visits GROUP BY n",
		"SELECT arrayExists(x -> x = n, [n, 1]), n IN (1, 2, 3) FROM visits",
	} {
		if _, err := w.run(t, sql); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
}
