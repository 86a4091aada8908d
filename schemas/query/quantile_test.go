package query

import (
	"slices"
	"strings"
	"testing"
	"time"

	"recount/schemas/catalog"
	"recount/schemas/quantile"
)

func latencyCatalog() *catalog.Catalog {
	return &catalog.Catalog{Bucket: time.Hour, Events: map[string]*catalog.EventType{"request": {Name: "request",
		Fields: []catalog.Field{{Name: "ms", Type: catalog.Int64}, {Name: "price", Type: "decimal(18,2)"},
			{Name: "route", Type: catalog.String}}}},
		Views: map[string]*catalog.View{"requests": {Name: "requests", Event: "request", Dimensions: []string{"route"},
			Cell: time.Minute, Measures: []catalog.Measure{{Name: "latency", Kind: catalog.Quantile, Field: "ms"},
				{Name: "n", Kind: catalog.Count}, {Name: "price", Kind: catalog.Quantile, Field: "price"}}}}}
}

func names(s *Scan) (out []string) {
	for _, m := range s.Measures {
		out = append(out, m.Name)
	}
	return out
}

// TestQuantileNames resolves names with and without ranks, and those that only order rows or keep them.
func TestQuantileNames(t *testing.T) {
	t.Parallel()
	having, err := ParseHaving("latency.p75 > 500 and `price.p5` <= 2.50")
	if err != nil {
		t.Fatal(err)
	}
	short, err := ParseHaving("latency.p75:ge:7")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		query Query
		want  []string
	}{
		{Query{}, []string{"latency.p50", "latency.p95", "latency.p99", "n", "price.p50", "price.p95", "price.p99"}},
		{Query{Measures: []string{"n", "latency.p99.9"}}, []string{"n", "latency.p99.9"}},
		{Query{Measures: []string{"latency"}, OrderBy: []Order{{By: "latency.p99"}, {By: "price.p0"}}},
			[]string{"latency.p50", "latency.p95", "latency.p99", "price.p0"}},
		{Query{Measures: []string{"n"}, Having: append(having, short...)}, []string{"n", "latency.p75", "price.p5"}},
	} {
		c.query.View = "requests"
		s, err := c.query.Resolve(latencyCatalog(), "default")
		if err != nil || !slices.Equal(names(s), c.want) {
			t.Errorf("%+v: got %v, %v, want %v", c.query, names(s), err, c.want)
		}
	}
	s, err := (&Query{View: "requests", Measures: []string{"n", "latency", "price"}}).Resolve(latencyCatalog(), "")
	if err != nil {
		t.Fatal(err)
	}
	var shared []int
	for i := range s.Measures {
		shared = append(shared, s.Shared(i))
	}
	if want := []int{0, 1, 1, 1, 4, 4, 4}; !slices.Equal(shared, want) || s.Measures[3].Rank != quantile.P99 ||
		s.Measures[5].Stored() != "price" || s.Measures[5].ResultType() != "decimal(18,2)" {
		t.Errorf("shared %v, want %v; %+v", shared, want, s.Measures)
	}
}

// TestWrongQuantiles names the field and what to write.
func TestWrongQuantiles(t *testing.T) {
	t.Parallel()
	for want, q := range map[string]Query{
		"measures: latency.p101: \"p101\" is no quantile; write p50":           {Measures: []string{"latency.p101"}},
		"measures: latency.p50.0: \"p50.0\": write p50":                        {Measures: []string{"latency.p50.0"}},
		"measures: latency.: \"\" is no quantile":                              {Measures: []string{"latency."}},
		"measures: view requests has no measure \"n.p50\"; it has latency.p99": {Measures: []string{"n.p50"}},
		"measures: \"latency.p50\" is listed twice": {
			Measures: []string{"latency", "latency.p50"}},
		"order_by: latency is a quantile; write which one, such as latency.p99": {
			OrderBy: []Order{{By: "latency"}}, Measures: []string{"n"}},
		"order_by: latency.px: \"px\" is no quantile": {OrderBy: []Order{{By: "latency.px"}}},
		"having: latency is a quantile; write which one": {
			Having: []Condition{{Measure: "latency", Op: Gt, Value: 1}}},
	} {
		q.View = "requests"
		_, err := q.Resolve(latencyCatalog(), "default")
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
