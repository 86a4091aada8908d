package query

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"recount/schemas/catalog"
)

func flights() *catalog.Catalog {
	return &catalog.Catalog{
		Bucket: time.Hour,
		Events: map[string]*catalog.EventType{"flight": {Name: "flight", Fields: []catalog.Field{
			{Name: "cancelled", Type: catalog.Bool}, {Name: "delay", Type: catalog.Int64},
			{Name: "origin", Type: catalog.String}, {Name: "tail", Type: catalog.String},
		}}},
		Views: map[string]*catalog.View{"flights": {
			Name: "flights", Event: "flight", Dimensions: []string{"origin", "delay", "cancelled"}, Cell: time.Minute,
			Measures: []catalog.Measure{{Name: "n", Kind: catalog.Count},
				{Name: "tails", Kind: catalog.Distinct, Field: "tail"}},
		}},
	}
}

// FuzzParse checks that any body is either refused with an *Error that names a field or
// resolves into a scan that keeps its promises, and that a resolved query parses again as itself.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`{"view":"flights","from":"2001-01-01T00:00:00Z","to":"2001-02-01T00:00:00Z"}`,
		`{"view":"flights","from":"2001-01-01T00:00:00Z","to":"2001-01-02T00:00:00+01:00",` +
			`"granularity":"1h","time_zone":"Asia/Kolkata","group_by":["origin"]}`,
		`{"view":"flights","from":"2001-01-01T00:00:00Z","to":"2001-01-02T00:00:00Z",` +
			`"where":[{"dimension":"delay","op":"in","values":[1,null,-9223372036854775808]},` +
			`{"dimension":"origin","op":"prefix","value":"O"},{"dimension":"cancelled","op":"exists","value":true}],` +
			`"order_by":[{"by":"n","desc":true}],"limit":5,"as_of":3,"mode":"live","fill":true}`,
		`{"view":"flights","from":"2001","to":"2002",` +
			`"where":[{"not":{"or":[{"dimension":"delay","op":"between","values":[-1,1]},{"and":[` +
			`{"dimension":"origin","op":"suffix","value":"D"},{"dimension":"origin","op":"lt","value":""}]}]}}]}`,
		`{"view":"flights","having":[{"measure":"n","op":"gt","value":1},{"not":{"or":[` +
			`{"measure":"tails","op":"between","values":[1,2]},{"measure":"n","op":"ne","value":null}]}}]}`,
		`{"view":"flights","derived":[{"name":"share","expression":"n / (tails - 0.5)"},{"name":"per_second",` +
			`"expression":"if(n > 2, n, null) / window_seconds"}],` +
			`"having":[{"measure":"share","op":"lt","value":0.5}],` +
			`"order_by":[{"by":"per_second","desc":true}],"totals":true,"others":true,"group_by":["origin"],` +
			`"granularity":"1h","limit_per_window":2}`,
		`{"view":"flights"}}`, `{"views":1}`, `[]`, `null`, ``,
		`{"view":"flights","from":"2001-01-01T00:00:00Z","to":"9999-01-01T00:00:00Z"}`,
	} {
		f.Add([]byte(s))
	}
	c := flights()
	f.Fuzz(func(t *testing.T, body []byte) {
		q, err := Parse(body, time.Time{})
		var invalid *Error
		if err != nil {
			if !errors.As(err, &invalid) || invalid.Field == "" {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		s, err := q.Resolve(c, "t")
		if err != nil {
			if !errors.As(err, &invalid) || invalid.Field == "" {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		checkScan(t, s, q.IsOpen())
		again, err := json.Marshal(q)
		if err != nil {
			t.Fatal(err)
		}
		q2, err := Parse(again, time.Time{})
		if err != nil {
			t.Fatalf("%s: %v", again, err)
		}
		s2, err := q2.Resolve(c, "t")
		if err != nil {
			t.Fatalf("%s: %v", again, err)
		}
		if diff := cmp.Diff([][]Condition{s.Where, s.Having}, [][]Condition{s2.Where, s2.Having},
			cmpopts.EquateEmpty()); diff != "" ||
			s.Windows.From != s2.Windows.From || s.Windows.Len() != s2.Windows.Len() {
			t.Fatalf("%s resolves differently: %s", again, diff)
		}
	})
}

func checkScan(t *testing.T, s *Scan, open bool) {
	w := s.Windows
	if !open && (w.From >= w.To || w.Len() == 0 || w.Start(0) > w.From) || len(s.Measures) == 0 {
		t.Fatalf("windows %d to %d with %d starts, %d measures", w.From, w.To, w.Len(), len(s.Measures))
	}
	checkCondition(t, &Condition{And: s.Where})
	checkCondition(t, &Condition{And: s.Having})
	for _, d := range s.Derived {
		if len(d.Measures) != len(d.Expression.Columns) || d.Type() != catalog.Int64 && d.Type() != catalog.Float64 {
			t.Fatalf("derived number %+v", d)
		}
		d.Expression.Numbers().Value()
	}
	p := s.Predicate()
	p.Tests(func(test *Test) { test.Null() })
}

func checkCondition(t *testing.T, c *Condition) {
	for _, list := range [][]Condition{c.And, c.Or} {
		for i := range list {
			checkCondition(t, &list[i])
		}
	}
	switch {
	case c.Not != nil:
		checkCondition(t, c.Not)
	case c.And != nil || c.Or != nil || c.Op == "":
	case len(c.Values) == 0 || c.Value != nil:
		t.Fatalf("condition %+v", c)
	}
	for _, v := range c.Values {
		switch v.(type) {
		case nil, string, int64, float64, bool:
		default:
			t.Fatalf("condition %+v holds a %T", c, v)
		}
	}
}
