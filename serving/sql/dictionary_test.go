package sql

import (
	"strings"
	"testing"

	"recount/serving/oracle"
)

// TestOtherTenantsAreInNoDictionary calls functions that compute with all values of a dictionary. A part has one for
// all tenants.
func TestOtherTenantsAreInNoDictionary(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.insert("default", 4, []oracle.Event{event(0, map[string]any{"origin": "QQ=="})})
	f.insert("other", 4, []oracle.Event{event(0, map[string]any{"origin": "SECRET"})})
	f.exec("OPTIMIZE TABLE " + f.table + " FINAL")
	f.publish(4)
	for _, sql := range []string{
		"SELECT toFixedString(assumeNotNull(origin), 4) FROM flights",
		"SELECT n FROM flights WHERE toFixedString(assumeNotNull(origin), 4) = 'QQ=='",
		"SELECT base64Decode(assumeNotNull(origin)) FROM flights",
	} {
		a, err := f.statements.Run(t.Context(), "default", Request{SQL: sql, Format: "TSV"})
		if err != nil {
			t.Errorf("%s: %v", sql, err)
			continue
		}
		if strings.Contains(string(a.Body), "SECRET") {
			t.Errorf("%s: %s", sql, a.Body)
		}
		a.Close()
	}
	for _, format := range []string{"Native", "Arrow", "ArrowStream", "Parquet"} {
		a, err := f.statements.Run(t.Context(), "default", Request{SQL: "SELECT * FROM flights", Format: format})
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(a.Body), "SECRET") {
			t.Errorf("%s has the value of another tenant", format)
		}
		a.Close()
	}
}
