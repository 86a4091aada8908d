package guard

import (
	_ "embed" // of a list
	"slices"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"

	"recount/deploy/embedded/chdb/chdbtest"
)

// refused are the functions of ClickHouse that somebody has looked at and not allowed.
//
//go:embed testdata/refused.txt
var refused string

// TestFunctionsAreSorted compares the lists with the engine. A function that a new version of the engine has is in none
// of them, and whoever adds it has to read what it does.
func TestFunctionsAreSorted(t *testing.T) {
	t.Parallel()
	conn, err := clickhouse.Open(chdbtest.Open(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	var engine []struct {
		Name      string `ch:"name"`
		Aggregate uint8  `ch:"is_aggregate"`
	}
	if err := conn.Select(t.Context(), &engine, "SELECT name, toUInt8(is_aggregate) AS is_aggregate "+
		"FROM system.functions"); err != nil {
		t.Fatal(err)
	}
	allowed := map[bool][]string{false: strings.Fields(ordinary), true: strings.Fields(aggregates)}
	no := strings.Fields(refused)
	names := map[string]bool{}
	for _, f := range engine {
		names[f.Name] = true
		isAllowed := slices.Contains(allowed[f.Aggregate == 1], f.Name)
		if isAllowed == slices.Contains(no, f.Name) {
			t.Errorf("%s is in both lists or in none: read what it does; functions.txt, aggregates.txt and "+
				"testdata/refused.txt", f.Name)
		}
		if isAllowed != allowsFunction(f.Name) {
			t.Errorf("%s: allowed %t, in a list %t: another function has this name in other letters, or it is an "+
				"aggregate function with a combinator", f.Name, allowsFunction(f.Name), isAllowed)
		}
	}
	for _, f := range slices.Concat(allowed[false], allowed[true], no) {
		if !names[f] {
			t.Errorf("%s is in a list, and is no function of the engine", f)
		}
	}
}

// TestNames says what the lists make of names.
func TestNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"sum": true, "SUM": true, "sumIf": true, "sumArrayIf": true, "uniqExactMerge": true, "COUNTDistinct": true,
		"file": false, "fileIf": false, "OrNull": false, "": false, "dictGet": false, "currentUser": false,
		"arrayLevenshteinDistance": false, "editDistance": false, "jaroSimilarity": false,
		"arrayAutocorrelation": false,
		"FILE":                 false, "toDateOrNull": true, "hostName": false, "HOSTNAME": false,
		"sleepEachRow": false,
	} {
		if allowsFunction(name) != want {
			t.Errorf("%s: allowed %t, want %t", name, !want, want)
		}
	}
}
