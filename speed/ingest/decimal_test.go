package ingest

import (
	"fmt"
	"strings"
	"testing"

	"recount/schemas/catalog"
	"recount/schemas/problem"
)

// TestDecimals decodes decimals in every spelling, and refuses every number that the type does not hold. The hash of an
// event does not depend on the spelling.
func TestDecimals(t *testing.T) {
	t.Parallel()
	declared := &catalog.EventType{Name: "all", Fields: []catalog.Field{{Name: "price", Type: "decimal(10,2)"}}}
	types, n := compileTypes(&catalog.Catalog{Events: map[string]*catalog.EventType{"all": declared}}, nil)
	d := newDecoder(testConfig(), types, n)
	decode := func(value string) *rejection {
		d.start([]byte(event(`,"data":{"price":`+value+`}`)), false, testNow)
		return d.decode()
	}
	var hashes []uint64
	for _, value := range []string{"12.5", "12.50", "125e-1", "1.25E+1", `"12.5"`, `"12.500"`, `"\u00312.5"`} {
		refused := decode(value)
		if s := d.row.slots[0]; refused != nil || s.state != present || s.number != 1250 {
			t.Errorf("%s: got %+v, %+v", value, d.row.slots[0], refused)
		}
		hashes = append(hashes, d.row.hash)
	}
	for i, h := range hashes {
		if h != hashes[0] {
			t.Errorf("spelling %d has another hash", i)
		}
	}
	if decode("12.51") != nil || d.row.hash == hashes[0] {
		t.Error("another number has the same hash")
	}
	million := strings.Repeat("9", 1_000_000)
	const fraction, large, other = "more digits after the point", "more digits before the point", "is not decimal(10,2)"
	for value, want := range map[string]string{"12.345": fraction, "1e-19": fraction, `"1e-3"`: fraction,
		"123456789": large, "1e400": large, `"100000000"`: large, `"NaN"`: other, `" 1"`: other, `"+1"`: other,
		`"0x1"`: other, `""`: other, `"1e"`: other, "true": other, "{}": other, "[1]": other, million: large,
		"1e" + million: large, `"1e-` + million + `"`: fraction} {
		code := problem.NumberOutOfRange
		if want == other {
			code = problem.InvalidField
		}
		refused := decode(value)
		const place, declared = "data.price: ", "decimal(10,2)"
		if refused == nil || refused.code != code || !strings.Contains(refused.message, want) ||
			!strings.HasPrefix(refused.message, place) || !strings.Contains(refused.message, declared) ||
			len(refused.message) > 400 {
			t.Errorf("%.40s: got %.500s", value, fmt.Sprint(refused))
		}
	}
	if refused := decode("null"); refused != nil || d.row.slots[0].state != null {
		t.Errorf("null: got %+v, %+v", d.row.slots[0], refused)
	}
}
