package guard

import (
	"regexp"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"

	"recount/deploy/embedded/chdb/chdbtest"
)

// zoneWord is how the engine's manual calls an argument that is a time zone.
var zoneWord = regexp.MustCompile(`(?i)time_?zone|\btz\b`)

// zoneArgument is how an argument's description begins if it is one.
var zoneArgument = regexp.MustCompile("(?im)^\\s*-?\\s*`?(?:time_?zone|tz)\\b")

// TestZonesAreKnown reads in the engine's own manual which functions take a time zone, and at which place. Each that is
// on the list must refuse there what is no constant. So none is forgotten when a new version of the engine has more.
func TestZonesAreKnown(t *testing.T) {
	t.Parallel()
	conn, err := clickhouse.Open(chdbtest.Open(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	var functions []struct {
		Name      string `ch:"name"`
		Syntax    string `ch:"syntax"`
		Arguments string `ch:"arguments"`
	}
	if err := conn.Select(t.Context(), &functions, "SELECT f.name AS name, o.syntax AS syntax, "+
		"o.arguments AS arguments FROM system.functions AS f JOIN system.functions AS o "+
		"ON o.name = if(f.alias_to = '', f.name, f.alias_to)"); err != nil {
		t.Fatal(err)
	}
	calls := 0
	for _, f := range functions {
		if !allowsFunction(f.Name) {
			continue
		}
		found := false
		for call := range strings.SplitSeq(f.Syntax, "\n") {
			_, arguments, _ := strings.Cut(call, "(")
			for i, argument := range strings.Split(arguments, ",") {
				if !zoneWord.MatchString(argument) {
					continue
				}
				found = true
				calls++
				if checkZone(f.Name, i+1, &node{kind: "IDENTIFIER"}) == nil {
					t.Errorf("%s takes a time zone, and checkZone does not know it: %s", f.Name, call)
				}
			}
		}
		if !found && zoneArgument.MatchString(f.Arguments) && checkZone(f.Name, 2, &node{kind: "IDENTIFIER"}) == nil {
			t.Errorf("%s takes a time zone at a place that its syntax does not say: %s", f.Name, f.Arguments)
		}
	}
	if calls < 90 { // There are 94 in 26.5.
		t.Errorf("the manual has only %d calls with a time zone", calls)
	}
}
