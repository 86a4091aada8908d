package guard_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// chained returns a SELECT in which each of n expressions has a name, and the next one is link with this name for {}.
func chained(n int, link string) string {
	expressions := []string{"1 AS a0"}
	for i := range n - 1 {
		of := fmt.Sprintf("a%d", i)
		expressions = append(expressions, strings.ReplaceAll(link, "{}", of)+fmt.Sprintf(" AS a%d", i+1))
	}
	return "SELECT " + strings.Join(expressions, ", ")
}

// nested returns one with n queries around a query.
func nested(n int, query string) string {
	return strings.Repeat("SELECT * FROM (", n) + query + strings.Repeat(")", n)
}

// inWith returns a SELECT of n queries of WITH, of which each reads the one before it twice.
func inWith(n int) string {
	s := "WITH c0 AS (SELECT 1 AS x)"
	for i := range n {
		s += fmt.Sprintf(", c%d AS (SELECT a.x FROM c%d AS a CROSS JOIN c%d AS b)", i+1, i, i)
	}
	return s + fmt.Sprintf(" SELECT * FROM c%d", n)
}

const lambda = "arrayMap(x -> x + {}, [1])[1]"

// TestNamesAreBounded has names stand for much. The engine does not look at the clock while it puts there what they
// stand for, so a statement is refused before that, or its analysis is short.
func TestNamesAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	lambdas := func(n int) string { // inside each other
		before, after, _ := strings.Cut(lambda, "{}")
		return "SELECT " + strings.Repeat(before, n) + "1" + strings.Repeat(after, n)
	}
	sums := "x" + strings.Repeat("+ x", 400)
	apply := fmt.Sprintf("APPLY(x -> %s)", sums)
	// columns is a query around one with n columns.
	columns := func(what string, n int) string {
		return "SELECT " + what + " FROM (SELECT 1 AS c0" + strings.Repeat(", 2", n-1) + ")"
	}
	pages := "('0'" + strings.Repeat(", '1'", 3999) + ")"
	branches := strings.Repeat("n = 1, 'a', ", 1000)
	wide := "SELECT n" + strings.Repeat(", n + 1", 29) + " FROM visits"
	for _, c := range []struct {
		sql    string
		refuse bool
	}{
		{chained(60, "{} + 1"), false}, {chained(400, "{} + 1"), true},
		{"WITH 1 AS n SELECT n" + strings.Repeat(", n", 1500), false},
		{chained(9, "{} + {}"), false}, {chained(100, "{} + {}"), true},
		{strings.Replace(chained(400, "{} + 1"), "SELECT", "WITH", 1) + " SELECT a399 FROM visits", true},
		{chained(10, lambda), false}, {chained(50, lambda), true}, {lambdas(10), false}, {lambdas(11), true},
		{inWith(4), false}, {inWith(20), true},
		{nested(63, "SELECT n FROM visits"), false}, {nested(64, "SELECT n FROM visits"), true},
		{nested(9, wide), false}, {nested(19, wide), true},
		{"SELECT *" + strings.Repeat(", *", 800) + " FROM system.tables", true},
		{columns("* "+apply, 400), true}, {columns("COLUMNS('.*') "+apply, 400), true},
		{columns("* REPLACE ("+strings.ReplaceAll(sums, "x", "c0")+" AS c0)", 400), true},
		{columns("* "+apply+" "+apply, 20), true}, {columns("* "+apply, 3), false},
		{"WITH (SELECT 1) AS q " + columns("* "+apply, 400), true}, {columns("* APPLY(toString)", 400), false},
		{"SELECT * APPLY(toString) FROM VALUES((1, 2)" + strings.Repeat(", (1, 2)", 5000) + ")", false},
		{"SELECT * APPLY(x -> " + sums + ") FROM VALUES((1" + strings.Repeat(", 2", 99) + "))", true},
		{"SELECT n FROM visits WHERE n IN (0" + strings.Repeat(", 1", 10049) + ")", false},
		{"SELECT page IN " + pages + " AS f, count() FROM visits GROUP BY f ORDER BY f", false},
		{"SELECT multiIf(" + branches + "'b') AS f, count() FROM visits GROUP BY f ORDER BY f", false},
		{"WITH " + pages + " AS f SELECT 1" + strings.Repeat(", page IN f", 100), true},
		{"SELECT 1 AS x, (SELECT x) AS y, y AS x2, x AS y2", false}, {"SELECT n AS n, n + n AS m FROM visits", false},
	} {
		began := time.Now()
		text, err := w.decide(t, c.sql)
		if isRefusal(err) != c.refuse || err != nil && !c.refuse {
			t.Errorf("%.60s … with %d bytes: %v, want a refusal: %t", c.sql, len(c.sql), err, c.refuse)
		}
		if err == nil {
			_, _ = w.ask(t, text) // A slow machine ends it.
		}
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("%.60s … with %d bytes took %s", c.sql, len(c.sql), took)
		}
	}
}
