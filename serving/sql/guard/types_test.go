package guard

import "testing"

// TestParameterTypes reads statements with parameters. What it refuses never reaches the engine, which would read the
// parameter's value as one of this type.
func TestParameterTypes(t *testing.T) {
	t.Parallel()
	for typ, want := range map[string]bool{
		"String": true, "Array(Nullable(UInt64))": true, "DateTime64(6, 'UTC')": true, "Decimal(38, 2)": true,
		"Enum8('a' = -1, 'b' = 2)": true, "Map(String, Array(Tuple(Float64, Date)))": true,
		"Identifier": false, "AggregateFunction(groupBitmap,UInt32)": false, "Array(Identifier)": false,
		"Tuple(UInt8, /* x */ AggregateFunction(groupArray, String))": false, "`AggregateFunction`(sum, UInt8)": false,
		"SimpleAggregateFunction(sum, UInt64)": false, "JSON": false, "Dynamic": false, "": false,
	} {
		for _, sql := range []string{"SELECT {x:" + typ + "}", "SELECT 1, { `x` : " + typ + " } FORMAT CSV"} {
			if _, err := Parse(sql, "recount"); (err == nil) != want {
				t.Errorf("%s: %v, want allowed %t", sql, err, want)
			}
		}
	}
	for _, sql := range []string{"SELECT {'a': 1}", "SELECT {x:UInt8", "SELECT 1 ? a : AggregateFunction"} {
		if _, err := Parse(sql, "recount"); (err == nil) != (sql != "SELECT {x:UInt8") {
			t.Errorf("%s: %v", sql, err)
		}
	}
}
