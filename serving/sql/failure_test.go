package sql

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"recount/serving/sql/guard"
)

// TestAdvice makes the failures that have advice, and one that has none. Neither may show a value.
func TestAdvice(t *testing.T) {
	t.Parallel()
	f := filled(t)
	deep := strings.Repeat("(SELECT ", 400) + "1" + strings.Repeat(")", 400)
	for _, tt := range []struct {
		code      int
		sql, want string
	}{
		{6, "SELECT toInt64(assumeNotNull(origin)) FROM flights", "OrNull"},
		{12, "SELECT quantile(2)(n) FROM flights", "out of its range"},
		{36, "SELECT dateDiff('lightyear', time, time) FROM flights", "unit"},
		{38, "SELECT toDate(assumeNotNull(origin)) FROM flights", "toDateOrNull"},
		{41, "SELECT n FROM flights WHERE time > 'yesterday'", "parseDateTimeBestEffortOrNull"},
		{59, "SELECT 1 WHERE 'a'", "condition"},
		{69, "SELECT range(10000000000)", "too large"},
		{70, "SELECT CAST(NULL AS Int64)", "coalesce"},
		{124, "SELECT (1, 2) IN (1, 2, 3)", "after IN"},
		{125, "SELECT (SELECT number FROM numbers(3))", "several rows"},
		{131, "SELECT toFixedString('abc', 2)", "FixedString"},
		{153, "SELECT intDiv(n, n - 1) FROM flights", "intDivOrZero"},
		{190, "SELECT arrayMap((a, b) -> a + b, [1], [1, 2])", "same length"},
		{258, "SELECT 1, 2 UNION ALL SELECT 1", "same number of columns"},
		{306, "SELECT " + deep, "nested too deeply"},
		{407, "SELECT toDecimal32(1000000000000, 5)", "wider type"},
		{427, "SELECT match('a', '(')", "regular expression"},
		{440, "SELECT n FROM flights LIMIT 'a'", "LIMIT"},
		{457, "SELECT {x:UInt8}", "parameter is not of the type that the statement gives it (x)"},
		{475, "SELECT n FROM flights ORDER BY n WITH FILL STEP 0", "step"},
		{558, "SELECT 1 UNION SELECT 2", "UNION ALL or UNION DISTINCT"},
	} {
		_, err := f.statements.Run(t.Context(), "default", Request{SQL: tt.sql,
			Parameters: map[string]string{"x": "ORD"}})
		var failed *Failure
		if !errors.As(err, &failed) || failed.Code != tt.code || !strings.Contains(failed.Text, tt.want) {
			t.Errorf("%.80s: got %v, want error %d with %s", tt.sql, err, tt.code, tt.want)
			continue
		}
		if strings.Contains(failed.Text, "ORD") || strings.Contains(failed.Text, "ATL") {
			t.Errorf("%.80s: %q shows a value", tt.sql, failed.Text)
		}
	}
	if _, err := f.statements.Run(t.Context(), "default", Request{SQL: "SELECT 1 UNION SELECT 2",
		Settings: map[string]string{"union_default_mode": "ALL"}}); err != nil {
		t.Errorf("with the advice: %v", err)
	}
}

// TestPlacesOfSyntaxErrors compares the place that a client is told with that of the word in what it wrote. What runs
// has no comments, and other names.
func TestPlacesOfSyntaxErrors(t *testing.T) {
	t.Parallel()
	f := filled(t)
	for _, sql := range []string{
		"SELECT FROM WHERE▸",
		"SELECT 1▸)",
		"SELECT /* a long comment */ 1   ▸)  , 2",
		"SELECT 1\n  FROM recount.flights\n flights ▸flights",
		"-- first\nSELECT currentDatabase(), n FROM default.flights GROUP ▸n",
		"SELECT 'it''s' ▸'x' FROM flights",
		"SELECT * FROM system.one ORDER ▸n",
		"SELECT * FROM flights JOIN▸",
		"SELECT ▸(1",
	} {
		before, after, _ := strings.Cut(sql, "▸")
		_, err := f.statements.Run(t.Context(), "default", Request{SQL: before + after})
		want := fmt.Sprintf("failed at position %d", len(before)+1)
		if lines := strings.Count(before, "\n"); lines > 0 {
			want += fmt.Sprintf(", line %d, column %d", lines+1, len(before)-strings.LastIndexByte(before, '\n'))
		}
		var refused *guard.Refusal
		if err == nil || errors.As(err, &refused) || !strings.Contains(err.Error(), want+" ") {
			t.Errorf("%s: got %.200v, want %s", sql, err, want)
		}
	}
}
