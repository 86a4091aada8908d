package api

import (
	"errors"
	"testing"
	"time"

	"recount/schemas/query"
	"recount/serving/oracle"
)

// FuzzParameters checks that parameters either resolve, or are refused with a *query.Error that
// names a field.
func FuzzParameters(f *testing.F) {
	for _, s := range []string{
		"view=flights&from=2001-01-01T00:00:00Z&to=2001-02-01T00:00:00Z",
		"view=flights&from=2001-01-01T00:00:00Z&to=2001-02-01T00:00:00Z&where=origin:in:ORD,ATL&where=delay:eq:-5" +
			"&where=cancelled:exists:true&order_by=n:desc,time&granularity=1d&as_of=3&limit=5&fill=true&totals=true" +
			"&others=true" +
			"&compare=previous_year&cumulative=true",
		"view=flights&from=2001&to=2002&granularity=1d&rolling=7d&time_zone=Europe/Berlin",
		"view=flights&from=2001&to=2002&where=origin+in+(ORD,'it''s',%22%5Cu00e9%22)+and+" +
			"not+(delay+%3E=+5+or+origin+suffix+x)&having=n+%3E+1+and+mean+%3C=+2.5&having=first:ne:null",
		"view=flights&derived=share+%3D+n+/+tails&derived=rate%3Dlate/window_seconds&having=share+%3E+0.5" +
			"&order_by=rate&granularity=1h&limit_per_window=3",
		"where=::&order_by=:&view=%zz", "limit=99999999999999999999", "where=origin:in:", "measures=,&group_by=",
	} {
		f.Add(s)
	}
	c := oracle.Catalog()
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := parseParameters(raw, time.Time{})
		if err == nil {
			_, err = q.Resolve(c, "t")
		}
		var refused *query.Error
		if err != nil && (!errors.As(err, &refused) || refused.Field == "") {
			t.Fatalf("%T: %v", err, err)
		}
	})
}
